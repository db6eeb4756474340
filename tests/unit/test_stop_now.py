"""Stop now ends every long step within seconds: programs that run, calls that hang, waits, repetitions."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.campaigns import attempts as attempts_module
from harness.campaigns.attempts import Attempts
from harness.campaigns.stopping import Stop
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.containers.mirror import Mirror
from harness.deploy import playbooks
from harness.errors import Canceled, InfrastructureError
from harness.evidence import Workspace
from harness.hosts import holding
from harness.hosts.holding import Ending, Wish, lease_one
from harness.hosts.leases import HostBusy
from harness.issuing.outcome import Progress
from harness.judging import Judgement
from harness.model.definitions import Os, Playbook, Retries
from harness.model.recipe import Recipe
from harness.model.results import Cause, Verdict
from harness.provision.installing import Installer
from harness.provision.provisioner import Owner, no_outlet
from harness.reading.parsing import parse
from harness.system.abandoning import abandonable
from harness.system.makers import own_name
from harness.system.turns import Turns
from harness.system.wait import wait_until
from harness.system.waiting import QUIET
from harness.virtual.disks import Disks
from harness.virtual.kernels import unpack_packages
from harness.virtual.overlays import copy_sparse, make_overlay
from harness.virtual.provisioner import VirtualMachines
from harness.virtual.qemu import STATE, Boot, Qemu, Shape

ROOT = Path(__file__).parents[2]
FORKY = parse(ROOT / "targets" / "os" / "debian-forky.yaml", Os)
PATIENCE = 10.0
#: Every program that a long step runs, in place of itself; its arguments find it among the processes of this machine.
SECONDS = f"77.{os.getpid()}"  #: of this process: other runs of these tests may share the machine
SLEEPER = f"#!/bin/sh\n: >'{{started}}'\nexec sleep {SECONDS}\n"
PROGRAMS = "ansible-playbook apt-config apt-get cp depmod dpkg-deb mke2fs mmdebstrap qemu-img tar".split()


class Notes:
    """A ledger that keeps nothing."""

    def __getattr__(self, _: str) -> Callable[..., str]:
        return lambda *_arguments, **_named: ""


class Lab:
    """Programs that never end, and the event that stops them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cancel, self.started = folder, threading.Event(), folder / "started"
        self.images = BaseImages(SimpleNamespace(), folder / "cache", cancel=self.cancel)  # type: ignore[arg-type]
        self.environments = Environments(self.images.engine, self.images, cancel=self.cancel)

    def disks(self, **client: Any) -> Disks:
        engine: Any = SimpleNamespace(
            client=SimpleNamespace(**client), labels=lambda *_: {}, remove_container=lambda _: True
        )
        return Disks(engine, self.environments, self.folder / "vms")

    def stops(self, work: Callable[[], object], *, begun: Callable[[], bool] | None = None) -> None:
        """Begin a step, stop it once it runs, and see it end as stopped with nothing left."""
        outcome: list[BaseException | None] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  # looked at below
                outcome.append(error)
            else:
                outcome.append(None)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_until(
            lambda: bool(outcome) or (begun or self.started.exists)(), seconds=PATIENCE, what="the step", interval=0.01
        )
        assert not outcome, f"the step ended before it was stopped: {outcome[0]!r}"
        self.cancel.set()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the step goes on after the stop"
        assert isinstance(outcome[0], Canceled)
        left = [process for process in psutil.process_iter(["cmdline"]) if SECONDS in (process.info["cmdline"] or [])]
        assert not left


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in PROGRAMS:
        (tools / name).write_text(SLEEPER.format(started=tmp_path / "started"))
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own-cache"))
    return Lab(tmp_path)


# --- programs ---


def test_a_base_image_that_is_built(lab: Lab) -> None:
    lab.images._mirror = Mirror("http://mirror.invalid/debian")
    lab.stops(lambda: lab.images._bootstrap(FORKY, "loong64", lab.folder / "out.tar", Notes()))


def test_the_question_which_mirror_there_is(lab: Lab) -> None:
    lab.stops(lambda: Mirror.find(cancel=lab.cancel))


def test_native_tools_that_are_unpacked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = lab.folder / "layer.tar"
    layer.touch()
    monkeypatch.setattr(lab.images, "_bootstrap", lambda *_, **__: ([], "", layer))
    lab.stops(lambda: lab.images.native_tools(FORKY, Notes()))


def test_an_image_that_is_unpacked_to_a_disk(lab: Lab) -> None:
    disks = lab.disks(
        containers=SimpleNamespace(create=lambda *_, **__: SimpleNamespace(id="1")),
        api=SimpleNamespace(export=lambda *_, **__: [b"piece"]),
    )
    root = lab.folder / "part" / "root"
    root.mkdir(parents=True)
    lab.stops(lambda: disks._unpack("image", root))


