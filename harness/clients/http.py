"""The product's HTTP interface as suites use it."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from harness.clients.requesting import arguments, captured, path_of
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.model.definitions import Request, Resource, Session
from harness.model.templating import render

_numbers = itertools.count(1)


class HttpClient:
    """Requests to the product; a connection that fails is the product's fault until the lab is found guilty.

    Where the application declares a session, it is made before the first request, and again where an answer says that
    it is no longer good (the product was restarted, or ended it).
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        http = deployment.context.application.http
        if http is None:
            raise LookupError("the application declares no http section")
        self.definition = http
        self.refused = http.refused
        self.wrong_headers = {} if http.wrong_credentials is None and http.session else http.wrong_credentials
        self.client = httpx.Client(timeout=10 * deployment.context.factor, trust_env=False)
        self.resource = ResourceClient(self, http.resource) if http.resource is not None else None
        self._session: dict[str, str] | None = None
        self._made = 0  #: sessions so far
        self._lock = threading.RLock()  # threads of a suite share one session

    def send(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one request; ``headers`` replace the good ones, and the session.

        Raises:
            ProductFault: no answer, or no session can be made.
        """
        given = {"json": json} if json is not None else {}
        if headers is not None:
            return self._sent(method, path, given, headers)
        return self._within_session(lambda: self._sent(method, path, given, None))

    def ask(
        self, request: Request, values: dict[str, Any], *, where: str, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a declared request after those that come before it; gives the last answer, or that of a request before
        which is not answered as it should be. ``headers`` as for ``send``.

        Raises:
            ProductFault: as ``send``; or an answer lacks what is to be taken of it.
        """
        if headers is not None:
            return self._asked(request, values, where, headers)
        return self._within_session(lambda: self._asked(request, values, where, None))

    def values(self) -> dict[str, Any]:
        """What templates of requests see beside ``key`` and ``text``. Raises ProductFault as ``send``."""
        self._open()
        return {"session": self._session or {}, "got": {}}

    def good_headers(self) -> dict[str, str]:
        """Headers of a good request, the session's and its cookies among them. Raises ProductFault as ``send``."""
        self._open()
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)
        return {**self._carried(), **({"Cookie": cookies} if cookies else {})}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _within_session(self, attempt: Callable[[], httpx.Response]) -> httpx.Response:
        """Make an attempt, and a second within a new session where the answer says that the session is over."""
        made = self._open()
        answer = attempt()
        session = self.definition.session
        if session is None or answer.status_code not in session.expired:
            return answer
        self._open(over=made)
        return attempt()

    def _asked(
        self, request: Request, values: dict[str, Any], where: str, stranger: dict[str, str] | None
    ) -> httpx.Response:
        known = {"session": self._session or {}, "got": {}, **values}
        for number, earlier in enumerate(request.before):
            place = f"{where}.before.{number}"
            answer = self._asked(earlier, known, place, stranger)
            if answer.status_code not in earlier.status:
                return answer
            known["got"] = {**known["got"], **captured(earlier, answer, place)}
        path = path_of(request, known, where)
        return self._sent(request.method, path, arguments(request, known, where), stranger)

    def _sent(self, method: str, path: str, given: dict[str, Any], stranger: dict[str, str] | None) -> httpx.Response:
        if stranger is None:
            return self._exchange(self.client, method, path, given, self._carried())
        with httpx.Client(timeout=self.client.timeout, trust_env=False) as client:  # without cookies
            return self._exchange(client, method, path, given, stranger)

    def _open(self, *, over: int = -1) -> int:
        """Make the session where there is none, or where it still is number ``over``; gives its number."""
        session = self.definition.session
        with self._lock:
            if session is not None and (self._session is None or self._made == over):
                self.client.cookies.clear()
                self._session = self._login(session)
                self._made += 1
            return self._made

    def _login(self, session: Session) -> dict[str, str]:
        taken: dict[str, str] = {}
        for number, request in enumerate(session.requests):
            where = f"http.session.requests.{number}"
            values = {**self.deployment.context.values(), "session": taken, "got": {}}
            path = path_of(request, values, where)
            given, headers = arguments(request, values, where), self.deployment.headers()
            answer = self._exchange(self.client, request.method, path, given, headers)
            if answer.status_code not in request.status:
                raise ProductFault(
                    f"the session is refused: {request.method} {path} gave status {answer.status_code}, expected "
                    f"{list(request.status)}: {answer.text[:400]}",
                    f"无法建立会话：{request.method} {path} 返回状态 {answer.status_code}，期望 {list(request.status)}",
                    self.deployment.log(15),
                )
            taken |= captured(request, answer, where)
        return taken

    def _carried(self) -> dict[str, str]:
        """Headers of a good request but its cookies."""
        session = self.definition.session
        values = {**self.deployment.context.values(), "session": self._session or {}}
        own = session.headers if session is not None else {}
        carried = {key: render(value, values, where="http.session.headers") for key, value in own.items()}
        return {**self.deployment.headers(), **carried}

    def _exchange(
        self, client: httpx.Client, method: str, path: str, given: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Response:
        own = {**headers, **given.get("headers", {})}
        try:
            return client.request(method, self.deployment.url(path), **{**given, "headers": own})
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
        return self.http.ask(request, {"key": key, "text": text}, where=f"http.resource.{action}", headers=headers)

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
