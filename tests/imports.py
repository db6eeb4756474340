"""A place where imports are made without an engine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from harness.importing.entries import Wanted
from harness.importing.importing import Import, import_archive, import_root
from harness.model.definitions import Os


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


class Place:
    """A user's folder, and a cache; ``proved`` are the systems that the engine was asked to make."""

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self.root, self.folder, self.cache = root, root / "mine", cache or root / "cache"
        self.folder.mkdir()
        self.proved: list[tuple[str, str]] = []
        self.systems: list[Os] = []
        self.refusal: Exception | None = None

    def prove(self, system: Os, architecture: str) -> None:
        self.proved.append((system.os, architecture))
        self.systems.append(system)
        if self.refusal is not None:
            raise self.refusal

    def wanted(self, **wanted: Any) -> Wanted:
        return Wanted(folder=self.folder, **wanted)

    def file(self, data: bytes, name: str = "system.tar") -> Path:
        path = self.root / name
        path.write_bytes(data)
        return path

    def import_root(self, data: bytes, called: str = "system.tar", **wanted: Any) -> Import:
        return import_root(self.file(data, called), self.wanted(**wanted), self.prove, cache=self.cache)

    def import_archive(self, data: bytes, image: str = "", **wanted: Any) -> Import:
        return import_archive(self.file(data), self.wanted(**wanted), self.prove, image=image, cache=self.cache)

    def left(self) -> list[str]:
        """Everything that imports have written, but locks."""
        written = [p for base in (self.folder, self.cache) for p in base.rglob("*") if p.is_file()]
        return sorted(str(p.relative_to(self.root)) for p in written if "locks" not in p.parts)

    def entry(self, name: str = "testlinux-1.0") -> dict[str, Any]:
        value: dict[str, Any] = yaml.safe_load((self.folder / "targets" / "os" / f"{name}.yaml").read_text())
        return value
