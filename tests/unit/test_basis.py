"""What was tested with is known by its content: what stands in for something that is shipped is told."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from harness.certify.certificate import conclusion
from harness.certify.policy import NOTHING, decide
from harness.certify.statement import statements
from harness.cli.entry import cli
from harness.model.view import CampaignView
from harness.reading.catalogue import Catalogue
from harness.reading.read import read
from harness.reading.suites import folder_digest
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.system.files import digest_of_file
from tests.unit.test_policy import profile
from tests.unit.test_report import SELF_TEST, TEMPLATES, view

ROOT = Path(__file__).parents[2]
SUITES, TARGETS = ROOT / "suites", ROOT / "targets"


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def changed(path: Path) -> Path:
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    return path


def beside_the_matrix(folder: Any) -> Path:
    return changed(copied(SUITES / "compat/lifecycle", folder.root / "compat/lifecycle") / "suite.yaml").parent


def in_the_current_folder(folder: Any) -> Path:
    return changed(
        copied(SUITES / "compat/lifecycle", folder.root.parent / "suites/compat/lifecycle") / "suite.yaml"
    ).parent


def under_another_folder(folder: Any) -> Path:
    own = changed(copied(SUITES / "compat/lifecycle", folder.root / "innocent") / "suite.yaml").parent
    folder.change("matrix", suites=["innocent"])
    return own


def the_steps_of_a_deployment(folder: Any) -> Path:
    return changed(copied(SUITES / "deployment", folder.root.parent / "suites/deployment") / "suite.yaml").parent


def a_locustfile(folder: Any) -> Path:
    folder.change("matrix", suites=["load/http"])
    return changed(copied(SUITES / "load/http", folder.root / "load/http") / "locustfile.py").parent


def a_rule(folder: Any) -> Path:
    folder.change("matrix", suites=["static/porting"])
    own = copied(SUITES / "static/porting", folder.root / "static/porting")
    changed(next(iter(sorted((own / "rules").glob("*.yaml")))))
    return own


def a_target(kind: str, name: str) -> Callable[[Any], Path]:
    def make(folder: Any) -> Path:
        own = folder.root.parent / "targets" / kind
        own.mkdir(parents=True)
        return changed(Path(shutil.copy(TARGETS / kind / f"{name}.yaml", own)))

    return make


WAYS: dict[str, tuple[Callable[[Any], Path], str, str]] = {
    "a suite beside the matrix": (beside_the_matrix, "suite", "compat/lifecycle"),
    "a suite in the current folder": (in_the_current_folder, "suite", "compat/lifecycle"),
    "a suite that takes the name": (under_another_folder, "suite", "compat/lifecycle"),
    "the steps of a deployment": (the_steps_of_a_deployment, "suite", "deployment"),
    "a locustfile": (a_locustfile, "suite", "load/http"),
    "a rule": (a_rule, "suite", "static/porting"),
    "a CPU": (a_target("cpu", "x86-64"), "cpu", "x86-64"),
    "a system": (a_target("os", "debian-12"), "os", "debian-12"),
    "a database": (a_target("database", "sqlite"), "database", "sqlite"),
}


@pytest.fixture(params=WAYS)
def way(request: Any, folder: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    monkeypatch.chdir(folder.root.parent)
    make, kind, name = WAYS[request.param]
    return make(folder), kind, name


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments), standalone_mode=False)
    assert result.exception is None, result.output
    return result


def digest(path: Path) -> str:
    return folder_digest(path) if path.is_dir() else digest_of_file(path)


def test_lint_and_plan_name_both_contents(folder: Any, way: tuple[Path, str, str]) -> None:
    own, kind, name = way
    shipped = SUITES / name if kind == "suite" else TARGETS / kind / f"{name}.yaml"
    for output in (run("lint", str(folder.root)).output, run("plan", str(folder.root)).output):
        text = output.replace("\n", "")
        assert f"not the shipped {kind} {name}" in text
        for content in (own, shipped):
            assert str(content) in text
            assert digest(content) in text
    (warning,) = json.loads(run("lint", str(folder.root), "--format", "json").output)["warnings"]
    assert warning["file"] == str(folder.root / "matrix.yaml")
    basis = json.loads(run("plan", str(folder.root), "--format", "json").output)["basis"]
    (entry,) = [each for each in basis if (each["kind"], each["name"]) == (kind, name)]
    assert (entry["origin"], entry["sha256"], entry["shipped"]) == ("replaced", digest(own), digest(shipped))


def test_the_same_content_elsewhere_is_what_is_shipped(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.root.parent)
    copied(SUITES / "compat/lifecycle", folder.root / "compat/lifecycle")
    copied(TARGETS / "os", folder.root.parent / "targets/os")
    assert "not the shipped" not in run("lint", str(folder.root)).output
    assert {entry.origin for entry in read(folder.root, Catalogue.standard(Path.cwd())).basis} == {"shipped"}


def test_a_folder_by_the_name_of_the_deployment_is_none_of_its_steps(
    folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root.parent)
    for place in (folder.root.parent, folder.root):
        (place / "deployment").mkdir()
        (place / "deployment" / "test_own.py").write_text("def test_x():\n    pass\n")
    basis = read(folder.root, Catalogue.standard(Path.cwd())).basis
    assert {entry.name: entry.origin for entry in basis}["deployment"] == "shipped"
    assert "not the shipped" not in run("lint", str(folder.root)).output


def test_a_name_of_its_own_is_no_warning_and_stands_in_the_record(folder: Any) -> None:
    (folder.root / "checks").mkdir()
    (folder.root / "checks" / "test_own.py").write_text("def test_x():\n    pass\n")
    folder.change("matrix", suites=["checks", "compat/lifecycle"])
    assert "not the shipped" not in run("lint", str(folder.root)).output
    origins = {entry.name: entry.origin for entry in read(folder.root).basis}
    assert (origins["checks"], origins["compat/lifecycle"], origins["deployment"]) == ("own", "shipped", "shipped")


def test_every_part_of_a_suite_has_a_digest_of_its_own(folder: Any) -> None:
    folder.change("matrix", suites=["load/http", "static/porting"])
    kinds = {(entry.kind, entry.name) for entry in read(folder.root).basis}
    assert {
        ("suite", "deployment"),
        ("suite", "load/http"),
        ("profile", "load/http"),
        ("locustfile", "load/http"),
        ("rules", "static/porting"),
        ("cpu", "kunpeng-920"),
        ("os", "debian-12"),
        ("database", "sqlite"),
    } <= kinds


def replacing(*names: str) -> CampaignView:
    shown = view()
    basis = tuple(
        {**entry, "shipped": "f" * 64, "origin": "replaced"} if entry["name"] in names else entry
        for entry in shown.basis
    )
    return dataclasses.replace(shown, basis=basis)


def test_every_document_says_what_was_tested_with() -> None:
    shown = replacing("compat/lifecycle", "loongson-3a5000")
    words = TEMPLATES.wording()
    kind = decide(shown, SELF_TEST).kind
    assert kind is not None
    sentence = conclusion(shown, words, SELF_TEST, kind, NOTHING)
    assert "Not the shipped suite compat/lifecycle, cpu loongson-3a5000:" in sentence["en"]
    assert "非随附" in sentence["zh"]
    assert "shipped" not in conclusion(view(), words, SELF_TEST, kind, NOTHING)["en"]
    page = render_html(shown, TEMPLATES).decode()
    assert all(entry["sha256"] in page for entry in shown.basis)
    assert "not the shipped" in page
    summary = render_markdown(shown, words)
    assert "非随附 not the shipped**: suite compat/lifecycle, cpu loongson-3a5000" in summary
    assert "非随附" not in render_markdown(view(), words)


def test_the_signed_test_result_names_every_content() -> None:
    shown = replacing("compat/lifecycle")
    result = json.loads(statements(shown, {}, {})["test_result"])["predicate"]
    digests = {entry["digest"]["sha256"] for entry in result["configuration"]}
    assert all(entry["sha256"] in digests for entry in shown.basis)
    (suite,) = [entry for entry in result["configuration"] if entry["name"].startswith("suite/compat/lifecycle@")]
    assert suite["annotations"] == {"origin": "replaced"}


def test_an_issuer_may_accept_contents_by_their_digests() -> None:
    strange = replacing("compat/lifecycle", "loongson-3a5000")
    digests = [e["sha256"] for e in strange.basis if e["origin"] == "replaced"]
    assert decide(strange, SELF_TEST).kind is not None
    assert decide(view(), profile(accepted=[])).kind is not None
    assert decide(strange, profile(accepted=digests)).kind is not None
    refused = decide(strange, profile(accepted=digests[:1]))
    assert refused.kind is None
    assert f"cpu loongson-3a5000 (SHA-256 {digests[1]})" in refused.reasons
    assert digests[0] not in refused.reasons
    own = dataclasses.replace(view(), basis=({**strange.basis[0], "name": "checks", "shipped": "", "origin": "own"},))
    assert decide(own, profile(accepted=[])).kind is None
    older = dataclasses.replace(view(), basis=())
    assert decide(older, SELF_TEST).kind is not None
    assert "older harness" in decide(older, profile(accepted=[])).reasons


def test_a_profile_lists_digests_alone(tmp_path: Path) -> None:
    value = yaml.safe_load((ROOT / "reports/issuers/self-test.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "issuers" / "self-test.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({**value, "accepted": ["compat/lifecycle"]}, allow_unicode=True))
    result = CliRunner().invoke(cli, ["lint", str(path)], standalone_mode=False)
    assert "expected: a SHA-256 in 64 lower-case" in str(result.exception)
