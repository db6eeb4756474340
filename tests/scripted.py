"""A fast scripted machine: the engine's containers are files, commands in them give scripted answers.

For tests that run a campaign hundreds of times: everything above the engine is the real thing. The files outlive a
process that is killed, as containers do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.attest.probing import PROBE
from harness.campaigns import running, working
from harness.campaigns.options import RunOptions
from harness.campaigns.running import resume_campaign, run_campaign
from harness.containers import first_program as first_program_module
from harness.containers import provisioner as containers_module
from harness.containers.provisioner import Containers
from harness.errors import Canceled
from harness.evidence import Workspace
from harness.evidence.database import DatabaseJournal
from harness.evidence.lookup import latest
from harness.evidence.units import Unit
from harness.issuing.outcome import Progress
from harness.model.attestation import Executions
from harness.model.machine import MachineReference
from harness.model.plan import LocatedSuite
from harness.model.recipe import Environment
from harness.model.results import Observation, Result
from harness.provision.provisioner import Held
from harness.reading.catalogue import Catalogue
from harness.runners import runner as runner_module
from harness.system import waiting as waiting_module
from harness.system.process import Completed
from harness.system.waiting import Notice, Waiting

ANSWER = """clock={now}
arch=x86_64
kernel=6.0
glibc=2.36
page=4096
loader=/lib64/ld-linux-x86-64.so.2
cpu.flags=cmov cx8 fpu fxsr mmx sse sse2 lm syscall nx
file./etc/debian_version=12.5
os.ID=debian
os.VERSION_ID=12
"""


class Engine:
    """Containers and networks as files of ``$SCRIPTED``."""

    memory, cpus, version, info, is_podman = 8 << 30, 2, {"Version": "scripted"}, {}, False
    reached = False  #: by the addresses of containers

    def __init__(self, workspace: str = "none") -> None:
        self.workspace = workspace
        self.place = Path(os.environ["SCRIPTED"])

    def labels(self, campaign: str, attempt: str, role: str) -> dict[str, str]:
        return {"harness.campaign": campaign, "harness.attempt": attempt, "harness.role": role}

    def create_network(self, name: str, labels: dict[str, str]) -> str:
        return self._create("network", name, labels)

    def create_container(self, name: str, image: str, **more: Any) -> str:
        return self._create("container", name, more["labels"])

    def _create(self, kind: str, name: str, labels: dict[str, str]) -> str:
        path = self.place / f"{kind}-{name}"
        assert not path.exists(), f"{path.name} is there already"
        # At once, as an engine does it: a kill in another thread must not leave one that has no labels.
        unnamed = self.place.with_name(f"{path.name}.unnamed")
        unnamed.write_text(json.dumps(labels))
        unnamed.rename(path)
        return name

    def remove_container(self, name: str) -> bool:
        return self._remove("container", name)

    def remove_network(self, name: str) -> bool:
        return self._remove("network", name)

    def _remove(self, kind: str, name: str) -> bool:
        path = self.place / f"{kind}-{name}"
        found = path.exists()
        path.unlink(missing_ok=True)
        return found

    def first_process(self, _container: str) -> int:
        return 0

    def ours(self, *, everywhere: bool = False) -> list[tuple[str, str, dict[str, str]]]:
        return [
            (*path.name.split("-", 1), json.loads(path.read_text()))  # type: ignore[misc]
            for path in sorted(self.place.iterdir())
        ]


class Machine:
    """Every command succeeds; the probe gives what debian-12 on x86-64 would."""

    def __init__(self, engine: Engine, container: str, name: str = "", **_: Any) -> None:
        self.engine, self.container, self.name = engine, container, name or container

    def run(self, command: str, **_: Any) -> Completed:
        assert (self.engine.place / f"container-{self.container}").exists(), f"{self.container} is gone"
        if trouble := os.environ.get("SCRIPTED_TROUBLE"):
            exec(trouble, {"machine": self, "command": command})  # the test's own words
        if "/control.sh ends " in command:
            return Completed(rc=0, out="starts 1\n")  # the product was started once, and nothing ended
        return Completed(rc=0, out=ANSWER.format(now=int(time.time())) if command.startswith(PROBE) else "3.40.1\n")

    @property
    def reference(self) -> MachineReference:
        return MachineReference(kind="container", name=self.name, container=self.container)

    def processes(self) -> dict[int, str]:
        return {}

    def put(self, *_: Any, **__: Any) -> None: ...

    def address(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", port


class ContainerWatch:
    """Nobody disturbs a file."""

    def __init__(self, *_: Any) -> None: ...

    def disturbances(self, _since: float) -> list[str]:
        return []

    def written(self, _role: str) -> int:
        return 0


class ExecutionWatch:
    """Nothing is executed: the containers are files."""

    def __init__(self, container: str, _process: int, architecture: str) -> None:
        self.container, self.architecture = container, architecture

    def executions(self) -> Executions:
        return Executions()

    def close(self) -> None: ...


class Environments:
    def __init__(self, engine: Engine, images: Any, **_: Any) -> None:
        self.images = images

    def ensure(self, recipe: Any, system: Any, ledger: Any) -> Environment:
        ledger.event("environment", name=recipe.name)
        return Environment(image="scripted", key="0" * 64, cached=True, seconds=0.0)


class Images:
    def __init__(self, *_: Any, **__: Any) -> None: ...

    def is_there(self, *_: Any) -> bool:
        return True

    def ensure(self, *_: Any) -> Any:
        return SimpleNamespace(id="scripted")


def _suite(suite: LocatedSuite, cases: Any, _context: Any, ledger: Any, *_: Any) -> list[Observation]:
    ledger.keep("pytest.log", b"scripted")
    with _ORDER:
        _RUNNING.append("suite")
    time.sleep(float(os.environ.get("SCRIPTED_SUITE_SECONDS", "0")))
    with _ORDER:
        _RUNNING.remove("suite")
    Path(os.environ["SCRIPTED"]).with_name("suites-run").open("a").write("1")
    result = Result(os.environ.get("SCRIPTED_SUITE", "pass"))
    return [Observation(case=case.id, suite=suite.definition.suite, result=result) for case in cases]


def _load(suite: LocatedSuite, *_: Any, **__: Any) -> list[Observation]:
    """A load that sees whether anything else of its machine works meanwhile."""
    with _ORDER:
        _RUNNING.append("load")
        beside = len(_RUNNING) > 1
    time.sleep(0.05)
    with _ORDER:
        _RUNNING.remove("load")
    result = Result.FAIL if beside else Result.PASS
    return [Observation(case=case.id, suite=suite.definition.suite, result=result) for case in suite.definition.cases]


_ORDER = threading.Lock()
_RUNNING: list[str] = []  #: loads and suites that work at this moment
_HOST = threading.Lock()


@contextlib.contextmanager
def _hold_the_only_host(self: Containers, roles: Any, names: Any, ledger: Any, waiting: Waiting) -> Iterator[Held]:
    """The lease of a lab with one host, as ``LabHosts`` gives it: the next cell waits until it is put back."""
    notice = Notice(waiting)
    while not _HOST.acquire(timeout=0.02):
        if waiting.stopped():
            raise Canceled("stopped while waiting for a lab host")
        notice.look(lambda: "a lab host: the only one is in use")
    try:
        yield Held(machines=lambda environments: self.machines(roles, environments, names, ledger))
    finally:
        _HOST.release()


def install() -> None:
    """Put the scripted pieces where the real ones are, in this process."""
    for module, names in (
        (
            running,
            {"Engine": Engine},
        ),
        (
            working,
            {
                "BaseImages": Images,
                "Environments": Environments,
                "fonts": lambda: None,
                "ForkServer": lambda *_: SimpleNamespace(close=lambda: None),
            },
        ),
        (runner_module, {"run_pytest": _suite, "run_locust": _load}),
        (first_program_module, {"ended": lambda *_: ""}),  # the first program of a file
        (
            containers_module,
            {
                "ContainerMachine": Machine,
                "ContainerWatch": ContainerWatch,
                "ExecutionWatch": ExecutionWatch,
                "carried_programs": lambda *_: [],
            },
        ),
    ):
        for name, value in names.items():
            setattr(module, name, value)
    waiting_module.NOTICE_SECONDS = float(os.environ.get("SCRIPTED_NOTICE_SECONDS", waiting_module.NOTICE_SECONDS))
    if os.environ.get("SCRIPTED_ONE_HOST"):
        Containers.hold = _hold_the_only_host  # type: ignore[method-assign]
    from harness.issuing.papers import Papers

    Papers.report = lambda *_: b"scripted"  # type: ignore[method-assign]
    Papers.certificate = lambda *_: b"scripted"  # type: ignore[method-assign]


def die_at(number: int, moment: str) -> None:
    """SIGKILL this process at the ``number``-th write to the journal: ``before`` it, ``inside`` it, ``after`` it."""
    original = DatabaseJournal._write
    count = 0

    @contextlib.contextmanager
    def counted(self: DatabaseJournal) -> Iterator[Unit]:
        nonlocal count
        count += 1
        reached = count == number
        if reached and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with original(self) as unit:
            yield unit
            if reached and moment == "inside":
                unit.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        if reached and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    DatabaseJournal._write = counted  # type: ignore[method-assign]


def campaign(verb: str, folder: str, workspace: str, kill: int, moment: str, jobs: int) -> int:
    """Run or resume; the exit status says whether all is conformant. Called in a process of its own."""
    install()
    if kill:
        die_at(kill, moment)
    place = Workspace(Path(workspace))
    if verb == "run":
        here = Catalogue.standard(Path.cwd())
        finished = run_campaign(Path(folder), place, RunOptions(jobs=jobs), Progress(), catalogue=here)
    else:
        finished = resume_campaign(latest(place), place, RunOptions(jobs=jobs), Progress())
    return 0 if finished.view.verdict.value == "conformant" else 1
