"""Orders behind OAuth (password grant) and a cookie: a draft is asked for with a token against forgery, filled as XML,
and released with a form that carries a file. Tokens are good for forty requests; all but the orders ends with it."""

import email
import email.policy
import json
import os
import re
import secrets
import sys
import threading
import urllib.parse
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, PASSWORD, PLACE = int(sys.argv[1]), os.environ["OFFICE_PASSWORD"], Path(sys.argv[2])
tokens: dict[str, tuple[str, int]] = {}  # token -> its cookie, and for how many requests it is good
forms: set[str] = set()
drafts: dict[str, tuple[str, str]] = {}
lock = threading.Lock()
orders: dict[str, str] = json.loads(PLACE.read_text()) if PLACE.exists() else {}


def keep() -> None:
    fresh = PLACE.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(orders, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(PLACE)


class Office(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        with lock:
            super().handle_one_request()

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.answer(200, "good")
        if not self.known():
            return self.answer(401, "")
        if self.path == "/form":
            forms.add(token := secrets.token_hex(8))
            return self.answer(200, "", **{"X-Form-Token": token})
        text = orders.get(self.path.removeprefix("/orders/"))
        if text is None:
            return self.answer(404, "")
        order = ET.Element("order")
        ET.SubElement(order, "text").text = text
        return self.answer(200, ET.tostring(order, "unicode"), "application/xml; charset=utf-8")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/oauth/token":
            return self.login(dict(urllib.parse.parse_qsl(body.decode())))
        if not self.known():
            return self.answer(401, "")
        if self.path == "/drafts":
            if not self.fresh(self.headers.get("X-Form-Token", "")):
                return self.answer(403, "the form is stale")
            number = f"d{secrets.token_hex(4)}"
            drafts[number] = ("", "")
            return self.answer(201, f"<draft><id>{number}</id></draft>", "application/xml")
        match = re.fullmatch(r"/drafts/(\w+)/release", self.path)
        if match is None or match[1] not in drafts:
            return self.answer(404, "")
        parts = self.parts(body)
        if parts.get("stamp") != ("stamp.txt", "released 放行") or not self.fresh(parts.get("token", ("", ""))[1]):
            return self.answer(400, f"stamp or token lacks: {sorted(parts)}")
        name, text = drafts.pop(match[1])
        orders[name] = text
        keep()
        return self.answer(200, "<released/>", "application/xml")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if not self.known():
            return self.answer(401, "")
        if not self.headers.get("Content-Type", "").startswith("application/xml"):
            return self.answer(415, "")
        order = ET.fromstring(body)
        name, text = order.findtext("name") or "", order.findtext("text") or ""
        kind, _, key = self.path.strip("/").partition("/")
        if kind == "drafts" and key in drafts:
            drafts[key] = (name, text)
            return self.answer(200, "")
        if kind == "orders" and key in orders:
            orders[key] = text
            keep()
            return self.answer(200, "")
        return self.answer(404, "")

    def do_DELETE(self) -> None:
        if not self.known():
            return self.answer(401, "")
        if not self.fresh(self.headers.get("X-Form-Token", "")):
            return self.answer(403, "the form is stale")
        if orders.pop(self.path.removeprefix("/orders/"), None) is None:
            return self.answer(404, "")
        keep()
        return self.answer(204, "")

    def login(self, form: dict[str, str]) -> None:
        if (form.get("grant_type"), form.get("password")) != ("password", PASSWORD):
            return self.answer(400, json.dumps({"error": "invalid_grant"}), "application/json")
        token, cookie = secrets.token_hex(16), secrets.token_hex(16)
        tokens[token] = (cookie, 40)
        answer = json.dumps({"access_token": token, "token_type": "Bearer"})
        return self.answer(200, answer, "application/json", **{"Set-Cookie": f"office={cookie}; HttpOnly; Path=/"})

    def known(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie, left = tokens.get(token, ("", 0))
        tokens[token] = (cookie, left - 1)
        return left > 0 and f"office={cookie}" in self.headers.get("Cookie", "").split("; ")

    def fresh(self, token: str) -> bool:
        known = token in forms
        forms.discard(token)
        return known

    def parts(self, body: bytes) -> dict[str, tuple[str, str]]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        found = {}
        for part in message.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            found[name] = (part.get_filename() or "", str(part.get_content()))
        return found

    def answer(self, status: int, text: str, media: str = "text/plain; charset=utf-8", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


ThreadingHTTPServer(("", PORT), Office).serve_forever()
