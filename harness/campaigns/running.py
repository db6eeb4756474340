"""Runs the cells of a plan on this machine, from the beginning or from where it was cut off."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType

from harness.attest.attestation import reference_seconds
from harness.campaigns.attempts import Attempts
from harness.campaigns.choosing import chosen, in_order, jobs_at_once, plan_of
from harness.campaigns.estimating import expected_seconds
from harness.campaigns.options import RunOptions, cache_folder, inventory_at
from harness.campaigns.snapshot import conditions, deployment_suite, snapshot
from harness.campaigns.sweeping import sweep
from harness.containers.engine import LABEL_CAMPAIGN, Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.containers.provisioner import Containers
from harness.errors import Canceled, HarnessError, UsageError
from harness.evidence import Hold, Recorder, Workspace
from harness.evidence.holding import Ask
from harness.evidence.journal import now
from harness.execution import Lab, cases_of
from harness.hosts.provisioner import LabHosts
from harness.issuing.outcome import Finished, Progress
from harness.issuing.rendering import finish, row_of
from harness.model.definitions import Suite
from harness.model.plan import Cell, Definitions, Plan
from harness.model.records import AttemptFacts, AttemptRow, CampaignRow
from harness.model.results import Cause, Observation, Result, State, Verdict
from harness.presentation.typesetting import fonts
from harness.provision.provisioner import Kind, Provisioner
from harness.runners.pytest.run import PRELOAD
from harness.system.forking import ForkServer
from harness.system.turns import Turns
from harness.system.waiting import Waiting
from harness.virtual import qemu
from harness.virtual.disks import Disks
from harness.virtual.provisioner import VirtualMachines


def run_campaign(folder: Path, workspace: Workspace, options: RunOptions, progress: Progress) -> Finished:
    """Run the matrix in ``folder`` from its beginning.

    Raises:
        DefinitionError, UsageError, InfrastructureError: nothing was run.
    """
    definitions, plan = plan_of(folder)
    cells = chosen(plan, options.only)
    engine = Engine(workspace.id)
    identity = f"{datetime.datetime.now(datetime.UTC):%Y%m%d}-{secrets.token_hex(3)}"
    deployment = deployment_suite()
    with workspace.hold(identity) as held:
        workspace.journal.open_campaign(
            CampaignRow(
                id=identity,
                created=now(),
                finished=None,
                matrix=plan.matrix,
                folder=str(folder.resolve()),
                plan_digest=plan.digest,
                plan=snapshot(definitions, plan, deployment),
                options=options.plain(),
                conditions=conditions(engine),
                verdict=None,
            )
        )
        progress.note(f"campaign {identity}: {len(cells)} of {len(plan.cells)} cells")
        return _work(identity, definitions, cells, workspace, engine, options, progress, deployment, held)


def resume_campaign(identity: str, workspace: Workspace, options: RunOptions, progress: Progress) -> Finished:
    """Go on with a campaign that was cut off: cells without a finished attempt are run, others are left alone.

    Raises:
        UsageError: there is no such campaign, it is being worked on, or its definitions were changed since.
    """
    row = row_of(workspace.journal, identity)
    with workspace.hold(identity) as held:
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
            mirror=options.mirror,
            allow_expired=tuple(row.options["allow_expired"]),
            jobs=options.jobs or row.options["jobs"],
            only=row.options["only"],
            retry_failed=row.options["retry_failed"],
            hosts=options.hosts or row.options.get("hosts", ""),
        )
        finished = set()
        deployment = deployment_suite()
        for attempt in workspace.journal.attempts(identity):
            if attempt.state is not State.DONE:
                _close_cut_off(workspace, held, attempt, definitions, plan, deployment)
            elif attempt.cause is None or attempt.cause.value not in ("canceled", "infra", "harness"):
                finished.add(attempt.cell)
        left = [cell for cell in chosen(plan, stored.only) if cell.id not in finished]
        progress.note(f"campaign {identity}: {len(left)} cells left")
        return _work(identity, definitions, left, workspace, engine, stored, progress, deployment, held)


def _close_cut_off(
    workspace: Workspace, held: Hold, attempt: AttemptRow, definitions: Definitions, plan: Plan, deployment: Suite
) -> None:
    """Close an attempt in whose middle the harness was ended: what was not seen is missed, and no fault of the product.

    Killed in here as well, it finds on the next resume what is still open.
    """
    cell = next(cell for cell in plan.cells if cell.id == attempt.cell)
    identity, token = held.claim.campaign, held.token
    workspace.journal.adopt(identity, cell.id, attempt.number, token=token)
    recorder = Recorder(workspace.journal, workspace.store, identity, cell.id, attempt.number, token=token)
    recorder.event("attempt-cut-off", state=attempt.state.value)
    seen = workspace.journal.observations(identity).get((cell.id, attempt.number), [])
    known = {(one.suite, one.case) for one in seen}
    told = "the harness was ended in the middle of this attempt"
    recorder.observe(
        *(
            Observation(case=case.id, suite=suite, result=Result.MISS, cause=Cause.INFRA, detail=told)
            for suite, case in cases_of(definitions, deployment, cell)
            if (suite, case.id) not in known
        )
    )
    recorder.finish(Verdict.INCONCLUSIVE, Cause.INFRA, told, AttemptFacts())


def _work(
    identity: str,
    definitions: Definitions,
    chosen_cells: list[Cell],
    workspace: Workspace,
    engine: Engine,
    options: RunOptions,
    progress: Progress,
    deployment: Suite,
    held: Hold,
) -> Finished:
    cancel, drain = threading.Event(), threading.Event()
    accepted = {accept.expired_release: accept.because for accept in definitions.matrix.accept}
    accepted |= dict.fromkeys(options.allow_expired, "--allow-expired-release")
    images = BaseImages(engine, cache_folder(), options.mirror, accepted, cancel)
    environments = Environments(engine, images, no_cache=options.no_cache, cancel=cancel, campaign=identity)
    inventory = inventory_at(options.hosts)
    provisioners: dict[Kind, Provisioner] = {
        "container": Containers(engine, environments),
        "vm": VirtualMachines(Disks(engine, environments, cache_folder() / "vms"), workspace.machines),
    }
    if inventory is not None:
        provisioners["host"] = LabHosts(
            inventory, cancel, keep=(workspace.root, cache_folder(), definitions.folder.resolve())
        )
    forks = ForkServer([PRELOAD])
    threading.Thread(target=_prepare, name="prepare", daemon=True).start()
    turns = Turns(cache_folder() / "locks" / "machine")
    lab = Lab(
        engine=engine,
        provisioners=provisioners,
        definitions=definitions,
        deployment_suite=deployment,
        campaign=identity,
        cancel=cancel,
        drain=drain,
        say=progress.step,
        forks=forks,
        inventory=inventory,
        turns=turns,
    )
    retries = definitions.matrix.retries
    if options.retry_failed is not None:
        retries = retries.model_copy(update={"fail": options.retry_failed})
    attempts = Attempts(lab, workspace, retries, progress, token=held.token)
    fatal: list[BaseException] = []

    def prepare(os: str, architecture: str) -> None:
        # What fails here fails again, at once, in each cell that needs it: there it is recorded as blocked.
        waiting = Waiting(
            who=f"base image {os} for {architecture}, campaign {identity}",
            notify=lambda words: progress.note(f"base image {os} for {architecture} waits / 等待: {words}"),
            stopped=lambda: lab.stopping,
        )
        with contextlib.suppress(HarnessError), lab.turns.shared(waiting):
            record = Recorder(workspace.journal, workspace.store, identity, "", 0, token=held.token)
            progress.note(f"base image {os} for {architecture}")
            images.prepare(definitions.systems[os], architecture, record)

    def one(cell: Cell) -> None:
        if not lab.stopping:
            attempts.run(cell)

    at_once = jobs_at_once(definitions, options, engine, len(chosen_cells))
    stop = _interruptible(lambda number: _stop(number, lab, progress, workspace.machines))
    held.on_stop(lambda asked: _asked(asked, lab, progress, workspace.machines))
    with stop, contextlib.closing(forks), ThreadPoolExecutor(at_once, thread_name_prefix="cell") as pool:
        expected = expected_seconds(workspace.journal, chosen_cells)
        cells = in_order(chosen_cells, definitions, expected)
        progress.begin(cells, expected, at_once)
        # All base images first, side by side: a cell that builds one keeps the load of every other waiting.
        wanted = dict.fromkeys(
            (os.os, cpu.architecture)
            for cell in cells
            for os, cpu in definitions.machines(cell.axes).values()
            if lab.placement(cell).kind in ("container", "vm")
        )
        missing = [(os, arch) for os, arch in wanted if not images.is_there(definitions.systems[os], arch)]
        wait([pool.submit(prepare, os, architecture) for os, architecture in missing])
        running: set[Future[None]] = {pool.submit(one, cell) for cell in cells}
        while running:
            ended, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                error = future.exception()
                if error is not None and not isinstance(error, Canceled):
                    fatal.append(error)
                    cancel.set()  # nothing can be recorded any more, so nothing more is begun
    if fatal:
        raise fatal[0]
    # Nothing of this campaign runs now. What a killed run had asked the engine for may have come after its sweep.
    with contextlib.suppress(HarnessError):  # an engine that is gone: every cell says so, and `harness gc` finds it
        sweep(engine, workspace, campaign=identity)
    return finish(identity, workspace, progress, close=True, interrupted=lab.stopping, token=held.token)


def _prepare() -> None:
    """What every campaign needs later, done while its first cells wait for the engine."""
    reference_seconds()
    fonts()


def _asked(asked: Ask, lab: Lab, progress: Progress, machines: Path) -> None:
    """Another process asks this campaign to stop, or has taken it over."""
    if asked == "lost":
        progress.note("another worker has taken this campaign over: nothing more is recorded here")
    if asked != "drain" or not lab.drain.is_set():
        _stop(signal.SIGINT if asked == "drain" else signal.SIGTERM, lab, progress, machines)


def _stop(number: int, lab: Lab, progress: Progress, machines: Path) -> None:
    """Ctrl-C once: finish the steps that run. Ctrl-C again, or SIGTERM: stop now."""
    if number == signal.SIGINT and not lab.drain.is_set():
        lab.drain.set()
        progress.note(
            "stopping: the steps that run are finished and recorded; Ctrl-C again stops now / "
            "正在停止：当前步骤完成并记录后结束；再按 Ctrl-C 立即停止"
        )
        return
    if lab.cancel.is_set():
        progress.note("still stopping: containers are being removed")
        return
    lab.drain.set()
    lab.cancel.set()
    progress.note("stopping now: what was recorded is kept; containers are being removed")

    def remove() -> None:
        # A command that runs in a container ends with it, so nobody waits for a long installation.
        for _ in range(3):
            with contextlib.suppress(HarnessError):
                for kind, name, labels in lab.engine.ours():
                    if kind == "container" and labels.get(LABEL_CAMPAIGN) == lab.campaign:
                        lab.engine.remove_container(name)
            for folder, state in qemu.standing(machines):
                if state.get("campaign") == lab.campaign:
                    qemu.end(folder)
            time.sleep(1)

    threading.Thread(target=remove, name="stop", daemon=True).start()


@contextlib.contextmanager
def _interruptible(stop: Callable[[int], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask the campaign to stop instead of tearing it apart."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        stop(number)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
