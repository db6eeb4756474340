"""Campaigns: run a plan here, resume what was cut off, list, render, sweep what a killed run left."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from harness import __version__
from harness.certify import render_certificate, why_not
from harness.definitions import Catalogue, parse, read
from harness.errors import Canceled, HarnessError, InfrastructureError, UsageError
from harness.evidence import CampaignRow, Journal, Recorder, Workspace
from harness.evidence.journal import now
from harness.evidence.store import disk_errors
from harness.execution import Lab, run_cell
from harness.machines import Engine
from harness.machines.engine import LABEL_CAMPAIGN
from harness.model.definitions import Suite, size_in_bytes
from harness.model.plan import Cell, Definitions, Plan
from harness.model.results import Cause, Fidelity, State, Verdict
from harness.model.view import CampaignView
from harness.planning import expand
from harness.provision import BaseImages, Environments
from harness.provision.architecture import host_architecture
from harness.report import build_view, campaign_summary, full_record, render_html, render_junit

#: What one cell takes beside its containers: pytest or locust, and room for the engine.
CELL_OVERHEAD = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run. ``allow_expired`` names operating systems; ``only`` restricts cells by axis values."""

    mirror: str = ""
    allow_expired: tuple[str, ...] = ()
    no_cache: bool = False
    jobs: int = 0
    only: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {"allow_expired": list(self.allow_expired), "no_cache": self.no_cache, "jobs": self.jobs,
                "only": self.only}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a person sees while it runs: ``step`` per stage, ``done`` per cell, ``note`` for the rest."""

    step: Callable[[Cell, str], None] = lambda _c, _w: None
    done: Callable[[Cell, Verdict, str], None] = lambda _c, _v, _m: None
    note: Callable[[str], None] = lambda _w: None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A campaign that came to its end (or was interrupted)."""

    view: CampaignView
    outputs: dict[str, str]
    interrupted: bool
    uncertified: str = ""

    def summary(self) -> dict[str, Any]:
        return campaign_summary(self.view, self.outputs)


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/xinchuang-harness`` or its place below the home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xinchuang-harness"


def plan_of(folder: Path) -> tuple[Definitions, Plan]:
    """Read and expand.

    Raises:
        DefinitionError, UsageError: as ``definitions.read`` and ``planning.expand``.
    """
    definitions = read(folder)
    return definitions, expand(definitions)


def expected_fidelity(definitions: Definitions, cell: Cell) -> str:
    """What this machine can offer for a cell: native container or user-mode emulation."""
    native = definitions.cpus[cell.axes["cpu"]].architecture == host_architecture()
    return (Fidelity.CONTAINER if native else Fidelity.USER_EMULATED).value


def run_campaign(folder: Path, workspace: Workspace, options: RunOptions, progress: Progress) -> Finished:
    """Run the matrix in ``folder`` from its beginning.

    Raises:
        DefinitionError, UsageError, InfrastructureError: nothing was run.
    """
    definitions, plan = plan_of(folder)
    chosen = _chosen(plan, options.only)
    engine = Engine(workspace.id)
    identity = f"{datetime.datetime.now(datetime.UTC):%Y%m%d}-{secrets.token_hex(3)}"
    deployment = _deployment_suite()
    with workspace.working(identity):
        workspace.journal.open_campaign(CampaignRow(
            id=identity, created=now(), finished=None, matrix=plan.matrix, folder=str(folder.resolve()),
            plan_digest=plan.digest, plan=_snapshot(definitions, plan, deployment), options=options.plain(),
            conditions=_conditions(engine), verdict=None,
        ))  # fmt: skip
        progress.note(f"campaign {identity}: {len(chosen)} of {len(plan.cells)} cells")
        return _work(identity, definitions, plan, chosen, workspace, engine, options, progress, deployment)


