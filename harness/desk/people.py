"""Organisations, people, their roles, and tokens of the API."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from harness.desk import tables
from harness.desk.database import Actor, Database, note, rows, system
from harness.desk.flow import ROLES
from harness.desk.passwords import fresh_token, hash_of, hash_password
from harness.desk.refusing import Refusal

ADMINISTRATOR = "admin"
#: What a token may do: look, or act as its person may.
SCOPES = ("read", "write")
LONGEST_DAYS = 365


def first_start(desk: Database, center: str) -> str | None:
    """Make the center and its administrator where nobody is there; gives the one-time password, else None."""
    actor = system()
    password = secrets.token_urlsafe(15)
    with desk.acting(actor) as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(2020895076)")
        if connection.execute(sa.select(sa.func.count()).select_from(tables.people)).scalar():
            return None
        organisation = _organisation(connection, center, "center")
        person = _person(connection, organisation, ADMINISTRATOR, "管理员 Administrator", password)
        connection.execute(tables.memberships.insert().values(person=person, role="administrator"))
        note(connection, actor, "first-start", center)
    return password


def _organisation(connection: sa.Connection, name: str, kind: str) -> int:
    entered = tables.organisations.insert().values(name=name, kind=kind).returning(tables.organisations.c.id)
    return int(connection.execute(entered).scalar_one())


def _person(connection: sa.Connection, organisation: int, account: str, name: str, password: str) -> int:
    values = {"organisation": organisation, "account": account, "name": name, "must_change": True}
    entered = tables.people.insert().values(password=hash_password(password), **values).returning(tables.people.c.id)
    return int(connection.execute(entered).scalar_one())


def add_organisation(desk: Database, actor: Actor, name: str) -> int:
    """Enter a vendor.

    Raises:
        Refusal: the name is empty or taken.
    """
    name = name.strip()
    if not 1 <= len(name) <= 200:
        raise Refusal(422, "form", faults={"name": "length"})
    with desk.acting(actor) as connection:
        taken = sa.select(tables.organisations.c.id).where(tables.organisations.c.name == name)
        if connection.execute(taken).first() is not None:
            raise Refusal(422, "form", faults={"name": "taken"})
        identity = _organisation(connection, name, "vendor")
        note(connection, actor, "organisation-added", name)
    return identity


def add_person(
    desk: Database, actor: Actor, *, organisation: int, account: str, name: str, roles: Collection[str]
) -> str:
    """Enter a person; gives the one-time password, which is shown once.

    Raises:
        Refusal: a field is wrong, or the roles are none of that kind of organisation.
    """
    account, name = account.strip().lower(), name.strip()
    faults = {}
    if not (1 <= len(account) <= 100 and account.isprintable() and " " not in account):
        faults["account"] = "length"
    if not 1 <= len(name) <= 100:
        faults["name"] = "length"
    if not roles or not set(roles) <= set(ROLES):
        faults["roles"] = "roles"
    if faults:
        raise Refusal(422, "form", faults=faults)
    password = secrets.token_urlsafe(15)
    with desk.acting(actor) as connection:
        kind = connection.execute(
            sa.select(tables.organisations.c.kind).where(tables.organisations.c.id == organisation)
        ).scalar()
        if kind is None:
            raise Refusal(422, "form", faults={"organisation": "choice"})
        if (kind == "vendor") != (set(roles) == {"applicant"}) or (kind == "center" and "applicant" in roles):
            raise Refusal(422, "form", faults={"roles": "roles_kind"})
        if connection.execute(sa.select(tables.people.c.id).where(tables.people.c.account == account)).first():
            raise Refusal(422, "form", faults={"account": "taken"})
        person = _person(connection, organisation, account, name, password)
        connection.execute(tables.memberships.insert(), [{"person": person, "role": role} for role in sorted(roles)])
        note(connection, actor, "person-added", account, roles=sorted(roles))
    return password


def set_active(desk: Database, actor: Actor, identity: int, *, active: bool) -> None:
    """Let a person in, or out; who is out has no session that holds.

    Raises:
        Refusal: nobody has that number, or it is the administrator's own.
    """
    if identity == actor.person:
        raise Refusal(409, "yourself")
    with desk.acting(actor) as connection:
        changed = tables.people.update().where(tables.people.c.id == identity).values(active=active)
        account = connection.execute(changed.returning(tables.people.c.account)).scalar()
        if account is None:
            raise Refusal(404, "missing")
        note(connection, actor, "person-let-in" if active else "person-let-out", account)


def listed(desk: Database, actor: Actor) -> dict[str, list[Mapping[str, Any]]]:
    """Organisations, and people with their roles, as far as the actor may see them."""
    people, memberships, organisations = tables.people, tables.memberships, tables.organisations
    roles = (
        sa.select(sa.func.string_agg(memberships.c.role, sa.literal(" ")))
        .where(memberships.c.person == people.c.id)
        .scalar_subquery()
    )
    columns = (people.c.id, people.c.account, people.c.name, people.c.active, people.c.organisation)
    query = (
        sa.select(*columns, organisations.c.name.label("of"), sa.func.coalesce(roles, "").label("roles"))
        .join(organisations, organisations.c.id == people.c.organisation)
        .order_by(organisations.c.id, people.c.account)
    )
    with desk.acting(actor) as connection:
        return {
            "organisations": rows(connection, sa.select(organisations).order_by(organisations.c.id)),
            "people": rows(connection, query),
        }


def add_token(desk: Database, actor: Actor, name: str, scopes: Collection[str], days: int) -> str:
    """Make a token of the API for oneself; it is shown once.

    Raises:
        Refusal: a field is wrong.
    """
    name, faults = name.strip(), {}
    if not 1 <= len(name) <= 100:
        faults["name"] = "length"
    if not scopes or not set(scopes) <= set(SCOPES):
        faults["scopes"] = "choice"
    if not 1 <= days <= LONGEST_DAYS:
        faults["days"] = "days"
    if faults:
        raise Refusal(422, "form", faults=faults)
    token = f"xcd_{fresh_token()}"
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    with desk.acting(actor) as connection:
        connection.execute(
            tables.tokens.insert().values(
                token=hash_of(token), person=actor.person, name=name, scopes=" ".join(sorted(scopes)), expires=expires
            )
        )
        note(connection, actor, "token-made", name, scopes=sorted(scopes), days=days)
    return token


def tokens_of(desk: Database, actor: Actor) -> list[Mapping[str, Any]]:
    """The tokens of the actor, without what they are."""
    table = tables.tokens
    columns = (table.c.id, table.c.name, table.c.scopes, table.c.created, table.c.expires, table.c.ended)
    with desk.acting(actor) as connection:
        return rows(connection, sa.select(*columns).where(table.c.person == actor.person).order_by(table.c.id))


def end_token(desk: Database, actor: Actor, identity: int) -> None:
    """End one of the actor's tokens.

    Raises:
        Refusal: it is none of theirs.
    """
    table = tables.tokens
    own = table.c.id == identity, table.c.person == actor.person, table.c.ended.is_(None)
    with desk.acting(actor) as connection:
        changed = connection.execute(table.update().where(*own).values(ended=sa.func.clock_timestamp()))
        if not changed.rowcount:
            raise Refusal(404, "missing")
        note(connection, actor, "token-ended", str(identity))
