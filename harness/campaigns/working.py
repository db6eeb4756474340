"""Puts together what the cells of a campaign need on this machine, and runs them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.attest.attestation import reference_seconds
from harness.campaigns.attempts import Attempts
from harness.campaigns.choosing import in_order, jobs_at_once
from harness.campaigns.estimating import expected_seconds
from harness.campaigns.following import Follower, following
from harness.campaigns.options import RunOptions, cache_folder
from harness.campaigns.referring import References
from harness.campaigns.snapshot import MachineSize
from harness.campaigns.stopping import Stop, interruptible
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.containers.provisioner import Containers
from harness.errors import Canceled, HarnessError
from harness.evidence import Hold, Recorder, Workspace
from harness.execution.services import Lab
from harness.hosts.inventory import Inventory
from harness.hosts.provisioner import LabHosts
from harness.issuing.outcome import Progress
from harness.machines.placing import place
from harness.model.definitions import Databases, Suite
from harness.model.ledger import Ledger
from harness.model.plan import Cell, Definitions
from harness.presentation.typesetting import fonts
from harness.provision.provisioner import Kind, Provisioner
from harness.runners.pytest.run import PRELOAD
from harness.system.forking import ForkServer
from harness.system.turns import Turns
from harness.system.waiting import Waiting
from harness.virtual.disks import Disks
from harness.virtual.provisioner import VirtualMachines


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be run: cells of a campaign, by definitions that were read from its stored inputs."""

    campaign: str
    definitions: Definitions
    deployment: Suite
    cells: Sequence[Cell]
    options: RunOptions
    inventory: Inventory | None
    databases: Databases | None  #: database servers of the laboratory
    submitted_from: Path  #: is not read; on a lab host that is this machine, nothing in it is undone
    #: Attempts at a cell at which the product failed already, by the cell's id: they count as retries.
    failed_before: Mapping[str, int] = field(default_factory=dict)
    #: Conditions of the test on this controller, for the record of each attempt; empty where the campaign's has them.
    controller: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Making:
    """What makes machines here; without an engine there are only lab hosts."""

    provisioners: Mapping[Kind, Provisioner]
    images: BaseImages | None


def work(job: Job, workspace: Workspace, engine: Engine | None, progress: Progress, held: Hold) -> bool:
    """Run the cells; gives whether the campaign was asked to stop meanwhile.

    Raises:
        InfrastructureError: the journal or the evidence cannot be written.
    """
    stop = Stop(job.campaign, progress, engine, workspace.machines)
    threading.Thread(target=_prepare, name="prepare", daemon=True).start()
    with ExitStack() as stack:
        stack.callback(stop.over.set)
        secrets = job.inventory.variables if job.inventory is not None else ()  # suites log in on lab hosts
        forks = stack.enter_context(contextlib.closing(ForkServer([PRELOAD], secrets)))
        recorder = Recorder.of_campaign(workspace.journal, workspace.store, job.campaign, token=held.token)
        making = _making(job, workspace, engine, stop, recorder)
        references = References(workspace, job.campaign, job.definitions.matrix.reference_cell)
        lab = _lab(job, engine, making, forks, stop, references)
        stack.callback(lab.sandboxes.close)
        suites = {name for cell in job.cells for name in cell.suites}
        if not job.options.trust_code and any(not job.definitions.suites[name].shipped for name in suites):
            lab.sandboxes.prepare()
        attempts = Attempts(
            lab,
            workspace,
            job.options.retries(job.definitions.matrix.retries),
            progress,
            token=held.token,
            failed_before=job.failed_before,
        )
        at_once = jobs_at_once(job.definitions, job.options, MachineSize.of(engine), len(job.cells), job.databases)
        chain = workspace.journal.chain(job.campaign)
        follower = Follower(
            workspace.journal, job.campaign, job.cells, progress, after=chain[0] if chain is not None else 0
        )
        stack.enter_context(following(follower))
        stack.enter_context(interruptible(stop.on_signal))
        held.on_stop(stop.on_ask)
        pool = stack.enter_context(ThreadPoolExecutor(at_once, thread_name_prefix="cell"))
        expected = expected_seconds(workspace.journal, job.cells)
        cells = references.first(in_order(list(job.cells), job.definitions, expected))
        progress.begin(cells, expected, at_once)
        if making.images is not None:
            _build_base_images(cells, lab, making.images, recorder, progress, pool)
        _run(cells, attempts, references, stop, pool)
    return stop.asked


