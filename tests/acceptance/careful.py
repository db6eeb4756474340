"""A product without faults of security; those that FAULTS names are then in it, on purpose."""

import hashlib
import http.server
import json
import os
import secrets
import threading
import time
from pathlib import Path

FAULTS = os.environ.get("FAULTS", "").split()
LOG = Path("/var/log/careful/audit.log")
TRIES, LOCKED = 4, 3.0
passwords = {"admin": os.environ["ADMIN"], "guest": os.environ["GUEST"]}
wrong: dict[str, int] = {}
locked: dict[str, float] = {}
tokens: dict[str, str] = {}
notes: dict[str, str] = {}
lock = threading.Lock()


def record(user: str, action: str) -> None:
    if "silent" in FAULTS and not action.startswith("login"):
        return
    with LOG.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} user={user} {action}\n")


def good(user: str, password: str) -> bool:
    if "default" in FAULTS and (user, password) == ("admin", "admin123"):
        return True
    if "empty" in FAULTS and not password:
        return True
    known = hashlib.sha256(passwords.get(user, secrets.token_hex()).encode()).digest()
    return secrets.compare_digest(known, hashlib.sha256(password.encode()).digest())


class Careful(http.server.BaseHTTPRequestHandler):
    def answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if text.startswith("<") else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Set-Cookie", "visit=1; HttpOnly; SameSite=Lax; Path=/")
        self.end_headers()
        self.wfile.write(data)

    def version_string(self) -> str:
        return "careful"

    def body(self) -> dict[str, str]:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def user(self) -> str:
        return tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "), "")

    def login(self, user: str, password: str) -> None:
        with lock:
            if locked.get(user, 0) > time.monotonic():
                record(user, "login refused: locked")
                return self.answer(423, '{"error": "locked"}')
            if not good(user, password):
                wrong[user] = wrong.get(user, 0) + 1
                if wrong[user] >= TRIES and "patient" not in FAULTS:
                    locked[user] = time.monotonic() + (0.5 if "brief" in FAULTS else LOCKED)
                    wrong[user] = 0
                record(user, f"login refused with {password}" if "talkative" in FAULTS else "login refused")
                return self.answer(401, '{"error": "refused"}')
            wrong[user] = 0
            token = secrets.token_hex(16)
            tokens[token] = user
            record(user, "login")
        return self.answer(200, json.dumps({"token": token}))

    def do_GET(self) -> None:
        if self.path in ("/", "/health"):
            return self.answer(200, "<html>hello</html>")
        if not self.user():
            return self.answer(401, "{}")
        name = self.path.removeprefix("/notes/")
        return self.answer(200, json.dumps({"text": notes[name]})) if name in notes else self.answer(404, "{}")

    def do_POST(self) -> None:
        given = self.body()
        self.login(given.get("user", ""), given.get("password", ""))

    def do_PUT(self) -> None:
        given, name = self.body(), self.path.removeprefix("/notes/")
        if not (user := self.user()):
            return self.answer(401, "{}")
        record(user, f"{'update' if name in notes else 'create'} {name}")
        notes[name] = given["text"]
        return self.answer(200, "{}")

    def do_DELETE(self) -> None:
        name = self.path.removeprefix("/notes/")
        if not (user := self.user()):
            return self.answer(401, "{}")
        record(user, f"delete {name}")
        notes.pop(name, None)
        return self.answer(200, "{}")


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Careful).serve_forever()
