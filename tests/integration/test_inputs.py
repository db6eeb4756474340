"""A campaign is read from what it was submitted with, whatever becomes of the folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from harness.campaigns import inputs
from harness.campaigns.bundling import bundle
from harness.campaigns.unpacking import unpack
from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.model.results import Verdict
from harness.system.forking import ForkServer
from tests.integration.test_attempts import DATABASE, ONCE
from tests.integration.test_kill import Lab

CUT_OFF = 25  #: a write to the journal in the middle of the first cell
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    server = ForkServer(["tests.scripted"])
    yield server
    server.close()


@pytest.fixture
def lab(forks: ForkServer, tmp_path: Path) -> Lab:
    return Lab(forks, tmp_path / "lab")


def change(lab: Lab) -> None:
    path = lab.folder / "matrix.yaml"
    matrix = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**matrix, "axes": {**matrix["axes"], "n": ["7", "8", "9"]}}))


@pytest.mark.parametrize("become", [lambda lab: shutil.rmtree(lab.folder), change], ids=["deleted", "changed"])
def test_resumed_from_what_was_submitted(lab: Lab, become: object) -> None:
    assert lab("run", CUT_OFF, "after") == 137
    become(lab)  # type: ignore[operator]
    assert lab("resume") == 0
    lab.check()
    assert not list((lab.workspace / "inputs").iterdir()), "the copy is gone when nobody works"


def test_inputs_that_were_changed_in_the_store_are_refused(lab: Lab) -> None:
    assert lab("run") == 0
    place = Workspace(lab.workspace)
    (row,) = place.journal.campaigns()
    listed = inputs.listed(inputs.of_campaign(row), place.store)
    path = place.store.path(listed.files[listed.matrix].sha256)
    path.chmod(0o644)
    path.write_text("matrix: other\n")
    with pytest.raises(InfrastructureError, match="was changed"):
        inputs.unpack(inputs.of_campaign(row), place.store, lab.place / "out")


def test_two_matrices_of_a_product_in_one_folder(lab: Lab) -> None:
    (lab.folder / "deep").mkdir()
    shutil.move(lab.folder / "application.yaml", lab.folder / "deep" / "app.yaml")
    path = lab.folder / "matrix.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "application": "deep/app.yaml"}))
    shutil.copy(path, lab.folder / "other.yaml")
    assert lab("run", CUT_OFF, "after") == 137
    shutil.rmtree(lab.folder)
    assert lab("resume") == 0
    lab.check()


def test_names_that_only_the_whole_catalogue_has(lab: Lab) -> None:
    """A product and its waivers serve several matrices: they may name a system and a suite that this plan lacks."""
    application = lab.folder / "application.yaml"
    variants = [{"when": {"os": "debian-forky"}, "set": {"version": "3.46"}}]
    application.write_text(yaml.safe_dump({**yaml.safe_load(application.read_text()), "variants": variants}))
    waiver = {
        "suite": "compat/database",
        "case": "*",
        "because": "known",
        "approved_by": "QA",
        "expires": "2099-01-01",
        "evidence": "T-1",
    }
    (lab.folder / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [waiver]}))
    path = lab.folder / "matrix.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "waivers": "waivers.yaml"}))
    assert lab("run", CUT_OFF, "after") == 137
    assert lab("resume") == 0
    lab.check()
    place = Workspace(lab.workspace)
    (row,) = place.journal.campaigns()
    assert bundle(row.id, place, lab.place / "b.tar", images=False).is_file()


def test_a_retry_that_was_cut_off_is_run_again(lab: Lab) -> None:
    path = lab.folder / "matrix.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "retries": {"fail": 1}}))

    def run(verb: str, trouble: str, suite: str) -> int:
        return lab.forks.run(
            "tests.scripted:campaign",
            [verb, str(lab.folder), str(lab.workspace), 0, "", 1],
            log=lab.place / "log",
            timeout=60,
            cwd=Path.cwd(),
            env={"SCRIPTED": str(lab.place / "engine"), "SCRIPTED_TROUBLE": ONCE + trouble, "SCRIPTED_SUITE": suite},
        ).rc

    assert run("run", f"if {DATABASE} and not once('a'): {KILL}", "fail") == 137
    shutil.rmtree(lab.folder)
    assert run("resume", "", "pass") == 0
    place = Workspace(lab.workspace)
    (row,) = place.journal.campaigns()
    verdicts: dict[str, list[Verdict | None]] = {}
    for attempt in place.journal.attempts(row.id):
        verdicts.setdefault(attempt.cell, []).append(attempt.verdict)
    assert sorted(verdicts.values(), key=len) == [
        [Verdict.CONFORMANT],
        [Verdict.NONCONFORMANT, Verdict.INCONCLUSIVE, Verdict.CONFORMANT],
    ]
    assert row.verdict == "conformant"


def test_two_campaigns_of_two_folders_with_the_same_names_at_once(forks: ForkServer, tmp_path: Path) -> None:
    labs = [Lab(forks, tmp_path / name) for name in ("a", "b")]
    for number, lab in enumerate(labs):
        lab.workspace = tmp_path / "ws"
        path = lab.folder / "application.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "vendor": f"vendor {number}"}))
    Workspace(tmp_path / "ws").journal.close()
    servers = [ForkServer(["tests.scripted"]) for _ in labs]
    for lab, server in zip(labs, servers, strict=True):
        lab.forks = server
    with ThreadPoolExecutor(len(labs)) as pool:
        assert list(pool.map(lambda lab: lab("run"), labs)) == [0, 0]
    for server in servers:
        server.close()
    place = Workspace(tmp_path / "ws")
    rows = place.journal.campaigns()
    assert {row.plan["application"]["vendor"]["en"] for row in rows} == {"vendor 0", "vendor 1"}
    for row in rows:
        assert row.verdict == "conformant"
        matrix = inputs.unpack(inputs.of_campaign(row), place.store, tmp_path / row.id)
        vendor = yaml.safe_load((matrix.parent / "application.yaml").read_text())["vendor"]
        assert vendor == row.plan["application"]["vendor"]["en"]


def test_a_bundle_needs_neither_the_folder_nor_the_directory(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lab("run") == 0
    shutil.rmtree(lab.folder)
    place = Workspace(lab.workspace)
    (row,) = place.journal.campaigns()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    manifest = unpack(bundle(row.id, place, tmp_path / "b.tar", images=False), tmp_path / "b").manifest
    names = {name for name in manifest.files if name.startswith("definitions/")}
    assert {
        "definitions/matrix/matrix.yaml",
        "definitions/matrix/matrix.lock",
        "definitions/matrix/application.yaml",
    } <= names
    assert "definitions/targets/os/debian-12.yaml" in names
    assert "definitions/suites/deployment/suite.yaml" in names
    assert not any(str(tmp_path) in path.read_text() for path in (tmp_path / "b/definitions").rglob("*.yaml"))


def test_a_campaign_of_an_older_harness_says_so(lab: Lab) -> None:
    assert lab("run") == 0
    place = Workspace(lab.workspace)
    (row,) = place.journal.campaigns()
    del row.plan["inputs"]
    with pytest.raises(UsageError, match="older harness"):
        inputs.of_campaign(row)


def test_a_bundle_holds_its_own_campaign_and_nothing_of_another_customers(forks: ForkServer, tmp_path: Path) -> None:
    secret = "another-customer"
    for name, vendor in (("a", "first"), ("b", secret)):
        lab = Lab(forks, tmp_path / name)
        lab.workspace = tmp_path / "ws"
        path = lab.folder / "application.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "vendor": vendor}))
        (lab.folder / "checks" / "test_checks.py").write_text(f"# {vendor}\ndef test_it_runs():\n    pass\n")
        assert lab("run") == 0
    place = Workspace(tmp_path / "ws")
    row = next(row for row in place.journal.campaigns() if row.plan["application"]["vendor"]["en"] == "first")
    (other,) = [each for each in place.journal.campaigns() if each.id != row.id]
    packed = bundle(row.id, place, tmp_path / "b.tar", images=False)
    data = packed.read_bytes()
    assert row.id.encode() in data
    assert b"first" in data
    for word in (secret, other.id):
        assert word.encode() not in data, word
