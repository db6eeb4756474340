"""A center that is broken at random moments while it works: real PostgreSQL and real worker processes in a network
namespace, scripted machines.

``python -m tests.center_faults KIND[,KIND…] COUNT [SEED]`` breaks it so often, and says what that cost.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import psycopg

from harness.center import watching
from harness.evidence import broken_at
from harness.evidence.checking import differences
from harness.evidence.database import DatabaseJournal
from harness.model.results import Cause, State, Verdict
from harness.system.wait import wait_until
from tests.center_lab import PATIENCE, PORTS, CenterLab
from tests.databases import programs


class FaultLab(CenterLab):
    """A center with ways to break it, each a method."""

    # --- faults ---

    def family(self, name: str) -> list[psutil.Process]:
        worker = self.workers[name]
        return [worker, *worker.children(recursive=True)]

    def any_worker(self) -> str:
        return self.random.choice(sorted(self.workers))

    def kill_worker(self) -> None:
        name = self.any_worker()
        self.workers[name].kill()
        self.workers[name].wait(20)
        time.sleep(self.random.uniform(0, 1))
        self.begin_worker(name)

    def kill_machine(self) -> None:
        """All processes of a worker at once, as when its machine loses its power."""
        name = self.any_worker()
        self.workers[name].suspend()
        for each in reversed(self.family(name)):
            with contextlib.suppress(psutil.Error):
                each.kill()
        self.workers[name].wait(20)
        time.sleep(self.random.uniform(0, 2))
        self.begin_worker(name)

    def sleep_worker(self) -> None:
        """Beyond its patience, and awake again."""
        asleep = self.family(self.any_worker())
        for each in asleep:
            with contextlib.suppress(psutil.Error):
                each.suspend()
        time.sleep(PATIENCE * self.random.uniform(1.1, 2))
        for each in asleep:
            with contextlib.suppress(psutil.Error):
                each.resume()

    def restart_database(self) -> None:
        self.server.stop(self.random.choice([signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]))
        time.sleep(self.random.uniform(0, 3))
        self.server.start()

    def kill_database(self) -> None:
        """The server's first process and all others of it, with SIGKILL."""
        process = self.server.process
        assert process is not None
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for each in family:
            with contextlib.suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(family[1:], timeout=20)
        self.server.stop()
        (self.server.data / "postmaster.pid").unlink(missing_ok=True)
        time.sleep(self.random.uniform(0, 3))
        self.server.start()

    def kill_backend(self) -> None:
        """One connection's process, with SIGKILL: the server ends all, and recovers."""
        with psycopg.connect(self.server.url("postgres")) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = 'center' AND pid <> pg_backend_pid()"
            ).fetchall()
        if rows:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(rows)[0], signal.SIGKILL)

    def fill_database(self) -> None:
        """Its disk is full for some seconds; a server that ended for that is started again."""
        with self._full(self.databases):
            time.sleep(self.random.uniform(1, 4))
        wait_until(self._answers_or_ended, seconds=120, what="the server answers, or has ended")
        assert self.server.process is not None
        if self.server.process.poll() is not None:
            self.server.stop()
            self.server.start()

    def _answers_or_ended(self) -> bool:
        """A server that recovers may end yet."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.server.url("center")):
            return True
        assert self.server.process is not None
        return self.server.process.poll() is not None

    @contextlib.contextmanager
    def _full(self, folder: Path) -> Iterator[None]:
        ballast = folder / "ballast"
        try:
            with ballast.open("wb") as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
            yield
        finally:
            ballast.unlink()

    def fail_over(self) -> None:
        """The primary is killed, its standby promoted, and a new standby made."""
        standby, former = self.standby, self.server
        assert standby is not None
        assert former.process is not None
        self.standby = None
        former.stop(signal.SIGKILL)
        time.sleep(self.random.uniform(0, 2))
        subprocess.run(
            [programs() / "pg_ctl", "promote", "-w", "-D", standby.data],
            check=True,
            user="postgres",
            capture_output=True,
        )
        self.server = standby
        self.ask(standby, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        shutil.rmtree(former.data)
        self.add_standby(former)

    def cut_network(self) -> None:
        """Packets to and from the server vanish, for less or more than a worker's patience."""
        with self._rule():
            time.sleep(self.random.choice([1.0, 4.0, PATIENCE * 1.5]) * self.random.uniform(0.5, 1.2))

    def lose_packets(self) -> None:
        """Every tenth packet vanishes."""
        with self._rule("-m", "statistic", "--mode", "random", "--probability", "0.1"):
            time.sleep(self.random.uniform(2, 5))

    @contextlib.contextmanager
    def _rule(self, *words: str) -> Iterator[None]:
        for change in ("-I", "-D"):
            for port in ("--dport", "--sport"):
                rule = [
                    *self.inside,
                    "iptables",
                    change,
                    "INPUT",
                    "-p",
                    "tcp",
                    port,
                    str(PORTS[0]),
                    *words,
                    "-j",
                    "DROP",
                ]
                subprocess.run(rule, check=True)
            if change == "-I":
                yield

    def delay_network(self) -> None:
        """300 ms for the way there and back."""
        self.delay.write_text("0.15")
        time.sleep(self.random.uniform(3, 6))
        self.delay.write_text("0")

    def lose_evidence(self) -> None:
        """The folder of evidence is away, as when its file system is not mounted."""
        away = self.evidence.with_name("away")
        self.evidence.rename(away)
        time.sleep(self.random.uniform(0.5, 4))
        wait_until(functools.partial(self._back, away), seconds=20, what="the folder of evidence is back")

    def _back(self, away: Path) -> bool:
        """Put it where a worker may make another at this moment."""
        shutil.rmtree(self.evidence, ignore_errors=True)
        with contextlib.suppress(OSError):
            away.rename(self.evidence)
        return not away.exists()

    def slow_evidence(self) -> None:
        """Each file of evidence that is opened, renamed or synced takes long, as on a shared folder that is busy."""
        maps = [Path(f"/proc/{worker.pid}/maps").read_text() for worker in self.workers.values()]
        assert all(self.slow_disk.name in each for each in maps), "it is preloaded"
        self.slow.write_text(str(self.random.uniform(0.3, 3)))
        time.sleep(self.random.uniform(3, 8))
        self.slow.write_text("0")

    def fill_evidence(self) -> None:
        with self._full(self.evidence.parent):
            time.sleep(self.random.uniform(1, 4))

    def skew_clock(self) -> None:
        """A worker is started again whose clock is minutes off, to either side."""
        name = self.any_worker()
        self.end_family(self.workers[name])
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        minutes = self.random.choice([-1, 1]) * self.random.randint(2, 45)
        skewed = {"LD_PRELOAD": str(library), "FAKETIME": f"{minutes:+d}m", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.begin_worker(name, **skewed)

    def change_version(self) -> None:
        """A worker of another version comes for a while; it takes nothing."""
        self.begin_worker("old", SCRIPTED_VERSION="0.0.1")
        try:
            wait_until(self._old_has_looked, seconds=120, what="the old worker has looked at the queue")
            with self.center() as center:
                says = next(row["says"] for row in watching.workers_of(center) if row["name"] == "old")
                assert all("it is for harness" in why for why in says["refused"].values())
                assert says["running"] == []
        finally:
            self.end_family(self.workers.pop("old"))

    def _old_has_looked(self) -> bool:
        with self.center() as center:
            self.keep_waiting(center)
            return any(row["name"] == "old" and row["says"]["refused"] for row in watching.workers_of(center))

    # --- what must hold ---

    def break_often(self, kinds: list[str], count: int, seed: int, say: Callable[[str], None]) -> None:
        """Break it ``count`` times in each of these ways, in any order, at random moments while it works."""
        self.random = random.Random(seed)
        self.submit()
        ended = 0
        order = [kind for kind in kinds for _ in range(count)]
        self.random.shuffle(order)
        for number, kind in enumerate(order):
            wait_until(functools.partial(self.has_ended_more, ended), seconds=240, what=f"a cell ends before {kind}")
            ended = self.ended()
            time.sleep(self.random.uniform(0, 2))
            say(f"{number + 1} of {len(order)}: {kind}")
            getattr(self, kind)()
        wait_until(self.is_over, seconds=600, what="all campaigns are closed")
        ended = {
            name: (self.folder / f"{name}.log").read_text() for name, w in self.workers.items() if not w.is_running()
        }
        assert ended == {}, "a worker that was started again has ended"

    def demand(self) -> collections.Counter[str]:
        """Nothing lost, nothing doubled, everything ended, and what a fault cost has the cause infra.

        Gives the ends of all attempts.
        """
        ends: collections.Counter[str] = collections.Counter()
        with self.center() as center:
            place = center.workspace
            journal = place.journal
            assert isinstance(journal, DatabaseJournal)
            assert broken_at(journal) is None
            for row in journal.campaigns():
                assert differences(journal, row.id, journal.events(row.id)) == []
                assert row.verdict == "conformant", f"{row.id}: {row.verdict}"
                for file in journal.files(row.id):
                    place.store.check(file.sha256)
                attempts = journal.attempts(row.id)
                assert all(attempt.state is State.DONE for attempt in attempts)
                good = collections.Counter(a.cell for a in attempts if a.verdict is Verdict.CONFORMANT)
                assert good == dict.fromkeys((cell["id"] for cell in row.plan["cells"]), 1), "each cell once"
                for attempt in attempts:
                    ends[f"{attempt.verdict} {attempt.cause}"] += 1
                    if attempt.verdict is not Verdict.CONFORMANT:
                        assert (attempt.verdict, attempt.cause) == (Verdict.INCONCLUSIVE, Cause.INFRA), attempt.message
            # The sweeper may say first that a campaign is closed; the worker that closed it ends its job then.
            wait_until(lambda: center.counts() == {}, seconds=60, what="no job is left in the queue")
            assert [row for row in place.claims.expired() if row.worker] == []
        return ends


KINDS = {
    "kill_worker": {},
    "kill_machine": {},
    "sleep_worker": {},
    "restart_database": {},
    "kill_database": {},
    "kill_backend": {},
    "fill_database": {},
    "fail_over": {"pair": True},
    "cut_network": {},
    "lose_packets": {},
    "delay_network": {"relayed": True},
    "lose_evidence": {},
    "fill_evidence": {},
    "slow_evidence": {},
    "skew_clock": {},
    "change_version": {},
}


def broken(
    kinds: list[str], count: int, seed: int, folder: Path, say: Callable[[str], None], slots: Sequence[int] = (2, 2, 2)
) -> collections.Counter[str]:
    """A center that was broken in these ways; gives the ends of its attempts."""
    needs = {key: value for kind in kinds for key, value in KINDS[kind].items()}
    with FaultLab(folder, **needs, slots=slots) as lab:
        lab.break_often(kinds, count, seed, say)
        return lab.demand()


if __name__ == "__main__":
    _kinds, _count = sys.argv[1].split(","), int(sys.argv[2])
    _seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1000)
    _folder = Path(tempfile.mkdtemp(prefix="center-faults-"))
    print(f"seed {_seed}, {_folder}", flush=True)
    _began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _ends = broken(
        _kinds, _count, _seed, _folder, lambda words: print(f"{time.monotonic() - _began:.0f} s: {words}", flush=True)
    )
    print(f"{time.monotonic() - _began:.0f} s; attempts: {dict(_ends)}")
