"""Retries by cause, the known-good probe and quarantine, on the scripted machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.attest.architecture import host_architecture
from harness.campaigns.history import flaky_cases
from harness.evidence import Workspace
from harness.issuing.certifying import verify
from harness.model.results import Result
from harness.system.forking import ForkServer
from tests.integration.test_kill import CELLS, Lab


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    server = ForkServer(["tests.scripted"])
    yield server
    server.close()


@pytest.fixture
def lab(forks: ForkServer, tmp_path: Path) -> Lab:
    return Lab(forks, tmp_path / "lab")


#: What the scripted machine does at a command; ``once`` is true the first time that it is asked by that name.
ONCE = """
import pathlib
def once(name):
    path = pathlib.Path(machine.engine.place).with_name(name)
    first = not path.exists()
    path.touch()
    return first
from harness.errors import InfrastructureError
"""
DATABASE = "'sqlite3 --version' in command"


def run(lab: Lab, trouble: str, suite: str = "pass", cwd: Path | None = None, **matrix: Any) -> Any:
    path = lab.folder / "matrix.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **matrix}))
    done = lab.forks.run(
        "tests.scripted:campaign",
        ["run", str(lab.folder), str(lab.workspace), 0, "", 1],
        log=lab.place / "log",
        timeout=60,
        cwd=cwd or Path.cwd(),
        env={
            "SCRIPTED": str(lab.place / "engine"),
            "XDG_CACHE_HOME": str(lab.place / "cache"),
            "SCRIPTED_TROUBLE": ONCE + trouble,
            "SCRIPTED_SUITE": suite,
        },
    )
    assert "Traceback" not in done.text, done.text
    workspace = Workspace(lab.workspace)
    assert [step for step in verify(workspace) if not step.ok] == []
    (row,) = workspace.journal.campaigns()
    attempts = workspace.journal.attempts(row.id)
    kinds = [event.kind for event in workspace.journal.events()]
    return workspace, [(a.verdict.value if a.verdict is not None else "", a.message) for a in attempts], kinds


def test_trouble_of_the_lab_is_tried_again_when_the_probe_is_good(lab: Lab) -> None:
    _, attempts, kinds = run(lab, f"if {DATABASE} and once('a'): raise InfrastructureError('the switch rebooted')")
    assert [verdict for verdict, _ in attempts] == ["inconclusive", "conformant", "conformant"]
    assert "the switch rebooted" in attempts[0][1]
    assert kinds.count("known-good-probe") == 1
    assert "quarantine" not in kinds


def test_it_is_tried_as_often_as_the_matrix_says(lab: Lab) -> None:
    trouble = f"if {DATABASE}: raise InfrastructureError('dead')"
    _, attempts, _ = run(lab, trouble, retries={"infra": 2})
    assert len(attempts) == 3 * CELLS
    assert {verdict for verdict, _ in attempts} == {"inconclusive"}


def test_a_target_whose_probe_fails_is_in_quarantine(lab: Lab) -> None:
    trouble = f"if {DATABASE} or machine.name == 'probe': raise InfrastructureError('the power is off')"
    _, attempts, kinds = run(lab, trouble, retries={"infra": 3})
    assert [verdict for verdict, _ in attempts] == ["inconclusive"] * CELLS, "nothing is tried again on a dead target"
    assert kinds.count("quarantine") == 1
    assert "quarantine" in attempts[1][1]
    assert "the power is off" in attempts[1][1]


FAILS_ONCE = (
    "from harness.control.fault import ProductFault\n"
    "if '/control.sh start' in command and once('f'): raise ProductFault('e', 'z')"
)


def test_a_failure_is_not_tried_again_unless_asked(lab: Lab) -> None:
    _, attempts, _ = run(lab, FAILS_ONCE)
    assert [verdict for verdict, _ in attempts] == ["nonconformant", "conformant"]


def test_a_pass_after_a_failure_is_unsteady_and_in_the_history(lab: Lab) -> None:
    workspace, attempts, _ = run(lab, FAILS_ONCE, retries={"fail": 1})
    assert [verdict for verdict, _ in attempts] == ["nonconformant", "conformant", "conformant"]
    (row,) = workspace.journal.campaigns()
    folder = workspace.folder(row.id)
    assert '"verdict": "nonconformant"' in (folder / "campaign.json").read_text()
    assert '"unsteady":true' in (folder / "report.html").read_text()
    assert "不稳定 unsteady" in (folder / "summary.md").read_text()
    (flaky,) = flaky_cases(workspace)
    failed = [
        result.case
        for (_, number), results in workspace.journal.observations(row.id).items()
        for result in results
        if number == 1 and result.result is Result.FAIL
    ]
    assert ([flaky["case"]], flaky["runs"], flaky["failed"]) == (failed, 2, 1)


def waive(lab: Lab, expires: str) -> None:
    waiver = {
        "case": "V-IT-RUNS",
        "when": {"n": "0"},
        "because": "known fault 17",
        "approved_by": "QA",
        "evidence": "ticket 17",
        "expires": expires,
    }
    (lab.folder / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [waiver]}))


def test_a_waived_failure_makes_its_cell_conditional(lab: Lab) -> None:
    waive(lab, "2999-12-31")
    workspace, attempts, _ = run(lab, "", suite="fail", waivers="waivers.yaml")
    assert [verdict for verdict, _ in attempts] == ["conditional", "nonconformant"]
    (row,) = workspace.journal.campaigns()
    report = (workspace.folder(row.id) / "report.html").read_text()
    assert "known fault 17" in report
    seen = workspace.journal.observations(row.id)
    assert {one.result.value for found in seen.values() for one in found if one.case == "V-IT-RUNS"} == {"fail"}


def test_a_waiver_that_expired_accepts_nothing_and_is_told(lab: Lab) -> None:
    waive(lab, "2020-01-01")
    workspace, attempts, _ = run(lab, "", suite="fail", waivers="waivers.yaml")
    assert [verdict for verdict, _ in attempts] == ["nonconformant", "nonconformant"]
    (row,) = workspace.journal.campaigns()
    assert "expired on 2020-01-01" in (workspace.folder(row.id) / "campaign.json").read_text()


def test_a_host_that_is_not_the_declared_cpu_blocks_the_cell(lab: Lab) -> None:
    """Whatever this machine is, it shows no such vendor: an x86 host declared as something that it is not."""
    targets = lab.place / "targets" / "cpu"
    targets.mkdir(parents=True)
    entry = {
        "cpu": "other",
        "name": "Other",
        "vendor": "Other",
        "architecture": host_architecture(),
        "ids": {"vendor_id": "OtherGenuine"},
        "certainty": "general",
        "source": "made up",
    }
    (targets / "other.yaml").write_text(yaml.safe_dump(entry))
    axes = {**yaml.safe_load((lab.folder / "matrix.yaml").read_text())["axes"], "cpu": ["other"]}
    workspace, attempts, kinds = run(lab, "", cwd=lab.place, axes=axes)
    assert [verdict for verdict, _ in attempts] == ["inconclusive"] * CELLS, "not tried again: nothing would change"
    assert all("nothing here can serve other: " in told for _, told in attempts)
    assert all("this machine's CPU shows vendor_id" in told for _, told in attempts)
    (row,) = workspace.journal.campaigns()
    seen = [one for every in workspace.journal.observations(row.id).values() for one in every]
    assert {(one.result.value, one.cause.value if one.cause is not None else "") for one in seen} == {
        ("miss", "config")
    }
    assert "resource-intent" not in kinds, "nothing is made for it"
