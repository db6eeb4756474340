"""A definition reads plain files of its own folder, and nothing else of the machine that reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DefinitionError, Fault
from harness.planning import expand
from harness.reading.catalogue import Catalogue
from harness.reading.confining import LONGEST
from harness.reading.kinds import KINDS
from harness.reading.parsing import parse
from harness.reading.read import read
from harness.reading.suites import gather_suite
from harness.system.files import digest_of_file, read_plain
from tests.unit.test_definitions import refusals

#: Keys of an application that name a file, with what stands there for a name.
NAMING = {
    "templates": lambda name: [{"template": name, "path": "/etc/x"}],
    "artifacts": lambda name: [{"path": name, "install": "copy", "to": "/opt/x"}],
    "playbooks": lambda name: [{"playbook": name}],
    "scan": lambda name: [name],
}
SECRET = "root:*:20228:0:99999"


def layers(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same keys in each place where keys of an application stand."""
    former = {"old": {"set": {"version": "0.9", **values}}}
    variant = [{"when": {"cpu": "x86-64"}, "set": {"version": "1.1"}}]
    return {
        "own": values,
        "variant": {"variants": [*variant, {"when": {"cpu": "kunpeng-920"}, "set": values}]},
        "former": {"former": former},
        "former of a variant": {"variants": [{"when": {"os": "debian-12"}, "set": {"former": former}}]},
    }


def faults_of(folder: Any) -> list[Fault]:
    with pytest.raises(DefinitionError) as caught:
        expand(read(folder.root))
    assert SECRET not in str(caught.value)
    return caught.value.faults


@pytest.fixture
def secret(folder: Any) -> Path:
    path = folder.root.parent / "secret.yaml"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.mark.parametrize("key", NAMING)
@pytest.mark.parametrize("layer", layers({}))
def test_each_layer_of_a_product_is_confined_and_part_of_its_plan(
    folder: Any, secret: Path, key: str, layer: str
) -> None:
    for name in ("../secret.yaml", str(secret), "a/../../secret.yaml", "link"):
        (folder.root / "link").unlink(missing_ok=True)
        (folder.root / "link").symlink_to(secret)
        folder.change("application", **layers({key: NAMING[key](name)})[layer])
        (fault,) = faults_of(folder)
        assert fault.message == "the file lies outside the folder"
        assert (fault.file, fault.found) == (str(folder.root / "application.yaml"), name)
        assert name in (folder.root / "application.yaml").read_text().splitlines()[fault.line - 1]
    (folder.root / "deep").mkdir()
    own = folder.root / "deep" / "own.bin"
    digests = set()
    for content in ("one", "two"):
        own.write_text(content)
        folder.change("application", **layers({key: NAMING[key]("deep/own.bin")})[layer])
        definitions = read(folder.root)
        assert definitions.files["deep/own.bin"] == digest_of_file(own)
        digests.add(expand(definitions).digest)
    assert len(digests) == 2


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing"])
@pytest.mark.parametrize("layer", layers({}))
def test_a_product_is_made_of_regular_files(folder: Any, kind: str, layer: str) -> None:
    make(folder.root / "odd", kind)
    folder.change("application", **layers({"artifacts": NAMING["artifacts"]("odd")})[layer])
    (fault,) = faults_of(folder)
    assert fault.message == ("no such file" if kind == "missing" else "the file is no regular file")


def make(path: Path, kind: str) -> None:
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":  # the major and minor number of /dev/zero
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 40)


def test_a_playbook_brings_no_link_out_of_its_folder(folder: Any, secret: Path) -> None:
    (folder.root / "plays").mkdir()
    (folder.root / "plays" / "site.yml").write_text("[]\n")
    (folder.root / "plays" / "files").symlink_to(secret.parent)
    folder.change("application", playbooks=[{"playbook": "plays/site.yml"}])
    (fault,) = faults_of(folder)
    assert fault.message == "a symbolic link that leads out of the folder of code"


