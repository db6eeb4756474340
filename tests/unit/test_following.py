"""What a person sees of a campaign is what its journal says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.campaigns.following import Follower, following
from harness.evidence import Recorder, Workspace
from harness.issuing.outcome import Progress
from harness.model.plan import Cell
from harness.model.records import AttemptFacts
from harness.model.results import Cause, State, Verdict

CELLS = [Cell(axes={"n": str(number)}, suites=(), reason="") for number in range(2)]


@dataclasses.dataclass
class Seen:
    """Everything that was shown, in its order."""

    lines: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)

    @property
    def progress(self) -> Progress:
        return Progress(
            step=lambda cell, words: self.lines.append((cell.axes["n"], words)),
            verdict=lambda cell, verdict, message: self.lines.append((cell.axes["n"], verdict, message)),
            note=lambda words: self.lines.append((words,)),
        )


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def attempt(place: Workspace, campaign: str, cell: Cell, verdict: Verdict) -> None:
    number = place.journal.begin(campaign, cell.id)
    record = Recorder(place.journal, place.store, campaign, cell.id, number)
    record.state(State.PROVISIONING, "install / 安装")
    record.event("waiting", message="this machine, which has: a load (other)")
    record.state(State.RUNNING)
    cause = Cause.INFRA if verdict is Verdict.INCONCLUSIVE else None
    record.finish(verdict, cause, "why", AttemptFacts())


def test_every_event_is_shown_once_and_of_this_campaign_alone(place: Workspace) -> None:
    seen = Seen()
    follower = Follower(place.journal, "a", CELLS, seen.progress)
    attempt(place, "a", CELLS[0], Verdict.INCONCLUSIVE)
    attempt(place, "b", CELLS[1], Verdict.CONFORMANT)
    follower.look()
    follower.look()
    steps = [
        ("0", "install / 安装"),
        ("0", "waits / 等待: this machine, which has: a load (other)"),
        ("0", "suites / 测试"),
    ]
    assert seen.lines == [*steps, ("0", Verdict.INCONCLUSIVE, "why")]
    seen.lines.clear()
    attempt(place, "a", CELLS[0], Verdict.CONFORMANT)
    Recorder.of_campaign(place.journal, place.store, "a").event("quarantine", os="d", cpu="x", reason="no image")
    follower.look()
    assert seen.lines == [
        ("0", "attempt 2 / 第 2 次执行"),
        *steps,
        ("0", Verdict.CONFORMANT, "why"),
        ("x · d is in quarantine: no image",),
    ]


def test_what_was_written_last_is_shown_too(place: Workspace) -> None:
    seen = Seen()
    attempt(place, "a", CELLS[0], Verdict.NONCONFORMANT)
    chain = place.journal.chain("a")
    assert chain is not None
    with following(Follower(place.journal, "a", CELLS, seen.progress, after=chain[0])):
        attempt(place, "a", CELLS[1], Verdict.CONFORMANT)
    assert [line[0] for line in seen.lines] == ["1"] * 4
    assert seen.lines[-1] == ("1", Verdict.CONFORMANT, "why")
