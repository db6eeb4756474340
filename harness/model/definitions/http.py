"""The product's HTTP interface: how it is spoken to, and the resource by which suites test it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, PlacedError, listed

#: What of a template is no text: expressions, statements, comments.
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_PLAIN = re.compile(r"[\t -~]*")


def _plain_headers(headers: Headers) -> dict[str, str]:
    for name, value in headers.items():
        if not _PLAIN.fullmatch(name) or not _PLAIN.fullmatch(_TAGS.sub("", value)):
            message = "a header of HTTP is plain ASCII in one line; for other characters: {{ '…' | urlencode }}"
            raise PlacedError(message, name)
    return headers


#: Names and templates of values.
Headers = Annotated[dict[str, str], AfterValidator(_plain_headers)]


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
    headers: Headers = Field(default={})
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
    headers: Headers = Field(default={}, description="of every request that follows; templates, which see `session`")
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
    stored: str = Field(
        default="",
        description="SQL that gives the stored text of `key`, one row; without it compat/database does not apply",
    )


class Authority(Definition):
    """Who vouches for the product's certificate; exactly one key."""

    file: str | None = Field(
        default=None, description="beside application.yaml: authorities, or the product's own certificate, in PEM"
    )
    machine: str | None = Field(
        default=None, pattern=r"^/", description="the same on the product's machine, where the product makes it itself"
    )
    cell: Literal[True] | None = Field(
        default=None, description="made for each cell; templates see tls.certificate, tls.key and tls.authority"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.file, self.machine, self.cell)) != 1:
            raise ValueError("give exactly one of file, machine and cell")
        return self


class ClientCertificate(Definition):
    """What is shown to a product that asks who its client is (mutual TLS)."""

    certificate: str | None = Field(default=None, description="beside application.yaml, in PEM, with its chain")
    key: str | None = Field(default=None, description="beside application.yaml, in PEM, without a passphrase")
    cell: Literal[True] | None = Field(
        default=None,
        description="made for each cell; templates see its authority (tls.authority) and itself (tls.client)",
    )

    @model_validator(mode="after")
    def _files_or_cell(self) -> Self:
        given = [value is not None for value in (self.certificate, self.key)]
        if any(given) != all(given) or any(given) == (self.cell is not None):
            raise ValueError("give certificate and key, or cell")
        return self


class Tls(Definition):
    """HTTPS. The product's certificate is always verified: by this authority, for this name."""

    authority: Authority
    name: str = Field(
        default="application",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$",
        max_length=253,
        description="host name (or address) that the certificate is for, whatever address the cell has; the other "
        "machines of a cell know the product's as application",
    )
    client: ClientCertificate | None = None
    national: Annotated[tuple[Literal["tlcp", "rfc8998"], ...], BeforeValidator(listed)] = Field(
        default=(),
        description="what it offers with SM2, SM3 and SM4: TLCP (GB/T 38636-2020), TLS 1.3 by RFC 8998; without it, "
        "what it offers is recorded",
    )

    @property
    def for_each_cell(self) -> bool:
        """Whether certificates are made for each cell."""
        return self.authority.cell is not None or (self.client is not None and self.client.cell is not None)

    @property
    def files(self) -> tuple[str, ...]:
        """Files beside application.yaml."""
        client = self.client
        named = (self.authority.file, *((client.certificate, client.key) if client is not None else ()))
        return tuple(name for name in named if name is not None)


class Http(Definition):
    """The product's HTTP interface."""

    port: str = Field(description="name of one of the application's ports")
    base: str = ""
    tls: Tls | None = Field(default=None, description="HTTPS; without it requests are plain HTTP")
    headers: Headers = Field(default={})
    session: Session | None = None
    wrong_credentials: Headers | None = Field(
        default=None,
        description="headers of a stranger; where none are given, a stranger has neither a `session` nor the client's "
        "certificate",
    )
    refused: Annotated[tuple[int, ...], BeforeValidator(listed)] = (401, 403)
    resource: Resource | None = None
