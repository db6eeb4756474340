"""Where an import is written, and where a matrix looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import DefinitionError
from harness.reading.catalogue import Catalogue
from harness.reading.read import read
from tests.imports import Place
from tests.roots import files, tar_of
from tests.unit.conftest import MatrixFolder


def hint_at(folder: MatrixFolder, here: Path) -> str:
    folder.change("matrix", axes={"os": ["testlinux-1.0"], "cpu": ["x86-64"], "database": ["sqlite"]})
    with pytest.raises(DefinitionError) as caught:
        read(folder.root, Catalogue.standard(here))
    (fault,) = caught.value.faults
    return fault.hint


def test_a_system_that_was_imported_elsewhere_is_looked_for_in_the_current_folder(
    place: Place, folder: MatrixFolder
) -> None:
    place.import_root(tar_of(files()))
    assert f"looked for in targets/os of the current folder, {folder.root}" in hint_at(folder, folder.root)
    read(folder.root, Catalogue.standard(place.folder))


def test_an_entry_beside_the_matrix_does_not_count(place: Place, folder: MatrixFolder) -> None:
    place.import_root(tar_of(files()))
    (place.folder / "targets").rename(folder.root / "targets")
    hint = hint_at(folder, place.folder)
    assert f"of the current folder, {place.folder}" in hint
    assert f"{folder.root / 'targets/os/testlinux-1.0.yaml'} is there, but that folder is not the current one" in hint
    read(folder.root, Catalogue.standard(folder.root))
