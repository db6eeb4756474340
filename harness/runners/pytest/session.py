"""What the harness knows of a run of pytest: collected from its messages, never from what a suite prints."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from harness.model.testnames import TestName
from harness.runners.pytest.channel import Message

#: Notes of a test that are kept, and characters of each.
MAX_NOTES, MAX_NOTE = 50, 1000


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report of pytest: of a phase (``setup``, ``call``, ``teardown``) of a test, or of one of its subtests.

    ``outcome`` is pytest's. ``kind`` says what the exception means, see ``suite_process.kind_of``. ``xfail`` is the
    reason where the test is expected to fail.
    """

    when: str
    outcome: str
    kind: str = ""
    exception: str = ""
    text: str = ""
    cause: str = ""
    xfail: str | None = None
    subtest: str = ""
    log: str = ""


@dataclass(kw_only=True)
class TestRun:
    """One test while it runs and after: ``ended`` is false where pytest never reported its end."""

    __test__ = False

    limit: float
    reports: list[Report] = field(default_factory=list)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[tuple[str, bytes, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  #: what it observed, in words
    seconds: float = 0.0
    lab: str = ""  #: what the machines said of a failure
    blame: str = ""  #: whose failure it is by that, see ``Diagnosis``
    expired: bool = False  #: its limit ran out, whatever it made of that
    ended: bool = False


@dataclass
class Session:
    """One run of pytest. Items are known by their index among all that pytest collected."""

    names: list[TestName] = field(default_factory=list)
    chosen: set[int] = field(default_factory=set)
    runs: dict[int, TestRun] = field(default_factory=dict)
    running: int | None = None
    full: bool = False  #: it ended because the disk of the temporary folder was full
    collected: bool = False
    collect_errors: list[tuple[str, str]] = field(default_factory=list)  #: node id, text
    collect_skips: list[tuple[str, str]] = field(default_factory=list)
    broken: tuple[str, str] | None = None  #: cause and text where pytest could not begin
    status: int | None = None  #: exit status that pytest reported at its end
    late: str = ""  #: the limit that ran out, where the harness ended pytest
    rc: int | None = None  #: exit status of the process; None where the harness ended it

    def take(self, message: Message) -> None:
        """Enter one message; what belongs to a test is entered for the test that runs."""
        data = message.header
        run = self.runs.get(self.running) if self.running is not None else None
        match message.kind:
            case "collected":
                self.names = [
                    TestName(path=n["path"], names=tuple(n["names"]), nodeid=n["nodeid"], line=n["line"])
                    for n in data["items"]
                ]
                self.chosen, self.collected = set(data["chosen"]), True
            case "collect-error":
                self.collect_errors.append((printable(data["nodeid"]), printable(data["text"])))
            case "collect-skip":
                self.collect_skips.append((printable(data["nodeid"]), printable(data["text"])))
            case "broken":
                self.broken = (data["cause"], printable(data["text"]))
            case "start" if data["index"] in self.chosen and data["index"] not in self.runs:
                self.running = data["index"]
                self.runs[data["index"]] = TestRun(limit=data["limit"])
            case "report" if run is not None:
                run.reports.append(
                    Report(
                        when=data["when"],
                        outcome=data["outcome"],
                        kind=data["kind"],
                        exception=data["exception"],
                        text=printable(data["text"]),
                        cause=data["cause"],
                        xfail=data["xfail"],
                        subtest=printable(data["subtest"]),
                        log=printable(data["log"]),
                    )
                )
            case "measurement" if run is not None:
                run.measurements.append(
                    {"name": printable(data["name"]), "value": data["value"], "unit": printable(data["unit"])}
                )
            case "note" if run is not None and len(run.notes) < MAX_NOTES:
                run.notes.append(printable(data["text"])[:MAX_NOTE])
            case "evidence" if run is not None:
                run.evidence.append((printable(data["name"]), message.data, data["media"]))
            case "end" if run is not None and data["index"] == self.running:
                run.seconds, run.lab, run.ended = data["seconds"], printable(data["lab"]), True
                run.blame, run.expired = data["blame"], data["expired"]
                self.running = None
            case "finish":
                self.status = data["status"]

    @property
    def trouble(self) -> str:
        """How pytest ended, where its exit status does not fit what it reported of the tests; empty where it does."""
        if self.late:
            return self.late
        if self.rc is None:
            return "pytest was ended"
        if self.status is None or self.status != self.rc:
            return f"pytest's process ended {_ending(self.rc)} before its session was over"
        failed = bool(self.collect_errors) or any(
            report.outcome not in ("passed", "skipped") for run in self.runs.values() for report in run.reports
        )
        left = [index for index in self.chosen if index not in self.runs or not self.runs[index].ended]
        if self.rc == 0 and left:
            return f"pytest ended with exit status 0 though {len(left)} of its {len(self.chosen)} tests had not run"
        if self.rc == (1 if failed else 0) or (self.rc == 5 and not self.runs and not failed):
            return ""
        meaning = {0: "all passed", 1: "something failed", 2: "interrupted", 3: "internal error", 4: "wrong usage"}
        status = meaning.get(self.rc, "nothing collected")
        outcome = "something" if failed else "nothing"
        return f"pytest's exit status {self.rc} ({status}) does not fit what it reported of its tests: {outcome} failed"


def _ending(rc: int) -> str:
    if rc > 128:
        try:
            return f"by signal {rc - 128} ({signal.Signals(rc - 128).name}), or with status {rc},"
        except ValueError:
            pass
    return f"with status {rc}"


def printable(text: str) -> str:
    """``text`` without lone surrogates, which no file in UTF-8 can hold: they become ``\\udc80``."""
    return str(text).encode("utf-8", "backslashreplace").decode()
