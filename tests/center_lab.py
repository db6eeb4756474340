"""A center for tests that break it: real PostgreSQL and workers in a network namespace, scripted machines."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import psutil
import psycopg

from harness.campaigns.options import RunOptions
from harness.center.queueing import Center
from harness.center.submitting import submit
from harness.errors import InfrastructureError
from harness.evidence import Workspace
from harness.reading.catalogue import Catalogue
from tests.databases import Cluster, programs
from tests.products import WEB, product

REPOSITORY = Path(__file__).parents[1]
#: Seconds of silence after which a worker counts as dead: the shortest that may be set.
PATIENCE = 6.0
CELLS = 5
#: The relay that delays listens here, the servers on these.
RELAY, PORTS = 5431, (5432, 5433)
RELAY_PROGRAM = """
import asyncio, pathlib, sys
port, target, file = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
async def hand_on(reader, writer):
    try:
        while data := await reader.read(65536):
            await asyncio.sleep(float(file.read_text() or 0))
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def accept(reader, writer):
    try:
        other = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.close()
        return
    await asyncio.gather(hand_on(reader, other[1]), hand_on(other[0], writer))
async def main():
    async with await asyncio.start_server(accept, "127.0.0.1", port) as server:
        await server.serve_forever()
asyncio.run(main())
"""


class CenterLab:
    """A center in a network namespace of its own, which is kept busy.

    ``relayed``: the workers reach the server by a relay that may delay; ``pair``: the server has a synchronous standby;
    ``slots``: cells at once, for each worker a number.
    """

    def __init__(
        self, folder: Path, *, relayed: bool = False, pair: bool = False, slots: Sequence[int] = (2, 2, 2)
    ) -> None:
        self.slots = {f"w{number}": each for number, each in enumerate(slots)}
        self.folder, self.random, self.relayed, self.pair = folder, random.Random(0), relayed, pair
        self.campaigns: list[str] = []
        self.workers: dict[str, psutil.Popen] = {}
        self.others: list[subprocess.Popen[bytes]] = []
        self.stack = contextlib.ExitStack()
        self.guard = threading.Lock()

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    # --- making it ---

    def _begin(self) -> None:
        namespace = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep infinity"], stdout=subprocess.PIPE
        )
        self.stack.callback(self._end, namespace)
        assert namespace.stdout is not None
        namespace.stdout.readline()
        namespace.stdout.close()
        self.inside = ("nsenter", f"--net=/proc/{namespace.pid}/ns/net", "--")
        self.databases = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.stack.callback(shutil.rmtree, self.databases, ignore_errors=True)
        # A disk of their own, small enough to be filled.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500m", "tmpfs", self.databases], check=True)
        self.stack.callback(subprocess.run, ["umount", "--lazy", self.databases], check=False)
        os.chown(self.databases, pwd.getpwnam("postgres").pw_uid, -1)
        self.server = self._cluster("a", PORTS[0])
        self.server.make()
        self.stack.callback(lambda: self.server.stop())
        self.server.start()
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE center")
        self.standby: Cluster | None = None
        if self.pair:
            self.stack.callback(lambda: self.standby.stop() if self.standby is not None else None)
            self.add_standby(self._cluster("b", PORTS[1]))
        self.evidence = self.folder / "store" / "evidence"
        self.evidence.parent.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.evidence.parent], check=True)
        self.stack.callback(subprocess.run, ["umount", "--lazy", self.evidence.parent], check=False)
        self.evidence.mkdir()
        self.slow, self.slow_disk = self.folder / "slow", self.folder / "slow_disk.so"
        self.slow.write_text("0")
        source = Path(__file__).with_name("slow_disk.c")
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", self.slow_disk, source, "-ldl"], check=True)
        self.engine = self.folder / "engine"  # of the workers themselves: the cells have theirs in their slots
        self.engine.mkdir()
        self.delay = self.folder / "delay"
        self.delay.write_text("0")
        if self.relayed:
            words = (*self.inside, sys.executable, "-c", RELAY_PROGRAM, RELAY, PORTS[0], self.delay)
            self.others.append(subprocess.Popen(list(map(str, words))))
            self.stack.callback(self._end, self.others[-1])
        self.application = {
            **{key: value for key, value in WEB.items() if key != "http"},
            "ready": {"command": "true"},
            "version_command": "print-version",
            "version": "3.40.1",
        }
        self.stack.callback(self._end_workers)
        self.others.append(self._process("sweeper", "sweeper", "--workspace", "sweeper"))
        self.stack.callback(self._end, self.others[-1])
        for name in self.slots:
            self.begin_worker(name)

    def _cluster(self, name: str, port: int) -> Cluster:
        folder = self.databases / name
        folder.mkdir()
        shutil.chown(folder, "postgres")
        options = {"listen_addresses": "127.0.0.1", "port": port, "max_connections": 150, "max_wal_size": "128MB"}
        return Cluster(folder, "postgres", options, self.inside, folder / "data")

    @property
    def url(self) -> str:
        """As the workers are given it."""
        if self.pair:
            both = ",".join(map(str, PORTS))
            return f"postgresql://tests@/center?host=127.0.0.1,127.0.0.1&port={both}&target_session_attrs=read-write"
        return f"postgresql://tests@127.0.0.1:{RELAY if self.relayed else PORTS[0]}/center"

    @contextlib.contextmanager
    def center(self) -> Iterator[Center]:
        """The center, for a look past the network."""
        place = Workspace(self.folder / "look", self.server.url("center"), self.evidence)
        try:
            yield Center(place)
        finally:
            place.journal.close()

    def _process(self, name: str, *words: str, **more: str) -> psutil.Popen:
        environment = os.environ | {
            "HARNESS_DATABASE_URL": self.url,
            "HARNESS_EVIDENCE": str(self.evidence),
            "HARNESS_PATIENCE": f"{PATIENCE:.0f}",
            "PYTHONPATH": str(REPOSITORY),
            "SCRIPTED": str(self.engine),
            "SCRIPTED_SUITE_SECONDS": "0.5",
            "SLOW_FOLDER": str(self.evidence),
            "SLOW_SECONDS": str(self.slow),
            **more,
        }
        environment["LD_PRELOAD"] = ":".join([*filter(None, [more.get("LD_PRELOAD")]), str(self.slow_disk)])
        with (self.folder / f"{name}.log").open("ab") as log:
            return psutil.Popen(
                [*self.inside, sys.executable, "-m", "tests.scripted_center", *words],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def begin_worker(self, name: str, **more: str) -> None:
        words = ("worker", "--workspace", f"ws-{name}", "--name", name, "--slots", str(self.slots.get(name, 1)))
        self.workers[name] = self._process(name, *words, **more)

    def _end_workers(self) -> None:
        for worker in self.workers.values():
            self.end_family(worker)

    def end_family(self, process: psutil.Popen) -> None:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            family = [*process.children(recursive=True), process]
            for each in family:
                with contextlib.suppress(psutil.Error):
                    each.kill()
        process.wait(20)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(20)

    # --- work ---

    def submit(self, priority: int = 0, cells: int = CELLS) -> str:
        number = len(self.campaigns)
        axes = {"n": [f"n{n}" for n in range(min(cells, 100))], "m": [f"m{n}" for n in range(max(1, cells // 100))]}
        folder = product(
            self.folder / f"产品 {number}",
            {**self.application, "application": f"p{number}"},
            database=["sqlite"],
            axes=axes,
        )
        with self.center() as center:
            options = RunOptions()
            campaign = submit(
                folder, center, options, Catalogue.standard(), customer=f"c{number % 2}", priority=priority
            )
        self.campaigns.append(campaign)
        return campaign

    def ended(self) -> int:
        """Cells that have come to their verdict."""
        with psycopg.connect(self.server.url("center")) as connection:
            row = connection.execute("SELECT count(*) FROM attempts WHERE verdict = 'conformant'").fetchone()
            return int(row[0]) if row else 0

    def is_over(self) -> bool:
        with contextlib.suppress(InfrastructureError), self.center() as center:
            return not center.submissions()
        return False

    def has_ended_more(self, before: int) -> bool:
        """Whether cells have come to their verdict since; cells of two campaigns at least wait meanwhile."""
        with contextlib.suppress(InfrastructureError, psycopg.OperationalError):  # a server that recovers
            with self.center() as center:
                self.keep_waiting(center)
            return self.ended() > before
        return False

    def keep_waiting(self, center: Center) -> None:
        """Submit campaigns until cells of two wait."""
        waiting = {queue.partition("/")[0] for queue, jobs in center.counts().items() if "todo" in jobs}
        for _ in range(2 - len(waiting - {"close"})):
            self.submit()

    def add_standby(self, standby: Cluster) -> None:
        """Every commit is on both from now on."""
        primary = self.server
        words = [
            "-h",
            primary.folder,
            "-p",
            primary.options["port"],
            "-U",
            "tests",
            "-D",
            standby.data,
            "-R",
            "-c",
            "fast",
        ]
        subprocess.run(
            [programs() / "pg_basebackup", *map(str, words)], check=True, user="postgres", cwd=standby.folder
        )
        standby.start()
        self.standby = standby
        self.ask(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")

    def ask(self, server: Cluster, *statements: str) -> None:
        url = server.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
