"""A place at an endpoint: of so many cells at once as the inventory allows, each holds one, by a lock of the server.

The lock belongs to the administrator's session, so the server itself gives the place back when this process or its
machine is gone, and two laboratories on one server count together. Where the server knows no such lock, a file of this
machine is locked, and cells of this machine alone are counted. Whoever has a place may remove what was made for it
before: nobody else can be using that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.endpoints.asking import Account, Refused, Session
from harness.endpoints.inventory import Server
from harness.errors import HarnessError, InfrastructureError
from harness.model.ledger import Ledger
from harness.model.verbs import Verb, deeds
from harness.system.locks import take as take_file
from harness.system.makers import cache_folder

#: How often the session of a place is asked whether it still stands, in seconds.
BEAT_SECONDS = 15.0
#: A session that answered so recently is taken for standing.
TRUSTED_SECONDS = 1.0
_YES = frozenset(("t", "true", "1", "yes"))


@dataclass(frozen=True)
class _Trouble:
    at: float  #: seconds since 1970
    words: str


class Place:
    """Held from ``take`` on until ``release``."""

    def __init__(self, server: Server, number: int, session: Session, file: int | None, ledger: Ledger) -> None:
        self.server, self.number = server, number
        self._session: Session | None = session
        self._file, self._ledger = file, ledger
        self.account: Account | None = None  #: of the cell, while it has one
        self.deeds = Path()  #: where restarts that suites asked for are noted
        self._good = time.time()  #: when the session answered last
        self._troubles: list[_Trouble] = []
        self._lost = ""
        self._asking = threading.RLock()
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="endpoint", daemon=True)
        self._beating.start()

    def run(self, statements: Iterable[str]) -> None:
        """Run statements as the administrator, in the session that holds the place.

        Raises:
            InfrastructureError: the place is lost.
            Refused: the server answers with an error.
        """
        with self._asking:
            self.check()
            if self._session is None:
                raise InfrastructureError(
                    f"{self.server.where}: {self._lost}", advice="see its log, then: harness resume"
                )
            for statement in statements:
                self._session.rows(statement)

    def check(self) -> None:
        """Raises:
        InfrastructureError: the server does not answer, or the place is another cell's by now.
        """
        self._look()
        if self._lost and not self._restarts():
            raise InfrastructureError(
                f"{self.server.where}, which serves the database of this cell: {self._lost}",
                advice="see its log; once it is up again: harness resume",
            )

    def troubles(self, since: float) -> list[str]:
        """How the server failed since a moment (seconds since 1970), though no suite asked for it, in words."""
        self._look(trusting=False)
        return [
            f"{self.server.where}, which serves the database of this cell: {trouble.words}"
            for trouble in self._troubles
            if trouble.at >= since
        ]

    def release(self) -> None:
        """Give the place back."""
        self._over.set()
        with self._asking:
            if self._session is not None:
                self._session.close()
            if self._file is not None:
                os.close(self._file)
            self._session = self._file = None

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._look()

    def _look(self, *, trusting: bool = True) -> None:
        """Ask the session; where it is gone, take the same place again with another."""
        with self._asking:
            fresh = trusting and not self._lost and time.time() - self._good < TRUSTED_SECONDS
            if self._over.is_set() or fresh:
                return
            if self._session is not None and self._session.alive():
                self._good = time.time()
                return
            asked = self._restarts()
            if self._session is not None:
                self._session.close()
                self._session = None
                if not asked:
                    self._note("its connection was cut")
            self._lost = self._take_again()
            if not self._lost:
                self._good = time.time()
            elif not asked and (not self._troubles or self._troubles[-1].words != self._lost):
                self._note(self._lost)
            elif not asked:
                self._troubles[-1] = _Trouble(time.time(), self._lost)  # it goes on

    def _note(self, words: str) -> None:
        self._troubles.append(_Trouble(time.time(), words))
        self._ledger.event("endpoint-lost", endpoint=self.server.endpoint.endpoint, message=words)

    def _take_again(self) -> str:
        """Why the place could not be had again; empty where it was."""
        try:
            session = self.server.administer()
        except HarnessError as error:
            return " ".join(str(error).splitlines()[:1])
        if self._file is None and not _locked(self.server, session, self.number):
            session.close()
            return "its place at the server is another cell's by now"
        self._session = session
        return ""

    def _restarts(self) -> bool:
        """Whether a suite has asked for a restart since the session answered last."""
        noted = [deed.at for deed in deeds(self.deeds) if deed.machine == "database" and deed.verb is Verb.REBOOT]
        oldest = max(self._good - TRUSTED_SECONDS, time.time() - self.server.endpoint.restart_seconds)
        return bool(noted) and noted[-1] >= oldest


def take(server: Server, ledger: Ledger) -> Place | None:
    """A free place at a server; None where all are in use.

    Raises:
        InfrastructureError: the server does not answer, refuses its administrator, or takes no lock.
        UsageError: driver, secret or certificate are missing here.
    """
    session = server.administer()
    try:
        for number in range(server.endpoint.at_once):
            file = None if server.recipe.lease else _file_of(server, number)
            if file == -1:
                continue
            if file is not None or _locked(server, session, number):
                return Place(server, number, session, file, ledger)
    except BaseException:
        session.close()
        raise
    session.close()
    return None


def free_again(server: Server, numbers: Iterable[int], own: int | None = None) -> list[str]:
    """Remove what ended runs left at the places ``numbers``, where nobody holds them (or ``own`` is held by the
    caller); gives the names of what is gone. Raises as ``take``."""
    removed: list[str] = []
    for number in sorted(set(numbers)):
        with contextlib.ExitStack() as stack:
            session = stack.enter_context(server.administer())
            if number != own:
                file = None if server.recipe.lease else _file_of(server, number)
                if file == -1 or (file is None and not _locked(server, session, number)):
                    continue
                if file is not None:
                    stack.callback(os.close, file)
            for name in names_at(server, session):
                if server.slot_of(name) == number and not remove(server, session, name):
                    removed.append(name)
    return removed


def names_at(server: Server, session: Session) -> list[str]:
    """Names of users and databases there that the harness made, by whomever it is run.

    Raises:
        InfrastructureError: the server does not say.
    """
    try:
        rows = session.rows(server.recipe.leftovers)
    except Refused as refusal:
        raise InfrastructureError(
            f"{server.where} does not list its users: {refusal}", advice="see what rights its administrator has"
        ) from refusal
    names = dict.fromkeys(row[0].strip() for row in rows if row)
    return [name for name in names if server.slot_of(name) is not None]


def remove(server: Server, session: Session, name: str) -> str:
    """Drop a user and database by their name; gives why they stay, empty where they are gone."""
    refusals: list[str] = []
    account = {"name": name, "user": name, "password": ""}
    for statement in server.recipe.drop:
        try:
            session.rows(server.sql(statement, db=account))
        except Refused as refusal:
            refusals.append(str(refusal))
    try:
        stays = name in names_at(server, session)
    except InfrastructureError as error:
        return "; ".join([*refusals, error.message])
    return "; ".join(refusals) or "the server still lists it" if stays else ""


def _locked(server: Server, session: Session, number: int) -> bool:
    """Whether a session has the lock of a place now.

    Raises:
        InfrastructureError: the server knows no such lock.
    """
    try:
        rows = session.rows(server.sql(server.recipe.lease, slot=number))
    except Refused as refusal:
        raise InfrastructureError(
            f"{server.where} takes no lock, so its cells cannot be counted: {refusal}",
            advice="see the key `lease` of its entry in the catalogue",
        ) from refusal
    return bool(rows) and bool(rows[0]) and rows[0][0].strip().lower() in _YES


def _file_of(server: Server, number: int) -> int:
    """An open, locked file for a place where the server knows no locks; -1 where another process has it."""
    words = f"{server.endpoint.address}:{server.endpoint.port}"
    folder = cache_folder() / "locks" / "endpoints"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(words.encode()).hexdigest()[:16]}-{number}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if take_file(descriptor):
        return descriptor
    os.close(descriptor)
    return -1
