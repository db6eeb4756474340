"""The status of certificates: one person proposes a change, another decides it, and the register publishes it.

The step in the database comes first, inside the transaction, and holds the row: it refuses who may not, and the second
of two who decide at once. Then the register is written, by the code that ``harness revoke`` uses. If the transaction is
lost in between, the proposal still waits though the change is public: then it can only be carried out, which publishes
it anew; the register counts the last entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import sqlalchemy as sa

from harness.desk import status_flow, tables
from harness.desk.applications import MOST_OPINION
from harness.desk.database import Actor, Database, note, rows
from harness.desk.office import Office, Seals
from harness.desk.refusing import Refusal
from harness.desk.standing import Standing, standings, with_links
from harness.errors import InfrastructureError, UsageError
from harness.register.register import State, fits

PAGE = 20
#: What people of a vendor see of a change of their certificate's status: its outcome, without opinions and names.
OUTCOME = ("kind", "target", "reason", "successor", "decided")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What is proposed. ``reason``: the line that the public will read; ``opinion``: for the center alone;
    ``successor``: the number in the place of a superseded certificate."""

    kind: str
    reason: str = ""
    opinion: str = ""
    successor: str = ""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate as people of the center see it: its row, how the register has it, and what was proposed."""

    row: Mapping[str, Any]
    standing: Standing
    changes: tuple[Mapping[str, Any], ...]  #: the newest first
    steps: tuple[Mapping[str, Any], ...]  #: who issued it
    possible: tuple[status_flow.StatusChange, ...]  #: what the actor may propose
    decisions: tuple[str, ...]  #: what the actor may do with the open proposal
    why_not: str  #: why the actor does not decide the open proposal, where their roles would let them

    @property
    def open(self) -> Mapping[str, Any] | None:
        """The proposal that waits for its decision."""
        return next((change for change in self.changes if change["decision"] is None), None)

    @property
    def published(self) -> bool:
        """Whether the register has the open proposal already: its transaction was lost after the signature."""
        return self.open is not None and _published(self.standing, self.open)

    @property
    def unlike(self) -> bool:
        """Whether the register says something else than the desk's last decision, and no open proposal explains it."""
        targets = (change["target"] for change in self.changes if change["decision"] == "carried_out")
        said = self.standing.status
        return said not in (next(targets, "active"), "unknown") and not self.published


def _row(connection: sa.Connection, number: str) -> Mapping[str, Any]:
    certificates = rows(connection, sa.select(tables.certificates).where(tables.certificates.c.number == number))
    if not certificates:
        raise Refusal(404, "certificate_unknown")
    return certificates[0]


def _changes(connection: sa.Connection, number: str) -> list[Mapping[str, Any]]:
    table = tables.status_changes
    return rows(connection, sa.select(table).where(table.c.certificate == number).order_by(table.c.id.desc()))


def _tested(connection: sa.Connection, actor: Actor, application: int) -> bool:
    """Whether the actor did the duty of a tester for an application."""
    steps = tables.steps
    tester = sa.exists().where(
        steps.c.application == application, steps.c.person == actor.person, steps.c.duty == "test"
    )
    return bool(connection.execute(sa.select(tester)).scalar())


def issued(office: Office, actor: Actor, number: str) -> Issued:
    """One certificate for people of the center.

    Raises:
        Refusal: none of that number was issued here.
    """
    standing = standings(office).of(number)
    with office.desk.acting(actor) as connection:
        row = _row(connection, number)
        changes = _changes(connection, number)
        tested = _tested(connection, actor, row["application"])
        steps = tables.steps
        query = sa.select(steps).where(steps.c.application == row["application"], steps.c.action == "issue")
        issue = rows(connection, query)
    waits = next((change for change in changes if change["decision"] is None), None)
    refusals: dict[str, str | None] = {}
    if waits is not None:
        asked = {"person": actor.person or 0, "roles": actor.roles, "proposer": waits["proposer"], "tested": tested}
        refusals = {each: status_flow.decision_refusal(each, **asked) for each in status_flow.DECISIONS}
    return Issued(
        row=row,
        standing=standing,
        changes=tuple(changes),
        steps=tuple(issue),
        possible=tuple(status_flow.possible(standing.status, actor.roles)) if waits is None else (),
        decisions=tuple(decision for decision, why in refusals.items() if why is None),
        why_not=next((why for why in refusals.values() if why in ("second", "duty")), ""),
    )


