"""Servers of the lab beside the product: its database and its middleware, each controlled inside its own machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.control.ending import SIGILL, short_of_memory
from harness.control.imaged import demand_no_word_of_licence, demand_running, said_last
from harness.control.killing import kill_all
from harness.control.sessions import answers_of, conducted
from harness.endpoints.asking import Account, Refused, connect
from harness.errors import AttestationMismatch, InfrastructureError, StepTimeout, SuiteError
from harness.model.context import Access
from harness.model.definitions import Database, Middleware
from harness.model.machine import Machine
from harness.model.sessions import ANSWERS, SessionPlan, SessionStep, StepAnswer
from harness.model.templating import render
from harness.system import shell
from harness.system.process import Completed
from harness.system.wait import Deadline, wait_until

#: How often the log of a server that does not answer yet is looked at.
LOOK_SECONDS = 5.0
#: After which a session that has no answer is waiting for another, and how long that may last at most; both scaled by
#: the target, the first up to the last of these: servers end such a wait by themselves, seekdb after 10 seconds.
LOCK_SECONDS, BOUND_SECONDS, MOST_LOCK_SECONDS = 1.0, 30.0, 4.0
#: Where a server's machine keeps commands that hold its password, for root alone.
COMMANDS = "/var/lib/harness-server"
ENDPOINT_STAYS = "the database is on a server of the laboratory"


class QueryFailed(Exception):
    """The database answered with an error; what that means is for the caller to say."""


class NotOffered(Exception):
    """The laboratory's server cannot be used so: what a suite would see by that does not apply."""


