"""Verbs of a virtual machine: network and pause by QEMU's monitor, the rest by commands in the guest.

Its memory cannot be limited: a snapshot is restored with the memory that it was saved with. Delay and loss need
``sch_netem`` in the guest's kernel, and are tried there.
"""

from __future__ import annotations

import posixpath
import time
from pathlib import Path

from harness.errors import InfrastructureError
from harness.model.machine import Machine
from harness.model.verbs import UnsupportedVerbs, Verb, note_deed
from harness.system import shell
from harness.virtual.cables import CABLES
from harness.virtual.qemu import CARDS, ask_monitor

FILLER = ".harness-filler"
#: Commands of the harness itself need so many bytes on the disk of the guest.
SPARE = 8 << 20
_FILLERS = "/run/harness-fillers"
#: A guest's clock that differs by more was moved.
_CLOCK_SECONDS = 2.0


class VirtualVerbs(UnsupportedVerbs):
    """``folder`` is that of the machine's QEMU, with its monitor; deeds are noted in the file ``noted``."""

    kind = "a virtual machine"

    def __init__(self, machine: Machine, folder: Path, noted: Path = Path()) -> None:
        self.machine, self.folder, self.noted = machine, folder, noted
        self._netem: bool | None = None

    @property
    def can(self) -> frozenset[Verb]:
        verbs = {Verb.CUT, Verb.FILL, Verb.CLOCK, Verb.PAUSE}
        return frozenset(verbs | {Verb.DELAY, Verb.LOSS} if self._has_netem() else verbs)

    def cut_network(self, peer: str = "") -> None:
        cards = [self._card(peer)] if peer else list(range(CARDS + 1))
        self._note(Verb.CUT, peer=peer)
        for number in cards:
            ask_monitor(self.folder, f"set_link n{number} off")

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        if not 0 <= loss < 1 or delay < 0:
            raise ValueError(f"delay {delay} s, loss {loss}: expected 0 or more, and a part from 0 to below 1")
        if not self._has_netem():
            self._cannot(Verb.DELAY if delay else Verb.LOSS, "the guest has no tc, or its kernel no sch_netem")
        for verb, value in ((Verb.DELAY, delay), (Verb.LOSS, loss)):
            if value:
                self._note(verb, value=value)
        self._on_each_card(f"tc qdisc replace dev $c root netem delay {delay * 1000:.0f}ms loss {loss * 100:.2f}%")

    def heal_network(self) -> None:
        for verb in (Verb.CUT, Verb.DELAY, Verb.LOSS):
            self._note(verb, ends=True)
        for number in range(CARDS + 1):
            ask_monitor(self.folder, f"set_link n{number} on")
        self._on_each_card("tc qdisc del dev $c root 2>/dev/null; true")

    def fill_disk(self, *, leave: int = 0, path: str = "/") -> None:
        leave = max(leave, SPARE)
        file = posixpath.join(path, FILLER)
        self._note(Verb.FILL, path=path, leave=leave)
        self._run(
            f"echo {shell.quote(file)} >>{_FILLERS}; "
            f"free=$(df -B1 --output=avail {shell.quote(path)} | tail -n 1); n=$((free - {leave})); "
            f"[ $n -le 0 ] || fallocate -l $n {shell.quote(file)} || "
            f"head -c $n /dev/zero >{shell.quote(file)}",
            seconds=300,
        )

    def free_disk(self) -> None:
        self._note(Verb.FILL, ends=True)
        self._run(f'[ ! -e {_FILLERS} ] || while read -r f; do rm -f "$f"; done <{_FILLERS}; rm -f {_FILLERS}')

    def move_clock(self, seconds: float) -> None:
        self._note(Verb.CLOCK, seconds=seconds)
        self._run(f"date -s @$(($(date +%s) + {seconds:.0f})) >/dev/null")

    def restore_clock(self) -> None:
        self._note(Verb.CLOCK, ends=True)
        self._run(f"date -s @{time.time():.3f} >/dev/null")

    def pause(self) -> None:
        self._note(Verb.PAUSE)
        ask_monitor(self.folder, "stop")

    def resume(self) -> None:
        self._note(Verb.PAUSE, ends=True)
        ask_monitor(self.folder, "cont")

    def undo(self) -> None:
        if "paused" in ask_monitor(self.folder, "info status"):
            self.resume()
        self.heal_network()
        self.free_disk()
        if abs(float(self._run("date +%s.%N")) - time.time()) > _CLOCK_SECONDS:
            self.restore_clock()

    def _note(self, verb: Verb, *, ends: bool = False, **details: str | float | int) -> None:
        note_deed(self.noted, self.machine.name, verb, ends=ends, **details)

    def _card(self, peer: str) -> int:
        """The number of the card whose cable leads to another machine of the cell."""
        names = [*CABLES, "application"]
        if peer not in names:
            raise InfrastructureError(
                f"{self.machine.name}: no cable leads to {peer}", advice=f"name one of: {', '.join(names)}"
            )
        role = peer if peer in CABLES else self.machine.name.rpartition("-")[2]
        return CABLES.index(role) + 1

    def _has_netem(self) -> bool:
        if self._netem is None:
            script = "tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root"
            self._netem = self.machine.run(f"modprobe sch_netem 2>/dev/null; {script}", timeout=60).ok
        return self._netem

    def _on_each_card(self, command: str) -> None:
        self._run(f"for c in /sys/class/net/eth*; do c=${{c##*/}}; {command}; done")

    def _run(self, command: str, *, seconds: float = 60) -> str:
        answer = self.machine.run(command, timeout=seconds)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.machine.name}: a verb failed (exit {answer.rc}): {answer.text.strip()[-300:]}",
                advice="see the console of the machine in the evidence",
            )
        return answer.out