def resume_campaign(identity: str, workspace: Workspace, options: RunOptions, progress: Progress) -> Finished:
    """Go on with a campaign that was cut off: cells without a finished attempt are run, others are left alone.

    Raises:
        UsageError: there is no such campaign, it is being worked on, or its definitions were changed since.
    """
    row = _row(workspace.journal, identity)
    with workspace.working(identity):
        engine = Engine(workspace.id)
        sweep(engine, workspace, campaign=identity)
        definitions, plan = plan_of(Path(row.folder))
        if plan.digest != row.plan_digest:
            raise UsageError(
                f"the definitions of campaign {identity} were changed since it began "
                f"(plan {row.plan_digest[:12]}, now {plan.digest[:12]})",
                advice="restore them, or begin a new campaign with: harness run",
            )
        stored = RunOptions(
            mirror=options.mirror, allow_expired=tuple(row.options["allow_expired"]),
            jobs=options.jobs or row.options["jobs"], only=row.options["only"],
        )  # fmt: skip
        finished = set()
        for attempt in workspace.journal.attempts(identity):
            if attempt.state is not State.DONE:
                recorder = Recorder(workspace.journal, workspace.store, identity, attempt.cell, attempt.number)
                recorder.event("attempt-cut-off", state=attempt.state.value)
                _close_cut_off(recorder)
            elif attempt.cause is None or attempt.cause.value not in ("canceled", "infra"):
                finished.add(attempt.cell)
        left = [cell for cell in _chosen(plan, stored.only) if cell.id not in finished]
        progress.note(f"campaign {identity}: {len(left)} cells left")
        return _work(identity, definitions, plan, left, workspace, engine, stored, progress, _deployment_suite())


def _close_cut_off(recorder: Recorder) -> None:
    recorder.finish(Verdict.INCONCLUSIVE, Cause.HARNESS, "the harness was ended in the middle of this attempt", {})


def _work(identity: str, definitions: Definitions, plan: Plan, chosen: list[Cell], workspace: Workspace, engine: Engine,
          options: RunOptions, progress: Progress, deployment: Suite) -> Finished:  # fmt: skip
    cancel = threading.Event()
    accepted = {accept.expired_release: accept.because for accept in definitions.matrix.accept}
    accepted |= dict.fromkeys(options.allow_expired, "--allow-expired-release")
    images = BaseImages(engine, cache_folder(), options.mirror, accepted, cancel)
    environments = Environments(engine, images, no_cache=options.no_cache, cancel=cancel, campaign=identity)
    lab = Lab(engine=engine, environments=environments, definitions=definitions, deployment_suite=deployment,
              campaign=identity, cancel=cancel, say=progress.step)  # fmt: skip
    fatal: list[BaseException] = []

    def prepare(os: str, architecture: str) -> None:
        # What fails here fails again, at once, in each cell that needs it: there it is recorded as blocked.
        with contextlib.suppress(HarnessError), lab.turns.shared():
            record = Recorder(workspace.journal, workspace.store, identity, "", 0)
            progress.note(f"base image {os} for {architecture}")
            images.prepare(definitions.systems[os], architecture, record)

    def one(cell: Cell) -> None:
        if cancel.is_set():
            return
        number = workspace.journal.begin(identity, cell.id)
        record = Recorder(workspace.journal, workspace.store, identity, cell.id, number)
        judgement = run_cell(lab, cell, record)
        progress.done(cell, judgement.verdict, judgement.message)

    with (
        _interruptible(lambda: _stop(cancel, engine, identity, progress)),
        ThreadPoolExecutor(
            max_workers=_jobs(definitions, options, engine, len(chosen)), thread_name_prefix="cell"
        ) as pool,
    ):
        running: set[Future[None]] = {pool.submit(one, cell) for cell in chosen}
        while running:
            ended, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                error = future.exception()
                if error is not None and not isinstance(error, Canceled):
                    fatal.append(error)
                    cancel.set()  # nothing can be recorded any more, so nothing more is begun
    if fatal:
        raise fatal[0]
    return finish(identity, workspace, progress, close=True, interrupted=cancel.is_set())