@dataclass
class CellServer:
    """A server on ``machine``; ``access`` is how the product reaches it. ``restart_seconds``: in which an
    endpoint is up again; 0 where nobody may restart it. ``asks``: by what it is asked with SQL, where no client is on
    ``machine``. ``administrator``: of a vendor's image, in the campaign's own process alone."""

    machine: Machine
    definition: Database | Middleware
    access: Access
    factor: float = 1.0
    user: str = field(default="root")
    restart_seconds: float = 0.0
    asks: Machine | None = None
    administrator: Account | None = None
    has_user: bool = False  #: whether the cell's user is there, which asks from then on
    _kept: set[str] = field(default_factory=set, repr=False)  #: files of commands that were written
    _refusal: str = field(default="", repr=False)  #: why it took no connection, when it was last asked

    @property
    def name(self) -> str:
        """The kind of the server, by which its messages name it."""
        return self.access.kind

    @property
    def embedded(self) -> bool:
        """Whether it is a part of the product's machine, with nothing to start."""
        return self.definition.placement not in ("server", "external")

    @property
    def external(self) -> bool:
        """Whether it is a server of the laboratory, which the harness neither installs nor starts."""
        return self.definition.placement == "external"

    @property
    def by_driver(self) -> bool:
        """Whether it is asked with SQL, from this machine or by a broker."""
        return self.external or self.asks is not None

    @property
    def imaged(self) -> bool:
        """Whether it is a vendor's image."""
        return isinstance(self.definition, Database) and self.definition.imaged

    def no_way_from(self, machine: Machine, role: str) -> str:
        """Trouble between the product's machine and this server: its name, and TCP to its port; empty for none.

        Asked with what is there: a machine without getent and without bash cannot be asked, and gives no trouble.
        """
        access = self.access
        if self.embedded or not access.host or not access.port:
            return ""
        host, port = shell.quote(access.host), access.port
        answer = machine.run(
            f"if command -v getent >/dev/null; then getent hosts {host} >/dev/null || exit 41; fi; "
            "command -v bash >/dev/null || exit 0; command -v timeout >/dev/null || exit 0; "
            f"timeout {10 * self.factor:.0f} bash -c {shell.quote(f'exec 3<>/dev/tcp/{access.host}/{port}')} "
            "2>/dev/null || exit 42",
            timeout=60 * self.factor,
        )
        if answer.rc == 41:
            return f"the product's machine does not find the {role} by its name {access.host}"
        if answer.rc == 42:
            return f"the product's machine does not reach the {role} at {access.host}, port {port}"
        return ""

    def _render(self, command: str, **more: Any) -> str:
        kind, word = ("database", "db") if isinstance(self.definition, Database) else ("middleware", "middleware")
        values: dict[str, Any] = {word: self.access.values(), **more}
        if self.administrator is not None:
            values["admin"] = vars(self.administrator)
        return render(command, values, where=f"targets/{kind}/{self.name}.yaml")

    def _command(self, command: str | None, seconds: float, user: str = "root") -> Completed:
        if not command:
            return Completed(rc=0)
        return self.machine.run(self._hidden(self._render(command)), timeout=seconds * self.factor, user=user)

    def _asked(self, command: str, seconds: float, sql: str = "", **more: Any) -> Completed:
        """Have an endpoint do something, as the cell's own user, or as the administrator until there is that user.
        Raises as ``Machine.run``."""
        who = {"user": self.access.user, "password": self.access.password.get_secret_value(), "name": self.access.name}
        if (admin := self.administrator) is not None and not self.has_user:
            who = {"user": admin.user, "password": admin.password or "", "name": admin.database}
        machine = self.asks or self.machine
        return machine.run(command, timeout=seconds * self.factor, stdin=json.dumps({**who, "sql": sql, **more}))

    def _hidden(self, command: str) -> str:
        """``command``, or where it holds the password, the call of a file with it: a list of processes shows no
        secret.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        given = [self.access.password.get_secret_value(), (self.administrator and self.administrator.password) or ""]
        if not any(password and password in command for password in given):
            return command
        path = f"{COMMANDS}/{hashlib.sha256(command.encode()).hexdigest()[:16]}"
        if path not in self._kept:
            self.machine.put(path, f"{command}\n".encode(), mode="0700")
            self._kept.add(path)
        return f"sh {path}"

    def start(self) -> None:
        """Start it and wait until it answers. Nothing to do for an embedded one.

        Raises:
            InfrastructureError: it does not start or answer in time; nothing is known of the product.
        """
        if self.embedded:
            return
        user = self.user if self.imaged else "root"
        answer = self._command(self.definition.start, self.definition.start_seconds, user)
        if not answer.ok:
            if self.imaged:
                demand_running(self.machine, self.name)
            raise InfrastructureError(
                f"{self.name} did not start (exit {answer.rc}): {answer.text[-600:]}",
                advice="it is part of the lab: see its log, then: harness resume",
            )
        self._wait_ready(self.definition.start_seconds)

    def _wait_ready(self, seconds: float) -> None:
        looked = Deadline(0)

        def answers() -> bool:
            nonlocal looked
            if self._is_ready():
                return True
            if looked.left <= 0 and not self.external:
                self._demand_life()
                looked = Deadline(LOOK_SECONDS)
            return False

        try:
            wait_until(answers, seconds=seconds * self.factor, what=f"{self.name} answers")
        except StepTimeout as error:
            said = f"; {self._refusal}" if self._refusal else ""
            if self.imaged:
                last = said_last(self.machine)
                demand_no_word_of_licence(f"{self.name} does not answer{said}", f"{last} {self._refusal}".strip())
                said += f"; its last lines: {last or 'none'}"
            raise InfrastructureError(
                f"{self.name} does not answer: {error.message}{said}",
                advice="it is part of the lab: see its log, then: harness resume",
            ) from error

    def _demand_life(self) -> None:
        """Raises:
        AttestationMismatch: its log says that it died because the CPU lacks an instruction, or a vendor's image says
            that its licence is missing.
        InfrastructureError: a vendor's image has ended.
        """
        if self.imaged:
            demand_running(self.machine, self.name)
            return
        if self.definition.log is None:
            return
        tail = self.machine.run(f"tail -n 20 {shell.quote(self.definition.log)} 2>/dev/null", timeout=60).out
        if SIGILL.search(tail):
            raise AttestationMismatch(
                f"{self.name} died with SIGILL (illegal instruction): it uses an instruction that the CPU of its "
                f"machine does not have / {self.name} 因非法指令退出：其使用了该处理器不具备的指令",
                advice="take another class of CPU, or a build of the database for this class",
            )

    def stop(self) -> None:
        """Stop it cleanly.

        Raises:
            InfrastructureError: it does not stop.
            NotOffered: it is the laboratory's.
        """
        if self.external:
            raise NotOffered(f"{ENDPOINT_STAYS}: nobody stops it / 数据库由实验室提供，不可停止")
        image = self.definition.image if isinstance(self.definition, Database) and self.imaged else None
        answer = self._command(self.definition.stop, 60 + (image.stop_seconds if image is not None else 0))
        if not answer.ok:
            raise InfrastructureError(f"{self.name} did not stop: {answer.text[-600:]}")

    def kill(self) -> None:
        """SIGKILL to everything of it. Raises NotOffered: it is not alone in a container of the cell; else as
        ``kill_all``."""
        if self.external or self.embedded or self.imaged or self.machine.reference.kind != "container":
            raise NotOffered(f"{self.name} is not alone in a container of the cell / 数据库并非独占单元的容器")
        kill_all(self.machine, self.name, self.factor)

    def restart(self) -> None:
        """Stop, start, wait. Raises as those two; an endpoint is restarted as its inventory says."""
        if not self.external:
            self.stop()
            self.start()
            return
        if not self.restart_seconds:
            raise NotOffered(
                f"{ENDPOINT_STAYS}: databases.yaml does not say how it is restarted / "
                "数据库由实验室提供，databases.yaml 未说明如何重启"
            )
        answer = self._asked("restart", self.restart_seconds)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.name} was not restarted (exit {answer.rc}): {answer.text[-600:]}",
                advice="see the key `restart` in databases.yaml",
            )
        self._wait_ready(self.restart_seconds)

    def ready(self) -> bool:
        """Whether it answers now."""
        if self.by_driver and not self.definition.ready:
            return self._asked("ready", 20).ok
        return self.embedded or self._command(self.definition.ready, 20).ok

    def trouble(self) -> str:
        """Why it does not answer now, with the last words of a vendor's image that has ended; empty where it does.

        Raises:
            InfrastructureError: it cannot be asked.
        """
        try:
            if self.ready():
                return ""
        except InfrastructureError:
            if not self.imaged:
                raise
        if self.imaged:
            try:
                demand_running(self.machine, self.name)
            except InfrastructureError as error:
                return error.message
        return f"{self.name} does not answer{short_of_memory(self.machine, self.name, self.definition.limits)}"

    def _is_ready(self) -> bool:
        """As ``ready``; what is asked with SQL and takes no connection yet is not ready."""
        try:
            return self.ready()
        except InfrastructureError as error:
            if not self.by_driver:
                raise
            self._refusal = error.message
            return False

    def version(self) -> str:
        """What it says of its own version; empty where it does not answer."""
        answer = self._command(self.definition.version, 30)
        return answer.out.strip() if answer.ok else ""


@dataclass
class CellDatabase(CellServer):
    """The database; its machine is the application's where it is embedded."""

    definition: Database

    def create(self) -> None:
        """Make the cell's own user and database.

        Raises:
            InfrastructureError: it refuses.
        """
        words = self._create_from_here() if self.asks is not None else ""
        if self.asks is None and not (answer := self._command(self.definition.create, 60)).ok:
            words = answer.text[-600:]
        if words:
            raise InfrastructureError(
                f"{self.name}: the cell's database could not be made: {words}",
                advice=f"check `create` in targets/database/{self.name}.yaml",
            )
        self.has_user = True

    def _create_from_here(self) -> str:
        """Have the administrator make them with SQL; gives what the server says against it."""
        endpoint = self.asks.reference.endpoint if self.asks is not None else None
        recipe, admin = self.definition.endpoint, self.administrator
        if endpoint is None or recipe is None or admin is None:
            return "nobody is known who may make it"
        try:
            with connect(endpoint, admin) as session:
                session.rows(*(self._statement(text) for text in recipe.create))
        except Refused as refusal:
            return str(refusal).replace(self.access.password.get_secret_value(), "…")
        return ""

    def _statement(self, text: str) -> str:
        """A statement of the administrator: user and database are one word there, without a tenant's name."""
        password = self.access.password.get_secret_value()
        values = {"db": {"name": self.access.name, "user": self.access.name, "password": password}}
        return render(text, values, where=f"targets/database/{self.name}.yaml")

    def query(self, sql: str) -> list[list[str]]:
        """Run SQL with the database's own client; rows of texts.

        Raises:
            QueryFailed: the database answered with an error.
            InfrastructureError: the machine does not answer.
            SuiteError: the cell has no database.
        """
        if self.definition.absent:
            raise SuiteError("the cell has no database (database: none), so nothing can be asked of it")
        if self.by_driver:
            answer = self._asked("query", 60, sql)
        else:
            command = self._hidden(self._render(self.definition.query))
            answer = self.machine.run(command, timeout=60 * self.factor, stdin=sql, user=self.user)
        if not answer.ok:
            raise QueryFailed(f"{self.name}: {answer.text[-800:]}")
        return [line.split("\t") for line in answer.out.splitlines()]

    def operate(self, command: str, seconds: float, **values: Any) -> Completed:
        """Run a command of its entry as root; ``values``: what the template sees beside ``db``.

        Raises:
            InfrastructureError: the machine does not answer.
        """
        return self.machine.run(self._hidden(self._render(command, **values)), timeout=seconds * self.factor)

    @property
    def has_sessions(self) -> bool:
        """Whether several sessions can be held at it at once."""
        return self.by_driver or self.definition.session is not None

    def sessions(self, steps: Sequence[SessionStep]) -> list[StepAnswer]:
        """Give SQL to several sessions in turn, each connected at its first step; what came of each step.

        Raises:
            InfrastructureError: machine or server do not answer.
            SuiteError: it has no sessions.
        """
        look = min(LOCK_SECONDS * self.factor, MOST_LOCK_SECONDS)
        plan = SessionPlan(steps=tuple(steps), look=look, bound=BOUND_SECONDS * self.factor)
        if self.by_driver:
            return ANSWERS.validate_json(self._asked("sessions", plan.seconds, plan=plan.model_dump()).out)
        recipe = self.definition.session
        if recipe is None:
            raise SuiteError(f"{self.name}: no client is known that stays (session)", advice="look at has_sessions")
        script = conducted(plan, self._hidden(self._render(recipe.command)), recipe.shell)
        answer = self.machine.run(script, timeout=plan.seconds, user=self.user)
        return answers_of(plan, answer.out)

    def version(self) -> str:
        """As that of a server; where no client is beside it, it is asked with SQL."""
        if not self.by_driver or self.definition.endpoint is None:
            return super().version()
        return self._shown(self.definition.endpoint.version)

    def _shown(self, sql: str) -> str:
        """What SQL prints; empty where the database refuses it."""
        try:
            return "\n".join("\t".join(row) for row in self.query(sql)).strip()
        except QueryFailed:
            return ""

    def settings(self) -> dict[str, str]:
        """Observed settings by name."""
        if self.by_driver and self.definition.endpoint is not None:
            return {name: self._shown(sql) for name, sql in self.definition.endpoint.observe.items()}
        answer = self._command(self.definition.observe_settings, 30)
        pairs = (line.partition("=") for line in answer.out.splitlines() if "=" in line)
        return {name.strip(): value.strip() for name, _, value in pairs}
