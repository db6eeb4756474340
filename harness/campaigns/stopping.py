"""How a running campaign is stopped: after the steps that run, or at once, by whatever asks for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from harness.containers.engine import LABEL_CAMPAIGN, Engine
from harness.errors import HarnessError
from harness.evidence.holding import Ask
from harness.issuing.outcome import Progress
from harness.system.makers import own_name
from harness.virtual import qemu

#: What asks a process to end; the first asks politely.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Between two looks for machines that came up after a stop.
SWEEP_SECONDS = 0.5


@dataclass
class Stop:
    """``drain``: the steps that run are finished, then nothing more is begun. ``cancel``: everything ends now."""

    campaign: str
    progress: Progress
    engine: Engine | None
    machines: Path
    cancel: threading.Event = field(default_factory=threading.Event)
    drain: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)  #: nothing of the campaign runs any more

    @property
    def asked(self) -> bool:
        """Whether the campaign was asked to stop, in whichever way."""
        return self.cancel.is_set() or self.drain.is_set()

    def on_signal(self, number: int) -> None:
        """Ctrl-C once: after the steps that run. Ctrl-C again, SIGTERM, a closed terminal: now."""
        if number == signal.SIGINT and not self.drain.is_set():
            self.after_steps()
        elif self.cancel.is_set():
            self.progress.note("still stopping: what runs is being ended / 仍在停止")
        else:
            self.now()

    def on_ask(self, asked: Ask) -> None:
        """Another process asks this campaign to stop, or has taken it over."""
        if asked == "lost":
            self.progress.note("another worker has taken this campaign over: nothing more is recorded here")
        if asked != "drain":
            self.on_signal(signal.SIGTERM)
        elif not self.drain.is_set():
            self.after_steps()

    def after_steps(self) -> None:
        """Let the steps that run come to their end, and begin no others."""
        self.drain.set()
        self.progress.note(
            "stopping: the steps that run are finished and recorded; Ctrl-C again stops now / "
            "正在停止：当前步骤完成并记录后结束；再按 Ctrl-C 立即停止"
        )

    def now(self) -> None:
        """End what runs, at once."""
        self.drain.set()
        self.cancel.set()
        self.progress.note(
            "stopping now: what was recorded is kept; containers are being removed / 立即停止：已记录的内容保留"
        )
        threading.Thread(target=self._end_machines, name="stop", daemon=True).start()

    def _end_machines(self) -> None:
        """End machines until nothing runs: a command in one ends with it, so nobody waits for a long installation."""
        while not self.over.is_set():
            with contextlib.suppress(HarnessError):
                self._end_containers()
            for folder, state in qemu.standing(self.machines):
                if state.get("campaign") == self.campaign or _booted_here(folder):
                    qemu.end(folder)
            self.over.wait(SWEEP_SECONDS)

    def _end_containers(self) -> None:
        if self.engine is None:
            return
        for kind, name, labels in self.engine.ours():
            if kind == "container" and labels.get(LABEL_CAMPAIGN) == self.campaign:
                self.engine.remove_container(name)


def _booted_here(folder: Path) -> bool:
    """Whether a machine was booted by this process to make or prove a snapshot; it belongs to no campaign."""
    return folder.name.startswith((f"boot-{own_name()}-", f"proof-{own_name()}-"))


@contextlib.contextmanager
def interruptible(stop: Callable[[int], None]) -> Iterator[None]:
    """Signals ask the campaign to stop instead of tearing it apart; one that this process ignores stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        stop(number)

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
