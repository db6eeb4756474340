"""A database server for a cell: a place at one that fits, and a user and database there until the cell ends."""

from __future__ import annotations

import contextlib
import functools
import random
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from harness.endpoints.asking import Account, Refused
from harness.endpoints.inventory import Server
from harness.endpoints.places import Place, free_again, names_at, remove, take
from harness.errors import Canceled, HarnessError, InfrastructureError, StepTimeout
from harness.model.ledger import Ledger
from harness.system.abandoning import begin, settled
from harness.system.wait import wait_until
from harness.system.waiting import Notice, Waiting

#: How long a cell waits for a place that other cells have.
PATIENCE_SECONDS = 3600.0
#: How often a server whose places are in use is asked again, and a wait looks whether it was stopped.
ASK_SECONDS, LOOK_SECONDS = 2.0, 0.2


@contextlib.contextmanager
def placed_at(
    servers: Sequence[Server],
    ledger: Ledger,
    waiting: Waiting,
    cancel: threading.Event,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Place]:
    """A place at one of some servers that are alike, and what ended runs left there removed.

    Raises:
        InfrastructureError: none of them answers, or all stayed in use too long.
        UsageError: driver, secret or certificate are missing here.
        Canceled: the wait was stopped.
    """
    began = time.monotonic()
    place = _wait_for(servers, ledger, waiting, cancel, patience)
    try:
        server = place.server
        ledger.event(
            "endpoint",
            endpoint=server.endpoint.endpoint,
            address=server.endpoint.address,
            port=server.endpoint.port,
            slot=place.number,
            seconds=round(time.monotonic() - began, 2),
        )
        _clean(place, ledger)
        yield place
    finally:
        place.release()


@contextlib.contextmanager
def account_at(place: Place, password: str, ledger: Ledger) -> Iterator[Account]:
    """A user and a database of a cell's own, named alike, which are gone afterwards.

    Raises:
        InfrastructureError: the server refuses: a right is missing, or a limit is reached.
    """
    server = place.server
    name = server.name_of(place.number, secrets.token_hex(4))
    known = f"{server.endpoint.endpoint}:{name}"
    ledger.intent("database", known)
    try:
        try:
            account = {"name": name, "user": name, "password": password}
            place.run(server.sql(statement, db=account) for statement in server.recipe.create)
        except Refused as refusal:
            raise InfrastructureError(
                f"{server.where}: user and database of the cell could not be made: "
                f"{str(refusal).replace(password, '…')}",
                advice=f"see what {server.endpoint.user!r} may do there, and `endpoint: create` in "
                f"targets/database/{server.database.database}.yaml",
            ) from refusal
        ledger.created("database", known, name)
        login = server.recipe.login_of(name, server.endpoint.user)
        place.account = Account(user=login, password=password, database=name)
        yield place.account
    finally:
        place.account = None
        _drop(place, name, known, ledger)


def left_at(server: Server) -> list[str]:
    """Users and databases of cells at a server, of those that run too. Raises as ``Server.administer``."""
    with server.administer() as session:
        return names_at(server, session)


def clean(server: Server) -> list[str]:
    """Remove what ended runs left at a server; gives the names. Raises as ``Server.administer``."""
    numbers = [number for name in left_at(server) if (number := server.slot_of(name)) is not None]
    return free_again(server, numbers)


def _wait_for(
    servers: Sequence[Server], ledger: Ledger, waiting: Waiting, cancel: threading.Event, patience: float
) -> Place:
    end, notice = time.monotonic() + patience, Notice(waiting)
    order = random.sample(servers, len(servers))  # cells that begin together spread over the servers
    while True:
        trouble: list[HarnessError] = []
        for server in order:
            try:
                place = _asked_for(server, ledger, cancel)
            except Canceled:
                raise
            except HarnessError as error:
                trouble.append(error)
                continue
            if place is not None:
                return place
        if len(trouble) == len(order):
            raise trouble[0]
        if waiting.stopped():
            raise Canceled("stopped while waiting for a database server")
        if time.monotonic() >= end:
            raise InfrastructureError(
                f"{_names(servers)}: every place stayed in use for {patience:.0f} s",
                advice="raise at_once in databases.yaml, or see who works there",
            )
        notice.look(lambda: f"a place at {_names(servers)}, which other cells have")
        with contextlib.suppress(StepTimeout):
            wait_until(waiting.stopped, seconds=ASK_SECONDS, what="a database server", longest=LOOK_SECONDS)


def _asked_for(server: Server, ledger: Ledger, cancel: threading.Event) -> Place | None:
    """As ``take``; a stop does not wait for a server that does not answer."""
    answer = begin(functools.partial(take, server, ledger))
    try:
        return settled(answer, what=server.where, stopped=cancel.is_set)
    except Canceled:
        answer.add_done_callback(_give_back)
        raise


def _give_back(answer: Future[Place | None]) -> None:
    place = answer.result() if answer.exception() is None else None
    if place is not None:
        place.release()


def _names(servers: Sequence[Server]) -> str:
    return ", ".join(server.where for server in servers)


def _clean(place: Place, ledger: Ledger) -> None:
    """Remove what ended runs left; what cannot be removed uses room there, and disturbs no cell."""
    server = place.server
    with contextlib.suppress(HarnessError):
        numbers = {server.slot_of(name) for name in left_at(server)} - {None}
        gone = free_again(server, [number for number in numbers if number is not None], own=place.number)
        if gone:
            ledger.event("endpoint-cleaned", endpoint=server.endpoint.endpoint, names=gone)


def _drop(place: Place, name: str, known: str, ledger: Ledger) -> None:
    """Remove a cell's user and database. Nothing is raised: what stays is found again by its name."""
    server = place.server
    try:
        with server.administer() as session:  # of its own: the place's may have broken while the server stands
            words = remove(server, session, name)
    except HarnessError as error:
        words = error.message
    if words:
        ledger.event("endpoint-left", endpoint=server.endpoint.endpoint, name=name, message=words)
    else:
        ledger.removed("database", known)
