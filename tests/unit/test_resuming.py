"""Which cells a resumed campaign runs, and with which options."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.campaigns.bundling import options_of
from harness.campaigns.options import RunOptions
from harness.campaigns.running import cells_left, failures
from harness.campaigns.unpacking import Manifest
from harness.issuing.outcome import Progress
from harness.model.plan import Cell
from harness.model.records import AttemptRow
from harness.model.results import Cause, State, Verdict

#: A value of every option that is not its default.
NAMED: dict[str, Any] = {
    "mirror": "http://mirror.example/debian",
    "allow_expired": ("debian-12", "debian-13"),
    "no_cache": True,
    "jobs": 3,
    "retry_failed": 2,
    "only": {"cpu": "x86-64"},
    "suites": ("compat/http",),
    "cases": ("LC-06", "一"),
    "keep": True,
    "hosts": "/lab/hosts.yaml",
    "databases": "/lab/databases.yaml",
    "brought_images": True,
    "profile": "center",
    "trust_code": True,
}
CELLS = [Cell(axes={"n": str(number)}, suites=(), reason="") for number in range(2)]


def attempts(*ends: str) -> list[AttemptRow]:
    """Attempts at the first cell that ended so; the second cell is conformant at once."""
    causes = {"infra": Cause.INFRA, "canceled": Cause.CANCELED, "config": Cause.CONFIG, "harness": Cause.HARNESS}
    verdicts = {"fail": Verdict.NONCONFORMANT, "pass": Verdict.CONFORMANT}
    return [
        AttemptRow(
            cell=cell.id,
            number=number,
            state=State.DONE,
            verdict=verdicts.get(end, Verdict.INCONCLUSIVE),
            cause=causes.get(end),
            message="",
            started="",
            finished="",
        )
        for cell, every in ((CELLS[0], ends), (CELLS[1], ("pass",)))
        for number, end in enumerate(every, 1)
    ]


@pytest.mark.parametrize(
    ("ends", "retries", "left"),
    [
        ((), 0, True),
        (("pass",), 1, False),
        (("fail",), 0, False),
        (("fail", "infra"), 1, True),  # killed in its retry
        (("fail", "canceled"), 1, True),  # Ctrl-C in its retry
        (("fail", "canceled"), 0, True),
        (("fail",), 1, True),  # stopped between an attempt and its retry
        (("fail", "fail"), 1, False),
        (("fail", "infra", "fail"), 1, False),
        (("fail", "infra", "pass"), 1, False),
        (("pass", "infra"), 0, True),
        (("config",), 0, False),
        (("harness",), 0, True),
        (("infra", "infra"), 1, True),
    ],
)
def test_the_last_whole_attempt_decides_whether_a_cell_is_left(ends: tuple[str, ...], retries: int, left: bool) -> None:
    rows = attempts(*ends)
    assert (CELLS[0] in cells_left(CELLS, rows, retries)) == left
    assert CELLS[1] not in cells_left(CELLS, rows, retries)
    assert failures(rows)[CELLS[0].id] == ends.count("fail")


def test_every_option_survives_in_the_record() -> None:
    assert NAMED.keys() == {field.name for field in dataclasses.fields(RunOptions)}, "name the new option here"
    options = RunOptions(**NAMED)
    for name, value in NAMED.items():
        assert value != getattr(RunOptions(), name)
    assert options.plain().keys() == NAMED.keys()
    assert RunOptions.kept(options.plain()) == options
    assert RunOptions.kept(options.plain()).with_named(RunOptions()) == options
    for name, value in NAMED.items():
        assert getattr(RunOptions().with_named(RunOptions(**{name: value})), name) == value


def test_every_option_but_the_inventories_survives_in_a_bundle() -> None:
    notes: list[str] = []
    manifest = Manifest(
        bundle=1, harness="0", campaign="c", plan="0" * 64, options=RunOptions(**NAMED).plain(), files={}
    )
    replayed = options_of(manifest, RunOptions(), Progress(note=notes.append))
    # Nor whose code is trusted: that is for who replays it to say.
    assert replayed == RunOptions(**{**NAMED, "hosts": "", "databases": "", "trust_code": False})
    assert options_of(manifest, RunOptions(trust_code=True), Progress()).trust_code
    assert "--hosts" in notes[0]
    assert "--databases" in notes[1]
    assert notes[2:] == [
        "as the bundle says: --mirror http://mirror.example/debian",
        "as the bundle says: --allow-expired-release debian-12, debian-13",
    ]
    assert options_of(manifest, RunOptions(hosts="/own/hosts.yaml"), Progress()).hosts == "/own/hosts.yaml"


def test_the_password_of_a_mirror_is_not_kept() -> None:
    kept = RunOptions(mirror="https://user:secret@mirror.example:8443/debian").plain()["mirror"]
    assert kept == "https://mirror.example:8443/debian"


def test_options_of_an_older_record_are_read() -> None:
    assert RunOptions.kept({"jobs": 2, "unknown": 1}) == RunOptions(jobs=2)
