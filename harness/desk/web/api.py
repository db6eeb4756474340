"""The API, by OpenAPI 3.1: the same actions as the pages, with a token in ``Authorization: Bearer``."""

from __future__ import annotations

import datetime
import tempfile
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from harness.desk import applications, auditing, certificates, people, public, status_flow, statuses, testing, uploads
from harness.desk.database import Actor
from harness.desk.doing import Step, act
from harness.desk.flow import STAFF
from harness.desk.forms import Form
from harness.desk.statuses import Proposal
from harness.desk.web.asking import Gate, OfficeHere
from harness.desk.web.rendering import download

#: Shows the token in the description; ``Gate`` looks at it.
_bearer = HTTPBearer(auto_error=False, description="a token of the page Tokens / 访问令牌")
router = APIRouter(prefix="/api/v1", dependencies=[Depends(_bearer)])
Anybody = Annotated[Actor, Depends(Gate(public=True))]
Person = Annotated[Actor, Depends(Gate())]
Applicant = Annotated[Actor, Depends(Gate("applicant"))]
Worker = Annotated[Actor, Depends(Gate("applicant", "tester", "reviewer", "approver"))]
Staff = Annotated[Actor, Depends(Gate(*STAFF))]
Proposer = Annotated[Actor, Depends(Gate(*status_flow.PROPOSERS))]
Administrator = Annotated[Actor, Depends(Gate("administrator"))]
Auditor = Annotated[Actor, Depends(Gate("auditor", "administrator"))]
After = Annotated[int, Query(ge=0)]
Size = Annotated[int, Query(ge=1, le=100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Number(_Body):
    """What was entered."""

    id: int


class State(_Body):
    """Where an application stands."""

    state: str


class StepBody(_Body):
    """A step: its action, and what belongs to it."""

    action: str = Field(max_length=64)
    reason: str = Field(default="", max_length=64, description="of the list, where the step passes back")
    opinion: str = Field(default="", max_length=applications.MOST_OPINION)
    campaign: str = Field(default="", max_length=64, description="with bind_campaign")
    folder: str = Field(default="", max_length=100, description="with bind_campaign: a folder of the server instead")


class ProposalBody(_Body):
    """A change of a certificate's status, which another person decides."""

    kind: str = Field(max_length=64, description="suspend, reinstate, revoke, supersede")
    reason: str = Field(default="", max_length=1000, description="one line that the public will read")
    opinion: str = Field(default="", max_length=applications.MOST_OPINION, description="for the center alone")
    successor: str = Field(default="", max_length=64, description="with supersede: the number that takes its place")


class DecisionBody(_Body):
    """What becomes of a proposal."""

    decision: str = Field(max_length=64, description="carried_out, refused, withdrawn")
    answer: str = Field(default="", max_length=applications.MOST_OPINION, description="needed with refused")


class Row(_Body):
    """An application in a list."""

    id: int
    state: str
    product: str
    version: str
    vendor: str
    campaign: str | None
    created: datetime.datetime
    changed: datetime.datetime


class Rows(_Body):
    """A page of a list; ``next`` goes into ``after`` for the page that follows."""

    applications: list[Row]
    next: int | None


class Organisation(_Body):
    """A vendor."""

    name: str = Field(min_length=1, max_length=200)


class NewPerson(_Body):
    """A person of an organisation."""

    organisation: int
    account: str = Field(min_length=1, max_length=100)
    name: str = Field(min_length=1, max_length=100)
    roles: list[str] = Field(min_length=1, max_length=6)


class Once(_Body):
    """A password that is told once, and has to be changed at the first login."""

    password: str


@router.get("/applications")
def listing(
    office: OfficeHere,
    actor: Person,
    state: str = "",
    q: str = "",
    after: Annotated[int, Query(ge=0)] = 0,
    size: Size = 20,
) -> Rows:
    """Applications that you may see, the newest first."""
    rows = applications.listed(office.desk, actor, state=state, text=q[:100], after=after, size=size + 1)
    shown = [Row.model_validate(row) for row in rows[:size]]
    return Rows(applications=shown, next=shown[-1].id if len(rows) > size else None)


@router.post("/applications", status_code=201)
def create(office: OfficeHere, actor: Applicant, form: Form) -> Number:
    """Begin an application."""
    return Number(id=applications.create(office.desk, actor, form))


@router.get("/applications/{identity}")
def show(office: OfficeHere, actor: Person, identity: int) -> dict[str, Any]:
    """One application: its form, its history, its artifacts, and what you may do."""
    current = applications.application(office.desk, actor, identity)
    row = Row.model_validate({name: current.row[name] for name in Row.model_fields})
    return {
        **row.model_dump(mode="json"),
        "form": current.form.model_dump(mode="json"),
        "steps": [{name: value for name, value in step.items() if name != "person"} for step in current.steps],
        "artifacts": [dict(upload) for upload in current.uploads],
        "possible": [step.action for step in current.possible],
        "lacking": dict(current.lacking),
        "certificate": statuses.of_application(office, actor, identity),
    }


@router.put("/applications/{identity}")
def change(office: OfficeHere, actor: Applicant, identity: int, form: Form) -> State:
    """Write the form of a draft anew."""
    applications.change(office.desk, actor, identity, form)
    return State(state="draft")


@router.post("/applications/{identity}/steps")
def step(office: OfficeHere, actor: Worker, identity: int, body: StepBody) -> State:
    """Take a step."""
    act(office, actor, identity, Step(**body.model_dump()))
    return State(state=applications.application(office.desk, actor, identity).state)


@router.put("/applications/{identity}/artifacts/{name}", status_code=201)
async def add_artifact(
    request: Request, office: OfficeHere, actor: Applicant, identity: int, name: str, later: BackgroundTasks
) -> Number:
    """Send an artifact as the body; it is scanned after the answer."""
    with tempfile.SpooledTemporaryFile(max_size=2**20) as spool:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        spool.seek(0)
        entered = await run_in_threadpool(
            uploads.receive, office, actor, identity, name, iter(lambda: spool.read(2**20), b"")
        )
    later.add_task(uploads.scan_waiting, office)
    return Number(id=entered)


@router.get("/applications/{identity}/artifacts/{number}")
def artifact(office: OfficeHere, actor: Person, identity: int, number: int) -> Response:
    """An artifact, as bytes."""
    name, path = uploads.artifact(office, actor, identity, number)
    return download(name, path.read_bytes())


@router.get("/applications/{identity}/cells")
def cells(office: OfficeHere, actor: Person, identity: int) -> dict[str, Any]:
    """Where the cells of its campaign stand."""
    current = applications.application(office.desk, actor, identity)
    if not current.row["campaign"]:
        return {"campaign": None, "state": "", "counts": {}, "cells": []}
    status = testing.cells(office, str(current.row["campaign"]))
    hidden = ("message", "reasons") if not actor.staff else ()
    return {**status, "cells": [{k: v for k, v in cell.items() if k not in hidden} for cell in status["cells"]]}


@router.get("/applications/{identity}/papers/{kind}")
def paper(office: OfficeHere, actor: Person, identity: int, kind: str) -> Response:
    """A paper of its campaign: json, junit, html, markdown, report, certificate."""
    return download(*certificates.paper(office, actor, identity, kind))


@router.post("/organisations", status_code=201)
def add_organisation(office: OfficeHere, actor: Administrator, body: Organisation) -> Number:
    """Enter a vendor."""
    return Number(id=people.add_organisation(office.desk, actor, body.name))


@router.get("/people")
def people_list(office: OfficeHere, actor: Administrator) -> dict[str, Any]:
    """Organisations and people."""
    return dict(people.listed(office.desk, actor))


@router.post("/people", status_code=201)
def add_person(office: OfficeHere, actor: Administrator, body: NewPerson) -> Once:
    """Enter a person."""
    return Once(password=people.add_person(office.desk, actor, **body.model_dump()))


@router.get("/audit")
def audit(office: OfficeHere, actor: Auditor, before: int | None = None, size: Size = 50) -> dict[str, Any]:
    """Lines of the audit trail, the newest first; ``next`` goes into ``before``."""
    rows = auditing.trail(office.desk, actor, before, size + 1)
    return {"lines": [dict(row) for row in rows[:size]], "next": rows[size - 1]["seq"] if len(rows) > size else None}


@router.get("/certificates")
def certificate_list(
    office: OfficeHere, actor: Anybody, q: str = "", cpu: str = "", os: str = "", after: str = "", size: Size = 20
) -> dict[str, Any]:
    """The compatibility list; ``next`` goes into ``after``."""
    rows = public.listed(office, text=q[:100], cpu=cpu[:64], os=os[:64], after=after[:200], size=size + 1)
    last = rows[size - 1] if len(rows) > size else None
    return {"certificates": rows[:size], "next": f"{last['product']} {last['number']}" if last is not None else None}


@router.get("/certificates/{number}")
def certificate(office: OfficeHere, actor: Anybody, number: str) -> dict[str, Any]:
    """One certificate, checked now."""
    return public.certificate(office, number)


@router.get("/issued")
def issued(
    office: OfficeHere, actor: Staff, status: str = "", q: str = "", after: str = "", size: Size = 20
) -> dict[str, Any]:
    """Certificates for people of the center, the newest first; ``status``: of the register, or open."""
    rows = statuses.listed(office, actor, status=status, text=q[:100], after=after[:200], size=size + 1)
    return {"certificates": rows[:size], "next": rows[size - 1]["key"] if len(rows) > size else None}


@router.get("/certificates/{number}/changes")
def changes(office: OfficeHere, actor: Person, number: str) -> dict[str, Any]:
    """Changes of a certificate's status; the vendor whose it is sees what was carried out."""
    return statuses.history(office, actor, number)


@router.post("/certificates/{number}/changes", status_code=201)
def propose(office: OfficeHere, actor: Proposer, number: str, body: ProposalBody) -> Number:
    """Propose a change of the status."""
    return Number(id=statuses.propose(office, actor, number, Proposal(**body.model_dump())))


@router.post("/certificates/{number}/changes/{identity}")
def decide(office: OfficeHere, actor: Proposer, number: str, identity: int, body: DecisionBody) -> dict[str, Any]:
    """Carry a proposal out, refuse it, or withdraw it; gives what ``changes`` gives."""
    statuses.decide(office, actor, number, identity, body.decision, body.answer)
    return statuses.history(office, actor, number)


@router.post("/verify")
async def verify(request: Request, office: OfficeHere, actor: Anybody) -> dict[str, Any]:
    """Check the body, a file; nothing of it is kept."""
    data = await request.body()
    return await run_in_threadpool(public.check_file, office, "", data)
