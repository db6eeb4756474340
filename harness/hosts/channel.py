"""One question to a host over an SSH connection: a script, what it reads, what it answers."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import dataclass

import paramiko

from harness.hosts.inventory import CONNECT_SECONDS, Connection
from harness.system import shell
from harness.system.bounded import Bounded

#: paramiko copies what is left of the input after each packet, so it gets pieces.
PIECE = 1 << 16
BULK, MOUTHFUL = 1 << 15, 1 << 22


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


@dataclass(frozen=True)
class Answer:
    """Exit status, standard output, error output of a script."""

    rc: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.raw.decode(errors="replace")

    @property
    def text(self) -> str:
        """Both outputs as text."""
        return self.out + self.err


def new_mark() -> str:
    """A random line, which no program prints by chance."""
    return f"harness-{secrets.token_hex(8)}"


def marked(script: str, mark: str) -> str:
    """Shell text that prints ``mark`` before anything of ``script``, to both outputs.

    The text before the mark comes from the login: a shell's start-up files, sudo, warnings about a locale.
    """
    return f"echo {mark}; echo {mark} >&2\n{script}"


def after_mark(data: bytes, mark: str) -> bytes:
    """The output after the mark; the whole output where there is no mark."""
    before, separator, rest = data.partition(f"{mark}\n".encode())
    return rest if separator else before


def ask(connection: Connection, script: str, stdin: bytes, silence: float, mark: str = "") -> Answer:
    """What a script answers; with ``mark`` it is one that prints that mark itself.

    Raises:
        ConnectionLost: the connection broke, or said nothing for ``silence`` seconds.
    """
    if not mark:
        mark = new_mark()
        script = marked(script, mark)
    try:
        channel = connection.transport.open_session(timeout=CONNECT_SECONDS)
        channel.settimeout(silence)
        channel.exec_command(f"sh -c {shell.quote(script)}")
        answer = _converse(channel, stdin)
    except (paramiko.SSHException, EOFError, OSError) as error:  # a timeout is an OSError
        raise ConnectionLost from error
    err = after_mark(answer.err.encode(), mark).decode(errors="replace")
    return Answer(rc=answer.rc, raw=after_mark(answer.raw, mark), err=err)


def _converse(channel: paramiko.Channel, stdin: bytes) -> Answer:
    """Send all of ``stdin``, read both outputs; the scripts themselves bound what they print to the first."""

    def send() -> None:
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):
            for at in range(0, len(stdin), PIECE):
                channel.sendall(stdin[at : at + PIECE])
            channel.shutdown_write()

    sender = threading.Thread(target=send, name="ssh-send", daemon=True)
    sender.start()
    errors = Bounded()

    def read_errors() -> None:
        with contextlib.suppress(EOFError, OSError, paramiko.SSHException):
            while chunk := channel.recv_stderr(65536):
                errors.add(chunk)

    reader = threading.Thread(target=read_errors, name="ssh-errors", daemon=True)
    reader.start()
    chunks: list[bytes] = []
    while chunk := channel.recv(MOUTHFUL):
        chunks.append(chunk)
        if len(chunk) >= BULK:  # more is on its way: the connection's thread reads it faster while nobody waits for it
            time.sleep(0.001)
    reader.join()
    sender.join()
    rc = channel.recv_exit_status()
    channel.close()
    if rc < 0:
        raise ConnectionLost
    return Answer(rc=rc, raw=b"".join(chunks), err=errors.text)
