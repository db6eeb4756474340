"""Requests as products want them: logins with tokens in forms, bodies of every kind, several requests for a step."""

from __future__ import annotations

import json
import re
import secrets
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from harness.clients.http import HttpClient
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
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
