"""Pages of applications: what waits, forms, artifacts, steps, cells, papers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.responses import FileResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from harness.desk import applications, certificates, statuses, testing, uploads
from harness.desk.database import Actor
from harness.desk.doing import Step, act
from harness.desk.forms import MOST_PLATFORMS, Form
from harness.desk.refusing import Refusal
from harness.desk.web.asking import Gate, OfficeHere, Posted, checked_form
from harness.desk.web.rendering import attachment, download, go, page

router = APIRouter(dependencies=[Depends(checked_form)])
Anybody = Annotated[Actor, Depends(Gate(public=True))]
Person = Annotated[Actor, Depends(Gate())]
Applicant = Annotated[Actor, Depends(Gate("applicant"))]
Worker = Annotated[Actor, Depends(Gate("applicant", "tester", "reviewer", "approver"))]


@router.get("/")
def home(request: Request, office: OfficeHere, actor: Anybody) -> Response:
    """What waits for the reader; for the public, what the desk is."""
    if actor.person is None:
        return page(request, "welcome.html.j2")
    if actor.must_change:
        return go("/password")
    return page(
        request,
        "home.html.j2",
        waiting=applications.waiting(office.desk, actor),
        changes=statuses.waiting(office.desk, actor),
        rows=applications.listed(office.desk, actor, size=10),
    )


@router.get("/applications")
def listing(
    request: Request, office: OfficeHere, actor: Person, state: str = "", q: str = "", after: int = 0
) -> Response:
    """All applications that the reader may see."""
    size = applications.PAGE
    rows = applications.listed(office.desk, actor, state=state, text=q[:100], after=after, size=size + 1)
    more = rows[size - 1]["id"] if len(rows) > size else 0
    return page(request, "applications.html.j2", rows=rows[:size], state=state, q=q[:100], more=more)


@router.get("/applications/new")
def begin(request: Request, office: OfficeHere, actor: Applicant) -> Response:
    """The empty form."""
    return _form(request, office, Form(contact=actor.name), None, {})


@router.post("/applications")
def create(request: Request, office: OfficeHere, actor: Applicant, posted: Posted) -> Response:
    """Keep a new draft."""
    form, faults = read_form(posted)
    if faults:
        return _form(request, office, form, None, faults, 422)
    return go(f"/applications/{applications.create(office.desk, actor, form)}")


@router.get("/applications/{identity}/edit")
def edit(request: Request, office: OfficeHere, actor: Applicant, identity: int) -> Response:
    """The form of a draft.

    Raises:
        Refusal: it is not there, or no draft.
    """
    current = applications.application(office.desk, actor, identity)
    if current.state != "draft":
        raise Refusal(409, "state")
    return _form(request, office, current.form, identity, {})


@router.post("/applications/{identity}")
def change(request: Request, office: OfficeHere, actor: Applicant, identity: int, posted: Posted) -> Response:
    """Keep the form of a draft."""
    form, faults = read_form(posted)
    if faults:
        return _form(request, office, form, identity, faults, 422)
    applications.change(office.desk, actor, identity, form)
    return go(f"/applications/{identity}")


def _form(
    request: Request, office: OfficeHere, form: Form, identity: int | None, faults: dict[str, str], status: int = 200
) -> Response:
    names = {axis: office.catalogue.names(f"targets/{axis}") for axis in ("cpu", "os", "database")}
    rows = [*form.platforms, *([None] * min(2, MOST_PLATFORMS - len(form.platforms)))]
    return page(
        request, "form.html.j2", status, form=form, identity=identity, faults=faults, names=names, platforms=rows
    )


def read_form(posted: FormData) -> tuple[Form, dict[str, str]]:
    """The form that was sent, with what is wrong with its fields; a field that is wrong is left empty."""

    def text(name: str) -> str:
        value = posted.get(name, "")
        return value.replace("\r\n", "\n") if isinstance(value, str) else ""

    simple = ("product", "version", "kind", "industry", "introduction", "scenarios", "copyright", "contact")
    axes = ("cpu", "os", "database")
    rows = [{axis: text(f"{axis}-{number}") for axis in axes} for number in range(MOST_PLATFORMS)]
    values: dict[str, Any] = {name: text(name) for name in simple}
    values |= {"platforms": [row for row in rows if any(row.values())], "agreed": posted.get("agreed") == "yes"}
    faults: dict[str, str] = {}
    try:
        return Form.model_validate(values), faults
    except ValidationError as error:
        for each in error.errors():
            name = str(each["loc"][0])
            faults[name] = "length" if each["type"] == "string_too_long" else "choice"
    return Form.model_validate({name: value for name, value in values.items() if name not in faults}), faults


@router.get("/applications/{identity}")
def show(request: Request, office: OfficeHere, actor: Person, identity: int) -> Response:
    """One application: where it stands, what may be done, its history."""
    return _show(request, office, actor, identity)


def _show(
    request: Request, office: OfficeHere, actor: Actor, identity: int, refusal: Refusal | None = None
) -> Response:
    current = applications.application(office.desk, actor, identity)
    return page(
        request,
        "application.html.j2",
        refusal.status if refusal is not None else 200,
        a=current,
        refusal=refusal.word if refusal is not None else "",
        detail=refusal.detail if refusal is not None else "",
        faults=refusal.faults if refusal is not None else {},
        campaign=_cells(office, actor, current),
        certificate=statuses.of_application(office, actor, identity),
        folders=testing.folders(office) if "tester" in actor.roles else [],
        uploading=current.state == "draft" and "applicant" in actor.roles,
    )


def _cells(office: OfficeHere, actor: Actor, current: applications.Application) -> dict[str, Any] | None:
    """The cells of the campaign. An applicant sees where they stand, and no words of the laboratory."""
    campaign = current.row["campaign"]
    if not campaign:
        return None
    status = testing.cells(office, str(campaign))
    if not actor.staff:
        status = {**status, "cells": [{**cell, "message": "", "reasons": []} for cell in status["cells"]]}
    return status


@router.get("/applications/{identity}/cells")
def cells(request: Request, office: OfficeHere, actor: Person, identity: int) -> Response:
    """Where the cells of the campaign stand: a piece of the page, which asks for it again while they run."""
    current = applications.application(office.desk, actor, identity)
    campaign = _cells(office, actor, current)
    answer = page(request, "cells.html.j2", a=current, campaign=campaign)
    return _again(request, answer, over=campaign is None or campaign["state"] in ("finished", "missing"))


@router.get("/applications/{identity}/artifacts")
def artifacts(request: Request, office: OfficeHere, actor: Person, identity: int) -> Response:
    """The artifacts: a piece of the page, which asks for it again while one is scanned."""
    current = applications.application(office.desk, actor, identity)
    waits = any(upload["state"] == "quarantine" for upload in current.uploads)
    return _again(request, page(request, "artifacts.html.j2", a=current), over=not waits)


def _again(request: Request, answer: Response, *, over: bool) -> Response:
    """Where nothing is left to wait for, the whole page is loaded again: what may be done has changed with it."""
    if over and request.headers.get("hx-request"):
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.post("/applications/{identity}/artifacts")
def add_artifact(
    request: Request, office: OfficeHere, actor: Applicant, identity: int, posted: Posted, later: BackgroundTasks
) -> Response:
    """Receive an artifact into quarantine; it is scanned after the answer."""
    file = posted.get("artifact")
    name, chunks = (file.filename or "", _chunks(file)) if isinstance(file, UploadFile) else ("", iter(()))
    try:
        uploads.receive(office, actor, identity, name, chunks)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _show(request, office, actor, identity, refusal)
    later.add_task(uploads.scan_waiting, office)
    return go(f"/applications/{identity}#artifacts")


def _chunks(file: UploadFile) -> Iterator[bytes]:
    while chunk := file.file.read(2**20):
        yield chunk


@router.get("/applications/{identity}/artifacts/{number}")
def artifact(office: OfficeHere, actor: Person, identity: int, number: int) -> Response:
    """An artifact, as bytes."""
    name, path = uploads.artifact(office, actor, identity, number)
    return FileResponse(path, media_type="application/octet-stream", headers=attachment(name))


@router.post("/applications/{identity}/steps")
def step(request: Request, office: OfficeHere, actor: Worker, identity: int, posted: Posted) -> Response:
    """Take a step; a refusal is shown where it was asked for."""
    names = ("action", "reason", "opinion", "campaign", "folder")
    asked = Step(**{name: str(posted.get(name, "")).replace("\r\n", "\n") for name in names})
    try:
        act(office, actor, identity, asked)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return _show(request, office, actor, identity, refusal)
    return go(f"/applications/{identity}")


@router.get("/applications/{identity}/papers/{kind}")
def paper(office: OfficeHere, actor: Person, identity: int, kind: str) -> Response:
    """Report or certificate of the campaign."""
    name, data = certificates.paper(office, actor, identity, kind)
    return download(name, data)
