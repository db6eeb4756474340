"""Virtual machines: booted once, kept as a snapshot, restored in a second or two for each cell."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.attest.architecture import Emulator
from harness.attest.attestation import attest, demand
from harness.attest.serving import serving
from harness.containers.cache import mark_used
from harness.errors import Canceled, HarnessBug, HarnessError, InfrastructureError, ProvisionError, StepTimeout
from harness.model.attestation import Attestation
from harness.model.definitions import Cpu, Os, size_in_bytes
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import Environment, Recipe
from harness.model.results import Fidelity
from harness.model.verbs import journal_deeds
from harness.provision.boots import BootWatch
from harness.provision.provisioner import APPLICATION, Held, Kind, Machines, Owner, Role
from harness.system.canonical import digest_of
from harness.system.makers import own_name
from harness.system.wait import wait_until
from harness.system.waiting import Waiting
from harness.virtual.cables import cable_commands, host_lines, links_of
from harness.virtual.disks import PACKAGES, SYSTEMD_PACKAGES, Disk, Disks
from harness.virtual.emulators import shape_of, system_emulator
from harness.virtual.machine import VirtualMachine, entrance, machine_of
from harness.virtual.overlays import copy_sparse, make_overlay
from harness.virtual.qemu import DEEDS, Link, Qemu, Shape, free_port

#: Raised when the way snapshots are made changes.
REVISION = 2
SNAPSHOT = "ready"
BOOT_SECONDS = 180.0
#: The longest trial boot with KVM; a slower one does not prove that KVM works.
KVM_SECONDS = 20.0
RESTORE_SECONDS = 60.0
#: A new snapshot is restored so often before it is kept.
PROOFS = 2
PROOF_SECONDS = 15.0
#: The most moments of a running machine that are tried for a snapshot that can be restored.
MOMENTS = 8
#: What kernel and services of the machine itself take, in MiB, beside what the product may use.
OWN_MEMORY = 192


@dataclass
class VirtualMachines:
    """Implements ``Provisioner``: a machine has a folder below ``folder``; disks and snapshots are kept by content in
    ``disks.folder``."""

    disks: Disks
    folder: Path
    keeps: bool = False  #: whether machines of cells may outlive this process, for a look at them
    _kvm: dict[str, bool] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return "vm"

    @property
    def cancel(self) -> threading.Event:
        """Set once everything must end now."""
        return self.disks.environments.cancel

    def emulator(self, cpu: Cpu) -> Emulator | None:
        return system_emulator(Shape(architecture=cpu.architecture, model="").program)

    def environment(self, role: Role, ledger: Ledger) -> Environment | None:
        """As installed for containers, with what a virtual machine needs beside it."""
        recipe, environments = role.recipe, self.disks.environments
        installed = environments.ensure(recipe, role.os, ledger)
        if role.os.import_of(recipe.architecture) is not None:  # it was logged into when it was imported
            return installed
        more = Recipe(
            name=f"{recipe.name} for a virtual machine",
            os=recipe.os,
            architecture=recipe.architecture,
            packages=(*PACKAGES, *(SYSTEMD_PACKAGES if role.systemd else ())),
            patience=recipe.patience,
        )
        whole = environments.ensure(more, role.os, ledger, on=installed)
        return dataclasses.replace(
            whole,
            packages=installed.packages,
            cached=installed.cached and whole.cached,
            seconds=installed.seconds + whole.seconds,
        )

    def install(self, machine: Machine, role: Role, ledger: Ledger) -> Environment:
        raise HarnessBug("virtual machines are made of what is installed")

    def attest(self, machine: Machine, role: Role) -> Attestation:
        kvm = isinstance(machine, VirtualMachine) and machine.accelerator == "kvm"
        fidelity = Fidelity.KVM if kvm else Fidelity.SYSTEM_EMULATED
        return attest(machine, role.cpu, role.os, None if kvm else self.emulator(role.cpu), fidelity=fidelity)

    def known_good(self, os: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
        recipe = Recipe(name="bare", os=os.os, architecture=cpu.architecture)
        role = Role(name=APPLICATION, os=os, cpu=cpu, recipe=recipe)
        names = Owner(campaign=campaign, cell="probe", attempt=secrets.token_hex(4))
        with self.machines((role,), {APPLICATION: self.environment(role, ledger)}, names, ledger) as machines:
            demand("the bare target", self.attest(machines.application, role))

    @contextlib.contextmanager
    def hold(self, roles: tuple[Role, ...], names: Owner, ledger: Ledger, waiting: Waiting) -> Iterator[Held]:
        """Nothing is leased: as many virtual machines are started as cells ask for."""
        yield Held(machines=lambda environments: self.machines(roles, environments, names, ledger))

    @contextlib.contextmanager
    def machines(
        self,
        roles: tuple[Role, ...],
        environments: Mapping[str, Environment | None],
        names: Owner,
        ledger: Ledger,
    ) -> Iterator[Machines]:
        """The machines of a cell, until the context ends.

        Raises:
            InfrastructureError: they do not boot, or the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        prepared = {role.name: self._prepared(role, environments[role.name], ledger) for role in roles}
        stem = names.stem
        kept: set[str] = set()
        with contextlib.ExitStack() as stack:

            def start(role: Role) -> VirtualMachine:
                disk, shape, snapshot = prepared[role.name]
                return stack.enter_context(
                    self._started(
                        f"{stem}-{role.name}",
                        role.name,
                        disk,
                        shape,
                        snapshot,
                        ports=role.ports,
                        links=links_of(stem, role.name, [other.name for other in roles]),
                        owner={
                            "campaign": names.campaign,
                            "cell": f"{names.cell}-{names.attempt}",
                            "role": role.name,
                        },
                        kept=kept,
                        ledger=ledger,
                    )
                )

            machines = {role.name: start(role) for role in roles}
            kvm = all(shape.accelerator == "kvm" for _, shape, _ in prepared.values())
            boots = BootWatch(machines)

            def keep() -> list[str]:
                kept.update(f"{stem}-{name}" for name in machines)
                return sorted(kept)

            yield Machines(
                of=machines,
                fidelity=Fidelity.KVM if kvm else Fidelity.SYSTEM_EMULATED,
                disturbances=boots.disturbances,
                restarts=boots.restarts,
                keep=keep if self.keeps else None,
            )

    def _prepared(self, role: Role, environment: Environment | None, ledger: Ledger) -> tuple[Disk, Shape, Path]:
        """Disk and shape of a role's machine, and its snapshot."""
        if environment is None:
            raise HarnessBug(f"no environment for {role.name}")
        disk = self.disks.ensure(environment.image, role.os, role.cpu.architecture, ledger, systemd=role.systemd)
        memory = size_in_bytes(role.limits.memory) // 2**20 + OWN_MEMORY
        shape = shape_of(role.cpu, memory, self.accelerator(role.cpu, disk))
        if not shape.model:
            raise ProvisionError(f"QEMU has no model of {role.cpu.cpu}", advice="see: harness targets check")
        return disk, shape, self.snapshot(disk, shape, ledger)

    def accelerator(self, cpu: Cpu, disk: Disk) -> str:
        """KVM only for a class that this machine is of itself, and where a trial boot with it comes to its end: a
        device node proves nothing."""
        if serving(cpu).fidelity is not Fidelity.CONTAINER or not os.access("/dev/kvm", os.R_OK | os.W_OK):
            return "tcg"
        if disk.key not in self._kvm:
            try:
                with self._booted(disk, shape_of(cpu, 768, "kvm"), KVM_SECONDS):
                    self._kvm[disk.key] = True
            except Canceled:
                raise
            except HarnessError:
                self._kvm[disk.key] = False
        return "kvm" if self._kvm[disk.key] else "tcg"

    @contextlib.contextmanager
    def _booted(self, disk: Disk, shape: Shape, seconds: float = BOOT_SECONDS) -> Iterator[Qemu]:
        """A machine that was booted for itself, gone afterwards; it ends with the campaign that booted it."""
        place = self.folder / f"boot-{own_name()}-{secrets.token_hex(4)}"
        place.mkdir(parents=True, mode=0o700)
        qemu = None
        try:
            make_overlay(disk, place, self.cancel)
            qemu = Qemu(place, place.name, shape, disk.boot, {22: free_port()})
            qemu.wait_booted(seconds, self.cancel)
            yield qemu
        finally:
            if qemu is not None:
                qemu.stop()
            shutil.rmtree(place, ignore_errors=True)

    def snapshot(self, disk: Disk, shape: Shape, ledger: Ledger) -> Path:
        """An overlay of ``disk`` that holds a booted machine; made and proved where it is missing.

        Raises:
            InfrastructureError: it does not boot, or a snapshot of it cannot be restored.
        """
        emulator = system_emulator(shape.program)
        key = digest_of([REVISION, disk.key, shape.plain(), emulator.sha256])[:24]
        final = self.disks.folder / "snapshots" / f"{key}.qcow2"
        with self.disks.environments.images.locked(f"snapshot-{key}"):
            if final.is_file():
                mark_used(final)
                return final
            ledger.intent("snapshot", key)
            started = time.monotonic()
            with self._booted(disk, shape) as qemu:
                self._login(qemu, disk, BOOT_SECONDS).close()  # only what can be logged into is worth keeping
                booted = time.monotonic() - started
                final.parent.mkdir(parents=True, exist_ok=True)
                part = final.with_name(f".{key}-{own_name()}.qcow2")
                try:
                    moments = self._save(qemu, disk, shape, part)
                    part.rename(final)
                finally:
                    part.unlink(missing_ok=True)
            ledger.event(
                "snapshot",
                key=key,
                model=shape.model,
                booted=round(booted, 2),
                moments=moments,
                emulator=emulator.version,
            )
            ledger.created("snapshot", key, str(final))
        return final

    def _save(self, qemu: Qemu, disk: Disk, shape: Shape, part: Path) -> int:
        """Save a running machine to ``part``; gives how many moments were tried.

        QEMU 10.0 does not save the timer of a LoongArch CPU that is about to fire: a guest restored to such a moment
        waits for it for ever. Others, in which its CPUs sleep, are good. So each is proved before it is kept.
        """
        for moment in range(1, MOMENTS + 1):
            if self.cancel.wait(0.5 * moment):
                raise Canceled(f"{qemu.name}: stopped while a snapshot of it was made")
            qemu.monitor("stop")
            qemu.monitor(f"savevm {SNAPSHOT}")
            copy_sparse(qemu.folder / "disk.qcow2", part, self.cancel)
            try:
                for _ in range(PROOFS):
                    self._prove(disk, shape, part)
            except Canceled:
                raise
            except HarnessError:
                if moment == MOMENTS:
                    raise
                qemu.monitor(f"delvm {SNAPSHOT}")
                qemu.monitor("cont")
            else:
                return moment
        raise AssertionError

    def _prove(self, disk: Disk, shape: Shape, snapshot: Path) -> None:
        place = self.folder / f"proof-{own_name()}-{secrets.token_hex(4)}"
        with self._restored(place, place.name, disk, shape, snapshot, (), (), {}, PROOF_SECONDS) as machine:
            answer = machine.run("sleep 0.2; test -w /root", timeout=PROOF_SECONDS)
            if not answer.ok:
                raise InfrastructureError(
                    f"a snapshot of {shape.architecture} cannot be restored: {answer.text[-200:]}",
                    advice="repeat; it is made anew",
                )

    @contextlib.contextmanager
    def _restored(
        self,
        place: Path,
        name: str,
        disk: Disk,
        shape: Shape,
        snapshot: Path,
        ports: tuple[int, ...],
        links: Sequence[Link],
        owner: dict[str, str],
        seconds: float = RESTORE_SECONDS,
        kept: Collection[str] = (),
    ) -> Iterator[VirtualMachine]:
        place.mkdir(parents=True, mode=0o700)
        qemu = machine = None
        try:
            copy_sparse(snapshot, place / "disk.qcow2", self.cancel)
            forwarded = {22: free_port(), **{port: free_port() for port in ports}}
            lasting = self.keeps and bool(owner)
            if lasting:
                owner = owner | entrance(place, forwarded[22], disk.host_key, self.disks.identity)
            qemu = Qemu(place, name, shape, disk.boot, forwarded, links, owner=owner, restore=SNAPSHOT, lasting=lasting)
            machine = self._login(qemu, disk, seconds)
            yield machine
        finally:
            if machine is not None:
                machine.close()
            if qemu is not None and name in kept:
                qemu.leave()
            else:
                if qemu is not None:
                    qemu.stop()
                shutil.rmtree(place, ignore_errors=True)

    def _login(self, qemu: Qemu, disk: Disk, seconds: float) -> VirtualMachine:
        """Log in as soon as the guest's SSH server answers; the emulator itself answers long before.

        Raises:
            InfrastructureError: it does not answer in time, or the emulator ended.
        """
        machine = machine_of(qemu, disk.host_key, self.disks.identity)
        trouble: list[InfrastructureError] = []

        def login() -> bool:
            if not qemu.running:
                raise qemu.trouble("the virtual machine ended")
            try:
                machine.run("true", timeout=seconds)
            except InfrastructureError as error:
                trouble[:] = [error]
                return False
            return True

        try:
            wait_until(login, seconds=seconds, what=f"a login to {qemu.name}", longest=0.1, cancel=self.cancel)
        except StepTimeout:
            raise qemu.trouble(f"nobody can log in: {trouble[0].message}") from trouble[0]
        return machine

    @contextlib.contextmanager
    def _started(
        self,
        name: str,
        role: str,
        disk: Disk,
        shape: Shape,
        snapshot: Path,
        *,
        ports: tuple[int, ...],
        links: Sequence[Link],
        owner: dict[str, str],
        kept: Collection[str],
        ledger: Ledger,
    ) -> Iterator[VirtualMachine]:
        """A machine of a cell, restored from its snapshot.

        Raises:
            InfrastructureError: it does not come up.
        """
        ledger.intent("vm", name)
        place = self.folder / name
        try:
            with self._restored(place, name, disk, shape, snapshot, ports, links, owner, kept=kept) as machine:
                ledger.created("vm", name, str(machine.reference.process))
                self._settle(machine, role)
                try:
                    yield machine
                finally:
                    with contextlib.suppress(HarnessError):
                        journal_deeds(place / DEEDS, ledger)
                    with contextlib.suppress(OSError):
                        ledger.keep(f"console-{role}.log", (place / "console.log").read_bytes())
        finally:
            if name not in kept:
                ledger.removed("vm", name)

    def _settle(self, machine: VirtualMachine, role: str) -> None:
        """What a machine that was asleep must learn: the time, other random numbers, who it is in this cell."""
        hosts, cables = "\\n".join(host_lines(role)), "; ".join(cable_commands(role))
        answer = machine.run(
            f"date -u -s @{time.time():.3f} >/dev/null && cat >/dev/urandom && hostname {role} && "
            f"printf '{hosts}\\n' >>/etc/hosts && {{ {cables}; }}",
            stdin=secrets.token_hex(64),
            timeout=RESTORE_SECONDS,
        )
        if not answer.ok:
            raise InfrastructureError(
                f"{machine.name}: it could not be set up: {answer.text.strip()[-300:]}",
                advice="see console.log in the evidence",
            )
