"""Asks a product whether it serves, by the readiness that it declares, and says what the answer was."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx

from harness.model.context import CellContext
from harness.model.machine import Machine
from harness.model.templating import render

#: The addresses are http://. Without this every question would read all authorities of the machine, 20 ms each.
_NO_AUTHORITY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def ask(
    context: CellContext, machine: Machine, url: Callable[[str], str], headers: Callable[[], dict[str, str]]
) -> tuple[bool, str]:
    """Whether it serves now, and the answer in words: a status, a refused connection, no answer in time.

    ``url`` gives the address of a path on this machine, ``headers`` the headers of a good request.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    if not context.application.serves:
        return True, ""  # nothing is waited for
    ready = context.application.readiness
    if ready.path is None:
        command = render(ready.command or "false", context.values(), where="ready.command")
        output = machine.run(command, timeout=30 * context.factor)
        return output.ok, f"its readiness command ended with {output.rc}: {output.text.strip()[-200:]}"
    seconds = 5 * context.factor
    try:
        # The product is on this machine: a proxy of the environment has nothing to do with it.
        with httpx.stream(
            "GET", url(ready.path), headers=headers(), trust_env=False, timeout=seconds, verify=_NO_AUTHORITY
        ) as answer:
            return answer.status_code in ready.status, f"GET {ready.path} gave status {answer.status_code}"
    except httpx.TimeoutException:
        return False, f"GET {ready.path}: no answer within {seconds:.0f} s"
    except httpx.HTTPError as error:
        return False, f"GET {ready.path}: {_plain(error)}"


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
