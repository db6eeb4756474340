"""Database servers of a laboratory for tests: real PostgreSQL and MariaDB on 127.0.0.1, with odd accounts and TLS."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from harness.endpoints.inventory import Server, resolved
from harness.errors import InfrastructureError
from harness.model.definitions import Database, Databases
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from tests.databases import programs

#: Names and passwords that would break whatever pastes them into a command, an URL or SQL.
ODD_USER = "lab admin'; -- \"ö%"
ODD_PASSWORD = "p w'\"\\%40@:/?#&=$(id)`达梦"


SQL = Path("/usr/share/mysql")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def entry(name: str) -> Database:
    path = Catalogue.standard().find("targets", "database", f"{name}.yaml")
    assert path is not None
    return parse(path, Database)


class Standing:
    """A server process of the tests, which can be ended and started again."""

    def __init__(self, folder: Path, database: str, command: list[str | Path], owner: str | None) -> None:
        self.folder, self.database, self._command, self._owner = folder, database, command, owner
        self.port, self.user, self.password = 0, ODD_USER, ODD_PASSWORD
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                user=self._owner,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(300):
            if self._answers():
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def _answers(self) -> bool:
        try:
            self.server().administer().close()
        except InfrastructureError as error:
            early = ("refused", "starting up", "not yet accepting", "reset by peer", "Lost connection")
            return not any(words in error.message for words in early)
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def plain(self, name: str = "center-1", **more: Any) -> dict[str, Any]:
        """Its entry of databases.yaml; the secret lies in a file."""
        secret = self.folder / "secret"
        secret.write_text(self.password + "\n", encoding="utf-8")
        return {
            "endpoint": name,
            "database": self.database,
            "address": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "password": f"file:{secret}",
            **more,
        }

    def server(self, name: str = "center-1", **more: Any) -> Server:
        databases = Databases.model_validate({"databases": [self.plain(name, **more)]})
        return resolved(databases.databases[0], entry(self.database))


def inventory(folder: Path, *entries: dict[str, Any]) -> Path:
    """databases.yaml in a folder."""
    path = folder / "databases.yaml"
    path.write_text(yaml.safe_dump({"databases": list(entries)}, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def certificates(folder: Path, address: str = "127.0.0.1") -> Path:
    """A CA, and beside it a key and certificate that it signed for an address; gives the CA's file."""
    folder.mkdir(exist_ok=True)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "9", "-extfile", "names", "-out", "cert.pem"]
    for argv in (
        ["req", "-x509", *ec, "-days", "9", "-subj", "/CN=tests' CA", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *ec, "-subj", "/CN=database", "-keyout", "key.pem", "-out", "request.pem"],
        ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *names],
    ):
        (folder / "names").write_text(f"subjectAltName=IP:{address}\n")
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem"


@contextlib.contextmanager
def postgresql(*, tls: bool = False, locale: str = "C") -> Iterator[Standing]:
    """A PostgreSQL server on a port of its own, whose superuser has an odd name and password."""
    folder = Path(tempfile.mkdtemp(prefix="end-", dir="/tmp"))
    owner = "postgres" if os.getuid() == 0 else None
    (folder / "pw").write_text(ODD_PASSWORD, encoding="utf-8")
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "max_connections": "40"}
    if tls:
        certificates(folder / "tls")
        (folder / "tls" / "key.pem").chmod(0o600)
        options |= {"ssl": "on", "ssl_cert_file": f"{folder}/tls/cert.pem", "ssl_key_file": f"{folder}/tls/key.pem"}
    if owner:
        account = pwd.getpwnam(owner)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
    port = free_port()
    command: list[str | Path] = [programs() / "postgres", "-D", folder / "data", "-p", str(port)]
    standing = Standing(folder, "postgresql", [*command, *(f"--{key}={v}" for key, v in options.items())], owner)
    standing.port = port
    more = [f"--pwfile={folder / 'pw'}", "-E", "UTF8", f"--locale={locale}", "-N"]
    try:
        subprocess.run(
            [programs() / "initdb", "-D", folder / "data", "-U", "tests", "-A", "scram-sha-256", *more],
            check=True,
            user=owner,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        standing.start()
        with psycopg.connect(
            host="127.0.0.1", port=port, user="tests", password=ODD_PASSWORD, dbname="postgres", autocommit=True
        ) as made:  # initdb itself takes no such names
            user, password = sql.Identifier(ODD_USER), sql.Literal(ODD_PASSWORD)
            made.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(user, password))
        yield standing
    finally:
        standing.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mariadb(*, tls: bool = False) -> Iterator[Standing]:
    """A MariaDB server likewise."""
    folder = Path(tempfile.mkdtemp(prefix="end-", dir="/tmp"))
    owner = "nobody" if os.getuid() == 0 else None
    quoted = {word: text.replace("\\", "\\\\").replace("'", "\\'") for word, text in _account().items()}
    (folder / "init.sql").write_text(
        "SET NAMES utf8mb4;\nFLUSH PRIVILEGES;\n"
        f"CREATE USER '{quoted['user']}'@'%' IDENTIFIED BY '{quoted['password']}';\n"
        f"GRANT ALL ON *.* TO '{quoted['user']}'@'%' WITH GRANT OPTION;\n",
        encoding="utf-8",
    )
    more: list[str] = []
    if tls:
        certificates(folder / "tls")
        more = [f"--ssl-cert={folder}/tls/cert.pem", f"--ssl-key={folder}/tls/key.pem"]
    if owner:
        account = pwd.getpwnam(owner)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
    port, data = free_port(), folder / "data"
    small = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--skip-name-resolve", "--skip-log-bin"]
    command: list[str | Path] = [
        "mariadbd",
        "--no-defaults",
        f"--datadir={data}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
    ]
    command += [f"--socket={folder}/s", f"--pid-file={folder}/pid", "--character-set-server=utf8mb4", *small, *more]
    standing = Standing(folder, "mariadb", [*command], owner)
    standing.port = port
    try:
        # As mariadb-install-db does, which needs a program of another package.
        data.mkdir()
        if owner:
            os.chown(data, pwd.getpwnam(owner).pw_uid, -1)
        tables = [f"mysql_{name}.sql" for name in ("system_tables", "performance_tables", "system_tables_data")]
        pieces = [b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;"]
        pieces += [path.read_bytes() for path in (*(SQL / name for name in tables), folder / "init.sql")]
        subprocess.run(
            ["mariadbd", "--no-defaults", f"--datadir={data}", "--bootstrap", *small],
            input=b"\n".join(pieces),
            check=True,
            user=owner,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        standing.start()
        yield standing
    finally:
        standing.stop(signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> dict[str, str]:
    return {"user": ODD_USER, "password": ODD_PASSWORD}


def restart_command(standing: Standing) -> str:
    """A command that restarts the server as a process of nobody's, for `restart` of databases.yaml."""
    assert standing.process is not None
    start = shlex.join(["setsid", *map(str, standing._command)])
    as_owner = f"setpriv --reuid={standing._owner} --regid={standing._owner} --clear-groups {start}"
    start = as_owner if standing._owner else start
    data = standing.folder / "data"
    return (
        f"kill -INT $(head -n 1 {data}/postmaster.pid) && while [ -e {data}/postmaster.pid ]; do sleep 0.1; done; "
        f"{{ cd {standing.folder} && exec {start}; }} >>{standing.folder}/log 2>&1 </dev/null &"
    )
