"""The product's HTTP interface: how it is spoken to, and the resource by which suites test it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, PlacedError, listed


class Capture(Definition):
    """What is taken of an answer, for the requests that follow; exactly one key."""

    pointer: str | None = Field(
        default=None, pattern=r"^(/.*)?$", description="of a value in the answer's JSON; JSON Pointer (RFC 6901)"
    )
    pattern: str | None = Field(default=None, description="regular expression with one group, found in the body")
    header: str | None = None
    cookie: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.pointer, self.pattern, self.header, self.cookie)) != 1:
            raise ValueError("give exactly one of pointer, pattern, header and cookie")
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groups
            except re.error as error:
                raise PlacedError(f"no regular expression: {error}", "pattern") from error
            if groups != 1:
                raise PlacedError(f"a pattern has one group, which is what is taken; this one has {groups}", "pattern")
        return self


class Part(Definition):
    """A part of a form that carries files (RFC 7578)."""

    text: str
    filename: str = ""
    media: str = "text/plain; charset=utf-8"


class Request(Definition):
    """One HTTP request and what must come back; all strings are templates.

    They see ``key`` and ``text``, ``session`` (what the session's requests captured), and ``got`` (what the requests
    ``before`` captured). Requests of a session see what templates of the product see, and ``session``.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    before: Annotated[tuple[Request, ...], BeforeValidator(listed)] = Field(
        default=(), description="requests that come first, each time: a form with its token, an upload"
    )
    headers: dict[str, str] = Field(default={})
    body: dict[str, Any] | None = Field(default=None, description="sent as JSON")
    form: dict[str, str] | None = Field(default=None, description="sent as application/x-www-form-urlencoded")
    parts: dict[str, Part] | None = Field(default=None, description="sent as multipart/form-data")
    content: str | None = Field(default=None, description="sent as it is, such as XML")
    media: str = Field(default="application/xml; charset=utf-8", description="of `content`")
    status: Annotated[tuple[int, ...], BeforeValidator(listed)] = (200,)
    capture: dict[str, Capture] = Field(default={}, description="name -> what is taken of the answer")

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        given = [key for key in ("body", "form", "parts", "content") if getattr(self, key) is not None]
        if len(given) > 1:
            raise PlacedError(f"a request has one of {' and '.join(given)}", given[1])
        return self


class Session(Definition):
    """A login: what is asked first, and what the requests that follow carry beside the cookies."""

    requests: Annotated[tuple[Request, ...], BeforeValidator(listed)]
    headers: dict[str, str] = Field(
        default={}, description="of every request that follows; templates, which see `session`"
    )
    expired: Annotated[tuple[int, ...], BeforeValidator(listed)] = Field(
        default=(401, 403), description="status of an answer after which it is made anew, once"
    )


class Resource(Definition):
    """A resource of the product's API that is created, read, changed and removed by the suites."""

    key: str = Field(description="template that makes a fresh key from `n`, a number")
    create: Request
    read: Request
    update: Request
    delete: Request
    gone: Annotated[tuple[int, ...], BeforeValidator(listed)] = Field(
        default=(404,), description="status of a read after the delete"
    )
    stored: str = Field(description="SQL that gives the stored text of `key`, one row")


class Http(Definition):
    """The product's HTTP interface."""

    port: str = Field(description="name of one of the application's ports")
    base: str = ""
    headers: dict[str, str] = Field(default={})
    session: Session | None = None
    wrong_credentials: dict[str, str] | None = Field(
        default=None, description="headers of a stranger; with a `session` a stranger has none, if nothing is given"
    )
    refused: Annotated[tuple[int, ...], BeforeValidator(listed)] = (401, 403)
    resource: Resource | None = None
