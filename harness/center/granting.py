"""Roles of the database for workers that are not trusted: each may take cells, write its own attempts, and no more.

What a role may do is in ``rights.sql``: policies of rows, triggers, and functions that stand before those of the queue.
Whoever owns the tables is bound by none of it, so a center with one role for all works as before.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from harness.center.queueing import Center
from harness.errors import UsageError
from harness.evidence.chain import WORKSPACE
from harness.evidence.units import Unit

SCHEMA = "harness_worker"
#: At most 63 bytes make a name (PostgreSQL, Identifiers and Key Words); one that begins with pg_ is the server's own.
_NAME = re.compile(r"(?!pg_)[a-z0-9][a-z0-9._-]{0,62}")
_READ = (
    "campaigns attempts observations files resources events chains claims submissions queues workers limits "
    "alembic_version procrastinate_jobs procrastinate_workers"
).split()
_INSERT = "attempts observations files resources events claims workers".split()
#: Table -> columns that may be changed, in rows that the policies let through; without columns: all.
_UPDATE = {
    "attempts": "state, verdict, cause, message, finished, facts, token",
    "campaigns": "finished, verdict",
    "chains": "length, head",
    "claims": "",
    "resources": "campaign, state, engine_id",
    "submissions": "state",
    "workers": "",
    "procrastinate_jobs": "abort_requested",
}
#: Called by policies, or by a worker.
_CALLED = (
    "mine() holds(text,text,integer) holds_any(text) all_ended(text) closed(text) may_note(text,text,text,text) "
    "own_job(bigint) made_by_me() procrastinate_register_worker_v1() procrastinate_unregister_worker_v1(bigint) "
    "procrastinate_update_heartbeat_v1(bigint) procrastinate_fetch_job_v2(varchar[],bigint) "
    "procrastinate_finish_job_v1(bigint,public.procrastinate_job_status,boolean) "
    "procrastinate_retry_job_v2(bigint,timestamptz,integer,varchar,varchar) "
    "procrastinate_defer_jobs_v1(public.procrastinate_job_to_defer_v1[])"
).split()


@dataclass(frozen=True, kw_only=True)
class Granted:
    """A worker's role. ``password``: of a role that was made now, else empty. ``url``: for HARNESS_DATABASE_URL there,
    with the password where it is known."""

    role: str
    password: str
    url: str


def grant_worker(center: Center, name: str) -> Granted:
    """Make the role of a worker, and give it a worker's rights; a role that is there keeps its password.

    Raises:
        UsageError: no role may have that name, or the role may do more than a worker.
        InfrastructureError: the database refuses, as it does whoever does not own the tables or may make no roles.
    """
    _check(name)
    script = Path(__file__).with_name("rights.sql").read_text(encoding="utf-8")

    def work(unit: Unit) -> str:
        center.journal.engine.alone(unit.connection)
        password = _made(unit, name)
        # Several statements, without parameters: "%" is no sign of one.
        unit.connection.exec_driver_sql(script, execution_options={"no_parameters": True})
        for statement in _grants(name, str(center.journal.engine.pool.url.database)):
            unit.connection.exec_driver_sql(statement)
        unit.append("worker-granted", {"role": name}, WORKSPACE)
        return password

    password = center.journal.transact("granting a worker's rights", work)
    url = sa.make_url(center.url).set(username=name, password=password or None)
    return Granted(role=name, password=password, url=url.render_as_string(hide_password=False))


def revoke_worker(center: Center, name: str) -> None:
    """Take a worker's rights in this database away; its sessions are ended, and nobody logs in as it any more. Its
    attempts stay what they are; the sweeper gives its cells to others.

    Raises:
        UsageError: there is no such role.
        InfrastructureError: the database refuses.
    """
    _check(name)

    def work(unit: Unit) -> None:
        if not _state(unit, name):
            raise UsageError(f"there is no role {name}", advice="see: harness workers")
        role = _quoted(name)
        unit.connection.exec_driver_sql(f"ALTER ROLE {role} NOLOGIN")
        unit.connection.exec_driver_sql(f"DROP OWNED BY {role}")
        unit.append("worker-revoked", {"role": name}, WORKSPACE)

    center.journal.transact("revoking a worker's rights", work)
    ended = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :name")
    center.journal.transact("ending its sessions", lambda unit: unit.connection.execute(ended, {"name": name}).all())


def worker_role(center: Center) -> str:
    """The role as which this process is logged in, where it has a worker's rights only; else empty."""
    query = sa.text(
        "SELECT session_user FROM pg_tables WHERE schemaname = 'public' AND tablename = 'workers' "
        "AND NOT pg_has_role(session_user, tableowner, 'MEMBER')"
    )
    with center.journal.reading() as connection:
        return str(connection.execute(query).scalar() or "")


def demand_owner(center: Center) -> None:
    """Refuse what only who sees the whole record may do: a worker's role sees a part, and takes it for all there is.

    Raises:
        UsageError: this process is logged in as a worker.
    """
    if role := worker_role(center):
        raise UsageError(
            f"the role {role} of the database may do a worker's work, and no more",
            advice="set HARNESS_DATABASE_URL to the role that owns the tables",
        )


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"no worker may be named {name!r}: its name is that of its role in the database",
            advice="lower-case letters, digits and . _ -, at most 63, not pg_ at the beginning; for example: worker-1",
        )


def _state(unit: Unit, name: str) -> Any:
    query = sa.text(
        "SELECT rolsuper OR rolcreaterole OR rolbypassrls OR rolreplication OR EXISTS (SELECT FROM pg_auth_members "
        "WHERE member = oid) AS more, rolcanlogin FROM pg_roles WHERE rolname = :name"
    )
    return unit.connection.execute(query, {"name": name}).first()


def _made(unit: Unit, name: str) -> str:
    """Make the role where it is not there; gives its password, empty where it was there."""
    state = _state(unit, name)
    if state is not None and state.more:
        raise UsageError(
            f"the role {name} may do more in this server than a worker, or is a member of another role",
            advice="name another",
        )
    if state is not None and state.rolcanlogin:
        return ""
    password = secrets.token_urlsafe(24)
    verb = "CREATE" if state is None else "ALTER"
    # Only its verifier is sent (RFC 5803), so no log of the server has the password.
    driver: Any = unit.connection.connection.driver_connection
    verifier = driver.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    unit.connection.exec_driver_sql(f"{verb} ROLE {_quoted(name)} LOGIN PASSWORD '{verifier}'")
    return password


def _grants(name: str, database: str) -> list[str]:
    role = _quoted(name)
    statements = [
        f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {_quoted(database)} TO {role}",
        f"GRANT USAGE ON SCHEMA public, {SCHEMA} TO {role}",
        # The functions that stand before those of the queue have the same names.
        f"ALTER ROLE {role} IN DATABASE {_quoted(database)} SET search_path = {SCHEMA}, public",
        f"GRANT SELECT ON {', '.join(_READ)} TO {role}",
        f"GRANT INSERT ON {', '.join(_INSERT)} TO {role}",
        f"GRANT DELETE ON workers TO {role}",
    ]
    statements += [
        f"GRANT UPDATE {f'({columns})' if columns else ''} ON {table} TO {role}" for table, columns in _UPDATE.items()
    ]
    return statements + [f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{called} TO {role}" for called in _CALLED]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