def test_an_image_whose_export_never_ends(lab: Lab) -> None:
    def pieces() -> Any:
        while True:
            lab.started.touch()
            yield b""

    disks = lab.disks(
        containers=SimpleNamespace(create=lambda *_, **__: SimpleNamespace(id="1")),
        api=SimpleNamespace(export=lambda *_, **__: pieces()),
    )
    root = lab.folder / "part" / "root"
    root.mkdir(parents=True)
    lab.stops(lambda: disks._unpack("image", root))


def test_a_disk_that_is_written(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = lab.folder / "kernel"
    (kernel / "modules").mkdir(parents=True)
    (kernel / "version").write_text("6.1")
    disks = lab.disks()
    monkeypatch.setattr(disks, "_unpack", lambda _image, root: (root / "etc").mkdir())
    final = lab.folder / "vms" / "disks" / "key"
    lab.stops(lambda: disks._make("image", kernel, final, ("", ""), systemd=False))
    assert list(final.parent.iterdir()) == [], "a half made disk stays"


def test_a_kernel_that_is_unpacked(lab: Lab) -> None:
    archive = lab.folder / "debs.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("kernel.deb"), io.BytesIO())
    part = lab.folder / "part"
    part.mkdir()
    lab.stops(lambda: unpack_packages(archive, part, lab.cancel))


@pytest.mark.parametrize("kind", ["overlay", "copy"])
def test_a_disk_that_is_copied(lab: Lab, kind: str) -> None:
    disk: Any = SimpleNamespace(image=lab.folder / "disk.raw")
    if kind == "overlay":
        lab.stops(lambda: make_overlay(disk, lab.folder, lab.cancel))
    else:
        lab.stops(lambda: copy_sparse(disk.image, lab.folder / "copy", lab.cancel))


def test_a_playbook(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbooks, "_program", lambda: str(lab.folder / "bin" / "ansible-playbook"))
    context = SimpleNamespace(template_folder=lab.folder, values=dict, factor=1.0)
    reference = SimpleNamespace(model_dump_json=lambda: "{}")
    deployment: Any = SimpleNamespace(
        context=context,
        machine=SimpleNamespace(reference=reference, name="application"),
        cancel=lab.cancel,
        outlet=no_outlet,
    )
    lab.stops(lambda: playbooks.run_playbook(deployment, Playbook(playbook="site.yaml"), trusted=True))


# --- virtual machines ---


@pytest.fixture
def qemu(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("harness.virtual.qemu.user_of", lambda name: 0)  # or it could not enter the folder of the test
    program = lab.folder / "bin" / "qemu-system-x86_64"
    program.write_text(SLEEPER.format(started=lab.started))
    program.chmod(0o755)
    folder = lab.folder / f"boot-{own_name()}-1"
    folder.mkdir()
    boot = Boot(kernel=program, initrd=program, image=program)
    machine = Qemu(folder, folder.name, Shape(architecture="x86_64", model="qemu64"), boot, {22: 1})
    yield machine
    machine.stop()


def test_a_machine_that_boots_for_a_snapshot(lab: Lab, qemu: Qemu) -> None:
    def work() -> None:
        try:
            qemu.wait_booted(60, lab.cancel)
        finally:
            qemu.stop()

    lab.stops(work)


def test_a_machine_that_nobody_can_log_in_to_yet(lab: Lab, qemu: Qemu) -> None:
    disk: Any = SimpleNamespace(
        host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8XWuHh4V0xJFrL2hJ3oF8Y6iU1yC3mGkQ7d0bq0x1Z"
    )
    machines = VirtualMachines(lab.disks(), lab.folder / "machines")

    def work() -> None:
        try:
            machines._login(qemu, disk, 60)
        finally:
            qemu.stop()

    lab.stops(work)


def test_machines_that_make_a_snapshot_are_ended_with_the_campaign(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They belong to no campaign; those of another process are left alone."""
    for name in (f"boot-{own_name()}-1", f"proof-{own_name()}-2", "boot-0a0b0c0d-3"):
        (tmp_path / "machines" / name).mkdir(parents=True)
        (tmp_path / "machines" / name / STATE).write_text(f'{{"name": "{name}"}}')
    stop = Stop("c", Progress(), None, tmp_path / "machines")
    ended: list[str] = []

    def end(folder: Path) -> None:
        ended.append(folder.name)
        if len(ended) == 2:
            stop.over.set()

    monkeypatch.setattr("harness.campaigns.stopping.qemu.end", end)
    stop.now()
    assert stop.over.wait(PATIENCE)
    assert sorted(ended) == [f"boot-{own_name()}-1", f"proof-{own_name()}-2"]


# --- calls of services that hang ---


def test_a_registry_that_hangs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def pull(*_: object) -> str:
        lab.started.touch()
        hang.wait(60)
        return ""

    lab.images.engine = SimpleNamespace(pull=pull, image_id=lambda _: None)  # type: ignore[assignment]
    system = FORKY.model_copy(update={"pulled": {"x86_64": f"registry.invalid/os@sha256:{'0' * 64}"}})
    lab.stops(lambda: lab.images.ensure(system, "x86_64", Notes()))
    hang.set()


def test_an_engine_that_hangs_over_a_vendors_image(lab: Lab) -> None:
    hang = threading.Event()

    def vendor_images(_: Path) -> list[tuple[str, str, str]]:
        lab.started.touch()
        hang.wait(60)
        return []

    lab.environments.engine = SimpleNamespace(vendor_images=vendor_images)  # type: ignore[assignment]
    recipe: Any = SimpleNamespace(images=(SimpleNamespace(source=Path("image.tar"), path="x", sha256="0"),))
    lab.stops(lambda: lab.environments._of_vendor(recipe, Notes()))
    hang.set()


def test_a_call_that_comes_back_gives_what_it_gave() -> None:
    cancel = threading.Event()
    assert abandonable(lambda: 7, what="it", cancel=cancel) == 7
    with pytest.raises(ZeroDivisionError):
        abandonable(lambda: 1 // 0, what="it", cancel=cancel)


def test_an_installation_begins_no_further_step(lab: Lab) -> None:
    ran: list[str] = []

    def run(command: str, **_: object) -> Any:
        ran.append(command)
        if command == "first":
            lab.cancel.set()
        return SimpleNamespace(seconds=0.1, rc=0, ok=True, text="")

    machine: Any = SimpleNamespace(run=run, put=lambda *_, **__: None)
    recipe = Recipe(name="x", os="debian-12", architecture="x86_64", commands=("first", "second"))
    with pytest.raises(Canceled):
        Installer(machine, recipe, cancel=lab.cancel).install()
    assert ran[1:] == ["first"]  # after the list of the system


# --- waits and repetitions ---


def wish(lab: Lab) -> Wish:
    names = Owner(campaign="c", cell="00000000", attempt="1")
    inventory: Any = SimpleNamespace()
    return Wish(
        inventory=inventory, names=names, waiting=QUIET, cancel=lab.cancel, patience=3600, ending=Ending(lab.cancel)
    )


ROLE: Any = SimpleNamespace(name="application", os=SimpleNamespace(os="x"), cpu=SimpleNamespace(cpu="y"))


@pytest.mark.parametrize("kind", ["in use", "hangs"])
def test_a_wait_for_a_lab_host(lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    hang = threading.Event()

    class Hosts:
        """Two hosts that fit: others have them, or they do not answer."""

        def __init__(self, machine: Any, owner: str) -> None:
            self.machine = machine

        def take(self) -> None:
            lab.started.touch()
            if kind == "hangs":
                hang.wait(60)
            raise HostBusy("another campaign has it")

    monkeypatch.setattr(holding, "Lease", Hosts)
    monkeypatch.setattr(holding, "machine_of", lambda *_: SimpleNamespace(close=lambda: None))
    hosts: Any = [SimpleNamespace(host=name) for name in ("a", "b")]

    def work() -> None:
        with lease_one(ROLE, hosts, wish(lab), Notes(), patience=3600):
            pass

    lab.stops(work)
    hang.set()


def test_trouble_of_the_lab_is_not_tried_again_after_a_stop(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[int] = []

    def run_cell(_lab: object, _placed: object, record: Any) -> Judgement:
        ran.append(record.number)
        lab.cancel.set()
        return Judgement(verdict=Verdict.INCONCLUSIVE, cause=Cause.INFRA, message="the engine is gone")

    def known_good(*_: object) -> None:
        raise InfrastructureError("the engine is gone")

    monkeypatch.setattr(attempts_module, "run_cell", run_cell)
    cell: Any = SimpleNamespace(id="c1")
    placed = SimpleNamespace(placement=SimpleNamespace(kind="container"), machines=())

    class Here:
        """The lab of the campaign, which is stopping once that was asked for."""

        def __init__(self) -> None:
            self.campaign, self.turns, self.placed = "c", Turns(), {"c1": placed}
            self.provisioners = {"container": SimpleNamespace(known_good=known_good)}

        @property
        def stopping(self) -> bool:
            return lab.cancel.is_set()

    attempts = Attempts(Here(), Workspace(tmp_path / "ws"), Retries(infra=5), Progress())  # type: ignore[arg-type]
    monkeypatch.setattr(attempts, "_open", lambda _: SimpleNamespace(number=1))
    attempts.run(cell)
    assert ran == [1]
