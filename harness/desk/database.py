"""The desk's way to its database: every transaction runs as a role without rights of its own, for one person.

``SET LOCAL`` tells the policies of row-level security who asks; it ends with the transaction. What a query forgets to
narrow, the policies narrow.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from harness.center.queueing import Center
from harness.desk import tables
from harness.desk.refusing import refusals
from harness.errors import InfrastructureError

#: The role of PostgreSQL that requests run as. It cannot log in.
ROLE = "harness_desk"
GRANTS = f"""
GRANT USAGE ON SCHEMA desk TO {ROLE};
GRANT SELECT, INSERT ON desk.organisations, desk.people, desk.memberships, desk.sessions, desk.devices, desk.failures,
    desk.tokens, desk.applications, desk.application_steps, desk.uploads, desk.certificates, desk.audit,
    desk.status_changes TO {ROLE};
GRANT SELECT ON desk.transitions, desk.status_kinds TO {ROLE};
GRANT UPDATE (decision, answer) ON desk.status_changes TO {ROLE};
GRANT UPDATE (name, password, must_change, active) ON desk.people TO {ROLE};
GRANT DELETE ON desk.memberships, desk.failures TO {ROLE};
GRANT UPDATE ON desk.failures TO {ROLE};
GRANT UPDATE (seen, ended) ON desk.sessions TO {ROLE};
GRANT UPDATE (ended) ON desk.tokens TO {ROLE};
GRANT UPDATE (state, form, product, version, campaign, changed) ON desk.applications TO {ROLE};
GRANT UPDATE (state, result) ON desk.uploads TO {ROLE};
"""
_MAKE_ROLE = f"""
DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
    IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN EXECUTE 'GRANT {ROLE} TO ' || quote_ident(current_user);
    END IF;
END $$;
"""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who asks. ``person`` is None for the public; ``reach`` is what the policies of the database let through: the rows
    of the ``own`` organisation, of the whole ``center``, nothing (``public``), or all (``system``: the desk itself)."""

    person: int | None = None
    organisation: int | None = None
    account: str = ""
    name: str = ""
    roles: frozenset[str] = frozenset()
    reach: str = "public"
    address: str = ""
    must_change: bool = False
    scopes: frozenset[str] | None = None  #: of a token of the API; None: a person at a page
    session: str = field(default="", repr=False)  #: hash of the session's token

    @property
    def staff(self) -> bool:
        """Whether it is somebody of the center."""
        return self.reach == "center"


PUBLIC = Actor()


def system(address: str = "") -> Actor:
    """The desk itself, for what is done before it is known who asks."""
    return Actor(reach="system", name="desk", address=address)


class Database:
    """The desk's tables in the database of a center.

    Raises:
        InfrastructureError: the role of requests cannot be made, or the database does not answer.
    """

    def __init__(self, center: Center) -> None:
        self.engine = center.journal.engine
        try:
            with self.engine.writing() as connection:
                center.journal.engine.alone(connection)
                known = connection.execute(
                    sa.text("SELECT count(*) FROM pg_roles WHERE rolname = :role AND pg_has_role(rolname, 'MEMBER')"),
                    {"role": ROLE},
                ).scalar()
                if not known:
                    connection.exec_driver_sql(_MAKE_ROLE)
                connection.exec_driver_sql(GRANTS)
        except sa.exc.ProgrammingError as error:
            raise InfrastructureError(
                f"the desk needs the role {ROLE} in PostgreSQL, and may not make it: {str(error.orig).splitlines()[0]}",
                advice=f"as an administrator of the database: CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO harness",
            ) from error
        except sa.exc.DBAPIError as error:
            raise center.journal.engine.trouble("opening the desk", error) from error

    @contextlib.contextmanager
    def acting(self, actor: Actor) -> Iterator[sa.Connection]:
        """A transaction for one person, committed at its end, rolled back on an error.

        Raises:
            Refusal: a guard of the database refused.
            InfrastructureError: the database does not answer.
        """
        settings = {
            "desk.reach": actor.reach,
            "desk.person": str(actor.person or ""),
            "desk.organisation": str(actor.organisation or ""),
            "desk.audit": "yes" if actor.roles & {"auditor", "administrator"} else "no",
        }
        # Not as the journal writes: what is done here is not done again, and signing may take minutes.
        with refusals(), self.engine.reading() as connection:
            connection.exec_driver_sql(f"SET LOCAL ROLE {ROLE}")
            names = ", ".join(f"set_config('{name}', :v{number}, true)" for number, name in enumerate(settings))
            values = {f"v{number}": value for number, value in enumerate(settings.values())}
            connection.execute(sa.text(f"SELECT {names}"), values)
            yield connection
            connection.commit()


def note(connection: sa.Connection, actor: Actor, action: str, subject: str, **detail: Any) -> None:
    """Write a line of the audit trail in the transaction of what it tells of. Never with a password or a token."""
    connection.execute(
        tables.audit.insert().values(
            person=actor.person,
            who=actor.account or actor.name or "public",
            address=actor.address,
            action=action,
            subject=subject,
            detail=json.dumps(detail, ensure_ascii=False, sort_keys=True, default=str),
        )
    )


def rows(connection: sa.Connection, query: sa.Select[Any]) -> list[Mapping[str, Any]]:
    """The rows of a query by the names of their columns."""
    return [dict(row) for row in connection.execute(query).mappings()]
