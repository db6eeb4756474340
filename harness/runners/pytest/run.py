"""Runs a folder of pytest files against a cell, and turns the messages about each test into observations."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.clients.vendor import code_of
from harness.errors import Canceled, StepTimeout
from harness.machines.broker import Broker
from harness.model.context import CellContext
from harness.model.definitions import Case
from harness.model.ledger import MEDIA_LOAD, Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Measurement, Observation, Result
from harness.model.testnames import Selection, select
from harness.runners.pytest.channel import KEY_BYTES, Reader
from harness.runners.pytest.command import arguments
from harness.runners.pytest.outcomes import Meaning, fold, worst_of
from harness.runners.pytest.session import Session, TestRun
from harness.runners.sandboxed import PRELOAD, Sandboxes
from harness.system.forking import ForkServer
from harness.system.process import Completed, without_proxy
from harness.system.scratch import temporary_folder

__all__ = ["PRELOAD", "run_pytest"]

#: Seconds, scaled by the target's factor: to collect, and between two messages where no test runs.
COLLECTION_SECONDS = 60.0
#: Seconds after the limit of a test, scaled: its own limit ended it, fixtures are torn down, the lab is looked at.
GRACE_SECONDS = 60.0
#: Bytes of pytest's output that are kept: the end of it.
MAX_LOG = 8 * 2**20
#: Exit status of pytest's process where the disk is full (``suite_process.NO_SPACE``, which this must not import).
NO_SPACE = 74
#: A temporary folder with less room has none.
FULL_BYTES = 16 * 1024


def run_pytest(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    context: CellContext,
    ledger: Ledger,
    cancel: threading.Event,
    forks: ForkServer,
    sandboxes: Sandboxes | None = None,
) -> list[Observation]:
    """Run ``cases`` of ``suite`` in a process of ``forks``, which has ``PRELOAD`` imported, or in one of the
    ``sandboxes``, from where it reaches the cell alone; one observation a case.

    Raises:
        Canceled: the operator stopped it.
        InfrastructureError: the evidence cannot be stored.
    """
    if not cases:
        return []
    name = suite.definition.suite.replace("/", "-")
    limits = {case.test: case.seconds * (1 if case.absolute else context.factor) for case in cases}
    others = [case.test for case in suite.definition.cases if case.test not in limits]
    with contextlib.ExitStack() as stack:
        # The log is opened by its name here: where a sandbox can write, that name could lead to anything.
        log = Path(stack.enter_context(temporary_folder("pytest"))) / "output.log"
        if sandboxes is None:
            place, shown, fork = log.parent, context, forks.run
        else:
            held = stack.enter_context(sandboxes.taken(suite.folder, *code_of(context)))
            broker = stack.enter_context(Broker(context, held.sandbox.place / "broker"))
            place, shown, fork = held.sandbox.place, broker.context, held.run
        spec, records = place / "spec.json", place / "records"
        key = secrets.token_bytes(KEY_BYTES)
        content = json.dumps(
            {
                "amounts": {
                    name: amount.value(context.profile, emulated=context.emulated)
                    for name, amount in suite.definition.amounts.items()
                },
                "arguments": arguments(suite.folder),
                "context": shown.model_dump_json(by_alias=True),
                "folder": str(suite.folder),
                "key": key.hex(),
                "limits": limits,
                "others": others,
                "records": str(records),
            }
        )
        for path, text in ((spec, content), (records, "")):  # the first holds the cell's passwords
            path.touch(mode=0o600)
            path.write_text(text)
            if sandboxes is not None:
                held.sandbox.give(path)
        with Reader(records, key) as reader:
            session = _watched(reader, spec, log, suite.folder, context, cancel, fork)
        # What pytest prints may be the first thing for which there is no room: then its status says nothing of that.
        nothing_left = shutil.disk_usage(place).free < FULL_BYTES
        session.full = session.rc == NO_SPACE or (bool(session.trouble) and nothing_left)
        output = _tail(log)
    ledger.keep(f"{name}-{cases[0].when}-pytest.log", output)
    selection = select(session.names, [*limits, *others])
    text = output.decode(errors="replace")
    return [_observe(case, suite, session, selection, text, ledger) for case in cases]


def _watched(
    reader: Reader,
    spec: Path,
    log: Path,
    folder: Path,
    context: CellContext,
    cancel: threading.Event,
    fork: Callable[..., Completed],
) -> Session:
    """Run pytest and read what it tells, until it ends or overstays a limit that it does not keep itself."""
    session, stop, over = Session(), threading.Event(), threading.Event()
    trouble: list[BaseException] = []

    def follow() -> None:
        since = time.monotonic()
        while not over.wait(0.1):
            before = (len(session.runs), session.running, session.collected)
            for message in reader.messages():
                session.take(message)
            if (len(session.runs), session.running, session.collected) != before:
                since = time.monotonic()
            limit = COLLECTION_SECONDS * context.factor
            if session.running is not None:
                limit = session.runs[session.running].limit + GRACE_SECONDS * context.factor
            if time.monotonic() - since > limit:
                session.late = _late(session, limit)
            if session.late or cancel.is_set():
                stop.set()
                return

    def watch() -> None:
        try:
            follow()
        except BaseException as error:  # noqa: BLE001  # raised below: a suite that is not watched has no limit
            trouble.append(error)
            stop.set()

    watcher = threading.Thread(target=watch, name="pytest-watcher", daemon=True)
    watcher.start()
    try:
        session.rc = fork(
            "harness.runners.pytest.suite_process:main",
            [str(spec)],
            log=log,
            timeout=10 * 86_400,  # the watcher knows the limits
            cwd=folder,
            env={"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "", **without_proxy(*context.hosts)},
            cancel=stop,
        ).rc
    except (Canceled, StepTimeout):
        if cancel.is_set():
            raise Canceled("canceled while a suite ran") from None
    finally:
        over.set()
        watcher.join()
    if trouble:
        raise trouble[0]
    for message in reader.messages():
        session.take(message)
    return session


def _notes(runs: list[TestRun], result: Result) -> list[str]:
    """What the tests of a case observed; of one that was left out nothing was."""
    return [] if result in (Result.SKIP, Result.MISS) else [note for run in runs for note in run.notes]


def _late(session: Session, limit: float) -> str:
    if session.running is not None:
        name = session.names[session.running].nodeid
        return f"{name} did not end within {limit:.0f} s, and did not heed its limit either; pytest was ended"
    if not session.collected:
        return f"pytest did not collect the tests within {limit:.0f} s and was ended"
    return f"pytest did nothing for {limit:.0f} s between tests and was ended"


def _tail(path: Path) -> bytes:
    """The end of pytest's output, also where pytest ran into a limit."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - MAX_LOG))
            note = f"[{size - MAX_LOG} bytes before this are left out]\n".encode() if size > MAX_LOG else b""
            return note + file.read()
    except FileNotFoundError:
        return b""


