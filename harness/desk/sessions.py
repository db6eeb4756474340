"""Who asks: login, sessions, and brakes for who guesses passwords.

A session is a random token in a cookie; the database keeps its hash. A guesser is braked by address and by account; a
browser from which a person logged in before is counted by itself, so nobody locks another person out.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import sqlalchemy as sa

from harness.desk import tables
from harness.desk.database import PUBLIC, Actor, Database, note, system
from harness.desk.passwords import acceptable, fresh_token, hash_of, hash_password, matches
from harness.desk.refusing import Refusal

IDLE = datetime.timedelta(minutes=30)
LONGEST = datetime.timedelta(hours=12)
DEVICE = datetime.timedelta(days=180)
#: So many failures within this time; then logins of that key are refused until it is over.
WINDOW = datetime.timedelta(minutes=15)
MOST_ACCOUNT, MOST_DEVICE, MOST_ADDRESS = 10, 10, 50
#: ``seen`` is written again after so long, not at each request.
FRESH = datetime.timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A login that held: the new tokens of the session and of the browser."""

    session: str
    device: str
    must_change: bool


def log_in(desk: Database, account: str, password: str, *, address: str, device: str = "") -> Entered:
    """Begin a session of the person with this account and password.

    Raises:
        Refusal: 401 where they do not fit, without a word which of the two; 429 where too many failed.
    """
    account = account.strip().lower()[:100]
    actor = system(address)
    with desk.acting(actor) as connection:
        row = connection.execute(
            sa.select(tables.people).where(tables.people.c.account == account, tables.people.c.active)
        ).first()
        known = row is not None and _knows(connection, row.id, device)
        keys = (
            {f"device {hash_of(device)}": MOST_DEVICE}
            if known
            else {f"account {account}": MOST_ACCOUNT, f"address {address}": MOST_ADDRESS}
        )
        braked = [key for key, most in keys.items() if _failures(connection, key) >= most]
    if braked:
        raise Refusal(429, "too_many")
    if not matches(row.password if row is not None else None, password) or row is None:
        with desk.acting(actor) as connection:
            for key in keys:
                _count(connection, key)
            note(connection, actor, "login-failed", account)
        raise Refusal(401, "login")
    entered = Entered(session=fresh_token(), device=device if known else fresh_token(), must_change=row.must_change)
    with desk.acting(actor) as connection:
        connection.execute(
            tables.sessions.insert().values(token=hash_of(entered.session), person=row.id, address=address)
        )
        if not known:
            connection.execute(tables.devices.insert().values(token=hash_of(entered.device), person=row.id))
        connection.execute(tables.failures.delete().where(tables.failures.c.key.in_(list(keys)[:1])))
        note(connection, Actor(person=row.id, account=account, address=address), "login", account)
    return entered


def _knows(connection: sa.Connection, person: int, device: str) -> bool:
    if not device:
        return False
    table = tables.devices
    fresh = table.c.created > sa.func.clock_timestamp() - DEVICE
    query = sa.select(table.c.token).where(table.c.token == hash_of(device), table.c.person == person, fresh)
    return connection.execute(query).first() is not None


def _failures(connection: sa.Connection, key: str) -> int:
    table = tables.failures
    query = sa.select(table.c.count).where(table.c.key == key, table.c.first > sa.func.clock_timestamp() - WINDOW)
    return int(connection.execute(query).scalar() or 0)


def _count(connection: sa.Connection, key: str) -> None:
    """One failure more; where the last ones are over, the first."""
    connection.execute(
        sa.text(
            "INSERT INTO desk.failures AS f (key, count, first) VALUES (:key, 1, clock_timestamp()) "
            "ON CONFLICT (key) DO UPDATE SET "
            "count = CASE WHEN f.first > clock_timestamp() - :window THEN f.count + 1 ELSE 1 END, "
            "first = CASE WHEN f.first > clock_timestamp() - :window THEN f.first ELSE clock_timestamp() END"
        ),
        {"key": key, "window": WINDOW},
    )


