"""Which tests a folder has is what pytest collects; a plain folder is read without running anything."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from harness.errors import DefinitionError
from harness.reading import collection
from harness.reading.catalogue import Catalogue
from harness.reading.collection import collected, numbered_id
from harness.reading.suites import derive_suite, gather_suite


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that pytest is asked about."""
    folders: list[Path] = []
    monkeypatch.setattr(
        collection, "_collected_by_pytest", lambda folder, _, **__: folders.append(folder) or collection.Collected(())
    )
    return folders


def test_a_plain_folder_is_read_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = asked(monkeypatch)
    write(
        tmp_path,
        "test_a.py",
        """
        import pytest
        LIMIT = 3
        @pytest.mark.parametrize("x", [1, 2])
        def test_one(x): ...
        async def test_two(): ...
        def helper(): ...
        class TestThree:
            def test_four(self): ...
            def no_test(self): ...
        class Tool:
            def test_of_no_class(self): ...
        def test_one(x): ...
        """,
    )
    write(tmp_path, "deep/more_test.py", "def test_five(): ...\n")
    write(tmp_path, "helpers.py", "globals()\ndef test_not_collected(): ...\n")
    names = [(test.path, test.names, test.line) for test in collected(tmp_path).tests]
    assert names == [
        ("deep/more_test.py", ("test_five",), 1),
        ("test_a.py", ("test_one",), 13),
        ("test_a.py", ("test_two",), 6),
        ("test_a.py", ("TestThree", "test_four"), 9),
    ]
    assert folders == []


@pytest.mark.parametrize(
    "text",
    [
        "class Base:\n    def test_x(self): ...\nclass TestA(Base): ...\n",
        "import unittest\nclass Cases(unittest.TestCase):\n    def test_x(self): ...\n",
        "for n in range(3):\n    globals()[f'test_{n}'] = print\n",
        "if True:\n    def test_x(): ...\n",
        "from helpers import *\n",
        "from helpers import test_x\n",
        "test_x = print\n",
        "def test_x(): ...\ntest_x.__test__ = False\n",
        "def pytest_generate_tests(metafunc): ...\ndef test_x(n): ...\n",
    ],
)
def test_pytest_is_asked_where_names_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    folders = asked(monkeypatch)
    write(tmp_path, "test_a.py", text)
    collected(tmp_path)
    assert folders == [tmp_path]


@pytest.mark.parametrize("name", ["conftest.py", "deep/conftest.py", "pytest.ini", "pyproject.toml", "setup.cfg"])
def test_pytest_is_asked_where_settings_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folders = asked(monkeypatch)
    write(tmp_path, "test_a.py", "def test_x(): ...\n")
    write(tmp_path, name, "")
    collected(tmp_path)
    assert folders == [tmp_path]


def test_ids_differ_and_may_be_chinese() -> None:
    taken: set[str] = set()
    tests = ("test_read", "test_Read", "test_读取", "test", "test_a.py::TestB::test_c", "test__", "test_é")
    ids = [numbered_id(test, taken) for test in tests]
    assert ids == ["V-READ", "V-READ-2", "V-读取", "V-TEST", "V-A-B-C", "V-TEST-2", "V-TEST-3"]


def test_names_that_are_used_twice_get_their_file(tmp_path: Path) -> None:
    write(tmp_path, "test_a.py", "def test_read(): ...\ndef test_Read(): ...\n")
    write(tmp_path, "中文/test_读.py", "def test_read(): ...\ndef test_读取(): ...\n")
    suite = derive_suite("自有检查", tmp_path, Catalogue(()))
    assert suite is not None
    assert {case.test: case.id for case in suite.cases} == {
        "test_a.py::test_read": "V-A-READ",
        "test_Read": "V-READ",
        "中文/test_读.py::test_read": "V-中文-读-READ",
        "test_读取": "V-读取",
    }


def test_a_file_that_is_no_python_is_a_fault_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "test_a.py", "def test_x(:\n")
    with pytest.raises(DefinitionError, match=r"test_a\.py:1:1: not valid Python"):
        derive_suite("own", tmp_path, Catalogue(()))


SUITE = """
suite: own
version: "1"
runner: pytest
title: own
cases:
  - {id: O-1, test: test_read, title: t, characteristic: usability, clause: "5", blocker: true}
  - {id: O-2, test: test_gone, title: t, characteristic: usability, clause: "5", blocker: true}
"""


def test_a_suite_names_every_test_of_its_folder_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    write(folder, "suite.yaml", SUITE)
    write(folder, "test_a.py", "def test_read(): ...\n\ndef test_unlisted(): ...\n")
    with pytest.raises(DefinitionError) as caught:
        gather_suite("own", tmp_path, Catalogue(()))
    faults = {(Path(fault.file).name, fault.line): fault.message for fault in caught.value.faults}
    assert faults == {
        ("test_a.py", 3): "test_unlisted has no case in suite.yaml, so it would not be run",
        ("suite.yaml", 8): "O-2: the folder has no test test_gone",
    }
    write(folder, "test_a.py", "def test_read(): ...\n")
    write(folder, "test_b.py", "def test_read(): ...\ndef test_gone(): ...\n")
    with pytest.raises(DefinitionError, match="test_read means several tests"):
        gather_suite("own", tmp_path, Catalogue(()))


def test_the_shipped_suites_are_complete() -> None:
    for name in ("compat/http", "compat/database", "compat/lifecycle", "load/http"):
        assert gather_suite(name, Path("/nowhere"), Catalogue.standard()) is not None
