"""Declared requests as httpx sends them, and what is taken of their answers."""

from __future__ import annotations

import re
from typing import Any

import httpx

from harness.control.fault import ProductFault
from harness.errors import UsageError
from harness.model.definitions import Capture, Request
from harness.model.templating import render, render_all


def arguments(request: Request, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Arguments of ``httpx.Client.request`` but ``url`` and the credentials; ``where`` names the request in a fault.

    Raises:
        DefinitionError: a template names what nothing gives.
    """

    def filled(value: Any, key: str) -> Any:
        return render_all(value, values, where=f"{where}.{key}")

    given: dict[str, Any] = {"headers": filled(request.headers, "headers")}
    if request.body is not None:
        given["json"] = filled(request.body, "body")
    elif request.form is not None:
        given["data"] = filled(request.form, "form")
    elif request.parts is not None:
        given["files"] = {
            name: (
                filled(part.filename, f"parts.{name}.filename") or None,
                filled(part.text, f"parts.{name}.text").encode(),
                part.media,
            )
            for name, part in request.parts.items()
        }
    elif request.content is not None:
        given["content"] = filled(request.content, "content").encode()
        given["headers"] = {"Content-Type": request.media, **given["headers"]}
    return given


def path_of(request: Request, values: dict[str, Any], where: str) -> str:
    """Its path. Raises DefinitionError as ``arguments``."""
    return render(request.path, values, where=f"{where}.path")


def captured(request: Request, answer: httpx.Response, where: str) -> dict[str, str]:
    """What is taken of the answer, by name.

    Raises:
        ProductFault: it is not in the answer.
        UsageError: a cookie is there several times.
    """
    return {name: _taken(capture, answer, f"{where}: {name}") for name, capture in request.capture.items()}


def _taken(capture: Capture, answer: httpx.Response, what: str) -> str:
    if capture.pointer is not None:
        value, place = _pointed(answer, capture.pointer), f"no value at {capture.pointer or 'the root'}"
    elif capture.pattern is not None:
        match = re.search(capture.pattern, answer.text)
        value, place = match[1] if match else None, f"nothing that {capture.pattern!r} finds"
    elif capture.header is not None:
        value, place = answer.headers.get(capture.header), f"no header {capture.header}"
    else:
        value, place = _cookie(answer, capture.cookie or "", what), f"no cookie {capture.cookie}"
    if value is None:
        raise ProductFault(
            f"{what} cannot be taken of the answer (status {answer.status_code}): {place}: {answer.text[:400]}",
            f"{what}：应答（状态 {answer.status_code}）中没有所需的值",
        )
    return value if isinstance(value, str) else str(value)


def _cookie(answer: httpx.Response, name: str, what: str) -> str | None:
    """Raises UsageError where the answer sets it for several paths, each to something else: which is meant?"""
    values = {cookie.path: cookie.value for cookie in answer.cookies.jar if cookie.name == name}
    if len(set(values.values())) > 1:
        raise UsageError(
            f"{what}: the answer sets the cookie {name} several times, for the paths {', '.join(sorted(values))}",
            advice="capture something else of the answer (pointer, pattern, header), or of another request",
        )
    return next(iter(values.values()), None)


def _pointed(answer: httpx.Response, pointer: str) -> Any:
    """A value of the answer's JSON (RFC 6901, 4); None where there is none."""
    try:
        value = answer.json()
    except (ValueError, RecursionError):
        return None
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return None if isinstance(value, dict | list) else value