def _making(job: Job, workspace: Workspace, engine: Engine | None, stop: Stop, recorder: Recorder) -> Making:
    provisioners: dict[Kind, Provisioner] = {}
    images = None
    if engine is not None:
        images = BaseImages(
            engine,
            cache_folder(),
            job.options.mirror,
            _accepted(job),
            stop.cancel,
            on_wait=lambda holder: tell_wait(recorder, stop.progress, holder),
            brought=job.options.brought_images,
        )
        environments = Environments(
            engine, images, no_cache=job.options.no_cache, cancel=stop.cancel, campaign=job.campaign
        )
        provisioners["container"] = Containers(engine, environments)
        provisioners["vm"] = VirtualMachines(
            Disks(engine, environments, cache_folder() / "vms"), workspace.machines, keeps=job.options.keep
        )
    if job.inventory is not None:
        keep = (workspace.root, cache_folder(), job.submitted_from)
        provisioners["host"] = LabHosts(job.inventory, stop.cancel, keep=keep)
    return Making(provisioners=provisioners, images=images)


def tell_wait(ledger: Ledger, progress: Progress, holder: str) -> None:
    """Record and show that the campaign waits for an image or a disk which another maker holds."""
    words = f"an image or a disk: {holder}"
    progress.note(f"waits / 等待: {words}")
    with contextlib.suppress(HarnessError):  # a wait that cannot be recorded is no reason to end it
        ledger.event("waiting", message=words)


def _accepted(job: Job) -> dict[str, str]:
    """Systems whose expired release file is accepted, and why."""
    accepted = {accept.expired_release: accept.because for accept in job.definitions.matrix.accept}
    return accepted | dict.fromkeys(job.options.allow_expired, "--allow-expired-release")


def _lab(job: Job, engine: Engine | None, making: Making, forks: ForkServer, stop: Stop, references: References) -> Lab:
    return Lab(
        engine=engine,
        provisioners=making.provisioners,
        definitions=job.definitions,
        deployment_suite=job.deployment,
        campaign=job.campaign,
        cancel=stop.cancel,
        drain=stop.drain,
        forks=forks,
        keeps_machines=job.options.keep,
        choice=job.options.choice,
        trusts_code=job.options.trust_code,
        reference_of=references.of,
        placed={cell.id: place(job.definitions, cell, job.inventory, job.databases) for cell in job.cells},
        turns=Turns(cache_folder() / "locks" / "machine"),
        controller=job.controller,
    )


def _prepare() -> None:
    """What every campaign needs later, done while its first cells wait for the engine."""
    reference_seconds()
    fonts()


def _build_base_images(
    cells: Sequence[Cell],
    lab: Lab,
    images: BaseImages,
    recorder: Recorder,
    progress: Progress,
    pool: ThreadPoolExecutor,
) -> None:
    """All base images first, side by side: a cell that builds one keeps the load of every other waiting."""

    def build(os: str, architecture: str) -> None:
        name = f"base image {os} for {architecture}"
        waiting = Waiting(
            who=f"{name}, campaign {lab.campaign}",
            notify=lambda words: progress.note(f"{name} waits / 等待: {words}"),
            stopped=lambda: lab.stopping,
        )
        # What fails here fails again, at once, in each cell that needs it: there it is recorded as blocked.
        with contextlib.suppress(HarnessError), lab.turns.shared(waiting):
            progress.note(name)
            images.prepare(lab.definitions.systems[os], architecture, recorder)

    missing = [
        (os, architecture)
        for os, architecture in _base_images(cells, lab)
        if not images.is_there(lab.definitions.systems[os], architecture)
    ]
    wait([pool.submit(build, os, architecture) for os, architecture in missing])


def _base_images(cells: Iterable[Cell], lab: Lab) -> Iterator[tuple[str, str]]:
    """Operating system and architecture of every image that the cells are made from, each once."""
    yield from dict.fromkeys(
        (os.os, cpu.architecture)
        for cell in cells
        if lab.placed[cell.id].placement.kind in ("container", "vm")
        for os, cpu in lab.placed[cell.id].machines
    )


def _run(
    cells: Sequence[Cell], attempts: Attempts, references: References, stop: Stop, pool: ThreadPoolExecutor
) -> None:
    """Raises:
    InfrastructureError: nothing can be recorded any more; then nothing more is begun.
    """

    def run(cell: Cell) -> None:
        references.wait(cell, (stop.cancel, stop.drain))
        try:
            if not stop.asked:
                attempts.run(cell)
        finally:
            references.ended(cell)

    running: set[Future[None]] = {pool.submit(run, cell) for cell in cells}
    fatal: list[BaseException] = []
    while running:
        ended, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
        for error in _errors(ended):
            fatal.append(error)
            stop.cancel.set()
    if fatal:
        raise fatal[0]


def _errors(ended: Iterable[Future[None]]) -> list[BaseException]:
    errors = [future.exception() for future in ended]
    return [error for error in errors if error is not None and not isinstance(error, Canceled)]
