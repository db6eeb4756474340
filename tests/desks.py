"""A desk over a real PostgreSQL server, listening on the loopback, with people of every role."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn
from fastapi import FastAPI

from harness.center.queueing import Center
from harness.certify.envelopes import Signing
from harness.desk import people
from harness.desk.database import Actor, Database, system
from harness.desk.office import Office, Seals
from harness.desk.passwords import form_token, hash_of
from harness.desk.sessions import person
from harness.desk.web.app import routes
from harness.desk.web.guarding import Guard
from harness.evidence import Workspace
from harness.presentation import Presentation
from harness.reading.catalogue import Catalogue
from harness.register.register import Register
from harness.signing.keys import KeyStore
from tests.trusts import trust_in

#: Who asks -> organisation and role. ``stranger`` is an applicant of another vendor.
PEOPLE = {
    "applicant": ("甲 & Co <b>", "applicant"),
    "stranger": ("Other 乙", "applicant"),
    "tester": ("center", "tester"),
    "reviewer": ("center", "reviewer"),
    "approver": ("center", "approver"),
    "auditor": ("center", "auditor"),
}
FORM = {
    "product": "小网站",
    "version": "1.0",
    "kind": "application",
    "industry": "government",
    "introduction": "一个小网站",
    "scenarios": "办公",
    "contact": "张三",
    "platforms": [{"cpu": "x86-64", "os": "debian-12", "database": "none"}],
    "agreed": True,
}

PLATFORMS = (
    '[{"axes": {"cpu": "x86-64", "os": "debian-12", "database": "none"}, "architecture": "x86-64", '
    '"fidelity": "container", "verdict": "conformant"}]'
)


@dataclass
class Asker:
    """Somebody who asks: a browser with a cookie, or a program with a token."""

    client: httpx.Client
    headers: dict[str, str] = field(default_factory=dict)
    cookie: str = ""

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("POST", path, **more)

    def send(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """A form with its token, as a page sends it."""
        return self.ask("POST", path, data={**(data or {}), "token": form_token(self.cookie)}, **more)


@dataclass
class Desk:
    """The desk, and its people by name."""

    office: Office
    url: str
    app: FastAPI
    client: httpx.Client
    actors: dict[str, Actor] = field(default_factory=dict)

    def browser(self, name: str) -> Asker:
        """A new session of a person; ``nobody`` has a visitor's cookie alone."""
        token = secrets.token_urlsafe(32)
        if name == "nobody":
            return Asker(self.client, {"Cookie": f"desk_visitor={token}"}, token)
        self.sql(
            "INSERT INTO desk.sessions (token, person, address) VALUES (%s, %s, 'test')",
            hash_of(token),
            self.actors[name].person,
        )
        return Asker(self.client, {"Cookie": f"desk_session={token}"}, token)

    def program(self, name: str, scopes: str = "read write") -> Asker:
        """A client of the API with a new token of a person; ``nobody`` has none."""
        if name == "nobody":
            return Asker(self.client)
        token = secrets.token_urlsafe(32)
        self.sql(
            "INSERT INTO desk.tokens (token, person, name, scopes, expires) VALUES (%s, %s, 't', %s, now() + '1 day')",
            hash_of(token),
            self.actors[name].person,
            scopes,
        )
        return Asker(self.client, {"Authorization": f"Bearer {token}"})

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As the owner of the database, whom no policy narrows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def application(self, name: str = "applicant", **form: Any) -> int:
        """A draft of a person's organisation."""
        made = self.program(name).post("/api/v1/applications", json={**FORM, **form})
        assert made.status_code == 201, made.text
        return int(made.json()["id"])

    def artifact(self, application: int, name: str = "applicant") -> None:
        """An artifact that was scanned, without a scan."""
        self.sql(
            "INSERT INTO desk.uploads (application, person, name, size, sha256, state, result) "
            "VALUES (%s, %s, 'a.deb', 3, 'ab', 'scanned', '{\"counts\": {}, \"findings\": []}')",
            application,
            self.actors[name].person,
        )

    def take(self, name: str, application: int, action: str, **more: str) -> Any:
        """A step through the API; a step back has a reason and an opinion unless others are given."""
        body = {"action": action, **more}
        return self.program(name).post(f"/api/v1/applications/{application}/steps", json=body)

    def person(self, account: str, *roles: str) -> Actor:
        """One more person of the center, with roles; entered once."""
        if account not in self.actors:
            who = self.actors["administrator"]
            people.add_person(
                self.office.desk, who, organisation=1, account=account, name=f"{account} 某", roles=list(roles)
            )
            self.sql("UPDATE desk.people SET must_change = false")
            ((number,),) = self.sql("SELECT id FROM desk.people WHERE account = %s", account)
            with self.office.desk.acting(system()) as connection:
                self.actors[account] = person(connection, number)
        return self.actors[account]

    def certificate(self, number: str, name: str = "applicant", **form: Any) -> int:
        """A certificate of a person's organisation, past all guards, tested by ``tester``; entered into the register
        where there is one. Gives its application."""
        application = self.application(name, **form)
        campaign = f"c-{application}"
        steps = (
            ("tester", "submit_report", "test"),
            ("reviewer", "pass_first", "review"),
            ("approver", "issue", "approve"),
        )
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(
                "UPDATE desk.applications SET state = 'issued', campaign = %s WHERE id = %s", (campaign, application)
            )
            for seq, (who, action, duty) in enumerate(steps, 1):
                connection.execute(
                    "INSERT INTO desk.application_steps VALUES (%s, %s, %s, 's', 't', %s, %s, %s, %s, now())",
                    (application, seq, action, self.actors[who].person, self.actors[who].name, who, duty),
                )
            connection.execute(
                "INSERT INTO desk.certificates VALUES (%s, %s, %s, %s, '1.0', %s, 'Certificate of Adaptation', %s, '', "
                "%s, '[]')",
                (
                    *(number, application, campaign, form.get("product", FORM["product"]), PEOPLE[name][0]),
                    *(f"2026-11-0{1 + application % 9}T08:00:00Z", PLATFORMS),
                ),
            )
        if self.office.seals is not None:
            self.office.seals.register.enter(number, b"envelope", self.office.seals.signing)
        return application

    def state(self, application: int) -> str:
        return str(self.sql("SELECT state FROM desk.applications WHERE id = %s", application)[0][0])