def listed(
    office: Office, actor: Actor, *, status: str = "", text: str = "", after: str = "", size: int = PAGE
) -> list[dict[str, Any]]:
    """Certificates for people of the center, the newest first, each with ``state`` (of the register), ``open`` (the
    kind of the proposal that waits, or None) and ``key``.

    ``status``: of the register, or ``open``; ``after``: a ``key``, for those behind it."""
    said = standings(office)
    table, changes = tables.certificates, tables.status_changes
    key = sa.func.concat(table.c.issued, " ", table.c.number)
    waits = sa.and_(changes.c.certificate == table.c.number, changes.c.decision.is_(None))
    query = sa.select(table, changes.c.kind.label("open"), key.label("key")).outerjoin(changes, waits)
    query = query.order_by(key.desc()).limit(size)
    if text:
        hits = [table.c[name].icontains(text, autoescape=True) for name in ("product", "vendor", "number", "version")]
        query = query.where(sa.or_(*hits))
    if status == "open":
        query = query.where(changes.c.id.is_not(None))
    elif status == "active":
        query = query.where(table.c.number.not_in(said.numbers()))
    elif status:
        query = query.where(table.c.number.in_(said.numbers(status)))
    if after:
        query = query.where(key < after)
    with office.desk.acting(actor) as connection:
        names = (
            "number",
            "application",
            "product",
            "version",
            "vendor",
            "kind",
            "issued",
            "valid_until",
            "open",
            "key",
        )
        certificates = [
            {**{name: row[name] for name in names}, "state": said.of(row["number"]).shown(row["valid_until"])}
            for row in rows(connection, query)
        ]
        return with_links(connection, certificates)


def waiting(desk: Database, actor: Actor) -> list[Mapping[str, Any]]:
    """Proposals that wait for a decision of this actor, the longest first; at most 50."""
    if not set(status_flow.DECIDERS) & actor.roles:
        return []
    changes, table, steps = tables.status_changes, tables.certificates, tables.steps
    tested = sa.exists().where(
        steps.c.application == table.c.application, steps.c.person == actor.person, steps.c.duty == "test"
    )
    query = (
        sa.select(changes, table.c["product"], table.c.version, table.c.vendor)
        .join(table, table.c.number == changes.c.certificate)
        .where(changes.c.decision.is_(None), changes.c.proposer != actor.person, ~tested)
        .order_by(changes.c.id)
        .limit(50)
    )
    with desk.acting(actor) as connection:
        return rows(connection, query)


def of_application(office: Office, actor: Actor, identity: int) -> dict[str, Any] | None:
    """The certificate of an application: ``number``, ``state``, ``outcomes`` of changes; None where there is none."""
    table = tables.certificates
    with office.desk.acting(actor) as connection:
        certificates = rows(connection, sa.select(table).where(table.c.application == identity))
        if not certificates:
            return None
        changes = _changes(connection, certificates[0]["number"])
    number = certificates[0]["number"]
    state = standings(office).of(number).shown(certificates[0]["valid_until"])
    return {"number": number, "state": state, "outcomes": outcomes(changes)}


