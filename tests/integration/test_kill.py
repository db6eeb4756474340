"""kill -9 at every write to the journal in turn, then resume: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import collections
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.evidence import Workspace
from harness.issuing.certifying import verify
from harness.model.results import Cause, State, Verdict
from harness.system.forking import ForkServer
from tests.products import WEB, product

CELLS = 2


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    server = ForkServer(["tests.scripted", "harness.certify"])
    yield server
    server.close()


class Lab:
    """A product's folder, a workspace, and the scripted engine's place."""

    def __init__(self, forks: ForkServer, place: Path) -> None:
        self.forks, self.place = forks, place
        place.mkdir(parents=True)
        (place / "engine").mkdir()
        application = {
            **WEB,
            "ready": {"command": "true"},
            "http": None,
            "version_command": "print-version",
            "version": "3.40.1",
        }
        application.pop("http")
        self.folder = product(
            place / "p",
            application,
            axes={
                "os": ["debian-12"],
                "cpu": ["x86-64"],
                "database": ["sqlite"],
                "n": [str(n) for n in range(CELLS)],
            },
        )
        self.workspace = place / "ws"

    def __call__(self, verb: str, kill: int = 0, moment: str = "", jobs: int = 1) -> int:
        arguments = [verb, str(self.folder), str(self.workspace), kill, moment, jobs]
        done = self.forks.run(
            "tests.scripted:campaign",
            arguments,
            log=self.place / "log",
            timeout=60,
            cwd=Path.cwd(),
            env={"SCRIPTED": str(self.place / "engine"), "XDG_CACHE_HOME": str(self.place / "cache")},
        )
        assert done.rc in (0, 137), done.text
        return done.rc

    def suites_run(self) -> int:
        path = self.place / "suites-run"
        return len(path.read_text()) if path.exists() else 0

    def check(self) -> None:
        """What must hold when a campaign came to its end, however often it was killed."""
        workspace = Workspace(self.workspace)
        journal = workspace.journal
        assert [step for step in verify(workspace) if not step.ok] == []
        (row,) = journal.campaigns()
        assert row.verdict == "conformant"
        attempts = journal.attempts(row.id)
        assert all(attempt.state is State.DONE for attempt in attempts)
        good = collections.Counter(a.cell for a in attempts if a.verdict is Verdict.CONFORMANT)
        assert sorted(good.values()) == [1] * CELLS, "a finished cell was run again, or one never came to its end"
        for attempt in attempts:
            if attempt.verdict is not Verdict.CONFORMANT:
                assert (attempt.verdict, attempt.cause) == (Verdict.INCONCLUSIVE, Cause.INFRA)
        asked = {
            (suite["suite"], case["id"])
            for suite in (row.plan["deployment"], *row.plan["suites"].values())
            for case in suite["cases"]
            if case["when"] != "upgrade"
        }
        for (cell, number), seen in journal.observations(row.id).items():
            assert sorted((one.suite, one.case) for one in seen) == sorted(asked), (cell, number)
        assert list((self.place / "engine").iterdir()) == [], "something was left behind"
        assert {one.state for one in journal.resources()} == {"removed"}
        journal.close()


#: Each fifth write is cut in its middle here; all, and the moments before and after them, in the full ring.
SOME, EVERY = 5, 1


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("inside", SOME),
        *(pytest.param(moment, EVERY, marks=pytest.mark.full) for moment in ("inside", "before", "after")),
    ],
)
def test_killed_at_the_writes_in_turn(forks: ForkServer, tmp_path: Path, moment: str, step: int) -> None:
    whole = Lab(forks, tmp_path / "whole")
    assert whole("run") == 0
    whole.check()
    writes = len(Workspace(whole.workspace).journal.events())
    killed = 0
    for number in range(1, writes + 1, step):
        lab = Lab(forks, tmp_path / str(number))
        if lab("run", number, moment) == 0:
            break  # several events in one write: there were fewer writes than events
        killed += 1
        if not Workspace(lab.workspace).journal.campaigns():
            assert number <= 2, "the claim and the campaign are not the first writes"
            assert lab("run") == 0
        else:
            assert lab("resume") == 0
            assert CELLS <= lab.suites_run() <= CELLS + 1, "only the cell that was cut off may run its suites again"
        lab.check()
    assert killed >= 40 // step, f"only {killed} writes were reached"


def test_killed_again_and_again_at_random(forks: ForkServer, tmp_path: Path) -> None:
    chance = random.Random(20261121)
    for number in range(6):
        lab = Lab(forks, tmp_path / str(number))
        lab("run", chance.randint(2, 50), chance.choice(["before", "inside", "after"]), jobs=2)
        for _ in range(4):
            lab("resume", chance.randint(1, 30), chance.choice(["before", "inside", "after"]), jobs=2)
        assert lab("resume") == 0
        lab.check()
