"""The product's HTTP interface as suites use it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from typing import Any

import httpx

from harness.clients.requesting import arguments, captured, path_of
from harness.clients.resource import Action, fresh_key, temporary
from harness.clients.texts import texts_of
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.sendable import demand_headers, path_at
from harness.model.definitions import Request, Resource, Session
from harness.model.templating import render
from harness.system.tls import trouble_of


class TurnedAway(ProductFault):
    """A product that asks for certificates has ended the connection of a client that shows none."""


class HttpClient:
    """Requests to the product; a connection that fails is the product's fault until the lab is found guilty.

    Where the application declares a session, it is made before the first request, and again where an answer says that
    it is no longer good (the product was restarted, or ended it). Over HTTPS the product is verified always.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        http = deployment.context.application.http
        if http is None:
            raise LookupError("the application declares no http section")
        self.definition = http
        self.refused = http.refused
        self.wrong_headers = http.wrong_credentials
        if http.wrong_credentials is None and (http.session is not None or self._shows_certificate):
            self.wrong_headers = {}
        self._cookies, self._own, self._clients = CookieJar(), threading.local(), list[httpx.Client]()
        self.resource = ResourceClient(self, http.resource) if http.resource is not None else None
        self._session: dict[str, str] | None = None
        self._made = 0  #: sessions so far
        self._lock = threading.RLock()  # threads of a suite share one session

    @property
    def client(self) -> httpx.Client:
        """The calling thread's own connections; the cookies are those of all threads.

        httpx (0.28, httpcore 1.0) now and then gives a connection that one thread has just read to its end to another
        thread, where the server ends an answer by closing: that request gets no answer, and the product is blamed.
        """
        if (client := getattr(self._own, "client", None)) is None:
            client = self._own.client = self._connected(known=True, cookies=self._cookies)
            with self._lock:
                self._clients.append(client)
        return client

    def send(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one request; ``headers`` replace the good ones and the session, empty ones the client's certificate too.

        Raises:
            ProductFault: no answer, or no session can be made.
            TurnedAway: no answer to a stranger without the client's certificate.
            UsageError: HTTPS cannot be spoken by what the application declares, or such a request cannot be sent.
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
        carried = self._carried()
        demand_headers(carried)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)
        return {**carried, **({"Cookie": cookies} if cookies else {})}

    @contextlib.contextmanager
    def apart(self) -> Iterator[Callable[[Request, dict[str, Any], str], httpx.Response]]:
        """Sends declared requests as somebody new does: with the client's certificate, without session, earlier cookies
        and ``http.headers``. Requests of one block share their cookies; what they come after is the caller's to send.

        What is given raises ProductFault as ``send``.
        """
        with self._connected(known=True) as client:

            def sent(request: Request, values: dict[str, Any], where: str) -> httpx.Response:
                path = path_of(request, values, where)
                return self._exchange(client, request.method, path, arguments(request, values, where), {})

            yield sent

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

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
        with self._connected(known=bool(stranger)) as client:  # without cookies
            return self._exchange(client, method, path, given, stranger)

    @property
    def _shows_certificate(self) -> bool:
        return self.definition.tls is not None and self.definition.tls.client is not None

    def _connected(self, *, known: bool, cookies: CookieJar | None = None) -> httpx.Client:
        """A client of httpx, without cookies where none are given; ``known``: it shows the certificate that is declared
        for it."""
        seconds, tls = 10 * self.deployment.context.factor, self.deployment.tls
        if tls is None:
            return httpx.Client(timeout=seconds, trust_env=False, cookies=cookies)
        verify = tls.context() if known else tls.for_strangers()
        return httpx.Client(timeout=seconds, trust_env=False, cookies=cookies, verify=verify, headers=tls.headers())

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
        demand_headers(own)
        path = path_at(self.deployment.url(""), path)
        try:
            return client.request(method, self.deployment.url(path), **{**given, "headers": own})
        except httpx.HTTPError as error:
            code = self.deployment.exit_code()
            if code is not None:
                raise self.deployment.ended(code) from error
            if client is not self.client and not headers and self._shows_certificate and _ended_by_product(error):
                raise TurnedAway(f"{method} {path}: refused without a certificate", "未出示证书，被拒绝") from error
            raise self._unanswered(f"{method} {path}", error) from error

    def _unanswered(self, what: str, error: httpx.HTTPError) -> ProductFault:
        """The failure that no answer is. Raises UsageError where the application's declarations are to blame."""
        http, tls = self.definition, self.deployment.tls
        trouble = tls.trouble(error, at=self.deployment.context.ports[http.port]) if tls is not None else None
        if trouble is not None:
            return ProductFault(f"{what}: {trouble.en}", f"{what}：{trouble.zh}", self.deployment.log())
        kind = type(error).__name__
        words = f"{what}: no answer ({kind}: {error})", f"{what}：无响应（{kind}）"
        return ProductFault(*words, self.deployment.log())