def actor_of(desk: Database, token: str, *, address: str = "") -> Actor:
    """The person of a session; the public where the token is none, or its session is over."""
    if not token or len(token) > 100:
        return Actor(address=address)
    session, now = tables.sessions, sa.func.clock_timestamp()
    with desk.acting(system(address)) as connection:
        row = connection.execute(
            sa.select(session.c.person, (now - session.c.seen > FRESH).label("stale")).where(
                session.c.token == hash_of(token),
                session.c.ended.is_(None),
                session.c.seen > now - IDLE,
                session.c.created > now - LONGEST,
            )
        ).first()
        if row is None:
            return Actor(address=address)
        if row.stale:
            connection.execute(session.update().where(session.c.token == hash_of(token)).values(seen=now))
        return person(connection, row.person, address=address, session=hash_of(token))


def actor_of_token(desk: Database, token: str, *, address: str = "") -> Actor:
    """The person of a token of the API, narrowed to its scopes; the public where it is none, or over."""
    table, now = tables.tokens, sa.func.clock_timestamp()
    with desk.acting(system(address)) as connection:
        row = connection.execute(
            sa.select(table.c.person, table.c.scopes).where(
                table.c.token == hash_of(token), table.c.ended.is_(None), table.c.expires > now
            )
        ).first()
        if row is None:
            return Actor(address=address)
        return person(connection, row.person, address=address, scopes=frozenset(row.scopes.split()))


def person(
    connection: sa.Connection,
    identity: int,
    *,
    address: str = "",
    session: str = "",
    scopes: frozenset[str] | None = None,
) -> Actor:
    """Who a person is now: organisation, roles, what the policies let through. The public where the person left."""
    people, organisations, memberships = tables.people, tables.organisations, tables.memberships
    row = connection.execute(
        sa.select(people, organisations.c.kind)
        .join(organisations, organisations.c.id == people.c.organisation)
        .where(people.c.id == identity, people.c.active)
    ).first()
    if row is None:
        return PUBLIC
    roles = connection.execute(sa.select(memberships.c.role).where(memberships.c.person == identity)).scalars()
    return Actor(
        person=row.id,
        organisation=row.organisation,
        account=row.account,
        name=row.name,
        roles=frozenset(roles),
        reach="center" if row.kind == "center" else "own",
        address=address,
        must_change=row.must_change,
        scopes=scopes,
        session=session,
    )


def log_out(desk: Database, actor: Actor) -> None:
    """End the session of a request."""
    table = tables.sessions
    with desk.acting(actor) as connection:
        connection.execute(table.update().where(table.c.token == actor.session).values(ended=sa.func.clock_timestamp()))
        note(connection, actor, "logout", actor.account)


def change_password(desk: Database, actor: Actor, old: str, new: str, again: str) -> None:
    """Set another password; every session of the person but this one ends.

    Raises:
        Refusal: the old one is wrong (braked as a login is), or the new one will not do.
    """
    key = f"change {actor.person}"
    with desk.acting(system(actor.address)) as connection:
        stored = connection.execute(sa.select(tables.people.c.password).where(tables.people.c.id == actor.person))
        password = stored.scalar()
        if _failures(connection, key) >= MOST_DEVICE:
            raise Refusal(429, "too_many")
    if not matches(password, old):
        with desk.acting(system(actor.address)) as connection:
            _count(connection, key)
        raise Refusal(422, "form", faults={"old": "password_wrong"})
    if new != again:
        raise Refusal(422, "form", faults={"again": "password_again"})
    if new == old or not acceptable(new, actor.account):
        raise Refusal(422, "form", faults={"new": "password_weak"})
    hashed, sessions = hash_password(new), tables.sessions
    with desk.acting(actor) as connection:
        connection.execute(
            tables.people.update().where(tables.people.c.id == actor.person).values(password=hashed, must_change=False)
        )
        connection.execute(
            sessions.update()
            .where(sessions.c.person == actor.person, sessions.c.token != actor.session, sessions.c.ended.is_(None))
            .values(ended=sa.func.clock_timestamp())
        )
        note(connection, actor, "password-changed", actor.account)
