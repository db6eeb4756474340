"""What a reliability suite may do to a machine: cut and slow its network, fill its disk, move its clock, and more.

Each kind of machine says in ``can`` which verbs it has. Every verb has its opposite, and ``undo`` is the opposite of
all of them: it can be called at any time and from any process, because it asks the machine what is left to undo.
What is done is noted as a ``Deed``, so that nobody takes it for a disturbance of the laboratory.
"""

from __future__ import annotations

import contextlib
import enum
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import UnsupportedVerb
from harness.model.ledger import Ledger


class Verb(enum.StrEnum):
    """One thing that can be done to a machine."""

    CUT = "cut"  #: no packet comes in or goes out
    DELAY = "delay"  #: packets that go out wait
    NAMES = "names"  #: no name server answers it
    LOSS = "loss"  #: packets that go out are lost
    FILL = "fill"  #: hardly any space is left on its disk
    CLOCK = "clock"  #: its clock goes ahead or behind
    MEMORY = "memory"  #: it has less memory
    PAUSE = "pause"  #: nothing runs on it
    REBOOT = "reboot"  #: it is started again, and comes back; by ``SshMachine.reboot``, and no part of ``can``


class Verbs(Protocol):
    """The verbs of one machine. All raise ``UnsupportedVerb`` where ``can`` lacks the verb, and
    ``InfrastructureError`` where the machine does not obey."""

    @property
    def can(self) -> frozenset[Verb]:
        """The verbs that this machine has here and now."""
        ...

    def cut_network(self, peer: str = "") -> None:
        """Drop all packets; with ``peer`` (a role, such as ``database``) those to and from its machine alone."""
        ...

    def heal_network(self) -> None:
        """Take back ``cut_network``, ``slow_network`` and ``lose_names``."""
        ...

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        """Let packets that go out wait ``delay`` seconds; lose a part of them, ``loss`` from 0 to 1."""
        ...

    def lose_names(self) -> None:
        """Drop its questions to name servers; ``heal_network`` is the opposite."""
        ...

    def fill_disk(self, *, leave: int = 0, path: str = "/") -> None:
        """Fill the file system of the folder ``path`` until ``leave`` bytes are free."""
        ...

    def free_disk(self) -> None:
        """Remove what ``fill_disk`` wrote."""
        ...

    def move_clock(self, seconds: float) -> None:
        """Set the clock ahead by so many seconds, or behind where they are negative."""
        ...

    def restore_clock(self) -> None:
        """Set the clock to the controller's time."""
        ...

    def limit_memory(self, size: int) -> None:
        """Give its programs ``size`` bytes of memory."""
        ...

    def restore_memory(self) -> None:
        """Give back what the definition declares."""
        ...

    def pause(self) -> None:
        """Stop everything on it, as it stands."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...

    def undo(self) -> None:
        """Take back whatever is in effect, whoever did it; nothing happens where nothing is."""
        ...


class UnsupportedVerbs:
    """Implements ``Verbs`` for machines that have none; machines that have some override those.

    ``kind``: what the machine is, for the message.
    """

    kind = "this machine"

    @property
    def can(self) -> frozenset[Verb]:
        return frozenset()

    def _cannot(self, verb: Verb, why: str = "") -> NoReturn:
        have = ", ".join(sorted(self.can)) or "none"
        raise UnsupportedVerb(
            f"{self.kind} has no verb {verb}{f': {why}' if why else ''}; it has: {have}",
            advice="ask `machine.verbs.can` first and skip the case (skip reason: capability), "
            "or run it on another kind of machine",
        )

    def cut_network(self, peer: str = "") -> None:
        self._cannot(Verb.CUT)

    def heal_network(self) -> None:
        self._cannot(Verb.CUT)

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        self._cannot(Verb.DELAY if delay else Verb.LOSS)

    def lose_names(self) -> None:
        self._cannot(Verb.NAMES)

    def fill_disk(self, *, leave: int = 0, path: str = "/") -> None:
        self._cannot(Verb.FILL)

    def free_disk(self) -> None:
        self._cannot(Verb.FILL)

    def move_clock(self, seconds: float) -> None:
        self._cannot(Verb.CLOCK)

    def restore_clock(self) -> None:
        self._cannot(Verb.CLOCK)

    def limit_memory(self, size: int) -> None:
        self._cannot(Verb.MEMORY)

    def restore_memory(self) -> None:
        self._cannot(Verb.MEMORY)

    def pause(self) -> None:
        self._cannot(Verb.PAUSE)

    def resume(self) -> None:
        self._cannot(Verb.PAUSE)

    def undo(self) -> None:
        """Nothing can be in effect."""


class Deed(BaseModel):
    """A verb that was used: by what name, on which machine, when (seconds since 1970) and how."""

    model_config = ConfigDict(frozen=True)
    machine: str
    verb: Verb
    ends: bool = False  #: it is the opposite of the verb
    at: float
    details: dict[str, str | float | int] = {}


def note_deed(file: Path, machine: str, verb: Verb, *, ends: bool = False, **details: str | float | int) -> None:
    """Append a deed to the file that a cell's machines share; nothing is noted where there is no such file.

    It is written before the deed itself: a process that is killed between the two leaves a note too many.
    """
    if file == Path():
        return
    deed = Deed(machine=machine, verb=verb, ends=ends, at=time.time(), details=details)
    with file.open("a", encoding="utf-8") as out:
        out.write(deed.model_dump_json() + "\n")


def deeds(file: Path) -> list[Deed]:
    """The deeds of a cell, in order; lines that cannot be read are left out."""
    records: list[Deed] = []
    if file == Path() or not file.is_file():
        return records
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(ValidationError, json.JSONDecodeError):
            if line.strip():
                records.append(Deed.model_validate_json(line))
    return records


def in_effect(noted: Iterable[Deed], machine: str) -> set[Verb]:
    """The verbs that were used on a machine and not taken back."""
    active: set[Verb] = set()
    for deed in noted:
        if deed.machine == machine:
            active = active - {deed.verb} if deed.ends else active | {deed.verb}
    return active


def restart_was_asked(file: Path, machine: str, boot: str) -> bool:
    """Whether a machine runs the boot ``boot`` because a suite restarted it; also while such a restart is under way."""
    noted = [deed for deed in deeds(file) if deed.machine == machine and deed.verb is Verb.REBOOT]
    return any(deed.details.get("boot") == boot for deed in noted) or Verb.REBOOT in in_effect(noted, machine)


def journal_deeds(file: Path, ledger: Ledger) -> None:
    """Write the deeds of a cell into its record.

    Raises:
        HarnessError: the record cannot be written.
    """
    for deed in deeds(file):
        ledger.event("deed", **deed.model_dump(mode="json"))
