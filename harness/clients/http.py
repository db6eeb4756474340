"""The product's HTTP interface as suites use it."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from typing import Any

import httpx

from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.model.definitions import Request, Resource
from harness.model.templating import render, render_all

_numbers = itertools.count(1)


class HttpClient:
    """Requests to the product; a connection that fails is the product's fault until the lab is found guilty."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        http = deployment.context.application.http
        if http is None:
            raise LookupError("the application declares no http section")
        self.refused = http.refused
        self.wrong_headers = http.wrong_credentials
        self.client = httpx.Client(timeout=10 * deployment.context.factor, trust_env=False)
        self.resource = ResourceClient(self, http.resource) if http.resource is not None else None

    def send(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one request; ``headers`` replace the good ones.

        Raises:
            ProductFault: no answer.
        """
        given = self.deployment.headers() if headers is None else headers
        try:
            return self.client.request(method, self.deployment.url(path), json=json, headers=given)
        except httpx.HTTPError as error:
            code = self.deployment.exit_code()
            if code is not None:
                raise self.deployment.ended(code) from error
            kind = type(error).__name__
            raise ProductFault(
                f"{method} {path}: no answer ({kind}: {error})",
                f"{method} {path}：无响应（{kind}）",
                self.deployment.log(),
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class ResourceClient:
    """The declared resource: create, read, update, delete by key and text."""

    def __init__(self, http: HttpClient, resource: Resource) -> None:
        self.http = http
        self.definition = resource
        self.gone = resource.gone

    def fresh_key(self) -> str:
        """A key that no earlier call has returned."""
        return render(self.definition.key, {"n": f"{next(_numbers)}{secrets.token_hex(3)}"}, where="http.resource.key")

    def attempt(
        self, action: str, key: str, text: str = "", *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one of create, read, update, delete and give the answer whatever it is.

        Raises:
            ProductFault: no answer.
        """
        request: Request = getattr(self.definition, action)
        values = {"key": key, "text": text}
        path = render(request.path, values, where=f"http.resource.{action}.path")
        body = render_all(request.body, values, where=f"http.resource.{action}.body")
        return self.http.send(request.method, path, json=body, headers=headers)

    def demand(self, action: str, key: str, text: str = "") -> httpx.Response:
        """As ``attempt``; any status but the declared ones is a failure of the product.

        Raises:
            ProductFault: it gives another status.
        """
        answer = self.attempt(action, key, text)
        wanted: tuple[int, ...] = getattr(self.definition, action).status
        if answer.status_code not in wanted:
            raise ProductFault(
                f"{action} gave status {answer.status_code}, expected {list(wanted)}: {answer.text[:400]}",
                f"{action} 返回状态 {answer.status_code}，期望 {list(wanted)}",
                self.http.deployment.log(15),
            )
        return answer

    def create(self, key: str, text: str) -> httpx.Response:
        """Create the resource ``key`` with ``text``; a status that is not declared is a failure of the product."""
        return self.demand("create", key, text)

    def read(self, key: str) -> httpx.Response:
        """Read the resource ``key``; a status that is not declared is a failure of the product."""
        return self.demand("read", key)

    def update(self, key: str, text: str) -> httpx.Response:
        """Replace the text of the resource ``key``; a status that is not declared is a failure of the product."""
        return self.demand("update", key, text)

    def delete(self, key: str) -> httpx.Response:
        """Delete the resource ``key``; a status that is not declared is a failure of the product."""
        return self.demand("delete", key)

    def try_read(self, key: str) -> httpx.Response:
        """Read the resource ``key``; any status is returned."""
        return self.attempt("read", key)

    def texts(self, key: str) -> list[str]:
        """Every text in the JSON that a read gives (the plain body where it is no JSON)."""
        return _texts(self.read(key))

    def try_texts(self, key: str) -> list[str]:
        """As ``texts``; empty where the product does not answer well."""
        with contextlib.suppress(ProductFault):
            answer = self.try_read(key)
            if answer.status_code in self.definition.read.status:
                return _texts(answer)
        return []

    @contextlib.contextmanager
    def made(self, text: str) -> Iterator[str]:
        """A resource with ``text`` for the time of a test; gives its key."""
        key = self.fresh_key()
        self.create(key, text)
        yield key
        self.delete(key)

    def stored(self, key: str) -> str:
        """SQL that reads the stored text."""
        return render(self.definition.stored, {"key": key}, where="http.resource.stored")


def _texts(answer: httpx.Response) -> list[str]:
    try:
        value = answer.json()
    except (ValueError, RecursionError):
        return [answer.text]
    strings: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            strings.append(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return strings