def finish(
    identity: str, workspace: Workspace, progress: Progress, *, close: bool, interrupted: bool = False
) -> Finished:
    """Render what is recorded; with ``close`` the verdict goes into the journal.

    Raises:
        UsageError: there is no such campaign.
        InfrastructureError: the outputs cannot be written.
    """
    view = view_of(identity, workspace)
    folder = workspace.folder(identity)
    templates = _templates()
    outputs: dict[str, str] = {}
    digests: dict[str, str] = {}

    def write(kind: str, name: str, data: bytes) -> str:
        path = folder / name
        with disk_errors(f"writing {path}"):
            part = path.with_name(f".{name}.part")
            part.write_bytes(data)
            part.replace(path)
        outputs[kind] = str(path)
        digests[kind] = hashlib.sha256(data).hexdigest()
        return digests[kind]

    record = json.dumps(full_record(view), ensure_ascii=False, indent=1, sort_keys=True).encode()
    write("json", "campaign.json", record)
    write("junit", "junit.xml", render_junit(view))
    report_digest = write("html", "report.html", render_html(view, templates))
    refusal = why_not(view)
    certificate = folder / "certificate.pdf"
    if refusal:
        certificate.unlink(missing_ok=True)  # one of an earlier state of this campaign would be wrong now
    else:
        progress.note("rendering the certificate")
        write("certificate", "certificate.pdf", render_certificate(view, templates, report_digest, digests["json"]))
    if close:
        workspace.journal.close_campaign(identity, view.verdict, digests)
    return Finished(view=view, outputs=outputs, interrupted=interrupted, uncertified=refusal)


def view_of(identity: str, workspace: Workspace) -> CampaignView:
    """The campaign as recorded.

    Raises:
        UsageError: there is no such campaign.
        InfrastructureError: evidence is missing or was changed.
    """
    row = _row(workspace.journal, identity)
    journal = workspace.journal
    return build_view(row, journal.attempts(identity), journal.observations(identity), journal.files(identity),
                      workspace.store.get, journal.head())  # fmt: skip


def sweep(engine: Engine, workspace: Workspace, *, campaign: str | None = None, everywhere: bool = False,
          keep_alive: bool = True) -> list[str]:  # fmt: skip
    """Remove containers and networks that no running campaign owns; gives what was removed.

    ``everywhere`` takes those of other workspaces too, whose campaigns cannot be seen from here.
    """
    removed = []
    for kind, name, labels in engine.ours(everywhere=everywhere):
        owner = labels.get(LABEL_CAMPAIGN, "")
        if campaign is not None and owner != campaign:
            continue
        if campaign is None and keep_alive and workspace.alive(owner):
            continue
        remove = engine.remove_container if kind == "container" else engine.remove_network
        if remove(name):
            removed.append(f"{kind} {name}")
            workspace.journal.resource(owner, kind, name, "removed")
    return removed


def latest(workspace: Workspace) -> str:
    """Id of the newest campaign.

    Raises:
        UsageError: there is none.
    """
    rows = workspace.journal.campaigns()
    if not rows:
        raise UsageError(f"no campaign in {workspace.root}", advice="begin one with: harness run FOLDER")
    return rows[0].id


# --- pieces ---


def _row(journal: Journal, identity: str) -> CampaignRow:
    row = journal.campaign(identity)
    if row is None:
        known = ", ".join(one.id for one in journal.campaigns()[:5]) or "none"
        raise UsageError(f"no campaign {identity!r} here; known: {known}", advice="see: harness list")
    return row


def _chosen(plan: Plan, only: dict[str, str]) -> list[Cell]:
    for axis, value in only.items():
        known = sorted({cell.axes[axis] for cell in plan.cells if axis in cell.axes})
        if value not in known:
            raise UsageError(f"--only {axis}={value}: no cell has it; "
                             f"{'known: ' + ', '.join(known) if known else 'no such axis'}",
                             advice="see: harness plan")  # fmt: skip
    cells = [cell for cell in plan.cells if all(cell.axes.get(a) == v for a, v in only.items())]
    if not cells:
        raise UsageError("no cell fits every --only", advice="see: harness plan")
    return cells