@pytest.mark.parametrize("key", ["application", "waivers", "axes_from", "include_from"])
@pytest.mark.parametrize("name", ["../secret.yaml", "ABSOLUTE", "link.yaml", "a\0b", "x" * 5000, "circle", ""])
def test_what_a_matrix_names_lies_in_its_folder(folder: Any, secret: Path, key: str, name: str) -> None:
    (folder.root / "link.yaml").symlink_to(secret)
    (folder.root / "circle").symlink_to("circle")
    folder.change("matrix", **{key: str(secret) if name == "ABSOLUTE" else name})
    if key == "waivers" and not name:  # names none
        assert read(folder.root).waivers == ()
        return
    (fault,) = faults_of(folder)
    assert any(words in fault.message for words in ("outside the folder", "no such", "no regular", "name too long"))
    assert len(fault.found) <= LONGEST
    assert fault.file == str(folder.root / "matrix.yaml")
    assert key in (folder.root / "matrix.yaml").read_text().splitlines()[fault.line - 1]


@pytest.mark.parametrize("key", ["application", "waivers", "axes_from", "include_from"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge"])
def test_what_a_matrix_names_is_a_file_of_bounded_size(folder: Any, key: str, kind: str) -> None:
    make(folder.root / "odd.csv", kind)
    folder.change("matrix", **{key: "odd.csv"})
    (fault,) = faults_of(folder)
    assert fault.message.endswith("is no regular file" if kind != "huge" else "is too large")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", ["pipe", "device", "folder", "huge"])
def test_every_kind_of_definition_is_looked_at_before_it_is_read(tmp_path: Path, kind: str, odd: str) -> None:
    path = tmp_path / f"{kind}.yaml"
    make(path, odd)
    (fault,) = refusals(lambda: parse(path, KINDS[kind]))
    assert "too large" in fault.message or fault.found in ("no regular file", "Is a directory")


@pytest.mark.parametrize("odd", ["pipe", "device", "huge"])
@pytest.mark.parametrize("name", ["test_odd.py", "conftest.py", "deep.py", "data.bin"])
def test_a_suite_holds_files_and_folders_alone(folder: Any, odd: str, name: str) -> None:
    own = folder.root / "checks"
    (own / "folder.py").mkdir(parents=True)
    (own / "test_own.py").write_text("def test_x():\n    pass\n")
    assert gather_suite("checks", folder.root, Catalogue.standard()) is not None
    if (odd, name) == ("huge", "data.bin"):  # its digest would be taken, which has no limit
        return
    make(own / name, odd)
    (fault,) = refusals(lambda: gather_suite("checks", folder.root, Catalogue.standard()))
    assert fault.file == str(own / name)


@pytest.mark.parametrize("name", ["/etc", ".", "..", "../x", "checks/../../x", "a//b", "a/./b", "a b", "\x1b[31m", ""])
def test_a_suite_is_named_by_folders_below_the_matrix(folder: Any, name: str) -> None:
    adjust = [{"when": {"cpu": "x86-64"}, "set": {"suites": [name]}, "because": "x"}]
    for keys in ({"suites": ["compat/lifecycle", name]}, {"suites": ["compat/lifecycle"], "adjust": adjust}):
        folder.change("matrix", **keys)
        (fault,) = faults_of(folder)
        assert fault.file == str(folder.root / "matrix.yaml")
        assert fault.line > 1


@pytest.mark.parametrize("odd", ["pipe", "device", "folder"])
def test_nothing_is_read_of_what_is_no_regular_file(tmp_path: Path, odd: str) -> None:
    make(tmp_path / "odd", odd)
    for work in (lambda: read_plain(tmp_path / "odd", 10), lambda: digest_of_file(tmp_path / "odd")):
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            work()


def test_a_file_as_large_as_its_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 10)
    assert read_plain(tmp_path / "f", 10) == b"x" * 10
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_plain(tmp_path / "f", 9)