def seals_in(folder: Path) -> Seals:
    """A key, a register that it signs, and whom the public page trusts."""
    store = KeyStore(folder / "keys")
    store.make("log", "ed25519", "only for tests")
    signing = Signing(store=store, names=("log",), passphrase="only for tests")
    return Seals(
        signing=signing, register=Register(folder / "register"), issuer="self-test", trust=trust_in(folder / "keys")
    )


@contextmanager
def desk(folder: Path, url: str, seals: Seals | None = None, definitions: Path | None = None) -> Iterator[Desk]:
    """A desk with an administrator, a center, two vendors, and a person of each role."""
    center = Center(Workspace(folder / "ws", url, folder / "evidence"))
    catalogue = Catalogue.standard()
    office = Office(
        desk=Database(center),
        center=center,
        presentation=Presentation.standard(catalogue),
        catalogue=catalogue,
        folder=folder / "uploads",
        definitions=definitions,
        seals=seals,
        most_bytes=2**20,
    )
    with listening(office) as (app, client):
        there = Desk(office, url, app, client)
        assert people.first_start(office.desk, "示例中心") is not None
        enter(there)
        yield there
    center.journal.close()


@contextmanager
def listening(office: Office) -> Iterator[tuple[FastAPI, httpx.Client]]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        origin = f"http://127.0.0.1:{door.getsockname()[1]}"
        app = routes(office, origin)
        guarded = Guard(app, origin=origin, most_upload=office.most_bytes)
        server = uvicorn.Server(uvicorn.Config(guarded, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        try:
            with httpx.Client(base_url=origin, trust_env=False, timeout=120) as client:
                yield app, client
        finally:
            server.should_exit = True
            thread.join()


def enter(there: Desk) -> None:
    """Enter the people, who have changed their passwords."""
    desk_of = there.office.desk
    with desk_of.acting(system()) as connection:
        administrator = there.actors["administrator"] = person(connection, 1)
    places = {"center": 1}
    for name, (organisation, role) in PEOPLE.items():
        if organisation not in places:
            places[organisation] = people.add_organisation(desk_of, administrator, organisation)
        place = places[organisation]
        people.add_person(desk_of, administrator, organisation=place, account=name, name=f"{name} 某", roles=[role])
    there.sql("UPDATE desk.people SET must_change = false")
    with desk_of.acting(system()) as connection:
        for number, account in there.sql("SELECT id, account FROM desk.people WHERE id > 1"):
            there.actors[account] = person(connection, number)
        there.actors["administrator"] = person(connection, 1)