class ResourceClient:
    """``http.resource``; keeps ``harness.clients.resource.ProductResource``, its answers are those of httpx."""

    def __init__(self, http: HttpClient, resource: Resource) -> None:
        self.http = http
        self.definition = resource
        self.gone = resource.gone

    def fresh_key(self) -> str:
        """A key that no earlier call has returned."""
        return fresh_key(self.definition.key, "http.resource.key")

    @property
    def knows_strangers(self) -> bool:
        """Whether the application says how a stranger asks."""
        return self.http.wrong_headers is not None

    def attempt(
        self, action: Action, key: str, text: str = "", *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one of create, read, update, delete and give the answer whatever it is.

        Raises:
            ProductFault: no answer.
        """
        request: Request = getattr(self.definition, action)
        return self.http.ask(request, {"key": key, "text": text}, where=f"http.resource.{action}", headers=headers)

    def demand(self, action: Action, key: str, text: str = "") -> httpx.Response:
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
        """Every text that a read gives, of JSON, XML, HTML, or the plain body."""
        return texts_of(self.read(key))

    def try_texts(self, key: str) -> list[str]:
        """As ``texts``; empty where the product does not answer well."""
        with contextlib.suppress(ProductFault):
            answer = self.try_read(key)
            if answer.status_code in self.definition.read.status:
                return texts_of(answer)
        return []

    def try_create(self, key: str, text: str) -> str:
        """Create it; gives how the product refused, in words; empty where it has created it."""
        answer = self.attempt("create", key, text)
        good = answer.status_code in self.definition.create.status
        return "" if good else f"status {answer.status_code}: {answer.text[:300]}"

    def remains(self, key: str) -> str:
        """What a read shows of a resource that must not be there, in words; empty where it is not there."""
        status = self.try_read(key).status_code
        return "" if status in self.gone else f"gave {status}, expected {self.gone}"

    def let_in(self, action: Action, key: str, text: str) -> str:
        """Try an action as a stranger; gives what the product did in place of a refusal; empty where it refused."""
        try:
            answer = self.attempt(action, key, text, headers=self.http.wrong_headers)
        except TurnedAway:
            return ""
        if answer.status_code in self.http.refused:
            return ""
        return f"gave {answer.status_code}, expected one of {self.http.refused}"

    def discard(self, key: str) -> None:
        """Delete it if it can be. Raises ProductFault where the product does not answer."""
        self.attempt("delete", key)

    def made(self, text: str) -> contextlib.AbstractContextManager[str]:
        """A resource with ``text`` for the time of a test; gives its key."""
        return temporary(self, text)

    def stored(self, key: str) -> str:
        """SQL that reads the stored text."""
        return render(self.definition.stored, {"key": key}, where="http.resource.stored")

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


def _ended_by_product(error: httpx.HTTPError) -> bool:
    """Whether the product ended a connection that it had taken: with an alert, a reset, or at once. A client of TLS 1.3
    may have sent its request by then, and sees a reset where the alert is lost (RFC 8446, 4.4.2.4)."""
    trouble = trouble_of(error, "")
    if trouble is not None:
        return trouble.kind != "certificate"
    return isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
