"""pytest's own process: it selects the tests of the cases, bounds each by its limit, and reports its end."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import _pytest
import pytest
from _pytest.fixtures import FixtureLookupError

import harness
from harness.control.deployment import Deployment, Diagnosis
from harness.control.fault import ProductFault
from harness.errors import HarnessError, SuiteError
from harness.model.context import CellContext
from harness.model.testnames import select
from harness.runners.pytest.channel import Writer
from harness.runners.pytest.selection import name_of
from harness.system.frames import listen

#: The exit status of this process when the disk is full.
NO_SPACE = 74
#: Characters of a text that are kept of one report; head and tail stay.
MAX_TEXT = 60_000
#: Bytes of one piece of evidence, and of all pieces of a test.
MAX_PIECE, MAX_PIECES = 32 * 2**20, 128 * 2**20
_PYTEST = Path(_pytest.__file__).parent
_HARNESS = Path(harness.__file__).parent


class CaseTimeout(BaseException):
    """The limit of a case ran out; derived so that no suite catches it by chance."""


def main(spec_path: str) -> int:
    """Run pytest as ``spec_path`` says, a JSON file that is removed at once; gives pytest's exit status."""
    path = Path(spec_path)
    spec = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    records = Path(spec["records"])
    writer = Writer(records, bytes.fromhex(spec["key"]))
    records.unlink()  # no suite finds it by name
    try:
        context = CellContext.model_validate_json(spec["context"])
        if context.application_machine.broker != Path():
            listen(context.application_machine.broker, context.ports)
        deployment = Deployment.of(context)
    except HarnessError as error:
        writer.write("broken", cause=error.cause, text=str(error))
        return pytest.ExitCode.USAGE_ERROR
    recorder = Recorder(writer, Path(spec["folder"]), spec["limits"], spec["others"], context, deployment)
    recorder.amounts = spec["amounts"]
    sys.argv = ["pytest", *spec["arguments"]]
    sys.dont_write_bytecode = True
    return int(pytest.main(spec["arguments"], plugins=[recorder]))


