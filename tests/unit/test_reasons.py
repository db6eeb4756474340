"""Every reason of a cell is told, wherever a person looks."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from rich.console import Console

from harness.cli.shared import print_table
from harness.issuing.outcome import Finished
from harness.model.results import Cause, Result, Verdict
from harness.model.view import CampaignView
from harness.presentation import Presentation
from harness.report import campaign_summary, render_markdown
from tests.unit.test_report import view

FAILED = "libraries not found:\n  libjvm.so\n  libawt.so"


def shown(verdict: Verdict, message: str, *ends: dict[str, Any]) -> CampaignView:
    """A campaign whose first cell has cases that ended so, of the first that decide."""
    every = view()
    first, *others = every.cells
    deciding = [case for case in first.cases if case.decides]
    cases = [dataclasses.replace(case, **end) for case, end in zip(deciding, ends, strict=False)]
    cell = dataclasses.replace(first, verdict=verdict, message=message, cases=(*cases, *deciding[len(cases) :]))
    return dataclasses.replace(every, cells=(cell, *others))


INFRA = {"result": Result.MISS, "cause": Cause.INFRA, "detail": "the release file expired"}
FAIL = {"result": Result.FAIL, "detail": FAILED}


def test_a_second_reason_beside_a_failure_is_told_everywhere() -> None:
    every = shown(Verdict.NONCONFORMANT, "LC-02: libraries not found:", FAIL, INFRA, INFRA)
    fail, miss = every.cells[0].reasons
    assert fail.endswith(": fail: libraries not found: libjvm.so libawt.so")
    ids = [case.id for case in every.cells[0].cases[1:3]]
    assert miss == f"{ids[0]}, {ids[1]}: miss (infra): the release file expired"
    text = io.StringIO()
    print_table(Finished(view=every, outputs={}, interrupted=False), Console(file=text, width=60))
    for output in (text.getvalue(), render_markdown(every, Presentation.standard().wording())):
        assert "libawt.so" in output
        assert "the release file expired" in output
    assert campaign_summary(every, {})["cells"][0]["reasons"] == [fail, miss]


def test_a_reason_that_is_no_cases_is_told_too() -> None:
    message = "compat/http was asked for, and nothing of it applies"
    every = shown(Verdict.INCONCLUSIVE, message, {"result": Result.SKIP})
    assert every.cells[0].reasons == (message,)
    both = shown(Verdict.INCONCLUSIVE, message, INFRA)
    assert both.cells[0].reasons[0] == message
    assert len(both.cells[0].reasons) == 2
    one = shown(Verdict.INCONCLUSIVE, "the release file expired", INFRA)
    assert len(one.cells[0].reasons) == 1


def test_waived_failures_and_what_decides_nothing_are_no_reasons() -> None:
    every = shown(Verdict.NONCONFORMANT, "x", FAIL, {**FAIL, "detail": "accepted"}, {**FAIL, "decides": False})
    first = every.cells[0]
    waiver = {"suite": first.cases[1].suite, "case": first.cases[1].id}
    assert len(dataclasses.replace(first, waived=(waiver,)).reasons) == 1
    assert view().cells[0].reasons == ()


def test_tables_are_whole_in_a_file() -> None:
    every = view()
    text = io.StringIO()
    print_table(Finished(view=every, outputs={}, interrupted=False), Console(file=text, width=40))
    assert "…" not in text.getvalue()
    rows = [line for line in text.getvalue().splitlines() if "conformant" in line]
    assert len(rows) == len(every.cells)
    assert all("/0/0/0/0" in row for row in rows)
