"""What an archive of container images says of itself: ``manifest.json`` of docker save; index, manifest, descriptor and
configuration of an image (image-spec: image-index.md, manifest.md, descriptor.md, config.md)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.errors import UsageError
from harness.system.canonical import read_json
from harness.system.printable import one_line

T = TypeVar("T")
#: descriptor.md, "Digests".
Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")]
_CONFIGURATIONS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
#: Media types of layers, without how they are compressed, which their first bytes show.
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Descriptor(_Shape):
    """What a document says of a blob: ``size`` in bytes; empty, or None, where it does not say so."""

    digest: Digest
    media: str = Field(default="", alias="mediaType")
    size: int | None = None
    annotations: dict[str, str] | None = None

    @property
    def member(self) -> str:
        """Where the image layout keeps the blob (image-layout.md)."""
        return f"blobs/{self.digest.replace(':', '/')}"

    @property
    def describes_another(self) -> bool:
        """Whether it is no image, but what a builder says of one."""
        return "vnd.docker.reference.type" in (self.annotations or {})

    @property
    def is_configuration(self) -> bool:
        """Whether the blob is the configuration of an image, as far as the descriptor says so."""
        return self.media in ("", *_CONFIGURATIONS)

    def check_layer(self, what: str) -> None:
        """``what`` names the archive.

        Raises:
            UsageError: the blob is no layer that can be read.
        """
        kind, _, packing = self.media.replace(".gzip", "+gzip").replace(".zstd", "+zstd").partition("+")
        if self.media and (kind not in _LAYERS or packing not in ("", "gzip", "zstd")):
            encrypted = packing.endswith("encrypted")
            raise UsageError(
                f"{what}: the layer {self.digest[:19]} is "
                + ("encrypted" if encrypted else "of a kind that is no layer of files")
                + f": {one_line(self.media, 100)}",
                advice="get the image from whoever has its key, decrypted" if encrypted else "save the image again",
            )


class Saved(_Shape):
    """An image in ``manifest.json`` of docker save."""

    config: str = Field(alias="Config")
    layers: list[str] | None = Field(alias="Layers")
    names: list[str] | None = Field(default=None, alias="RepoTags")


class Listed(_Shape):
    """An index of manifests, or the manifest of an image."""

    manifests: list[Descriptor] | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None


class _Root(_Shape):
    contents: list[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]] | None = Field(alias="diff_ids")


class Configuration(_Shape):
    """The configuration of an image, as far as it matters here."""

    architecture: str = ""
    os: str = ""
    rootfs: _Root

    @property
    def contents(self) -> tuple[str, ...]:
        """Digests (hex) of what is in its layers."""
        return tuple(digest.removeprefix("sha256:") for digest in self.rootfs.contents or ())


def shaped(shape: type[T] | Any, data: bytes, what: str) -> T:
    """A document of ``shape``; ``what`` names it in messages.

    Raises:
        UsageError: it is no JSON, or of another shape.
    """
    try:
        value = read_json(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is no JSON: {one_line(str(error), 100)}", advice="save the image again") from error
    try:
        result: T = TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        words = one_line(fault["msg"], 200)
        if fault["type"] == "string_pattern_mismatch":
            words = f"{one_line(str(fault['input']), 100)!a} is no digest (sha256: and 64 hexadecimal digits)"
        raise UsageError(
            f"{what} is not as it should be: {one_line(place, 100)}: {words}",
            advice="save the image again, with docker save or a tool that writes the OCI image layout",
        ) from error
    return result


class Summed:
    """A stream that knows digest and size of what was read of it. ``digest``: the expected one, whose kind counts."""

    def __init__(self, stream: Any, digest: str) -> None:
        self._stream, self._sum, self.size = stream, hashlib.new(digest.partition(":")[0] or "sha256"), 0

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        data: bytes = self._stream.read(size)
        self._sum.update(data)
        self.size += len(data)
        return data

    def check(self, digest: str, size: int | None, what: str) -> None:
        """Compare what was read, and what is left of it, with what a descriptor says; an empty digest says nothing.

        Raises:
            UsageError: it is something else.
        """
        while self.read(1 << 20):
            pass
        if digest and self._sum.hexdigest() != digest.partition(":")[2]:
            raise UsageError(f"{what}: the content of {digest} is another one", advice="save the image again")
        if size is not None and self.size != size:
            raise UsageError(
                f"{what}: {digest} has {self.size} bytes, and is said to have {size}", advice="save the image again"
            )
