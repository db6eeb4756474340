"""A small matrix on disk that tests change and break."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
import yaml

from tests.imports import Place

#: How long an example takes is this machine's matter, and nothing that a test may fail by.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

APPLICATION = {
    "application": "tiny",
    "name": {"zh": "小应用", "en": "Tiny"},
    "vendor": "Example",
    "version": "1.0",
    "packages": ["busybox"],
    "start": "busybox httpd -f -p 8080 -h /srv",
    "ready": {"command": "true"},
    "ports": {"web": 8080},
}
MATRIX = {
    "matrix": "tiny",
    "axes": {"os": ["debian-12"], "cpu": ["x86-64", "kunpeng-920"], "database": ["sqlite"]},
    "suites": ["compat/lifecycle"],
}


class MatrixFolder:
    """Writes ``matrix.yaml`` and ``application.yaml``; ``change`` merges keys into one of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("application", APPLICATION)
        self.write("matrix", MATRIX)

    def write(self, name: str, value: object) -> Path:
        path = self.root / f"{name}.yaml"
        text = value if isinstance(value, str) else yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
        path.write_text(text, encoding="utf-8")
        return path

    def change(self, name: str, **keys: object) -> Path:
        value = yaml.safe_load((self.root / f"{name}.yaml").read_text(encoding="utf-8"))
        return self.write(name, {**value, **keys})


@pytest.fixture
def folder(tmp_path: Path) -> MatrixFolder:
    root = tmp_path / "product"
    root.mkdir()
    return MatrixFolder(root)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
