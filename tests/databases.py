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
from collections.abc import Iterator
from pathlib import Path

import psycopg


def programs() -> Path:
    """The newest of Debian's; their folder is on no user's path."""
    versions = sorted(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name))
    return versions[-1] / "bin"


class Cluster:
    """A running server; ``database()`` gives the URL of a new, empty database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, name: str) -> str:
        return f"postgresql://tests@/{name}?host={self.folder}"

    def database(self) -> str:
        name = f"d{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a server, and end it. Its paths are short: a socket's name has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    owner = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if owner:
        os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
    data, binaries = folder / "data", programs()
    server = None
    try:
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            check=True,
            user=owner,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        options = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "60"}
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *(f"--{key}={value}" for key, value in options.items())],
                user=owner,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=folder,
            )
        running = Cluster(folder)
        _wait(running, server)
        yield running
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # a fast end: it does not wait for clients
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(running: Cluster, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(running.url("postgres")):
            return
        assert server.poll() is None, (running.folder / "log").read_text()
        time.sleep(0.1)
    raise AssertionError((running.folder / "log").read_text())
