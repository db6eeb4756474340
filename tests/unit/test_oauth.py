"""A product behind OAuth 2.0 (password grant, RFC 6749 4.3), with XML bodies and several requests for one step."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clients.http import HttpClient
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.model.definitions import Http

PASSWORD = "密码 & 100%"
ID = r"<id>([^<]+)</id>"


class Orders(BaseHTTPRequestHandler):
    """Orders in XML: a draft is made, filled, and released in a request each. A token is good for three requests."""

    orders: dict[str, str]
    tokens: dict[str, int]
    lock: threading.Lock

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        if self.path == "/oauth/token":
            form = dict(urllib.parse.parse_qsl(body))
            if (form["grant_type"], form["username"], form["password"]) != ("password", "tester", PASSWORD):
                return self.answer(400, json.dumps({"error": "invalid_grant"}), "application/json")
            token = f"t{len(self.tokens)}"
            self.tokens[token] = 3
            answer = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
            return self.answer(200, json.dumps(answer), "application/json")
        if not self.known():
            return self.answer(401, "")
        if self.path == "/drafts":
            with self.lock:
                number = f"d{len(self.orders)}"
                self.orders[number] = ""
            return self.answer(201, f"<draft><id>{number}</id></draft>")
        if self.path.endswith("/release"):
            draft = self.path.split("/")[2]
            name, text = self.orders.pop(draft).split("|", 1)
            self.orders[name] = text
            return self.answer(200, f"<order><id>{name}</id></order>")
        return self.answer(404, "")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.known():
            return self.answer(401, "")
        assert self.headers["Content-Type"] == "application/xml; charset=utf-8"
        match = re.fullmatch(r"<order><name>(.*)</name><text>(.*)</text></order>", body, re.DOTALL)
        assert match is not None, body
        self.orders[self.path.split("/")[2]] = f"{match[1]}|{match[2]}"
        return self.answer(200, "")

    def do_GET(self) -> None:
        if not self.known():
            return self.answer(401, "")
        text = self.orders.get(self.path.split("/")[2])
        return self.answer(404, "") if text is None else self.answer(200, f"<order><text>{text}</text></order>")

    def known(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            left = self.tokens.get(token, 0)
            self.tokens[token] = left - 1
        return left > 0

    def answer(self, status: int, text: str, media: str = "application/xml; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def xml(name: str) -> str:
    return f"<order><name>{name}</name><text>{{{{ text | e }}}}</text></order>"


HTTP: dict[str, Any] = {
    "port": "web",
    "session": {
        "requests": [
            {
                "method": "POST",
                "path": "/oauth/token",
                "form": {"grant_type": "password", "username": "tester", "password": "{{ secrets.password }}"},
                "capture": {"token": {"pointer": "/access_token"}},
            }
        ],
        "headers": {"Authorization": "Bearer {{ session.token }}"},
        "expired": [401],
    },
    "resource": {
        "key": "o{{ n }}",
        "create": {
            "method": "POST",
            "path": "/drafts/{{ got.draft }}/release",
            "before": [
                {"method": "POST", "path": "/drafts", "status": [201], "capture": {"draft": {"pattern": ID}}},
                {"method": "PUT", "path": "/drafts/{{ got.draft }}", "content": xml("{{ key }}")},
            ],
        },
        "read": {"method": "GET", "path": "/orders/{{ key }}"},
        "update": {"method": "PUT", "path": "/orders/{{ key }}", "content": xml("{{ key }}")},
        "delete": {"method": "DELETE", "path": "/orders/{{ key }}"},
        "stored": "SELECT 1",
    },
}


@pytest.fixture
def orders() -> Iterator[tuple[Any, int]]:
    handler = type("Handler", (Orders,), {"orders": {}, "tokens": {}, "lock": threading.Lock()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield handler, server.server_port
        server.shutdown()
        thread.join()


def client(port: int, password: str = PASSWORD) -> HttpClient:
    context = SimpleNamespace(
        application=SimpleNamespace(http=Http.model_validate(HTTP)),
        factor=1.0,
        values=lambda: {"secrets": {"password": password}},
    )
    deployment = SimpleNamespace(
        context=context,
        tls=None,
        headers=dict,
        url=lambda path: f"http://127.0.0.1:{port}{path}",
        log=lambda lines=40: "",
        exit_code=lambda: None,
    )
    return HttpClient(cast(Deployment, deployment))


def test_a_token_is_got_by_a_password_and_again_when_it_is_over(orders: tuple[Any, int]) -> None:
    """A token ends in the middle of a step of three requests: the step is made again with the next one."""
    handler, port = orders
    asked = client(port)
    resource = asked.resource
    assert resource is not None
    for number in range(3):
        key, text = resource.fresh_key(), f"第 {number} 单 <急> & 完"
        resource.create(key, text)
        assert resource.texts(key)[0] == text
    assert len(handler.tokens) > 2
    stranger = asked.send("GET", "/orders/1", headers=asked.wrong_headers)
    assert stranger.status_code == 401
    asked.close()


def test_a_refused_grant_is_the_products_refusal(orders: tuple[Any, int]) -> None:
    _, port = orders
    asked = client(port, "wrong")
    with pytest.raises(ProductFault, match="POST /oauth/token gave status 400, expected"):
        asked.send("GET", "/orders/1")
    asked.close()
