"""What everybody may open: the compatibility list, certificates, checks of files, the register, parts of pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.datastructures import UploadFile

from harness.desk import public
from harness.desk.database import Actor
from harness.desk.refusing import Refusal
from harness.desk.web.asking import Gate, OfficeHere, Posted, checked_form
from harness.desk.web.rendering import STATIC, Pages, download, go, page
from harness.register.register import REGISTER_FILES

router = APIRouter(dependencies=[Depends(checked_form)])
Anybody = Annotated[Actor, Depends(Gate(public=True))]


@router.get("/certificates")
def certificates(
    request: Request, office: OfficeHere, actor: Anybody, q: str = "", cpu: str = "", os: str = "", after: str = ""
) -> Response:
    """The compatibility list."""
    size = public.PAGE
    rows = public.listed(office, text=q[:100], cpu=cpu[:64], os=os[:64], after=after[:200], size=size + 1)
    last = rows[size - 1] if len(rows) > size else None
    return page(
        request,
        "certificates.html.j2",
        rows=rows[:size],
        q=q[:100],
        cpu=cpu,
        os=os,
        cpus=office.catalogue.names("targets/cpu"),
        systems=office.catalogue.names("targets/os"),
        more=f"{last['product']} {last['number']}" if last is not None else "",
    )


@router.get("/certificates.json")
def certificates_json(
    office: OfficeHere, actor: Anybody, q: str = "", cpu: str = "", os: str = "", after: str = ""
) -> Response:
    """The same as JSON, with ``next`` where more follow."""
    size = 100
    rows = public.listed(office, text=q[:100], cpu=cpu[:64], os=os[:64], after=after[:200], size=size + 1)
    last = rows[size - 1] if len(rows) > size else None
    following = f"{last['product']} {last['number']}" if last is not None else None
    return JSONResponse({"certificates": rows[:size], "next": following})


@router.get("/certificates/{number}")
def certificate(request: Request, office: OfficeHere, actor: Anybody, number: str) -> Response:
    """One certificate, checked now: its permanent address."""
    return page(request, "certificate.html.j2", c=public.certificate(office, number))


@router.get("/certificates/{number}/{name}")
def certificate_file(office: OfficeHere, actor: Anybody, number: str, name: str) -> Response:
    """A signed file of a certificate."""
    return download(*public.published(office, number, name))


@router.get("/verify")
def verify_form(request: Request, actor: Anybody, number: str = "") -> Response:
    """The form of a check; with a number, to its page."""
    if number.strip():
        from urllib.parse import quote

        return go(f"/certificates/{quote(number.strip()[:64], safe='')}")
    return page(request, "verify.html.j2", result=None, faults={})


@router.post("/verify")
def verify(request: Request, office: OfficeHere, actor: Anybody, posted: Posted) -> Response:
    """Check a file that was dropped; nothing of it is kept."""
    file = posted.get("file")
    name, data = (file.filename, file.file.read(public.MOST_BYTES + 1)) if isinstance(file, UploadFile) else ("", b"")
    try:
        result = public.check_file(office, name or "", data)
    except Refusal as refusal:
        return page(request, "verify.html.j2", refusal.status, result=None, faults=refusal.faults)
    return page(request, "verify.html.j2", result=result, faults={})


@router.get("/register/{name}")
def register(office: OfficeHere, actor: Anybody, name: str) -> Response:
    """A published file of the register.

    Raises:
        Refusal: there is none.
    """
    if office.seals is None or name not in REGISTER_FILES:
        raise Refusal(404, "missing")
    path = office.seals.register.folder / name
    if not path.is_file():
        raise Refusal(404, "missing")
    return download(name, path.read_bytes())


@router.get("/static/{name}")
def static(request: Request, actor: Anybody, name: str) -> Response:
    """A file that pages are made of.

    Raises:
        Refusal: there is none.
    """
    pages: Pages = request.app.state.pages
    if name not in STATIC:
        raise Refusal(404, "missing")
    return Response(pages.static[name], media_type=STATIC[name], headers={"Cache-Control": "public, max-age=3600"})


@router.get("/healthz")
def health(office: OfficeHere, actor: Anybody) -> Response:
    """Whether the desk and its database answer."""
    public.listed(office, size=1)
    return PlainTextResponse("ok\n")