def outcomes(changes: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What of changes is for the vendor: those that were carried out."""
    return [{name: each[name] for name in OUTCOME} for each in changes if each["decision"] == "carried_out"]


def history(office: Office, actor: Actor, number: str) -> dict[str, Any]:
    """``number``, ``state``, ``changes`` of a certificate: all to people of the center, with what they may do
    (``possible``, ``decisions``); to the vendor whose it is, the outcomes.

    Raises:
        Refusal: there is no such certificate, or it is another vendor's.
    """
    if actor.staff:
        current = issued(office, actor, number)
        hidden = ("proposer", "decider", "certificate")
        changes = [{k: v for k, v in change.items() if k not in hidden} for change in current.changes]
        may = {"possible": [each.kind for each in current.possible], "decisions": list(current.decisions)}
        return {"number": number, "state": current.standing.shown(), "changes": changes, **may}
    with office.desk.acting(actor) as connection:
        row = _row(connection, number)
        own = sa.select(tables.applications.c.id).where(tables.applications.c.id == row["application"])
        if not rows(connection, own):
            raise Refusal(404, "certificate_unknown")
        changes_of = _changes(connection, number)
    state = standings(office).of(number).shown()
    return {"number": number, "state": state, "changes": outcomes(changes_of), "possible": [], "decisions": []}


def propose(office: Office, actor: Actor, number: str, proposal: Proposal) -> int:
    """Propose a change; gives its number. The database holds it against the same rules.

    Raises:
        Refusal: the actor may not, words are missing or wrong, another proposal waits, or no such change leads on from
            how the certificate stands.
    """
    if not set(status_flow.PROPOSERS) & actor.roles:
        raise Refusal(403, "role")
    asked = Proposal(**{name: text.strip() for name, text in asdict(proposal).items()})
    if faults := _faults(asked, number):
        raise Refusal(422, "form", faults=faults)
    change = status_flow.change_of(asked.kind)
    assert change is not None
    seals, said = _seals(office), standings(office)
    standing = said.of(number)
    with office.desk.acting(actor) as connection:
        _row(connection, number)
        if standing.status not in change.sources:
            raise Refusal(409, "unknown_status" if standing.status == "unknown" else "status")
        if asked.successor:
            _holds(seals, asked.successor, said.of(asked.successor))
        if any(each["decision"] is None for each in _changes(connection, number)):
            raise Refusal(409, "open")
        table = tables.status_changes
        values = {**asdict(asked), "successor": asked.successor or None}
        inserted = table.insert().values(certificate=number, source=standing.status, **values).returning(table.c.id)
        try:
            identity = int(connection.execute(inserted).scalar_one())
        except sa.exc.IntegrityError as error:  # two at once: the index lets one through
            raise Refusal(409, "open") from error
        note(connection, actor, f"status-{asked.kind}-proposed", number, change=identity, reason=asked.reason)
    return identity


def _faults(asked: Proposal, number: str) -> dict[str, str]:
    faults: dict[str, str] = {}
    if status_flow.change_of(asked.kind) is None:
        faults["kind"] = "choice"
    if not asked.reason:
        faults["reason"] = "needed"
    elif not fits(asked.reason):
        faults["reason"] = "one_line"
    elif len(asked.reason) > status_flow.MOST_REASON:
        faults["reason"] = "length"
    if word := _wrong(asked.opinion):
        faults["opinion"] = word
    if asked.kind == "supersede":
        if not asked.successor:
            faults["successor"] = "needed"
        elif asked.successor == number:
            faults["successor"] = "another"
    elif asked.successor:
        faults["successor"] = "only_supersede"
    return faults


def _wrong(text: str) -> str:
    """What is wrong with an opinion, in a word of the list ``fault``; empty: nothing."""
    if not text.strip():
        return "needed"
    if "\0" in text:
        return "characters"
    return "length" if len(text) > MOST_OPINION else ""


def _holds(seals: Seals, number: str, standing: Standing) -> None:
    """Refuse a successor that the register does not have, or that does not hold itself.

    Raises:
        Refusal: so it is, or the register cannot be read.
    """
    try:
        known = seals.register.knows(number)
    except (UsageError, ValueError) as error:
        raise Refusal(409, "unpublished", detail=str(error)[:500]) from error
    if not known or standing.status != "active":
        word = "number_ended" if known else "number_unknown"
        raise Refusal(422, "form", faults={"successor": word})


def decide(office: Office, actor: Actor, number: str, identity: int, decision: str, answer: str = "") -> None:
    """Carry a proposal out, refuse it, or withdraw it.

    Raises:
        Refusal: the actor may not; the proposal is decided already; a refusal has no reason; the register stands
            elsewhere by now, or cannot be written, and then nothing was decided.
    """
    answer = answer.strip()
    with office.desk.acting(actor) as connection:
        row = _row(connection, number)
        change = next((each for each in _changes(connection, number) if each["id"] == identity), None)
        if change is None:
            raise Refusal(404, "missing")
        _may(connection, actor, row, change, decision)
        if (answer or decision == "refused") and (word := _wrong(answer)):
            raise Refusal(422, "form", faults={"answer": word})
        table = tables.status_changes
        # Holds the row until the end: who decides at the same moment waits here, and is refused.
        connection.execute(table.update().where(table.c.id == identity).values(decision=decision, answer=answer))
        standing = standings(office).of(number)
        if decision == "carried_out":
            _publish(office, change, standing)
        elif _published(standing, change):
            raise Refusal(409, "published")
        note(connection, actor, f"status-{change['kind']}-{decision}", number, change=identity, answer=answer)


def _may(
    connection: sa.Connection, actor: Actor, row: Mapping[str, Any], change: Mapping[str, Any], decision: str
) -> None:
    why = status_flow.decision_refusal(
        decision,
        person=actor.person or 0,
        roles=actor.roles,
        proposer=change["proposer"],
        tested=_tested(connection, actor, row["application"]),
    )
    if why == "decided":
        raise Refusal(422, "form", faults={"decision": "choice"})
    if why is not None:
        raise Refusal(403, why)
    if change["decision"] is not None:
        raise Refusal(409, "decided")


def _published(standing: Standing, change: Mapping[str, Any]) -> bool:
    """Whether the register has a change already, of which the database does not know that it was carried out."""
    if change["target"] == "active":
        return standing.status == "active"
    said = (standing.status, standing.reason, standing.by)
    return said == (change["target"], change["reason"], change["successor"] or "")


def _publish(office: Office, change: Mapping[str, Any], standing: Standing) -> None:
    """Sign the status list with a change.

    Raises:
        Refusal: the certificate stands elsewhere by now, its successor does not hold, or the list cannot be signed.
    """
    seals, number = _seals(office), change["certificate"]
    if standing.status == "unknown":
        raise Refusal(409, "unknown_status")
    if standing.status != change["source"] and not _published(standing, change):
        raise Refusal(409, "moved")
    if change["successor"]:
        _holds(seals, change["successor"], standings(office).of(change["successor"]))
    target = cast(State, change["target"])
    try:
        seals.register.set_state(number, target, change["reason"], change["successor"] or "", seals.signing)
    except (UsageError, InfrastructureError) as error:
        raise Refusal(503, "unpublished", detail=error.message[:500]) from error


def _seals(office: Office) -> Seals:
    if office.seals is None:
        raise Refusal(409, "no_keys")
    return office.seals
