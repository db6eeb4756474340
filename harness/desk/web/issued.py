"""Pages of certificates for people of the center: the list, one certificate, changes of its status."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from harness.desk import status_flow, statuses
from harness.desk.database import Actor
from harness.desk.flow import STAFF
from harness.desk.refusing import Refusal
from harness.desk.statuses import Proposal
from harness.desk.web.asking import Gate, OfficeHere, Posted, checked_form
from harness.desk.web.rendering import go, page
from harness.register.register import STATES

router = APIRouter(dependencies=[Depends(checked_form)])
Staff = Annotated[Actor, Depends(Gate(*STAFF))]
Proposer = Annotated[Actor, Depends(Gate(*status_flow.PROPOSERS))]

#: Fields of the forms, which a refusal leaves as they were written.
TYPED = ("kind", "reason", "opinion", "successor", "decision", "answer")


@router.get("/issued")
def listing(
    request: Request, office: OfficeHere, actor: Staff, status: str = "", q: str = "", after: str = ""
) -> Response:
    """Certificates with their status, and what waits for a decision."""
    size = statuses.PAGE
    status = status if status in ("open", *STATES) else ""
    rows = statuses.listed(office, actor, status=status, text=q[:100], after=after[:200], size=size + 1)
    more = rows[size - 1]["key"] if len(rows) > size else ""
    filters = ("open", *STATES)
    return page(request, "issued.html.j2", rows=rows[:size], more=more, chosen=status, q=q[:100], filters=filters)


@router.get("/issued/{number}")
def show(request: Request, office: OfficeHere, actor: Staff, number: str) -> Response:
    """One certificate: its status, who proposed and decided what, and what the reader may do."""
    return _show(request, office, actor, number)


def _show(
    request: Request,
    office: OfficeHere,
    actor: Actor,
    number: str,
    refusal: Refusal | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    return page(
        request,
        "status.html.j2",
        refusal.status if refusal is not None else 200,
        c=statuses.issued(office, actor, number),
        refusal=refusal.word if refusal is not None else "",
        detail=refusal.detail if refusal is not None else "",
        faults=refusal.faults if refusal is not None else {},
        typed={**dict.fromkeys(TYPED, ""), **(typed or {})},
        suggestions=status_flow.REASONS,
    )


def _typed(posted: Posted, *names: str) -> dict[str, str]:
    return {name: str(posted.get(name, "")).replace("\r\n", "\n") for name in names}


@router.post("/issued/{number}/changes")
def propose(request: Request, office: OfficeHere, actor: Proposer, number: str, posted: Posted) -> Response:
    """Propose a change; a refusal is shown where it was asked for, with what was written."""
    typed = _typed(posted, "kind", "reason", "opinion", "successor")
    try:
        statuses.propose(office, actor, number, Proposal(**typed))
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return _show(request, office, actor, number, refusal, typed)
    return _back(number)


@router.post("/issued/{number}/changes/{identity}")
def decide(
    request: Request, office: OfficeHere, actor: Proposer, number: str, identity: int, posted: Posted
) -> Response:
    """Carry a proposal out, refuse it, or withdraw it."""
    typed = _typed(posted, "decision", "answer")
    try:
        statuses.decide(office, actor, number, identity, typed["decision"], typed["answer"])
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return _show(request, office, actor, number, refusal, typed)
    return _back(number)


def _back(number: str) -> Response:
    return go(f"/issued/{quote(number, safe='')}")
