"""A product with a login, a token in each form, and sessions that end with its process; notes lie in a file."""

import json
import os
import re
import secrets
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, PASSWORD, PLACE = int(sys.argv[1]), os.environ["DESK_PASSWORD"], Path(sys.argv[2])
sessions: set[str] = set()
forms: set[str] = set()
lock = threading.Lock()
notes: dict[str, str] = json.loads(PLACE.read_text()) if PLACE.exists() else {}


def keep() -> None:
    fresh = PLACE.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(notes, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(PLACE)


class Desk(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.answer(200, "good")
        if self.path == "/login":
            return self.answer(200, self.form())
        if not self.known():
            return self.answer(302, "", Location="/login")
        if self.path == "/new":
            return self.answer(200, self.form())
        text = notes.get(self.path[1:])
        return self.answer(404, "") if text is None else self.answer(200, json.dumps({"text": text}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = dict(urllib.parse.parse_qsl(body))
        with lock:
            good = form.get("token") in forms
            forms.discard(form.get("token", ""))
        if self.path == "/login":
            if not (good and form.get("password") == PASSWORD):
                return self.answer(401, "")
            sessions.add(name := secrets.token_hex(16))
            return self.answer(302, "", **{"Set-Cookie": f"desk={name}; HttpOnly; Path=/"})
        if not self.known():
            return self.answer(302, "", Location="/login")
        if not good:
            return self.answer(403, "the form is stale")
        with lock:
            if self.path == "/delete":
                notes.pop(form["name"], None)
            else:
                notes[form["name"]] = form["text"]
            keep()
        return self.answer(303, "", Location="/" + form["name"])

    def form(self) -> str:
        with lock:
            forms.add(token := secrets.token_hex(16))
        return f'<form method="post"><input type="hidden" name="token" value="{token}"></form>'

    def known(self) -> bool:
        match = re.search(r"desk=(\w+)", self.headers.get("Cookie", ""))
        return bool(match) and match[1] in sessions

    def answer(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


ThreadingHTTPServer(("", PORT), Desk).serve_forever()
