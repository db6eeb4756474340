"""Archives of container images: of ``docker save``, and of the OCI image layout (image-spec, image-layout.md).

An image is known by its id, the digest of its configuration, which names the digest of each layer's content. Both are
computed here: the names that an archive gives its images are anybody's, and choose nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.attest.architecture import NAMES
from harness.errors import UsageError
from harness.importing.trees import BROKEN, MOST_BYTES, PIECE, Borrowed, Tree, take_in
from harness.scan.streams import decompressed
from harness.system.archives import Marked
from harness.system.canonical import read_json
from harness.system.files import open_plain
from harness.system.printable import one_line

MOST_MEMBERS = 100_000
MOST_JSON = 16 << 20  #: bytes of a manifest or a configuration
MOST_IMAGES = 1000
DEPTH = 4  #: indexes within indexes
#: Architectures as images name them -> ours.
ARCHITECTURES = {names.docker: ours for ours, names in NAMES.items()}


@dataclass(frozen=True, kw_only=True)
class ArchivedImage:
    """An image in an archive: its id (``sha256:…``), architecture by our name, names, configuration; its layers as
    members, from the lowest to the highest, and the digests of their contents (hex)."""

    id: str
    architecture: str
    names: tuple[str, ...]
    config: bytes
    layers: tuple[str, ...]
    contents: tuple[str, ...]

    @property
    def words(self) -> str:
        """For people, who are asked to choose."""
        called = f" ({', '.join(one_line(name, 60) for name in self.names[:3])})" if self.names else ""
        return f"{self.id.removeprefix('sha256:')[:12]} {self.architecture}{called}"


class ImageArchive:
    """An archive that is open for reading: ``images`` is what it holds, each once."""

    def __init__(self, tar: tarfile.TarFile, what: str) -> None:
        self._tar, self.what, self._members = tar, what, dict[str, tarfile.TarInfo]()
        for number, member in enumerate(tar):
            if number > MOST_MEMBERS:
                raise UsageError(f"{what} has more than {MOST_MEMBERS} members", advice="save one image alone")
            self._members[posixpath.normpath(member.name)] = member
        if "manifest.json" in self._members:
            images = self._saved()
        elif "index.json" in self._members:
            images = self._laid_out(self._json("index.json"), DEPTH)
        else:
            raise UsageError(
                f"{what} is no archive of container images: neither manifest.json nor index.json is in it",
                advice="write it with: docker save NAME -o FILE; a root file system is imported by: "
                "harness targets import root FILE",
            )
        self.images = tuple({image.id: image for image in images}.values())
        if not self.images:
            raise UsageError(f"{what} holds no image", advice="write it with: docker save NAME -o FILE")

    def choose(self, identity: str, architecture: str) -> ArchivedImage:
        """The image with this id, or its beginning, and of this architecture; where both are empty, the only one.

        Raises:
            UsageError: there is none, or there are several.
        """
        wanted = identity.removeprefix("sha256:")
        fit = [image for image in self.images if image.id.removeprefix("sha256:").startswith(wanted)]
        known = "; ".join(image.words for image in self.images[:20])
        if not fit:
            raise UsageError(f"{self.what} holds no image {identity}, but: {known}", advice="give one of these ids")
        fit_machine = [image for image in fit if architecture in ("", image.architecture)]
        if not fit_machine:
            raise UsageError(
                f"{self.what} holds no image of {architecture}, but: {known}",
                advice="get the archive for it (docker save of an image that was pulled with --platform)",
            )
        if len(fit_machine) > 1:
            raise UsageError(
                f"{self.what} holds {len(fit_machine)} images that fit: {known}",
                advice="choose one by its id: --image ID",
            )
        return fit_machine[0]

    def layer(self, name: str) -> IO[bytes]:
        """The content of a member, as it is stored.

        Raises:
            UsageError: the archive lacks it.
        """
        file = self._tar.extractfile(self._member(name))
        if file is None:
            raise UsageError(f"{self.what}: {one_line(name, 100)} is no file", advice="save the image again")
        return file

    def _member(self, name: str) -> tarfile.TarInfo:
        """The file of a name; older archives link layers that two images share."""
        at = posixpath.normpath(name)
        for _ in range(DEPTH):
            member = self._members.get(at)
            if member is None:
                break
            if not member.issym() and not member.islnk():
                return member
            at = posixpath.normpath(posixpath.join(posixpath.dirname(at) if member.issym() else "", member.linkname))
        raise UsageError(
            f"{self.what} lacks {one_line(name, 100)!a}, which it names itself: it is cut off, or was saved without it",
            advice="save the image again",
        )

    def _bytes(self, name: str) -> bytes:
        if self._member(name).size > MOST_JSON:
            raise UsageError(f"{self.what}: {one_line(name, 100)} is larger than any manifest", advice="save it again")
        with self.layer(name) as file:
            return file.read()

    def _json(self, name: str) -> Any:
        return read_json(self._bytes(name))

    def _saved(self) -> list[ArchivedImage]:
        """What ``manifest.json`` of docker save lists."""
        return [
            self._image(str(entry["Config"]), tuple(map(str, entry["Layers"])), tuple(entry.get("RepoTags") or ()))
            for entry in self._json("manifest.json")[:MOST_IMAGES]
        ]

    def _laid_out(self, index: Any, depth: int) -> list[ArchivedImage]:
        """What an index of the image layout leads to; what only describes an image is passed over."""
        images: list[ArchivedImage] = []
        for entry in index["manifests"][:MOST_IMAGES]:
            if (entry.get("annotations") or {}).get("vnd.docker.reference.type"):  # provenance of another entry
                continue
            value = read_json(self._blob(entry["digest"]))
            name = (entry.get("annotations") or {}).get("io.containerd.image.name")
            if "manifests" in value:
                images += self._laid_out(value, depth - 1) if depth > 0 else []
            elif "layers" in value:
                layers = tuple(_blob_name(layer["digest"]) for layer in value["layers"])
                images.append(self._image(_blob_name(value["config"]["digest"]), layers, (name,) if name else ()))
        return images[:MOST_IMAGES]

    def _blob(self, digest: str) -> bytes:
        data = self._bytes(_blob_name(digest))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise UsageError(f"{self.what}: the content of {digest} is another one", advice="save the image again")
        return data

    def _image(self, config: str, layers: tuple[str, ...], names: tuple[Any, ...]) -> ArchivedImage:
        data = self._bytes(config)
        value = read_json(data)
        machine, system = str(value.get("architecture", "")), str(value.get("os", ""))
        contents = tuple(str(digest).removeprefix("sha256:") for digest in value["rootfs"]["diff_ids"])
        if len(contents) != len(layers) or system != "linux":
            raise UsageError(
                f"{self.what}: an image of it is damaged, or is not of Linux ({one_line(system, 40) or 'no system'})",
                advice="save a Linux image again",
            )
        return ArchivedImage(
            id=f"sha256:{hashlib.sha256(data).hexdigest()}",
            architecture=ARCHITECTURES.get(machine, one_line(machine, 40) or "no architecture"),
            names=tuple(str(name) for name in names),
            config=data,
            layers=layers,
            contents=contents,
        )


def _blob_name(digest: Any) -> str:
    kind, _, value = str(digest).partition(":")
    return f"blobs/{kind}/{value}"


@contextlib.contextmanager
def opened(path: Path, scratch: Path) -> Iterator[ImageArchive]:
    """An archive, plain or compressed. ``scratch``: a file for what is decompressed.

    Raises:
        UsageError: it is no whole archive of images.
        OSError: the file cannot be read, or the disk refuses.
    """
    try:
        with (
            open_plain(path) as file,
            _plain(file, scratch) as plain,
            tarfile.open(fileobj=plain, mode="r:", tarinfo=Marked) as tar,
        ):
            yield ImageArchive(tar, path.name)
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, and not what is in the archive
            raise
        raise UsageError(
            f"{path.name} is no whole archive of container images: {one_line(str(error), 200) or type(error).__name__}",
            advice="copy it again, or write it with: docker save NAME -o FILE",
        ) from error


@contextlib.contextmanager
def _plain(file: IO[bytes], scratch: Path) -> Iterator[IO[bytes]]:
    if file.read(512)[257:262] == b"ustar":
        file.seek(0)
        yield file
        return
    file.seek(0)
    with scratch.open("w+b") as plain:
        stream, size = decompressed(Borrowed(file)), 0
        while piece := stream.read(PIECE):
            size += len(piece)
            if size > MOST_BYTES:
                raise UsageError("the archive unfolds to more than any image has", advice="save one image alone")
            plain.write(piece)
        plain.seek(0)
        yield plain


def take_image(archive: ImageArchive, image: ArchivedImage, copy: IO[bytes], scratch: Path) -> Tree:
    """Write an image alone to ``copy``, as docker save would without names, and give the file system that its layers
    make. The same image gives the same bytes. ``scratch``: a file for one layer.

    Raises:
        UsageError: a layer is not what the image's configuration says, or leads out of the root.
        OSError: the disk refuses.
    """
    tree = Tree(layered=True)
    names = [f"{content}.tar" for content in image.contents]
    with tarfile.open(fileobj=copy, mode="w", format=tarfile.PAX_FORMAT) as tar:
        config = f"{image.id.removeprefix('sha256:')}.json"
        listed = json.dumps([{"Config": config, "RepoTags": None, "Layers": names}]).encode()
        for name, data in (("manifest.json", listed), (config, image.config)):
            _add(tar, name, len(data), io.BytesIO(data))
        for number, (name, member) in enumerate(zip(names, image.layers, strict=True)):
            what = f"layer {number + 1} of {archive.what}"
            with scratch.open("w+b") as layer, archive.layer(member) as stored:
                digest, size = take_in(tree, stored, layer, what)
                if digest != image.contents[number]:
                    raise UsageError(
                        f"{what} is not what its image says: SHA-256 {digest}, not {image.contents[number]}",
                        advice="save the image again",
                    )
                layer.seek(0)
                if name not in names[:number]:  # layers without files are all the same
                    _add(tar, name, size, layer)
    return tree


def _add(tar: tarfile.TarFile, name: str, size: int, data: IO[bytes]) -> None:
    """A member without the time, so that the same image is the same archive."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, data)
