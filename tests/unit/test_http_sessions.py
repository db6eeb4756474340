"""Requests as products want them: logins with tokens in forms, bodies of every kind, several requests for a step."""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from pydantic import ValidationError

from harness.clients.http import HttpClient
from harness.clients.requesting import captured
from harness.control import readiness
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.sendable import path_at
from harness.errors import UsageError
from harness.model.definitions import Capture, Http, Request

PASSWORD = "it's & 密码"
FORM = '<input name="_csrf" value="{}">'


class Desk(BaseHTTPRequestHandler):
    """A product with a login form, a token for each form, and notes that only a session may write."""

    sessions: dict[str, str]  #: cookie -> token of its last form
    notes: dict[str, str]
    logins: list[str]
    lock: threading.Lock

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/login":
            token = secrets.token_hex(8)
            self.sessions[token] = ""
            self.answer(200, FORM.format(token))
        elif (session := self.session()) is None:
            self.answer(302, "", Location="/login")
        elif self.path == "/form":
            with self.lock:
                self.sessions[session] = secrets.token_hex(8)
                self.answer(200, FORM.format(self.sessions[session]))
        else:
            note = self.notes.get(urllib.parse.unquote(self.path))
            self.answer(404 if note is None else 200, json.dumps({"note": note}, ensure_ascii=False))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"]
        if self.path == "/login":
            form = dict(urllib.parse.parse_qsl(body.decode()))
            good = form.get("_csrf") in self.sessions and form["password"] == PASSWORD
            self.logins.append("good" if good else "bad")
            cookie = secrets.token_hex(8)
            self.sessions[cookie] = "" if good else "refused"
            self.answer(302 if good else 401, "", **({"Set-Cookie": f"id={cookie}; Path=/"} if good else {}))
        elif (session := self.session()) is None:
            self.answer(302, "", Location="/login")
        elif self.path.startswith("/forms"):
            form = dict(urllib.parse.parse_qsl(body.decode()))
            with self.lock:
                good = bool(form["_csrf"]) and form["_csrf"] == self.sessions[session]
            self.notes["/notes/" + form["key"]] = form["text"] if good else ""
            self.answer(303 if good else 403, "")
        elif kind.startswith("multipart/"):
            message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
            (part,) = cast(list[Any], message.get_payload())
            self.answer(201, json.dumps({"files": [{"id/x": 7, "name": part.get_filename()}]}))
            self.notes["/notes/7"] = part.get_payload(decode=True).decode()
        else:
            self.notes["/notes/xml"] = f"{kind} {body.decode()}"
            self.answer(201, "", Location="/notes/xml")

    def session(self) -> str | None:
        match = re.search(r"id=(\w+)", self.headers.get("Cookie", ""))
        return match[1] if match and match[1] in self.sessions else None

    def answer(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def desk() -> Iterator[tuple[type[Desk], int]]:
    handler = type("Handler", (Desk,), {"sessions": {}, "notes": {}, "logins": [], "lock": threading.Lock()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield handler, server.server_port
        server.shutdown()
        thread.join()


TOKEN = {"_csrf": {"pattern": 'name="_csrf" value="([^"]*)"'}}
READ = {"method": "GET", "path": "/notes/{{ key }}"}
HTTP: dict[str, Any] = {
    "port": "web",
    "session": {
        "requests": [
            {"method": "GET", "path": "/login", "capture": TOKEN},
            {
                "method": "POST",
                "path": "/login",
                "form": {"password": "{{ secrets.admin }}", "_csrf": "{{ session._csrf }}"},
                "status": [302],
                "capture": {"id": {"cookie": "id"}},
            },
        ],
        "headers": {"X-Session": "{{ session.id }}"},
        "expired": [302, 401, 403],
    },
    "refused": [302],
    "resource": {
        "key": "{{ n }}",
        "create": {
            "method": "POST",
            "path": "/forms",
            "before": [{"method": "GET", "path": "/form", "capture": TOKEN}],
            "form": {"key": "{{ key }}", "text": "{{ text }}", "_csrf": "{{ got._csrf }}"},
            "status": [303],
        },
        "read": READ,
        "update": READ,
        "delete": READ,
        "stored": "SELECT 1",
    },
}


def client(port: int, http: dict[str, Any] = HTTP, password: str = PASSWORD) -> HttpClient:
    definition = Http.model_validate(http)
    values = {"secrets": {"admin": password}}
    context = SimpleNamespace(application=SimpleNamespace(http=definition), factor=1.0, values=lambda: values)
    deployment = SimpleNamespace(
        context=context,
        tls=None,
        headers=dict,
        url=lambda path: f"http://127.0.0.1:{port}{path}",
        log=lambda lines=40: "",
        exit_code=lambda: None,
    )
    return HttpClient(cast(Deployment, deployment))


def test_a_login_is_made_once_and_again_when_it_is_over(desk: tuple[type[Desk], int]) -> None:
    handler, port = desk
    asked = client(port)
    resource = asked.resource
    assert resource is not None
    for number in range(3):
        key = resource.fresh_key()
        resource.create(key, f"第 {number} 条 & <b>")
        assert resource.texts(key) == [f"第 {number} 条 & <b>"]
        if number == 1:
            handler.sessions.clear()  # the product was restarted
    assert handler.logins == ["good", "good"]
    headers = asked.good_headers()
    assert headers["X-Session"] in headers["Cookie"]
    asked.close()


def test_a_stranger_has_nothing_of_the_session(desk: tuple[type[Desk], int]) -> None:
    _, port = desk
    asked = client(port)
    resource = asked.resource
    assert resource is not None
    resource.create("1", "text")
    assert asked.wrong_headers == {}
    for action in ("read", "create"):
        assert resource.attempt(action, "2", "stolen", headers=asked.wrong_headers).status_code == 302
    assert resource.try_read("2").status_code == 404
    asked.close()


def test_two_threads_share_a_session(desk: tuple[type[Desk], int]) -> None:
    handler, port = desk
    asked = client(port)
    with ThreadPoolExecutor(8) as pool:
        answers: list[int] = list(pool.map(lambda n: asked.send("GET", f"/notes/{n}").status_code, range(40)))
        handler.sessions.clear()
        answers += pool.map(lambda n: asked.send("GET", f"/notes/{n}").status_code, range(40))
    assert set(answers) == {404}
    assert handler.logins == ["good", "good"]
    asked.close()


def test_a_wrong_password_is_the_products_refusal(desk: tuple[type[Desk], int]) -> None:
    _, port = desk
    asked = client(port, password="wrong")
    with pytest.raises(ProductFault, match="the session is refused: POST /login gave status 401"):
        asked.send("GET", "/notes/1")
    asked.close()


def ask(port: int, request: dict[str, Any], **values: Any) -> Any:
    asked = client(port)
    try:
        return asked.ask(Request.model_validate(request), values, where="here")
    finally:
        asked.close()


def test_files_and_xml_are_sent_as_they_are(desk: tuple[type[Desk], int]) -> None:
    handler, port = desk
    upload: dict[str, Any] = {
        "method": "POST",
        "path": "/upload",
        "parts": {"file": {"filename": "数据.csv", "text": "{{ text }}"}},
    }
    upload |= {"status": [201], "capture": {"id": {"pointer": "/files/0/id~1x"}, "name": {"pointer": "/files/0/name"}}}
    answer = ask(port, {**READ, "path": "/notes/{{ got.id }}", "before": [upload]}, text="温度,压力\n")
    assert answer.json() == {"note": "温度,压力\n"}
    note: dict[str, Any] = {"method": "POST", "path": "/xml", "content": "<n>{{ text }}</n>", "status": [201]}
    note |= {"capture": {"where": {"header": "Location"}}}
    assert ask(port, {**READ, "path": "{{ got.where }}", "before": [note]}, text="备注").status_code == 200
    assert handler.notes["/notes/xml"] == "application/xml; charset=utf-8 <n>备注</n>"


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        ({"pointer": "/files"}, "no value at /files"),
        ({"pointer": ""}, "no value at the root"),
        ({"pattern": "id=(x)"}, "nothing that 'id=(x)' finds"),
        ({"header": "X-None"}, "no header X-None"),
        ({"cookie": "none"}, "no cookie none"),
    ],
)
def test_what_an_answer_lacks_is_said(desk: tuple[type[Desk], int], capture: dict[str, str], words: str) -> None:
    _, port = desk
    first = {"method": "GET", "path": "/form", "capture": {"it": capture}}
    with pytest.raises(ProductFault) as refused:
        ask(port, {**READ, "before": [first]}, key="1")
    assert words in str(refused.value)
    assert "here.before.0: it cannot be taken" in str(refused.value)


@pytest.mark.parametrize(
    ("model", "value", "words"),
    [
        (Capture, {}, "exactly one"),
        (Capture, {"pattern": "a", "header": "b"}, "exactly one"),
        (Capture, {"pattern": "no group"}, "one group"),
        (Capture, {"pattern": "("}, "no regular expression"),
        (Request, {**READ, "form": {}, "content": "x"}, "form and content"),
    ],
)
def test_declarations_that_cannot_be_meant(model: Any, value: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        model.model_validate(value)


def test_an_absolute_url_of_the_product_is_a_path_of_it(desk: tuple[type[Desk], int]) -> None:
    """As servers put it into Location (RFC 9110, 10.2.2)."""
    _, port = desk
    note: dict[str, Any] = {"method": "POST", "path": "/xml", "content": "<n/>", "status": [201]}
    note |= {"capture": {"where": {"header": "Location"}}}
    for root in (f"http://127.0.0.1:{port}", f"HTTPS://127.0.0.1:{port}"):
        path = root + "{{ got.where }}"
        assert ask(port, {**READ, "path": path, "before": [note]}).status_code == 200


@pytest.mark.parametrize(
    ("root", "path", "sent"),
    [
        ("http://h:1/app", "http://h:1/app/notes/1?a=b%20c", "/notes/1?a=b%20c"),
        ("http://h:80/app", "http://h/app", ""),
        ("https://[fd00::1]:443", "https://[fd00::1]/x", "/x"),
        ("http://h:1", "/notes/适", "/notes/适"),
        ("http://h:1", "", ""),
        ("http://h:1/app/", "notes", "notes"),
        ("http://h:1/app/", "http://h:1/app/notes", "notes"),
    ],
)
def test_a_path_is_taken_of_an_own_url(root: str, path: str, sent: str) -> None:
    assert path_at(root, path) == sent


@pytest.mark.parametrize(
    "path",
    [
        "http://h:2/app/x",
        "http://other:1/app/x",
        "http://h:1/apple",
        "http://h:1/",
        "http://h:x/",
        "notes",
        "1",
        "/a\nb",
    ],
)
def test_what_is_no_path_of_the_product_is_a_fault_of_the_declarations(path: str) -> None:
    with pytest.raises(UsageError) as refused:
        path_at("http://h:1/app", path)
    assert repr(path)[1:-1] in str(refused.value)


@pytest.mark.parametrize("value", ["测试", "é", "a\nb", "a\r\nX: y", "\0", " a", "a "])
def test_what_is_no_header_is_a_fault_of_the_declarations(desk: tuple[type[Desk], int], value: str) -> None:
    """Whether it is sent with a request, asked for readiness, or given to the drivers of a load."""
    _, port = desk
    request = {**READ, "headers": {"X-Operator": "{{ text }}"}}
    with pytest.raises(UsageError, match="the header 'X-Operator' cannot be sent: its value is not plain ASCII"):
        ask(port, request, key="1", text=value)
    asked = client(port)
    asked.deployment.headers = lambda: {"X-Operator": value}  # type: ignore[method-assign]
    for send in (asked.good_headers, lambda: asked.send("GET", "/form")):
        with pytest.raises(UsageError, match="X-Operator"):
            send()
    asked.close()
    http, ready = Http(port="web"), SimpleNamespace(path="/form", status=(200,))
    application = SimpleNamespace(serves=True, readiness=ready, http=http)
    context: Any = SimpleNamespace(application=application, factor=1.0, ports={"web": ("127.0.0.1", port)})
    answer = readiness.ask(
        context, cast(Any, None), None, lambda path: f"http://127.0.0.1:{port}{path}", lambda: {"X-Operator": value}
    )
    assert not answer.ready
    assert "X-Operator" in str(answer.wrong)


@pytest.mark.parametrize("value", ["测试", "{{ key }} 测", "a\nb"])
@pytest.mark.parametrize("model", ["http", "stranger", "session", "request"])
def test_a_header_that_no_request_can_carry_is_a_fault_of_the_file(model: str, value: str) -> None:
    headers = {"X-Good": "{{ '测试' | urlencode }}", "X-Operator": value}
    whole: dict[str, dict[str, Any]] = {
        "http": {"port": "web", "headers": headers},
        "stranger": {"port": "web", "wrong_credentials": headers},
        "session": {"port": "web", "session": {"requests": [READ], "headers": headers}},
        "request": {"port": "web", "session": {"requests": [{**READ, "headers": headers}]}},
    }
    with pytest.raises(ValidationError, match="plain ASCII in one line") as refused:
        Http.model_validate(whole[model])
    (fault,) = refused.value.errors()
    assert fault["ctx"]["error"].loc == ("X-Operator",)
    headers["X-Operator"] = headers["X-Good"]
    Http.model_validate(whole[model])


def answered(*cookies: str) -> httpx.Response:
    return httpx.Response(
        200, headers=[("Set-Cookie", each) for each in cookies], request=httpx.Request("GET", "http://h.example/app/x")
    )


def test_a_cookie_that_is_set_for_several_paths_is_taken_where_it_is_one_value() -> None:
    request = Request.model_validate({**READ, "capture": {"id": {"cookie": "id"}}})
    same = answered("id=1; Path=/", "id=1; Path=/app", "other=2; Path=/")
    assert captured(request, same, "here") == {"id": "1"}
    with pytest.raises(UsageError, match=r"here: id: .* the cookie id several times, for the paths /, /app"):
        captured(request, answered("id=1; Path=/", "id=2; Path=/app"), "here")


class Closing(BaseHTTPRequestHandler):
    """Ends each answer by closing, as a small server does that knows no length of what a script gives."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nok")
        self.close_connection = True


def test_threads_get_answers_of_a_server_that_ends_each_by_closing() -> None:
    """A connection that another thread has read to its end is none for the next request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Closing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked, interval = client(server.server_address[1], {"port": "web"}), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads get in each other's way more often
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: asked.send("GET", "/").status_code, range(3000)))
    finally:
        sys.setswitchinterval(interval)
        asked.close()
        server.shutdown()
        server.server_close()
    assert answers == [200] * 3000


def test_threads_have_connections_of_their_own_and_cookies_in_common(desk: tuple[type[Desk], int]) -> None:
    asked = client(desk[1])
    meet = threading.Barrier(2)

    def own(_: int) -> httpx.Client:
        meet.wait(20)
        return asked.client

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(own, range(2))
    assert first is not second
    first.cookies.set("id", "1")
    assert second.cookies.get("id") == asked.client.cookies.get("id") == "1"
    asked.close()
    assert first.is_closed
    assert second.is_closed
