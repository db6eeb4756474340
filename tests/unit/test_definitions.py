"""Definitions are read strictly; every fault is told with its place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DefinitionError, Fault, UsageError
from harness.model.definitions import Application, Cpu, Database, Matrix, Os, Suite
from harness.planning import expand
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.reading.read import read
from harness.reading.source import read_source

ROOT = Path(__file__).parents[2]


def faults_of(folder: Any) -> list[Fault]:
    with pytest.raises(DefinitionError) as caught:
        expand(read(folder.root))
    return caught.value.faults


def refusals(work: Callable[[], object]) -> list[Fault]:
    """Faults of ``work``, none where it went well; any other exception gets through."""
    try:
        work()
    except DefinitionError as error:
        return error.faults or [Fault(file="", line=0, column=0, message="")]
    return []


def test_the_catalogue_that_is_shipped_is_valid() -> None:
    for kind, model in (("cpu", Cpu), ("os", Os), ("database", Database)):
        files = sorted((ROOT / "targets" / kind).glob("*.yaml"))
        assert files
        for path in files:
            assert getattr(parse(path, model), kind) == path.stem
    for path in (ROOT / "suites").rglob("suite.yaml"):
        assert parse(path, Suite).suite == str(path.parent.relative_to(ROOT / "suites"))


def test_powerdns_has_twelve_cells_on_four_cpu_classes() -> None:
    plan = expand(read(ROOT / "matrices" / "powerdns"))
    assert len(plan.cells) == 12
    assert {cell.axes["cpu"] for cell in plan.cells} == {
        "x86-64",
        "kunpeng-920",
        "phytium-ft2000plus",
        "loongson-3a5000",
    }
    assert all(excluded.because for excluded in plan.excluded)


def test_unknown_key_names_place_and_nearest_word(folder: Any) -> None:
    folder.write("matrix", yaml.safe_dump({"matrix": "tiny", "axes": {}, "suites": [], "exclud": []}, sort_keys=False))
    found = next(f for f in faults_of(folder) if "exclud" in f.message)
    assert (found.line, found.column) == (4, 1)
    assert "exclude" in found.expected
    assert "exclude" in found.hint


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_port_that_no_machine_has_is_a_fault(folder: Any, port: int) -> None:
    path = folder.root / "application.yaml"
    application = yaml.safe_load(path.read_text())
    name = next(iter(application["ports"]))
    application["ports"][name] = port
    path.write_text(yaml.safe_dump(application, allow_unicode=True))
    (fault,) = faults_of(folder)
    assert fault.found == repr(port)
    assert "application.yaml" in str(fault)
    assert name in path.read_text().splitlines()[fault.line - 1]


def test_unknown_value_names_what_is_known(folder: Any) -> None:
    folder.change("matrix", axes={"os": ["debian-12"], "cpu": ["kunpeng-921"], "database": ["sqlite"]})
    (found,) = faults_of(folder)
    assert found.message == "no such cpu"
    assert "kunpeng-920" in found.hint
    assert found.file.endswith("matrix.yaml")


def test_all_faults_are_gathered(folder: Any) -> None:
    folder.change("matrix", axes={"os": ["debian-99"], "cpu": ["x87"], "database": ["oracle"]}, suites=["compat/none"])
    folder.change("application", version=12, colour="red")
    messages = " ".join(f.message for f in faults_of(folder))
    for word in ("no such os", "no such cpu", "no such database", "no such suite", "colour"):
        assert word in messages
    assert any(f.file.endswith("application.yaml") for f in faults_of(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("- a\n- b\n", "not a mapping"),
        ("matrix: a\nmatrix: b\n", "stands twice"),
        ("matrix: [unclosed\n", "not valid YAML"),
        ("matrix: !!python/object:os.system x\n", "cannot be read"),
        (
            "a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
            "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
            "unfolds to too much",
        ),
        ("matrix:\n\ta: b\n", "not valid YAML"),
        ("matrix: " + "[" * 60 + "]" * 60, "unfolds to too much"),
        ("x: " + "y" * 1_000_001, "too large"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: \x00\n", "not valid YAML"),
    ],
)
def test_bad_files_are_faults_with_a_place(folder: Any, text: str, message: str) -> None:
    folder.write("matrix", text)
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    assert message in caught.value.message
    assert caught.value.faults[0].line >= 1


def test_a_file_that_is_not_utf8(folder: Any) -> None:
    (folder.root / "matrix.yaml").write_bytes("matrix: 适配".encode("gb18030"))
    with pytest.raises(DefinitionError, match="not UTF-8"):
        read(folder.root)


def test_windows_line_ends_and_a_byte_order_mark_are_read(folder: Any) -> None:
    for name in ("matrix", "application"):
        path = folder.root / f"{name}.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(folder.root).matrix.matrix == "tiny"
    folder.write("matrix", "matrix: a\r\naxis: {}\r\n")
    assert [(f.line, f.column) for f in faults_of(folder) if "unknown key" in f.message] == [(2, 1)]


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "shift_jis"])
def test_other_encodings_are_refused(folder: Any, encoding: str) -> None:
    (folder.root / "matrix.yaml").write_bytes("matrix: 適合\n".encode(encoding))
    with pytest.raises(DefinitionError, match=r"not UTF-8|not valid YAML"):
        read(folder.root)


def test_symbolic_links_out_of_the_tree_are_refused(folder: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder.root / "application.yaml").rename(outside / "application.yaml")
    (folder.root / "application.yaml").symlink_to(outside / "application.yaml")
    (outside / "test_evil.py").write_text("def test_x():\n    pass\n")
    (folder.root / "checks").mkdir()
    (folder.root / "checks" / "test_evil.py").symlink_to(outside / "test_evil.py")
    folder.change("matrix", suites=["checks"])
    messages = {fault.message for fault in faults_of(folder)}
    assert messages == {"the file lies outside the folder", "a symbolic link that leads out of the suite"}
    (folder.root / "application.yaml").unlink()
    (folder.root / "real.yaml").write_text((outside / "application.yaml").read_text())
    (folder.root / "application.yaml").symlink_to("real.yaml")
    (folder.root / "checks" / "test_evil.py").unlink()
    (folder.root / "checks" / "test_good.py").write_text("def test_x():\n    pass\n")
    assert read(folder.root).application.application == "tiny"


def test_no_matrix_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"matrix\.yaml"):
        read(tmp_path)


def test_templates_must_exist_and_stay_in_the_folder(folder: Any) -> None:
    folder.change(
        "application",
        templates=[
            {"template": "missing.conf", "path": "/etc/a"},
            {"template": "../../../etc/passwd", "path": "/etc/b"},
        ],
    )
    messages = [f.message for f in faults_of(folder)]
    assert messages == ["no such file", "the file lies outside the folder"]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "any.yaml"
    path.write_bytes(data)
    assert all(f.line >= 1 for f in refusals(lambda: read_source(path)))


_leaf = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=8))
_tree = st.recursive(_leaf, lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=8), c, max_size=3))


@settings(max_examples=100, deadline=None)
@given(key=st.sampled_from([*Matrix.model_fields, "extra"]), value=_tree)
def test_any_value_in_any_key_is_accepted_or_told(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "matrix.yaml"
    good = {"matrix": "m", "axes": {"os": ["a"], "cpu": ["b"], "database": ["c"]}, "suites": ["s"]}
    path.write_text(yaml.safe_dump({**good, key: value}, allow_unicode=True), encoding="utf-8")
    assert all(f.line >= 1 and f.message for f in refusals(lambda: parse(path, Matrix)))


def test_a_plain_folder_of_tests_is_a_suite(folder: Any) -> None:
    own = folder.root / "checks"
    own.mkdir()
    (own / "test_own.py").write_text("def test_it_works(http):\n    assert True\n")
    folder.change("matrix", suites=["checks"])
    suite = read(folder.root).suites["checks"].definition
    assert [(c.id, c.test, c.blocker) for c in suite.cases] == [("V-IT-WORKS", "test_it_works", True)]


def test_a_plain_locustfile_is_a_load_suite(folder: Any) -> None:
    own = folder.root / "load"
    own.mkdir()
    (own / "locustfile.py").write_text("")
    folder.change("matrix", suites=["load"])
    located = read(folder.root).suites["load"]
    assert located.definition.runner == "locust"
    assert located.folder == own.resolve()


def test_own_targets_are_laid_over_the_catalogue(folder: Any, tmp_path: Path) -> None:
    target = tmp_path / "targets" / "cpu"
    target.mkdir(parents=True)
    own = (ROOT / "targets/cpu/x86-64.yaml").read_text().replace("x86-64 通用", "自有")
    (target / "x86-64.yaml").write_text(own)
    definitions = read(folder.root, Catalogue.standard(tmp_path))
    assert definitions.cpus["x86-64"].name.zh == "自有"


def test_variants_are_laid_over_the_application(folder: Any) -> None:
    folder.change("application", variants=[{"when": {"architecture": "aarch64"}, "set": {"version": "2.0"}}])
    application = parse(folder.root / "application.yaml", Application)
    assert application.for_axes({}, "aarch64").version == "2.0"
    assert application.for_axes({}, "x86_64").version == "1.0"


def test_the_reference_is_what_the_models_say() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.write_reference", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_text_that_was_read_before_is_read_anew(tmp_path: Path) -> None:
    """Nodes of a text are kept: each reading has values, places and faults of its own, and a changed file counts."""
    text = "a: [1, {b: x}]\nc: &twice {d: 1}\ne: *twice\n"
    paths = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    for path in paths:
        path.write_text(text)
    first, second = map(read_source, paths)
    assert (first.path, second.path) == (paths[0], paths[1])
    assert first.value == second.value == {"a": [1, {"b": "x"}], "c": {"d": 1}, "e": {"d": 1}}
    first.value["a"][1]["b"] = "changed"
    first.value["c"]["d"] = 2
    first.places.clear()
    third = read_source(paths[0])
    assert (third.value, third.places) == (second.value, second.places)
    assert third.place(("a", 1, "b")) == (1, 12)
    paths[0].write_text(text.replace("x", "y"))
    assert read_source(paths[0]).value["a"] == [1, {"b": "y"}]
    for path in paths:
        path.write_text("a: 1\na: 2\n")
        (fault,) = refusals(lambda path=path: read_source(path))
        assert (fault.file, fault.line, fault.message) == (str(path), 2, "key 'a' stands twice")
