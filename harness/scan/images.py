"""What an image says of itself: its configuration (OCI image specification, config.md)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.system.canonical import read_json

#: ``GOARCH`` of an image's configuration -> as ``uname -m`` prints it.
GOARCH = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "386": "i386",
    "arm": "arm",
    "riscv64": "riscv64",
    "mips64le": "mips64",
    "ppc64le": "ppc64",
    "s390x": "s390",
}


def image_architecture(text: str) -> str | None:
    """The architecture that the configuration of an image names; None where a text is no such configuration."""
    if not text.startswith("{") or '"rootfs"' not in text or '"architecture"' not in text:
        return None
    try:
        value = read_json(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("rootfs"), dict):
        return None
    architecture = str(value.get("architecture", ""))
    return GOARCH.get(architecture, architecture) or None


#: A blob of an OCI image layout, below the folder or the archive that the layout lies in (image-layout.md).
_BLOB = re.compile(r"blobs/(?P<algorithm>[a-z0-9]+)/(?P<digest>[0-9a-f]{32,128})$")


@dataclass(frozen=True)
class Manifest:
    """An image: places of its own, its configuration and its layers."""

    place: str
    configuration: str
    layers: tuple[str, ...]


def manifests_of(place: str, text: str) -> tuple[list[Manifest], list[tuple[str, str]]]:
    """Images that a text at ``place`` is the manifest of, and manifests that it says the architecture of.

    An OCI manifest or index (manifest.md, image-index.md), or the manifest.json of ``docker save``.
    """
    if not ('"layers"' in text or '"Layers"' in text or '"platform"' in text) or text.lstrip()[:1] not in ("{", "["):
        return [], []
    try:
        value = read_json(text)
    except ValueError:
        return [], []
    blob = _BLOB.search(place)
    root = place[: blob.start()] if blob else place[: len(place) - len(posixpath.basename(place))]
    if isinstance(value, list):
        return [each for row in value if (each := _saved(place, root, row)) is not None], []
    if not isinstance(value, dict):
        return [], []
    platforms = []
    for row in _rows(value.get("manifests")):
        platform, where = row.get("platform"), _blob(root, row)
        architecture = str(platform.get("architecture", "")) if isinstance(platform, dict) else ""
        if where and architecture:
            platforms.append((where, GOARCH.get(architecture, architecture)))
    configuration = _blob(root, value.get("config"))
    layers = tuple(filter(None, (_blob(root, row) for row in _rows(value.get("layers")))))
    return ([Manifest(place, configuration, layers)] if configuration and layers else []), platforms


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _saved(place: str, root: str, row: object) -> Manifest | None:
    """An entry of the manifest.json of ``docker save``."""
    if not isinstance(row, dict) or not isinstance(row.get("Config"), str) or not isinstance(row.get("Layers"), list):
        return None
    return Manifest(place, f"{root}{row['Config']}", tuple(f"{root}{layer}" for layer in row["Layers"]))


def _blob(root: str, row: object) -> str:
    digest = row.get("digest") if isinstance(row, dict) else None
    algorithm, colon, name = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    return f"{root}blobs/{algorithm}/{name}" if colon else ""


def architectures_of_layers(manifests: Iterable[Manifest], configurations: Mapping[str, str]) -> dict[str, set[str]]:
    """What the files of each layer begin with -> architectures of the images that it is a layer of."""
    layers: dict[str, set[str]] = {}
    for manifest in manifests:
        if manifest.configuration in configurations:
            for layer in manifest.layers:
                layers.setdefault(f"{layer}!/", set()).add(configurations[manifest.configuration])
    return layers


def contradictions(
    manifests: Iterable[Manifest], configurations: Mapping[str, str], platforms: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Places of manifests, their architecture by an index, and by their configuration, where these differ."""
    own = {m.place: configurations[m.configuration] for m in manifests if m.configuration in configurations}
    for place, architecture in platforms:
        if place in own and own[place] != architecture:
            yield place, architecture, own[place]