def _jobs(definitions: Definitions, options: RunOptions, engine: Engine, cells: int) -> int:
    """Cells at once: one a CPU, as far as the stated limits of their containers fit into memory."""
    largest = max(
        size_in_bytes(d.limits.memory) if d.placement == "server" else 0 for d in definitions.databases.values()
    )
    each = size_in_bytes(definitions.application.limits.memory) + largest + CELL_OVERHEAD
    fitting = max(1, int(engine.memory * 0.8) // each)
    return max(1, min(options.jobs or engine.cpus, fitting, cells))


def _in_order(cells: list[Cell], definitions: Definitions) -> list[Cell]:
    """Native cells first: their verdicts are seen while others are still prepared. Then the architectures in turn.

    Two cells of one architecture would wait for the same base image when nothing is cached yet.
    """
    turn: dict[str, int] = {}
    keys: dict[str, tuple[bool, int]] = {}
    for cell in cells:
        architecture = definitions.cpus[cell.axes["cpu"]].architecture
        turn[architecture] = turn.get(architecture, -1) + 1
        keys[cell.id] = (architecture != host_architecture(), turn[architecture])
    return sorted(cells, key=lambda cell: keys[cell.id])


def _deployment_suite() -> Suite:
    path = Catalogue.standard().find("suites", "deployment", "suite.yaml")
    if path is None:
        raise InfrastructureError("the built-in catalogue lacks suites/deployment", advice="install the package again")
    return parse(path, Suite)


def _templates() -> Path:
    path = Catalogue.standard().find("reports")
    if path is None:
        raise InfrastructureError("the built-in catalogue lacks reports/", advice="install the package again")
    return path


def _snapshot(definitions: Definitions, plan: Plan, deployment: Suite) -> dict[str, Any]:
    """Everything a report needs, so that it can be rendered when the definitions are long gone."""

    def plain(group: dict[str, Any]) -> dict[str, Any]:
        return {name: value.model_dump(mode="json", by_alias=True) for name, value in group.items()}

    return {
        "matrix": definitions.matrix.model_dump(mode="json"),
        "application": definitions.application.model_dump(mode="json", by_alias=True),
        "cpus": plain(definitions.cpus), "systems": plain(definitions.systems),
        "databases": plain(definitions.databases), "deployment": deployment.model_dump(mode="json"),
        "suites": {name: {**suite.definition.model_dump(mode="json"), "digest": suite.digest}
                   for name, suite in definitions.suites.items()},
        "cells": [{"id": c.id, "short": c.short, "axes": c.axes, "suites": list(c.suites), "reason": c.reason}
                  for c in plan.cells],
        "excluded": [{"axes": e.axes, "because": e.because} for e in plan.excluded],
    }  # fmt: skip


def _conditions(engine: Engine) -> dict[str, Any]:
    """Test conditions: the controller, the engine, the tools with their versions."""
    tools = {name: version(name) for name in ("pytest", "pytest-testinfra", "locust", "docker", "weasyprint")}
    return {
        "harness": __version__, "python": platform.python_version(), "tools": tools,
        "engine": engine.version.get("Version", ""), "kernel": platform.release(), "machine": platform.machine(),
        "cpus": engine.cpus, "memory": engine.memory, "system": engine.info.get("OperatingSystem", ""),
        "storage": engine.info.get("Driver", ""), "python implementation": sys.implementation.name,
    }  # fmt: skip


def _stop(cancel: threading.Event, engine: Engine, identity: str, progress: Progress) -> None:
    if cancel.is_set():
        progress.note("still stopping: containers are being removed")
        return
    cancel.set()
    progress.note("stopping: what was recorded is kept; containers are being removed")

    def remove() -> None:
        # A command that runs in a container ends with it, so nobody waits for a long installation.
        for _ in range(3):
            with contextlib.suppress(HarnessError):
                for kind, name, labels in engine.ours():
                    if kind == "container" and labels.get(LABEL_CAMPAIGN) == identity:
                        engine.remove_container(name)
            time.sleep(1)

    threading.Thread(target=remove, name="stop", daemon=True).start()


@contextlib.contextmanager
def _interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask the campaign to stop instead of tearing it apart."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
