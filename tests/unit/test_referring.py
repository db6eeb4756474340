"""Whose numbers a cell is compared with: that cell runs first, others wait for it, and what it lacks is said."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.campaigns.referring import CASE, INDEX, SUITE, References, reference_of
from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from harness.model.plan import Cell
from harness.model.results import Cause, Observation, Result
from tests.journals import campaign

VALUES = {"cpu": "x86-64"}
CELLS = [
    Cell(axes={"cpu": cpu, "os": os}, suites=(SUITE,), reason="")
    for os in ("debian-12", "debian-13")
    for cpu in ("kunpeng-920", "loongson-3a5000", "x86-64")
]
FIRST, LAST = CELLS[0], CELLS[-1]


@pytest.fixture
def references(tmp_path: Path) -> References:
    workspace = Workspace(tmp_path / "w")
    assert isinstance(workspace.journal, DatabaseJournal)
    campaign(workspace.journal)
    return References(workspace, "c1", VALUES)


def test_references_run_first_and_the_others_keep_their_order(references: References) -> None:
    assert [cell.axes["cpu"] for cell in references.first(CELLS)] == ["x86-64"] * 2 + [
        "kunpeng-920",
        "loongson-3a5000",
    ] * 2
    assert reference_of(FIRST, VALUES) == CELLS[2].id
    assert reference_of(LAST, VALUES) == ""
    assert reference_of(FIRST, {"cpu": "x86-64", "locale": "zh"}) == CELLS[2].id
    unnamed = References(references.workspace, "c1", {})
    assert unnamed.first(CELLS) == CELLS
    assert unnamed.of(FIRST) is None
    unnamed.wait(FIRST, ())


def test_a_cell_waits_for_its_own_reference_alone(references: References) -> None:
    references.first(CELLS)
    over = threading.Event()

    def wait() -> None:
        references.wait(FIRST, ())
        over.set()

    thread = threading.Thread(target=wait)
    thread.start()
    references.ended(LAST)  # the reference of the other system
    assert not over.wait(0.2)
    references.wait(LAST, ())  # is a reference, and waits for nobody
    references.ended(CELLS[2])
    thread.join(30)
    assert over.is_set()
    stop = threading.Event()
    stop.set()
    references.first(CELLS)
    references.wait(FIRST, (stop,))
    references.wait(Cell(axes=FIRST.axes, suites=("compat/tasks",), reason=""), ())


def record(references: References, cell: Cell, result: Result, *, index: bool = True) -> str:
    """An attempt at a cell, with what it kept; gives the SHA-256 of its file of numbers."""
    journal, store = references.workspace.journal, references.workspace.store
    number = journal.begin("c1", cell.id)
    cause = Cause.TEST if result is Result.ERROR else None
    journal.observe("c1", cell.id, number, [Observation(case=CASE, suite=SUITE, result=result, cause=cause)])
    digest = store.put(f"{cell.id} {number}".encode())
    journal.file("c1", cell.id, number, f"{CASE}-a-b.csv", digest, 1, "application/octet-stream")
    if index:
        journal.file("c1", cell.id, number, INDEX, store.put(b"{}"), 2, "application/json")
    return digest


def test_what_the_last_attempt_of_the_reference_kept_is_given(references: References) -> None:
    record(references, CELLS[2], Result.FAIL)
    digest = record(references, CELLS[2], Result.PASS)
    record(references, LAST, Result.PASS)
    given = references.of(FIRST)
    assert given is not None
    assert (given.cell, given.trouble, given.is_itself) == (CELLS[2].id, "", False)
    assert given.index.read_bytes() == b"{}"
    assert given.files[digest].read_bytes() == f"{CELLS[2].id} 2".encode()
    assert len(given.files) == 2
    itself = references.of(LAST)
    assert itself is not None
    assert itself.is_itself


@pytest.mark.parametrize("result", [Result.FAIL, Result.ERROR, Result.PASS])
def test_what_the_reference_lacks_is_said(references: References, result: Result) -> None:
    before = references.of(FIRST)
    assert before is not None
    assert "it was not run in this campaign" in before.trouble
    record(references, CELLS[2], result, index=False)
    after = references.of(FIRST)
    assert after is not None
    assert f"its {CASE} is {result.value} there" in after.trouble
