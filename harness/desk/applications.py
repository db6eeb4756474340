"""Applications: written, looked at, and taken from step to step. Pages and API share these functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from harness.desk import flow, tables
from harness.desk.database import Actor, Database, note, rows
from harness.desk.forms import Form, lacking
from harness.desk.refusing import Refusal
from harness.system.canonical import read_json

PAGE = 20
MOST_OPINION = 4000
#: Steps that do more than lead on: each has a call of its own.
OWN_CALLS = ("bind_campaign", "finish_testing", "make_draft", "issue")


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application as an actor may see it, with its history and its artifacts."""

    row: Mapping[str, Any]
    form: Form
    steps: tuple[Mapping[str, Any], ...]
    uploads: tuple[Mapping[str, Any], ...]
    possible: tuple[flow.Transition, ...]  #: what the actor may do now
    lacking: Mapping[str, str]  #: of a draft

    @property
    def id(self) -> int:
        """Its number."""
        return int(self.row["id"])

    @property
    def state(self) -> str:
        """One of ``flow.STATES``."""
        return str(self.row["state"])


def _listing() -> sa.Select[Any]:
    table, organisations = tables.applications, tables.organisations
    columns = [table.c[name] for name in ("id", "state", "product", "version", "campaign", "created", "changed")]
    of = organisations.c.name.label("vendor")
    return sa.select(*columns, of).join(organisations, organisations.c.id == table.c.organisation)


def waiting(desk: Database, actor: Actor) -> list[Mapping[str, Any]]:
    """Applications that wait for a step that this actor may take, the longest first; at most 50."""
    table = tables.applications
    states = [state for state in flow.STATES if set(flow.waits_for(state)) & actor.roles]
    done_other = sa.exists().where(
        tables.steps.c.application == table.c.id,
        tables.steps.c.person == actor.person,
        tables.steps.c.duty != _duty_here(),
    )
    query = _listing().where(table.c.state.in_(states), ~done_other).order_by(table.c.changed).limit(50)
    with desk.acting(actor) as connection:
        return rows(connection, query)


def _duty_here() -> sa.ScalarSelect[Any]:
    """The duty of whoever goes on from an application's state: each state but testing has one."""
    table = tables.transitions
    query = sa.select(table.c.duty).where(table.c.source == tables.applications.c.state, table.c.role != "machine")
    return query.limit(1).correlate(tables.applications).scalar_subquery()


def listed(
    desk: Database, actor: Actor, *, state: str = "", text: str = "", after: int = 0, size: int = PAGE
) -> list[Mapping[str, Any]]:
    """Applications that the actor may see, the newest first; ``after``: those with a smaller number (0: all)."""
    table = tables.applications
    query = _listing().order_by(table.c.id.desc()).limit(size)
    if state:
        query = query.where(table.c.state == state)
    if text:
        query = query.where(table.c.product.icontains(text, autoescape=True))
    if after:
        query = query.where(table.c.id < after)
    with desk.acting(actor) as connection:
        return rows(connection, query)


def create(desk: Database, actor: Actor, form: Form) -> int:
    """Begin an application of the actor's organisation; gives its number."""
    table = tables.applications
    values = {"organisation": actor.organisation, "creator": actor.person, **_columns(form)}
    with desk.acting(actor) as connection:
        identity = int(connection.execute(table.insert().values(**values).returning(table.c.id)).scalar_one())
        note(connection, actor, "application-begun", str(identity), product=form.product)
    return identity


def change(desk: Database, actor: Actor, identity: int, form: Form) -> None:
    """Write the form of a draft anew.

    Raises:
        Refusal: it is not there, or no draft.
    """
    table = tables.applications
    own = table.c.id == identity, table.c.organisation == actor.organisation
    with desk.acting(actor) as connection:
        if not connection.execute(table.update().where(*own).values(**_columns(form))).rowcount:
            raise Refusal(404, "missing")
        note(connection, actor, "application-changed", str(identity))


def _columns(form: Form) -> dict[str, Any]:
    return {"form": form.model_dump_json(), "product": form.product, "version": form.version}


def application(desk: Database, actor: Actor, identity: int) -> Application:
    """One application.

    Raises:
        Refusal: there is none that the actor may see.
    """
    with desk.acting(actor) as connection:
        return look(connection, actor, identity)


def look(connection: sa.Connection, actor: Actor, identity: int) -> Application:
    """As ``application``, in a transaction in which more is done. Raises likewise."""
    table = tables.applications
    query = _listing().add_columns(table.c.form, table.c.organisation).where(table.c.id == identity)
    row = next(iter(rows(connection, query)), None)
    if row is None:
        raise Refusal(404, "missing")
    steps, uploads = tables.steps, tables.uploads
    history = rows(connection, sa.select(steps).where(steps.c.application == identity).order_by(steps.c.seq))
    files = rows(connection, sa.select(uploads).where(uploads.c.application == identity).order_by(uploads.c.id))
    form = Form.model_validate_json(row["form"])
    taken = [flow.Taken(person=step["person"], duty=step["duty"]) for step in history]
    own = actor.staff or row["organisation"] == actor.organisation
    scanned = sum(each["state"] == "scanned" for each in files)
    return Application(
        row=row,
        form=form,
        steps=tuple(history),
        uploads=tuple({**each, "result": read_json(each["result"])} for each in files),
        possible=tuple(flow.possible(row["state"], person=actor.person or 0, roles=actor.roles, history=taken))
        if own
        else (),
        lacking=lacking(form, scanned) if row["state"] == "draft" else {},
    )


def take(
    connection: sa.Connection,
    actor: Actor,
    identity: int,
    action: str,
    *,
    reason: str = "",
    opinion: str = "",
    campaign: str | None = None,
) -> str:
    """Take a step in a transaction; gives the state that it leads to. The database holds it against the same rules.

    Raises:
        Refusal: the step is not to be taken: from this state, by this person, or without a reason and an opinion.
    """
    current = look(connection, actor, identity)
    taken = [flow.Taken(person=step["person"], duty=step["duty"]) for step in current.steps]
    step = flow.transition(action, current.state)
    if step is None:
        raise Refusal(409, "state")
    if step.role != "machine":
        why = flow.refusal(
            action,
            current.state,
            person=actor.person or 0,
            roles=actor.roles,
            history=taken,
            reason=reason,
            opinion=opinion,
        )
        if why in ("reason", "opinion"):
            raise Refusal(422, why, faults={why: "needed"})
        if why is not None:
            raise Refusal(403, why)
    if len(opinion) > MOST_OPINION:
        raise Refusal(422, "form", faults={"opinion": "length"})
    if action == "submit" and current.lacking:
        raise Refusal(422, "form", faults=dict(current.lacking))
    values = {"action": action, "reason": reason if step.back else "", "opinion": opinion.strip()}
    connection.execute(tables.steps.insert().values(application=identity, campaign=campaign, **values))
    note(connection, actor, f"step-{action}", str(identity), reason=values["reason"], to=step.target)
    return step.target


def step(desk: Database, actor: Actor, identity: int, action: str, *, reason: str = "", opinion: str = "") -> str:
    """Take a step that does nothing else. Raises as ``take``."""
    if action in OWN_CALLS or action.startswith("machine_"):
        raise Refusal(409, "state")
    with desk.acting(actor) as connection:
        return take(connection, actor, identity, action, reason=reason, opinion=opinion)