def _observe(
    case: Case, suite: LocatedSuite, session: Session, selection: Selection, output: str, ledger: Ledger
) -> Observation:
    """What became of one case: the worst of its tests."""
    indices = selection.items[case.test]
    meanings = [_meaning(index, session) for index in indices] or [_absent(case.test, session, output)]
    if case.test in selection.ambiguous:
        names = ", ".join(selection.ambiguous[case.test])
        meanings = [Meaning(Result.ERROR, Cause.TEST, None, f"{case.test} could be any of {names}: give one of them")]
    worst = worst_of(meanings)
    if worst.result is Result.PASS:
        worst = _doubted(worst, session, selection, suite)
    runs = [session.runs[index] for index in indices if index in session.runs]
    evidence = [ledger.keep(f"{case.id}-{name}", data, media) for name, data, media in _named(runs)]
    log = "\n".join(report.log for run in runs for report in run.reports if report.log)
    if log and worst.result is not Result.PASS:
        evidence.append(ledger.keep(f"{case.id}-captured.log", log.encode()))
    return Observation(
        case=case.id,
        suite=suite.definition.suite,
        result=worst.result,
        cause=worst.cause,
        skip_reason=worst.reason,
        detail="\n".join(filter(None, (worst.text, *_notes(runs, worst.result))))[:6000],
        seconds=round(sum(run.seconds for run in runs), 3),
        evidence=tuple(evidence),
        measurements=tuple(Measurement(**note) for run in runs for note in run.measurements),
    )


