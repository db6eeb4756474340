"""A role of a cell is data: a third server needs a line in a table, and no code."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from harness.control.deployment import Deployment
from harness.execution.attempt import Attempt
from harness.execution.contexts import context_of, draw_secrets
from harness.execution.deploying import start_servers
from harness.execution.making import Factors, Serving, Target, roles_of
from harness.machines.placing import place
from harness.model import plan
from harness.model.context import CellContext, RanBefore
from harness.model.machine import MachineReference
from harness.model.recipe import Environment
from harness.model.templating import render
from harness.planning import expand
from harness.provision.provisioner import Machines
from harness.reading.read import read
from harness.system.process import Completed
from tests.products import WEB, product

VERSIONS = {"--version": "Redis server v=7.0.15 sha=0"}


class Machine:
    """Answers every command of a server with success, and remembers it."""

    def __init__(self, name: str) -> None:
        self.name, self.commands, self.files = name, list[str](), dict[str, str]()

    @property
    def reference(self) -> MachineReference:
        return MachineReference(kind="container", name=self.name, container=self.name)

    def run(self, command: str, **_: Any) -> Completed:
        self.commands.append(command)
        return Completed(rc=0, out=VERSIONS["--version"] if "version" in command else "3.40.1")

    def put(self, path: str, data: bytes, **_: Any) -> None:
        self.files[path] = data.decode()

    def address(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", port


class Record:
    """An attempt's record, as far as servers are recorded."""

    number = 1

    def __init__(self) -> None:
        self.attested: list[str] = []
        self.hidden: list[str] = []

    def event(self, kind: str, **data: Any) -> None:
        if kind == "attestation":
            self.attested.append(data["machine"])

    def observe(self, *_: Any) -> None: ...
    def state(self, *_: Any) -> None: ...


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """A cell with a database, a cache and a broker, the last two of one entry of the catalogue."""
    monkeypatch.setitem(plan.ROLES, "broker", "middleware")  # type: ignore[arg-type]
    folder = product(
        tmp_path / "p",
        WEB,
        axes={"middleware": ["redis"], "broker": ["redis"], "broker_os": ["debian-12"]},
    )
    definitions = read(folder)
    (cell,) = expand(definitions).cells
    suite: Any = SimpleNamespace(suite="deployment", cases=(SimpleNamespace(id="DEP-2", test="database", when="main"),))
    lab: Any = SimpleNamespace(
        reference_of=lambda _cell: None,
        definitions=definitions,
        deployment_suite=suite,
        campaign="c",
        stopping=False,
        trusts_code=False,
        controller={},
        say=lambda *_: None,
    )
    record: Any = Record()
    return Attempt(lab, place(definitions, cell), record)


def target_of(attempt: Attempt) -> Target:
    machines: dict[str, Any] = {role.name: Machine(role.name) for role in roles_of(attempt)}
    serving: Any = Serving(
        provisioner=None,  # type: ignore[arg-type]
        roles=roles_of(attempt),
        emulators=dict.fromkeys(machines),
    )
    return Target(
        serving=serving,
        machines=Machines(of=machines),
        factors=Factors(declared=1.0, measured=1.0),
        environments={"application": Environment(image="", key="", cached=True, seconds=0.0)},
        ran_before=RanBefore(),
    )


def test_each_role_gets_a_machine_an_access_and_a_password_of_its_own(attempt: Attempt) -> None:
    assert [role.name for role in roles_of(attempt)] == ["application", "middleware", "broker"]
    secrets = draw_secrets(attempt)
    context = context_of(attempt, target_of(attempt), secrets)
    assert context.servers.keys() == {"database", "middleware", "broker"}
    assert context.servers["broker"].access.host == "broker"
    assert len({server.access.password.get_secret_value() for server in context.servers.values()}) == 3
    assert set(context.hidden()) >= {password.get_secret_value() for password in secrets.passwords.values()}
    assert CellContext.model_validate_json(context.model_dump_json(by_alias=True)) == context
    line = render("{{ broker.host }}:{{ broker.port }} {{ middleware.host }}", context.values(), where="a test")
    assert line == "broker:6379 middleware"


def test_a_context_is_the_same_each_time_it_is_asked_for(attempt: Attempt) -> None:
    target, secrets = target_of(attempt), draw_secrets(attempt)
    assert context_of(attempt, target, secrets) == context_of(attempt, target, secrets)


def test_each_server_is_started_attested_and_asked_whether_it_answers(attempt: Attempt) -> None:
    target = target_of(attempt)
    context = context_of(attempt, target, draw_secrets(attempt))
    machines = {role: target.machines.on(role) for role in context.servers}
    deployment = Deployment.on(context, target.machines.application, machines)
    with contextlib.suppress(NotImplementedError):
        start_servers(attempt, deployment)
    assert attempt.record.attested == ["middleware", "broker", "database"]  # type: ignore[attr-defined]
    broker: Any = machines["broker"]
    broker.run = lambda *_args, **_more: Completed(rc=1)
    assert deployment.servers["broker"].ready() is False
    assert deployment.servers["middleware"].ready() is True


def test_no_command_line_on_a_servers_machine_has_its_password(attempt: Attempt) -> None:
    """Whoever lists processes sees the commands that a shell is given."""
    target = target_of(attempt)
    context = context_of(attempt, target, draw_secrets(attempt))
    machines: Any = {role: target.machines.on(role) for role in context.servers}
    deployment = Deployment.on(context, target.machines.application, machines)
    servers = {role: deployment.servers[role] for role in ("middleware", "broker")}
    for role, server in servers.items():
        password = server.access.password.get_secret_value()
        server.start()
        assert server.ready()
        server.stop()
        assert len(password) >= 16
        assert not [command for command in machines[role].commands if password in command]
        assert password in "".join(machines[role].files.values())
    assert machines["middleware"].files.keys().isdisjoint(machines["broker"].files)


def test_a_machine_of_its_own_for_a_role_is_read_from_its_axes(attempt: Attempt) -> None:
    matrix = yaml.safe_load(attempt.lab.definitions.matrix_path.read_text())
    assert matrix["axes"]["broker_os"] == ["debian-12"]
    assert attempt.placed.servers["broker"].os.os == "debian-12"
    assert attempt.placed.servers["broker"].name == "redis"