class Recorder:
    """A plugin object of pytest. What it writes is bound to the test that runs, whatever a test says of itself."""

    def __init__(
        self,
        writer: Writer,
        folder: Path,
        limits: dict[str, float],
        others: Sequence[str],
        context: CellContext,
        deployment: Deployment,
    ) -> None:
        self.context = context
        self.deployment = deployment
        self.amounts: dict[str, float] = {}  #: how much the suite does of what, in the profile of the campaign
        self._writer = writer
        self._folder = folder
        self._limits = limits  #: of the cases of this run, by their ``test``
        self._others = list(others)  #: ``test`` of the suite's cases that run at another time
        self._items: list[pytest.Item] = []  #: all that was collected, before anybody left one out
        self._index: dict[pytest.Item, int] = {}
        self._limit_of: dict[pytest.Item, float] = {}
        self._running: pytest.Item | None = None
        self._trouble: list[str] = []  #: texts of what went wrong in the test that runs
        self._expired = False  #: whether its limit ran out, also where the suite caught what tells it so
        self._kept = 0
        self._session: pytest.Session | None = None

    def _tell(self, message: str, /, data: bytes = b"", **header: Any) -> None:
        try:
            self._writer.write(message, data, **header)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                os._exit(NO_SPACE)  # no later message could be written either
            raise

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[_RECORDER] = self

    # --- collection ---

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._index[item] = len(self._items)
        self._items.append(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
        yield  # what the suite itself leaves out comes first
        names = [name_of(item, self._folder) for item in self._items]
        selection = select(names, [*self._limits, *self._others])
        for test, limit in self._limits.items():
            for index in selection.items[test] if test not in selection.ambiguous else []:
                item = self._items[index]
                self._limit_of[item] = min(limit, self._limit_of.get(item, limit))
        chosen = [item for item in items if item in self._limit_of]
        left = [item for item in items if item not in self._limit_of]
        self._tell(
            "collected",
            items=[{"path": n.path, "names": n.names, "nodeid": n.nodeid, "line": n.line} for n in names],
            chosen=[self._index[item] for item in chosen],
        )
        items[:] = chosen
        if left:
            config.hook.pytest_deselected(items=left)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell("collect-error", nodeid=report.nodeid, text=shortened(str(report.longrepr)))
        elif report.skipped:
            self._tell("collect-skip", nodeid=report.nodeid, text=shortened(_skip_text(report.longrepr)))

    # --- one test ---

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Bound each test by its case's limit, and tell when it ended."""
        limit = self._limit_of.get(item, 60.0)

        def expire(_signal: int, _frame: FrameType | None) -> None:
            self._expired = True
            raise CaseTimeout(f"the case did not end within {limit:.0f} s")

        self._running, self._trouble, self._kept, self._expired = item, [], 0, False
        self._tell("start", index=self._index.get(item, -1), nodeid=item.nodeid, limit=limit)
        previous = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, limit)
        started = time.monotonic()
        try:
            result = yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        seconds = time.monotonic() - started
        diagnosis = self.deployment.diagnose("\n".join(self._trouble)) if self._trouble else Diagnosis("", "")
        self._running = None
        self._tell(
            "end",
            index=self._index.get(item, -1),
            seconds=round(seconds, 3),
            expired=self._expired,
            lab=diagnosis.text,
            blame=diagnosis.cause,
        )
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        error = call.excinfo.value if call.excinfo is not None else None
        # An attribute of the report: it also reaches the copy that pytest makes of it for a subtest.
        report.harness = {  # type: ignore[attr-defined]
            "exception": type(error).__name__ if error is not None else "",
            "kind": kind_of(error, call, self._folder),
            "text": shortened(text_of(error, report)),
            "cause": error.cause if isinstance(error, HarnessError) else "",
            "certain": isinstance(error, ProductFault) and error.certain,
        }
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Every report that pytest counts: of each phase, of each subtest."""
        if self._running is None or report.nodeid != self._running.nodeid:
            return
        notes = dict(getattr(report, "harness", {"exception": "", "kind": "", "text": "", "cause": ""}))
        certain = notes.pop("certain", False)
        if report.failed and not notes["text"]:
            notes = {**notes, "text": shortened(str(report.longrepr))}
        context = getattr(report, "context", None)
        subtest = "" if context is None else f"{context.msg or 'subtest'} {dict(context.kwargs) or ''}".strip()
        if (notes["kind"] in ("product", "timeout") and not certain) or notes["cause"] == "infra":
            self._trouble.append(notes["text"])
        self._tell(
            "report",
            when=report.when,
            outcome=report.outcome,
            xfail=getattr(report, "wasxfail", None),
            subtest=subtest,
            log=shortened("\n".join(f"--- {title}\n{text}" for title, text in report.sections)),
            **notes,
        )

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        with contextlib.suppress(OSError):
            status = -1 if self._session is None else int(self._session.exitstatus)
            self._tell("finish", status=status)

    # --- what fixtures record ---

    def measurement(self, name: str, value: float, unit: str) -> None:
        """Record a figure of the test that runs."""
        self._tell("measurement", name=name, value=value, unit=unit)

    def note(self, text: str) -> None:
        """Record in words what the test that runs observed."""
        self._tell("note", text=shortened(text))

    def evidence(self, name: str, data: bytes, media: str) -> None:
        """Keep ``data``; a text that is too long is cut with a note, of anything else only a note is kept."""
        limit = min(MAX_PIECE, MAX_PIECES - self._kept)
        if len(data) > limit:
            note = f"{len(data)} bytes of {media}; the limit is {MAX_PIECE} for one piece, {MAX_PIECES} for a test"
            data = data[: max(0, limit)] + f"\n[cut here: {note}]".encode() if media.startswith("text/") else b""
            if not data:
                data, media = f"[left out: {note}]".encode(), "text/plain"
        self._kept += len(data)
        self._tell("evidence", data, name=name, media=media)


def kind_of(error: BaseException | None, call: pytest.CallInfo[None], folder: Path) -> str:
    """What an exception says: ``product``, ``timeout``, ``skip``, ``harness-error`` (see its cause), ``suite`` (code of
    the suite is broken), ``harness`` (code of the harness is)."""
    if error is None:
        return ""
    if isinstance(error, pytest.skip.Exception):
        return "skip"
    if isinstance(error, ProductFault):
        return "product"
    if isinstance(error, CaseTimeout):
        return "timeout"
    if isinstance(error, HarnessError):
        return "harness-error"
    frames = _files_of(error)
    if isinstance(error, AssertionError | pytest.fail.Exception):
        # pytest itself fails a test that it cannot run: a coroutine without a plugin, a fixture that is called.
        broken = bool(frames) and frames[-1].parent == _PYTEST and frames[-1].name in ("python.py", "fixtures.py")
        return "suite" if broken else "product" if call.when == "call" else "suite"
    if isinstance(error, FixtureLookupError) or any(path.is_relative_to(folder) for path in frames):
        return "suite"
    return "harness" if frames and frames[-1].is_relative_to(_HARNESS) else "suite"


def _files_of(error: BaseException) -> list[Path]:
    """Files of the traceback's code, outermost first, without pytest's own ``fail``."""
    files = []
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path != _PYTEST / "outcomes.py":
            files.append(path)
        trace = trace.tb_next
    return files


def text_of(error: BaseException | None, report: pytest.TestReport) -> str:
    """What a report says of an error: for errors of the harness their message, for others the trace too."""
    if error is None:
        return ""
    if isinstance(error, ProductFault):
        return f"{error}\n{error.log}".rstrip()
    if isinstance(error, pytest.skip.Exception | HarnessError | CaseTimeout):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{lines[0] if lines else type(error).__name__}\n\n{report.longrepr}"


def _skip_text(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) and len(longrepr) == 3 else str(longrepr)


def shortened(text: str) -> str:
    """At most ``MAX_TEXT`` characters, cut in the middle with a note."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n[{len(text) - MAX_TEXT} characters left out]\n{text[-half:]}"


def recorder_of(config: pytest.Config) -> Recorder:
    """The recorder of this process.

    Raises:
        SuiteError: the tests were not started by the harness.
    """
    recorder = config.stash.get(_RECORDER, None)
    if recorder is None:
        raise SuiteError("the fixtures of the harness work in a run of the harness only", advice="harness run")
    return recorder


_RECORDER = pytest.StashKey[Recorder]()
