"""Who asks, and whether a route is for them. The roles of a route stand at the route, as a dependency."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from harness.desk.database import Actor
from harness.desk.flow import ROLES, STAFF
from harness.desk.office import Office
from harness.desk.passwords import form_token, fresh_token
from harness.desk.refusing import Refusal
from harness.desk.sessions import actor_of, actor_of_token
from harness.desk.web.guarding import SAFE

__all__ = ["ROLES", "SESSION", "STAFF", "Gate", "OfficeHere", "Posted", "checked_form", "cookie_name", "office_of"]

SESSION, DEVICE, LANGUAGE, VISITOR = "desk_session", "desk_device", "desk_language", "desk_visitor"
#: Pages that a person with a one-time password may open.
BEFORE_CHANGE = ("/password", "/logout")
#: Forms that nobody has to be logged in for.
OPEN_FORMS = ("/login", "/verify")


def office_of(request: Request) -> Office:
    """What the desk works with."""
    office: Office = request.app.state.office
    return office


OfficeHere = Annotated[Office, Depends(office_of)]


def address_of(request: Request) -> str:
    """From where a request comes."""
    return request.client.host if request.client is not None else ""


def cookie_name(request: Request, name: str) -> str:
    """The name of a cookie: under TLS with the prefix that binds it to this host."""
    secure: bool = request.app.state.secure
    return f"__Host-{name}" if secure else name


def cookie(request: Request, name: str) -> str:
    """The value of one of our cookies; empty where there is none."""
    return request.cookies.get(cookie_name(request, name), "")[:200]


def who(request: Request) -> Actor:
    """Who asks: by the token of the API below ``/api/``, elsewhere by the session's cookie. Looked up once."""
    known: Actor | None = getattr(request.state, "actor", None)
    if known is None:
        desk, address = office_of(request).desk, address_of(request)
        if request.url.path.startswith("/api/"):
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            known = (
                actor_of_token(desk, token.strip(), address=address)
                if kind.lower() == "bearer" and token.strip()
                else Actor(address=address)
            )
        else:
            known = actor_of(desk, cookie(request, SESSION), address=address)
        request.state.actor = known
    return known


class Gate:
    """A dependency that lets people of ``roles`` through; without roles everybody who is logged in, with ``public``
    everybody.

    Raises:
        Refusal: 401 where nobody asks, 403 where the person has none of the roles, or the token not the scope.
    """

    def __init__(self, *roles: str, public: bool = False) -> None:
        self.roles, self.public = frozenset(roles), public

    def __call__(self, request: Request) -> Actor:
        actor = who(request)
        if self.public:
            return actor
        if actor.person is None:
            raise Refusal(401, "login_needed")
        if actor.must_change and request.url.path not in BEFORE_CHANGE:
            raise Refusal(403, "must_change")
        if self.roles and not self.roles & actor.roles:
            raise Refusal(403, "role")
        if actor.scopes is not None and ("read" if request.method in SAFE else "write") not in actor.scopes:
            raise Refusal(403, "scope")
        return actor


async def checked_form(request: Request) -> AsyncIterator[FormData]:
    """The form of a request, whose token belongs to this browser; empty where the method sends none.

    Raises:
        Refusal: 401 before anything is read, where nobody is logged in; 403 where the token does not fit.
    """
    if request.method in SAFE:
        yield FormData()
        return
    actor = await run_in_threadpool(who, request)
    if actor.person is None and request.url.path not in OPEN_FORMS:
        raise Refusal(401, "login_needed")
    async with request.form(max_files=1, max_fields=200) as form:
        sent = form.get("token")
        if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), token_for(request).encode()):
            raise Refusal(403, "form_token")
        yield form


Posted = Annotated[FormData, Depends(checked_form)]


def token_for(request: Request) -> str:
    """The token that forms of a page carry: of the session, or of a visitor's cookie, which the answer sets."""
    held = cookie(request, SESSION) or cookie(request, VISITOR) or getattr(request.state, "visitor", "")
    if not held:
        held = request.state.visitor = fresh_token()
    return form_token(held)
