"""A PostgreSQL server of the tests' own: in a temporary folder, as a user without rights, on a socket file."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg


def programs() -> Path:
    """The newest of Debian's; their folder is on no user's path."""
    versions = sorted(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name))
    return versions[-1] / "bin"


class Cluster:
    """A server; ``database()`` gives the URL of a new, empty database.

    ``before``: words before its own, which become it (``nsenter``).
    """

    def __init__(
        self,
        folder: Path,
        owner: str | None,
        options: Mapping[str, object] | None = None,
        before: Sequence[str] = (),
        data: Path | None = None,
    ) -> None:
        self.folder, self.owner, self.before, self.data = folder, owner, before, data or folder / "data"
        self.options = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": 60}
        self.options |= options or {}
        self.process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make its data, for a user ``tests`` without a password."""
        subprocess.run(
            [programs() / "initdb", "-D", self.data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            check=True,
            user=self.owner,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
        )

    def start(self) -> None:
        words = [str(programs() / "postgres"), "-D", str(self.data), *(f"--{k}={v}" for k, v in self.options.items())]
        if self.owner is not None and self.before:
            words = [*self.before, "setpriv", f"--reuid={self.owner}", "--clear-groups", *words]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                words,
                user=None if self.before else self.owner,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )
        _wait(self, self.process)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it fast, without a wait for clients; SIGQUIT: as if the machine lost its power."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def url(self, name: str) -> str:
        return f"postgresql://tests@/{name}?host={self.folder}&port={self.options.get('port', 5432)}"

    def database(self) -> str:
        name = f"d{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


@contextlib.contextmanager
def cluster(**options: object) -> Iterator[Cluster]:
    """Start a server with these settings, and end it. Its paths are short: a socket's name has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    owner = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if owner:
        os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
    running = Cluster(folder, owner, options)
    try:
        running.make()
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(running: Cluster, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(running.url("postgres")):
            return
        assert server.poll() is None, (running.folder / "log").read_text()
        time.sleep(0.1)
    raise AssertionError((running.folder / "log").read_text())