def _meaning(index: int, session: Session) -> Meaning:
    """What became of one test."""
    name = session.names[index].nodeid
    run = session.runs.get(index)
    if run is not None and run.ended:
        return fold(run)
    cause = Cause.INFRA if session.full else Cause.TIMEOUT if session.late else Cause.TEST
    if session.full:
        return Meaning(Result.MISS, cause, None, "the disk of the temporary folder is full: no record can be written")
    if run is not None:
        result = Result.ERROR if session.late else Result.MISS
        return Meaning(result, cause, None, f"{name} did not end: {session.trouble or 'pytest stopped'}")
    if index not in session.chosen:
        return Meaning(
            Result.MISS, Cause.TEST, None, f"{name} was deselected by the suite's own settings or hooks, so not run"
        )
    why = session.trouble or "pytest stopped before it (see its log)"
    return Meaning(Result.MISS, cause, None, f"{name} was not run: {why}")


def _absent(test: str, session: Session, output: str) -> Meaning:
    """Why pytest has no test of this name."""
    end = f"its output ends:\n{output[-1500:].strip()}"
    if session.full:
        return Meaning(Result.MISS, Cause.INFRA, None, "the disk of the temporary folder is full")
    if session.broken is not None:
        return Meaning(Result.MISS, Cause(session.broken[0]), None, session.broken[1])
    if session.late:
        return Meaning(Result.MISS, Cause.TIMEOUT, None, f"{test} was not run: {session.late}")
    if session.collect_errors:
        errors = "\n".join(f"{nodeid}: {text}" for nodeid, text in session.collect_errors)
        return Meaning(Result.MISS, Cause.TEST, None, f"{_last_line(errors)}\n{test} was not run:\n{errors}")
    if session.collect_skips and not session.names:
        errors = "; ".join(f"{nodeid}: {text}" for nodeid, text in session.collect_skips)
        return Meaning(Result.MISS, Cause.TEST, None, f"{test} was not run, its file was skipped: {errors}")
    if not session.collected:
        why = f"{_last_line(output)}\n{test} was not run: {session.trouble}; {end}"
        return Meaning(Result.MISS, Cause.TEST, None, why)
    known = ", ".join(sorted({name.function for name in session.names})[:20]) or "none"
    return Meaning(Result.MISS, Cause.TEST, None, f"the suite has no test {test}; there are: {known}")


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _doubted(passed: Meaning, session: Session, selection: Selection, suite: LocatedSuite) -> Meaning:
    """A pass that does not count, because pytest's end or the suite as a whole cannot be relied on."""
    if session.full:
        return Meaning(Result.ERROR, Cause.INFRA, None, "it passed, and then the disk of the temporary folder was full")
    if session.trouble and not session.late:
        return Meaning(Result.ERROR, Cause.TEST, None, f"it passed, and then {session.trouble}")
    if selection.unlisted:
        names = ", ".join(sorted({session.names[index].function for index in selection.unlisted})[:20])
        return Meaning(
            Result.ERROR,
            Cause.TEST,
            None,
            f"it passed, but {suite.definition.suite} has tests that no case names, so that they were not run: {names}",
        )
    return passed


def _named(runs: Sequence[TestRun]) -> Iterator[tuple[str, bytes, str]]:
    """Evidence of a case with names that differ, without what no file name may hold."""
    used: set[str] = set()
    for run in runs:
        for name, data, media in run.evidence:
            plain = re.sub(r"[\x00-\x1f\x7f/\\]", "-", name)[:100].strip() or "evidence"
            unique, number = plain, 1
            while unique in used:
                number += 1
                stem, suffix = os.path.splitext(plain)  # noqa: PTH122  # a name, not a path
                unique = f"{stem}-{number}{suffix}"
            used.add(unique)
            yield unique, data, "application/json" if media == MEDIA_LOAD else media  # that of a load is the driver's
