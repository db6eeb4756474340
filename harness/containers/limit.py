"""Limits of time for commands in containers, kept from this side.

timeout(1) inside the container would be a program more for each command, and each program that is started costs a
twentieth of a second on an emulated machine.
"""

from __future__ import annotations

import contextlib
import re
import threading
from types import TracebackType

import docker.errors
import requests.exceptions

from harness.containers.engine import Engine

#: Arguments: a name for messages, and the command. It says its own number first, which is that of its process group: an
#: engine gives each command a session. The command is run by the same program, in a process of its own. SIGTERM ends
#: that process and not this shell, which waits for it as timeout(1) does.
#: What the shell itself says of the end ("Terminated") is none of the command's output.
GUARD = (
    r'printf "\004%s\n" $$ >&2; trap : TERM; exec 3>&2 2>/dev/null; '
    r'(exec 2>&3 3>&-; eval "set --; $1"); r=$?; printf "\n\004end\n" >&3; exit $r'
)
#: A command that ignores SIGTERM at its limit is killed so many seconds later.
KILL_AFTER = 5
_NUMBER = re.compile("\x04([0-9]+)\n")
#: Bytes of the error output in which the number is looked for; a shell may warn of its locale before.
_FIRST = 65_536
#: Statuses as timeout(1) has them: ended by SIGTERM, killed.
_STATUSES = {"TERM": 124, "KILL": 137}


def without_number(text: str) -> str:
    """The error output of a command without what ``GUARD`` printed first."""
    return _NUMBER.sub("", text, count=1)


class Limit:
    """Ends the process group of a command that was started by ``GUARD`` when its time is over.

    ``seconds``: from here on. ``status``: of a command that was ended so, 0 for any other.
    """

    def __init__(self, engine: Engine, container: str, seconds: float) -> None:
        self._engine, self._container, self._seconds = engine, container, seconds
        self._ended = threading.Event()
        self._begun = threading.Event()
        self._head = b""
        self._group = 0
        self._watch = threading.Thread(target=self._keep, name="limit", daemon=True)
        self.status = 0

    def __enter__(self) -> Limit:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._begun.set()
        self._watch.join()

    def listen(self, piece: bytes) -> None:
        """Take the next piece of the command's error output."""
        if self._begun.is_set() or len(self._head) > _FIRST:
            return
        self._head += piece
        if number := _NUMBER.search(self._head.decode(errors="replace")):
            self._group = int(number.group(1))
            self._begun.set()

    def _keep(self) -> None:
        if self._ended.wait(self._seconds):
            return
        self._begun.wait()  # what has not begun cannot be ended; the end of the command sets this, too
        signal = "TERM"
        while self._group and not self._ended.is_set():
            # A container that is paused takes no command now, and one that is gone has ended the command.
            with contextlib.suppress(docker.errors.DockerException, requests.exceptions.RequestException, OSError):
                api = self._engine.client.api
                words = ["sh", "-c", f"kill -{signal} -{self._group}"]
                api.exec_start(api.exec_create(self._container, words, user="root")["Id"])
                self.status = _STATUSES[signal]
            self._ended.wait(KILL_AFTER)
            signal = "KILL"
