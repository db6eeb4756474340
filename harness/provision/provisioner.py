"""The protocol of provisioners, which make the machines of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.attest.architecture import Emulator
from harness.model.attestation import Attestation, Executions
from harness.model.definitions import Cpu, Limits, Os, Reached
from harness.model.ledger import Ledger
from harness.model.machine import Machine
from harness.model.recipe import Environment, Recipe, ServerImage
from harness.model.results import Fidelity
from harness.system.waiting import Waiting

Kind = Literal["container", "vm", "host"]

APPLICATION = "application"
#: While its context lasts, commands on the application's machine reach the repositories of its system, though its
#: network is closed; it gives what they asked for beside those.
Outlet = Callable[[], AbstractContextManager[Sequence[str]]]


def no_outlet() -> AbstractContextManager[Sequence[str]]:
    """For machines that reach what they reach."""
    return nullcontext(())


@dataclass(frozen=True, kw_only=True)
class Role:
    """One machine that a cell needs, and what is to be installed on it."""

    name: str  #: ``application``, ``database``, ``middleware``: by that name the others find it
    os: Os
    cpu: Cpu
    recipe: Recipe
    limits: Limits = field(default_factory=Limits)
    ports: tuple[int, ...] = ()
    reach: tuple[Reached, ...] = ()  #: places outside of the cell, which it must reach
    served: tuple[Reached, ...] = ()  #: likewise, of the laboratory: they may be this machine
    systemd: bool = False  #: a virtual machine of it is started by systemd
    image: ServerImage | None = None  #: what its machine is made of in place of ``os`` and ``recipe``


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose the machines are."""

    campaign: str
    cell: str  #: eight hex digits
    attempt: str

    @property
    def stem(self) -> str:
        """What the names of all objects of the attempt begin with."""
        return f"harness-{self.campaign}-{self.cell}-{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Machines:
    """By role; a role that has none of its own is on the application's.

    ``addresses``: by what name or address the product reaches a role, where that is not the role's name. ``check``
    raises where a machine may not be used any more.
    """

    of: Mapping[str, Machine]
    addresses: Mapping[str, str] = field(default_factory=dict)
    fidelity: Fidelity | None = None  #: where only the machines that were found tell it
    check: Callable[[], None] = lambda: None
    #: What is known of the programs that ran, by role; None where a machine runs its own architecture's alone.
    executions: Callable[[], Mapping[str, Executions]] | None = None
    #: What was done to the machines from outside since a moment (seconds since 1970), in words.
    disturbances: Callable[[float], Sequence[str]] = lambda _since: ()
    #: Machines that something restarted which no suite asked for, in words.
    restarts: Callable[[], Sequence[str]] = tuple
    #: Bytes that programs wrote to disks that are shared with other cells, by role; empty where each has its own.
    written: Callable[[], Mapping[str, int]] = dict
    #: What the machines reach beside each other though the harness closes their network, in words, at this moment.
    openings: Callable[[], Sequence[str]] = tuple
    outlet: Outlet = no_outlet
    #: Executable files of another architecture on the machine of a role, with their architecture.
    carried: Callable[[str], Sequence[str]] = lambda _role: ()

    #: Leaves them standing at the end, for a look at them, and gives names; None where that is not possible.
    keep: Callable[[], Sequence[str]] | None = None

    @property
    def application(self) -> Machine:
        """The machine of the product."""
        return self.of[APPLICATION]

    def on(self, role: str) -> Machine:
        """The machine of a role."""
        return self.of.get(role, self.application)

    def address(self, role: str) -> str:
        """By what the product reaches a role."""
        return self.addresses.get(role, role)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a cell has for itself until the context that gave it ends. ``machines`` makes the cell's machines there.

    It takes the environment of each role by name, and leaves nothing behind whatever happens; intents are journaled
    before the deeds. It raises InfrastructureError where a machine cannot be had.
    """

    machines: Callable[[Mapping[str, Environment | None]], AbstractContextManager[Machines]]


class Provisioner(Protocol):
    """Containers, virtual machines and lab hosts keep the same promises (tests/contract)."""

    @property
    def kind(self) -> Kind:
        """What kind of machines it makes."""
        ...

    def emulator(self, cpu: Cpu) -> Emulator | None:
        """What would run programs of ``cpu``; None where nothing is emulated.

        Raises:
            ProvisionError: it is missing.
        """
        ...

    def environment(self, role: Role, ledger: Ledger) -> Environment | None:
        """What a role's machine is made of, installed once and found again; None where it is installed on the machine.

        Raises:
            InstallFailed: something in the recipe does not install.
            InfrastructureError: the engine, the mirror or the disk fails.
        """
        ...

    def hold(
        self, roles: tuple[Role, ...], names: Owner, ledger: Ledger, waiting: Waiting
    ) -> AbstractContextManager[Held]:
        """Lease what the machines will stand on. It may wait for other cells, so it is called without a turn.

        Raises:
            InfrastructureError: nothing fits, or what fits stays in use.
            Canceled: the wait was stopped.
        """
        ...

    def install(self, machine: Machine, role: Role, ledger: Ledger) -> Environment:
        """Install a role's recipe on its machine, where ``environment`` gave None. Raises as that."""
        ...

    def attest(self, machine: Machine, role: Role) -> Attestation:
        """Declared against observed. Raises as ``provision.attest``."""
        ...

    def known_good(self, os: Os, cpu: Cpu, campaign: str, ledger: Ledger) -> None:
        """Run what is known to be good on a target: a bare machine of it, attested.

        Raises:
            HarnessError: the lab does not carry even that; its message says why.
        """
        ...


def weakest(kinds: list[Fidelity | None]) -> Fidelity | None:
    """Of several machines the fidelity that shows least; None where one of them cannot be had."""
    order = list(Fidelity)
    known = [kind for kind in kinds if kind is not None]
    return max(known, key=order.index) if known and len(known) == len(kinds) else None
