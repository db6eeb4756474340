"""Pages of people: login, password, language; for administrators people and organisations; tokens; the audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from harness.desk import auditing, people, sessions
from harness.desk.database import Actor
from harness.desk.refusing import Refusal
from harness.desk.web.asking import (
    DEVICE,
    LANGUAGE,
    SESSION,
    Gate,
    OfficeHere,
    Posted,
    address_of,
    checked_form,
    cookie,
)
from harness.desk.web.rendering import LANGUAGES, forget, go, local, page, set_cookie

router = APIRouter(dependencies=[Depends(checked_form)])
Anybody = Annotated[Actor, Depends(Gate(public=True))]
Person = Annotated[Actor, Depends(Gate())]
Administrator = Annotated[Actor, Depends(Gate("administrator"))]
Auditor = Annotated[Actor, Depends(Gate("auditor", "administrator"))]
YEAR = 365 * 86400


@router.get("/login")
def login_form(request: Request, actor: Anybody, next: str = "/") -> Response:  # a word of the address
    """The form of the login."""
    return page(request, "login.html.j2", next=local(next), refusal="", account="")


@router.post("/login")
def login(request: Request, office: OfficeHere, actor: Anybody, posted: Posted) -> Response:
    """Begin a session, with a new token; one that the browser had before ends."""
    account, wanted = str(posted.get("account", "")), local(str(posted.get("next", "/")))
    try:
        entered = sessions.log_in(
            office.desk,
            account,
            str(posted.get("password", "")),
            address=address_of(request),
            device=cookie(request, DEVICE),
        )
    except Refusal as refusal:
        return page(request, "login.html.j2", refusal.status, next=wanted, refusal=refusal.word, account=account[:100])
    if actor.person is not None:
        sessions.log_out(office.desk, actor)
    answer = go("/password" if entered.must_change else wanted)
    set_cookie(request, answer, SESSION, entered.session)
    set_cookie(request, answer, DEVICE, entered.device, seconds=YEAR // 2)
    return answer


@router.post("/logout")
def logout(request: Request, office: OfficeHere, actor: Person) -> Response:
    """End the session."""
    sessions.log_out(office.desk, actor)
    answer = go("/")
    forget(request, answer, SESSION)
    return answer


@router.get("/password")
def password_form(request: Request, actor: Person) -> Response:
    """The form for another password."""
    return page(request, "password.html.j2", faults={}, refusal="")


@router.post("/password")
def password(request: Request, office: OfficeHere, actor: Person, posted: Posted) -> Response:
    """Set another password."""
    old, new, again = (str(posted.get(name, "")) for name in ("old", "new", "again"))
    try:
        sessions.change_password(office.desk, actor, old, new, again)
    except Refusal as refusal:
        return page(request, "password.html.j2", refusal.status, faults=refusal.faults, refusal=refusal.word)
    return go("/")


@router.get("/language/{language}")
def language(request: Request, actor: Anybody, language: str, back: str = "/") -> Response:
    """Show pages in another language from now on."""
    answer = go(local(back))
    if language in LANGUAGES:
        set_cookie(request, answer, LANGUAGE, language, seconds=YEAR)
    return answer


@router.get("/people")
def people_list(request: Request, office: OfficeHere, actor: Administrator) -> Response:
    """Organisations and people."""
    return _people(request, office, actor)


def _people(
    request: Request, office: OfficeHere, actor: Actor, refusal: Refusal | None = None, once: str = "", of: str = ""
) -> Response:
    return page(
        request,
        "people.html.j2",
        refusal.status if refusal is not None else 200,
        **people.listed(office.desk, actor),
        faults=refusal.faults if refusal is not None else {},
        refusal=refusal.word if refusal is not None else "",
        once=once,
        of=of,
    )


@router.post("/organisations")
def add_organisation(request: Request, office: OfficeHere, actor: Administrator, posted: Posted) -> Response:
    """Enter a vendor."""
    try:
        people.add_organisation(office.desk, actor, str(posted.get("name", "")))
    except Refusal as refusal:
        return _people(request, office, actor, refusal)
    return go("/people")


@router.post("/people")
def add_person(request: Request, office: OfficeHere, actor: Administrator, posted: Posted) -> Response:
    """Enter a person; the one-time password is shown once."""
    number = str(posted.get("organisation", ""))
    account = str(posted.get("account", ""))
    try:
        once = people.add_person(
            office.desk,
            actor,
            organisation=int(number) if number.isascii() and number.isdigit() else 0,
            account=account,
            name=str(posted.get("name", "")),
            roles=[str(role) for role in posted.getlist("roles")],
        )
    except Refusal as refusal:
        return _people(request, office, actor, refusal)
    return _people(request, office, actor, once=once, of=account)


@router.post("/people/{identity}/active")
def set_active(request: Request, office: OfficeHere, actor: Administrator, identity: int, posted: Posted) -> Response:
    """Let a person in, or out."""
    people.set_active(office.desk, actor, identity, active=posted.get("active") == "yes")
    return go("/people")


@router.get("/tokens")
def tokens(request: Request, office: OfficeHere, actor: Person) -> Response:
    """The reader's tokens of the API."""
    return _tokens(request, office, actor)


def _tokens(
    request: Request, office: OfficeHere, actor: Actor, faults: dict[str, str] | None = None, once: str = ""
) -> Response:
    rows = people.tokens_of(office.desk, actor)
    return page(request, "tokens.html.j2", 422 if faults else 200, rows=rows, faults=faults or {}, once=once)


@router.post("/tokens")
def add_token(request: Request, office: OfficeHere, actor: Person, posted: Posted) -> Response:
    """Make a token, which is shown once."""
    days = str(posted.get("days", ""))
    scopes = [str(scope) for scope in posted.getlist("scopes")]
    number = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0
    try:
        once = people.add_token(office.desk, actor, str(posted.get("name", "")), scopes, number)
    except Refusal as refusal:
        return _tokens(request, office, actor, refusal.faults)
    return _tokens(request, office, actor, once=once)


@router.post("/tokens/{identity}/end")
def end_token(office: OfficeHere, actor: Person, identity: int) -> Response:
    """End a token."""
    people.end_token(office.desk, actor, identity)
    return go("/tokens")


@router.get("/audit")
def audit(request: Request, office: OfficeHere, actor: Auditor, before: int | None = None) -> Response:
    """The audit trail, the newest lines first."""
    rows = auditing.trail(office.desk, actor, before, auditing.PAGE + 1)
    more = rows[auditing.PAGE - 1]["seq"] if len(rows) > auditing.PAGE else 0
    broken = auditing.broken_at(office.desk, actor) if before is None else None
    return page(request, "audit.html.j2", rows=rows[: auditing.PAGE], more=more, broken=broken, looked=before is None)
