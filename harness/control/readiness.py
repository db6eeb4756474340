"""Asks a product whether it serves, by the readiness that it declares, and says what the answer was."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from harness.control.sendable import demand_headers, path_at
from harness.control.tls import ProductTls
from harness.errors import UsageError
from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render

#: For addresses that are http://. Without this every question would read all authorities of the machine, 20 ms each.
_NO_AUTHORITY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class Answer:
    """Whether a product serves now, and the answer in words: a status, a refused connection, no answer in time.

    ``wrong``: it cannot be asked by what the application declares; what it answers says nothing of it then.
    ``error``: why there is no TLS with it.
    """

    ready: bool
    words: str = ""
    wrong: UsageError | None = None
    error: httpx.HTTPError | None = None

    def explained(self, context: CellContext, tls: ProductTls | None) -> tuple[str, str]:
        """The words in both languages, with what its certificate says where that is wrong."""
        http = context.application.http
        if http is None or tls is None or self.error is None:
            return self.words, self.words
        trouble, path = tls.trouble(self.error, at=context.ports[http.port]), context.application.readiness.path
        assert trouble is not None
        return f"GET {path}: {trouble.en}", f"GET {path}：{trouble.zh}"


def ask(
    context: CellContext,
    machine: Machine,
    tls: ProductTls | None,
    url: Callable[[str], str],
    headers: Callable[[], dict[str, str]],
) -> Answer:
    """Whether it serves now.

    ``url`` gives the address of a path on this machine, ``headers`` the headers of a good request.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    if not context.application.serves:
        return Answer(ready=True)  # nothing is waited for
    ready = context.application.readiness
    if ready.path is None:
        command = render(ready.command or "false", context.values(), where="ready.command")
        output = machine.run(command, timeout=30 * context.factor)
        return Answer(output.ok, f"its readiness command ended with {output.rc}: {output.text.strip()[-200:]}")
    try:
        given = headers()
        demand_headers(given)
        return _get(context, tls, url(path_at(url(""), ready.path)), given)
    except UsageError as error:
        # What does not listen has not come so far that the declarations could be held against it.
        http = context.application.http
        if http is not None and not _listens(context.ports[http.port]):
            return Answer(ready=False, words=f"GET {ready.path}: connection refused")
        return Answer(ready=False, words=error.message, wrong=error)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def _get(context: CellContext, tls: ProductTls | None, address: str, headers: dict[str, str]) -> Answer:
    ready, seconds = context.application.readiness, 5 * context.factor
    verify = tls.context() if tls is not None else _NO_AUTHORITY
    sent = httpx.Headers(tls.headers() if tls is not None else None)
    sent.update(headers)
    try:
        # The product is on this machine: a proxy of the environment has nothing to do with it.
        with httpx.stream("GET", address, headers=sent, trust_env=False, timeout=seconds, verify=verify) as answer:
            good = answer.status_code in ready.status
            wrong = _undeclared(answer, tls) if answer.status_code == 400 and not good else None
            return Answer(good, f"GET {ready.path} gave status {answer.status_code}", wrong)
    except httpx.TimeoutException:
        return Answer(ready=False, words=f"GET {ready.path}: no answer within {seconds:.0f} s")
    except httpx.HTTPError as error:
        if tls is not None and (trouble := tls.trouble(error)) is not None:
            tls.renewed()  # the next question knows an authority that the product has made meanwhile
            return Answer(ready=False, words=f"GET {ready.path}: {trouble.en}", error=error)
        return Answer(ready=False, words=f"GET {ready.path}: {_plain(error)}")


#: What servers answer (status 400) to plain HTTP on a port of HTTPS: nginx, Go, Tomcat; and nginx to a client without a
#: certificate.
_WANT_TLS = (
    "plain HTTP request was sent to HTTPS port",
    "sent an HTTP request to an HTTPS server",
    "combination of host and port requires TLS",
)
_WANTS_CERTIFICATE = "No required SSL certificate was sent"


def _undeclared(answer: httpx.Response, tls: ProductTls | None) -> UsageError | None:
    """What the application does not declare of its HTTPS, as an answer says it; None where it says nothing of that."""
    text = next(answer.iter_text(4096), "")
    if tls is None and any(words in text for words in _WANT_TLS):
        return UsageError(
            "the product speaks HTTPS, and the application declares HTTP", advice="declare http.tls in application.yaml"
        )
    if tls is not None and tls.definition.client is None and _WANTS_CERTIFICATE in text:
        return UsageError(
            "the product demands a client's certificate, and the application declares none",
            advice="declare http.tls.client in application.yaml",
        )
    return None


def _plain(error: httpx.HTTPError) -> str:
    """Why there was no answer, in words."""
    text = str(error)
    for word, meaning in (
        ("refused", "connection refused"),
        ("reset", "connection reset"),
        ("disconnected", "the connection was closed without an answer"),
    ):
        if word in text.lower():
            return meaning
    return f"no answer ({type(error).__name__}: {text})"
