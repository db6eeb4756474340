"""The process in which a worker runs one cell, or closes one campaign.

A process of its own, because a cell is stopped by signals, forks, and may be ended by the kernel for its memory; the
worker outlives all that. It ends when the worker does. What it prints is the log of the worker for this cell.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path

import click

from harness.campaigns.options import RunOptions
from harness.campaigns.running import close_campaign, run_one_cell
from harness.center.logs import LOG_FORMAT, Log
from harness.errors import Canceled, HarnessError
from harness.evidence import Workspace
from harness.evidence.claims import Held
from harness.evidence.store import StoreAway
from harness.issuing.outcome import Progress
from harness.model.plan import Cell
from harness.system.canonical import read_json
from harness.system.printable import visible

#: Exit codes: the cell has its verdict; it was asked to stop; it is to be tried later; something failed here.
ENDED, STOPPED, LATER, FAILED = 0, 76, 75, 70
_PR_SET_PDEATHSIG = 1  # prctl(2)
#: Words for Python that begin such a process.
PROGRAM: tuple[str, ...] = ("-c", "from harness.center.process import begin; begin()")
#: Names the mirror of packages, as for the commands.
MIRROR = "HARNESS_MIRROR"


def main(task: str, campaign: str, cell: str, root: str, worker: str, options: str, parent: int) -> int:
    """Run a cell, or close a campaign where ``cell`` is empty; gives the exit code. ``options``: JSON of RunOptions."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR2)  # which ends it at once, until it holds something
    if os.getppid() != parent:
        return STOPPED  # the worker was gone before this was said
    say = Log(who=worker, as_json=os.environ.get(LOG_FORMAT) == "json", write=_write)
    try:
        workspace = Workspace(Path(root))
    except HarnessError as error:  # a database that is away says nothing of the cell
        say(str(error), campaign=campaign, cell=cell)
        return LATER
    signal.signal(signal.SIGUSR2, lambda *_: threading.Thread(target=_end_with_the_worker, args=(workspace,)).start())
    progress = _progress(say, workspace, campaign)
    try:
        if task == "close":
            close_campaign(campaign, workspace, progress)
            return ENDED
        named = replace(RunOptions.kept(read_json(options)), mirror=os.environ.get(MIRROR, ""))
        return ENDED if run_one_cell(campaign, cell, workspace, named, progress, worker=worker) else STOPPED
    except (Held, StoreAway) as error:
        say(str(error), campaign=campaign, cell=cell)
        return LATER
    except Canceled:
        return STOPPED
    except HarnessError as error:
        say(str(error), campaign=campaign, cell=cell)
        return FAILED
    except Exception:  # noqa: BLE001  # the edge of this process: the worker reads its log
        say(traceback.format_exc(), campaign=campaign, cell=cell)
        return FAILED
    finally:
        with contextlib.suppress(HarnessError):
            workspace.journal.close()


def _progress(say: Log, workspace: Workspace, campaign: str) -> Progress:
    def about(cell: Cell, words: str) -> None:
        number = 0
        if say.as_json:
            with contextlib.suppress(HarnessError):  # a database that is away: the line has no number
                number = max((attempt.number for attempt in workspace.journal.attempts(campaign, cell.id)), default=0)
        say(f"{cell.short} {words}", campaign=campaign, cell=cell.id, attempt=number)

    return Progress(
        step=about,
        note=lambda words: say(words, campaign=campaign),
        verdict=lambda cell, verdict, words: about(cell, f"{verdict} {words}"),
    )


def _end_with_the_worker(workspace: Workspace) -> None:
    """Stop, and record nothing more: no operator has cancelled this attempt, and whoever takes the cell next records it
    as cut off."""
    try:
        workspace.claims.forfeit()
    except HarnessError:
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)


def _write(line: str) -> None:
    click.echo(visible(line))
    sys.stdout.flush()


def begin() -> None:
    """Run what the words of this process name, and end it."""
    task, campaign, cell, root, worker, options, parent = sys.argv[1:]
    sys.exit(main(task, campaign, cell, root, worker, options, int(parent)))
