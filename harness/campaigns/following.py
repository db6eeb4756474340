"""Shows a campaign by what its journal says, whichever process writes it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from harness.errors import InfrastructureError
from harness.evidence import JournalReader
from harness.issuing.outcome import Progress
from harness.model.plan import Cell
from harness.model.records import EventRow
from harness.model.results import State, Verdict
from harness.system.canonical import read_json

#: Between two looks at the journal.
LOOK_SECONDS = 0.3
#: What a state is called where its event names no step.
WORDS = {
    State.QUEUED: "queued / 排队",
    State.PROVISIONING: "environment / 环境",
    State.ATTESTING: "attest / 核验",
    State.DEPLOYING: "deploy / 部署",
    State.RUNNING: "suites / 测试",
    State.COLLECTING: "collect / 收集",
    State.DONE: "done / 结束",
}


class Follower:
    """Turns the events of a campaign into what a person sees, each once, from number ``after`` on."""

    def __init__(
        self, journal: JournalReader, campaign: str, cells: Iterable[Cell], progress: Progress, *, after: int = 0
    ) -> None:
        self._journal, self._campaign, self._progress, self._after = journal, campaign, progress, after
        self._cells = {cell.id: cell for cell in cells}

    def look(self) -> None:
        """Show what was written since the last look.

        Raises:
            InfrastructureError: the journal does not answer.
        """
        for event in self._journal.follow(self._campaign, self._after):
            self._after = event.seq
            self._show(event, read_json(event.data))

    def _show(self, event: EventRow, data: dict[str, Any]) -> None:
        if event.kind == "quarantine":
            self._progress.note(f"{data['cpu']} · {data['os']} is in quarantine: {data['reason']}")
        cell = self._cells.get(event.cell)
        if cell is None:
            return
        match event.kind:
            case "attempt-opened" if event.number > 1:
                self._progress.step(cell, f"attempt {event.number} / 第 {event.number} 次执行")
            case "state":
                self._progress.step(cell, data.get("step") or WORDS[State(data["state"])])
            case "waiting":
                self._progress.step(cell, f"waits / 等待: {data['message']}")
            case "kept":
                self._progress.step(cell, f"kept / 已保留: harness shell {cell.short}; harness gc")
            case "attempt-closed":
                self._progress.verdict(cell, Verdict(data["verdict"]), data["message"])


@contextlib.contextmanager
def following(follower: Follower) -> Iterator[None]:
    """Look again and again while the block runs, and once at its end; a journal that is away for a moment is no end."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(LOOK_SECONDS):
            with contextlib.suppress(InfrastructureError):
                follower.look()

    thread = threading.Thread(target=work, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(InfrastructureError):
            follower.look()
