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
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.attest.architecture import NAMES
from harness.errors import UsageError
from harness.importing.manifests import Configuration, Descriptor, Listed, Saved, Summed, shaped
from harness.importing.trees import BROKEN, MOST_BYTES, PIECE, Borrowed, Tree, take_in
from harness.scan.streams import decompressed
from harness.system.archives import Marked
from harness.system.files import open_plain
from harness.system.printable import one_line

MOST_MEMBERS = 100_000
MOST_JSON = 16 << 20  #: bytes of a manifest or a configuration
MOST_IMAGES = 1000
DEPTH = 4  #: indexes within indexes
#: Architectures as images name them -> ours.
ARCHITECTURES = {names.docker: ours for ours, names in NAMES.items()}


_NAMED = re.compile(r"([0-9a-f]{64})\.json|blobs/sha256/([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A blob of an archive as it is stored, maybe compressed: its member; digest and bytes that it must have, empty and
    None where nothing says so."""

    member: str
    digest: str = ""
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class ArchivedImage:
    """An image in an archive: its id (``sha256:…``), architecture by our name, names, configuration; its layers as
    members, from the lowest to the highest, and the digests of their contents (hex)."""

    id: str
    architecture: str
    names: tuple[str, ...]
    config: bytes
    layers: tuple[Stored, ...]
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
            images = self._laid_out(self._document("index.json", Listed), DEPTH)
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
        if identity and not wanted:
            raise UsageError(f"{identity} is no id of an image", advice="give its first digits too, or no --image")
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

    def _document(self, name: str, shape: Any) -> Any:
        return shaped(shape, self._bytes(name), f"{self.what}: {one_line(name, 100)}")

    def _saved(self) -> list[ArchivedImage]:
        """What ``manifest.json`` of docker save lists."""
        listed: list[Saved] = self._document("manifest.json", list[Saved])
        return [
            self._image(
                Stored(member=entry.config, digest=_named_digest(entry.config)),
                tuple(Stored(member=name, digest=_named_digest(name)) for name in entry.layers or ()),
                tuple(entry.names or ()),
            )
            for entry in listed[:MOST_IMAGES]
        ]

    def _laid_out(self, index: Listed, depth: int) -> list[ArchivedImage]:
        """What an index of the image layout leads to; what only describes an image is passed over."""
        images: list[ArchivedImage] = []
        for entry in (index.manifests or ())[:MOST_IMAGES]:
            if entry.describes_another:
                continue
            what = f"{self.what}: the manifest {entry.digest}"
            value: Listed = shaped(Listed, self._checked(_stored(entry)), what)
            name = (entry.annotations or {}).get("io.containerd.image.name")
            if value.manifests is not None:
                images += self._laid_out(value, depth - 1) if depth > 0 else []
            elif value.layers is not None and value.config is not None and value.config.is_configuration:
                for layer in value.layers:
                    layer.check_layer(self.what)
                layers = tuple(_stored(layer) for layer in value.layers)
                images.append(self._image(_stored(value.config), layers, (name,) if name else ()))
        return images[:MOST_IMAGES]

    def _checked(self, stored: Stored) -> bytes:
        data = self._bytes(stored.member)
        summed = Summed(io.BytesIO(data), stored.digest)
        summed.check(stored.digest, stored.size, self.what)
        return data

    def _image(self, config: Stored, layers: tuple[Stored, ...], names: tuple[str, ...]) -> ArchivedImage:
        data = self._checked(config)
        value: Configuration = shaped(Configuration, data, f"{self.what}: {one_line(config.member, 100)}")
        if value.os != "linux":
            raise UsageError(
                f"{self.what}: an image of it is not of Linux ({one_line(value.os, 40) or 'no system'})",
                advice="save a Linux image again",
            )
        if len(value.contents) != len(layers):
            raise UsageError(
                f"{self.what}: an image of it is damaged: it has {len(layers)} layers, and its configuration names "
                f"{len(value.contents)} (diff_ids)",
                advice="save the image again",
            )
        return ArchivedImage(
            id=f"sha256:{hashlib.sha256(data).hexdigest()}",
            architecture=ARCHITECTURES.get(value.architecture, one_line(value.architecture, 40) or "no architecture"),
            names=names,
            config=data,
            layers=layers,
            contents=value.contents,
        )


def _stored(descriptor: Descriptor) -> Stored:
    return Stored(member=descriptor.member, digest=descriptor.digest, size=descriptor.size)


def _named_digest(name: str) -> str:
    """The digest of its content that the name of a member of docker save is: ``HEX.json``, ``blobs/sha256/HEX``; empty
    for other names. The folder of ``HEX/layer.tar`` is an id of old times, and no digest."""
    match = _NAMED.fullmatch(posixpath.normpath(name))
    return f"sha256:{match[1] or match[2]}" if match is not None else ""


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
        UsageError: a layer is not what the image's manifest or configuration says, or leads out of the root.
        OSError: the disk refuses.
    """
    tree = Tree(layered=True)
    names = [f"{content}.tar" for content in image.contents]
    with tarfile.open(fileobj=copy, mode="w", format=tarfile.PAX_FORMAT) as tar:
        config = f"{image.id.removeprefix('sha256:')}.json"
        listed = json.dumps([{"Config": config, "RepoTags": None, "Layers": names}]).encode()
        for name, data in (("manifest.json", listed), (config, image.config)):
            _add(tar, name, len(data), io.BytesIO(data))
        for number, (name, blob) in enumerate(zip(names, image.layers, strict=True)):
            what = f"layer {number + 1} of {archive.what}"
            with scratch.open("w+b") as layer, archive.layer(blob.member) as file:
                stored = Summed(file, blob.digest)
                digest, size = take_in(tree, stored, layer, what)
                stored.check(blob.digest, blob.size, what)
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
