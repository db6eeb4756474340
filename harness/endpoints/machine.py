"""A database server of the laboratory as a machine of a cell: there is no shell on it, only SQL and its restart."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from harness.endpoints.asking import Account, Refused, connect, where
from harness.endpoints.sessions import conduct
from harness.errors import Canceled, HarnessBug, InfrastructureError, StepTimeout, SuiteError
from harness.model.definitions import Endpoint
from harness.model.machine import MachineReference, Resources
from harness.model.sessions import ANSWERS, SessionPlan
from harness.model.verbs import UnsupportedVerbs, Verb, Verbs, note_deed
from harness.system.abandoning import begin, settled
from harness.system.canonical import read_json
from harness.system.process import Completed, run
from harness.system.wait import Deadline


class EndpointVerbs(UnsupportedVerbs):
    """Nothing is done to a machine of others."""

    kind = "a database server of the laboratory"


@dataclass(frozen=True)
class EndpointMachine:
    """Implements ``Machine``. ``run`` knows four commands: ``query``, ``sessions`` and ``ready`` take from the standard
    input who asks, and what (JSON: user, password, name, and sql or plan); ``restart`` is what the inventory says."""

    reference: MachineReference

    @property
    def name(self) -> str:
        return self.reference.name

    @property
    def endpoint(self) -> Endpoint:
        """As the inventory names it, with port and driver."""
        if self.reference.endpoint is None:
            raise HarnessBug(f"{self.name}: a machine that is an endpoint, without the endpoint")
        return self.reference.endpoint

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        if command == "restart":
            return self._restart(timeout)
        if command not in ("query", "sessions", "ready"):
            raise SuiteError(
                f"{where(self.endpoint)}: no command runs there: a server of the laboratory is asked with SQL alone",
                advice="use database.query",
            )
        asked, end = _asked(stdin), Deadline(timeout)
        # Most drivers know no limit for a statement, and none for a server that fell silent in the middle of one. The
        # call is left behind then: it closes its connection itself, where it ever comes back.
        answer = begin(functools.partial(self._ask, command, asked))
        try:
            return settled(answer, what=where(self.endpoint), stopped=lambda: not end.left)
        except Canceled as error:
            raise InfrastructureError(
                f"{where(self.endpoint)}: no answer within {timeout:.0f} s",
                advice="see what the server does, and who holds locks there, then: harness resume",
            ) from error

    def _ask(self, command: str, asked: _Asked) -> Completed:
        account = Account(user=asked.user, password=asked.password, database=asked.name)
        began = time.monotonic()
        if command == "sessions":
            if asked.plan is None:
                raise SuiteError("what the sessions are given is not said", advice="use database.sessions")
            answers = ANSWERS.dump_json(conduct(self.endpoint, account, asked.plan)).decode()
            return Completed(rc=0, out=answers, seconds=time.monotonic() - began)
        with connect(self.endpoint, account) as session:
            if command == "ready":
                return Completed(rc=0 if session.alive() else 1, seconds=time.monotonic() - began)
            try:
                rows = session.script(asked.sql)
            except Refused as refusal:
                with connect(self.endpoint, account):  # whether that was its answer, or its end
                    return Completed(rc=1, err=str(refusal), seconds=time.monotonic() - began)
        return Completed(rc=0, out="".join("\t".join(row) + "\n" for row in rows), seconds=time.monotonic() - began)

    def _restart(self, seconds: float) -> Completed:
        """Run the inventory's command. It is noted before, so that nobody takes it for trouble of the laboratory."""
        command, deeds = self.endpoint.restart, self.reference.deeds
        if not command:
            raise SuiteError(f"{where(self.endpoint)}: the inventory does not say how it is restarted")
        note_deed(deeds, self.name, Verb.REBOOT)
        try:
            answer = run(["sh", "-c", command], timeout=seconds)
        except StepTimeout as error:
            raise InfrastructureError(
                f"{where(self.endpoint)}: its restart did not end within {seconds:.0f} s",
                advice="see the command `restart`",
            ) from error
        finally:
            note_deed(deeds, self.name, Verb.REBOOT, ends=True)
        return answer

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        raise SuiteError(f"{where(self.endpoint)}: no file can be written to a server of the laboratory")

    def get(self, path: str) -> bytes:
        raise FileNotFoundError(path)

    def address(self, port: int) -> tuple[str, int]:
        return self.endpoint.address, port

    def processes(self) -> dict[int, str]:
        return {}

    def resources(self) -> Resources | None:
        return None

    @property
    def verbs(self) -> Verbs:
        return EndpointVerbs()

    def close(self) -> None:
        """Every call has a connection of its own."""


class _Asked(BaseModel):
    """What is asked, and by whom; it may come from a suite of others."""

    model_config = ConfigDict(strict=True, extra="forbid")
    user: str
    password: str
    name: str
    sql: str = ""
    plan: SessionPlan | None = None


def _asked(text: str) -> _Asked:
    try:
        return _Asked.model_validate(read_json(text))
    except ValueError as error:
        raise SuiteError("who asks the database is not said", advice="use database.query") from error
