"""A product that is no web server: notes by lines of JSON over TCP, kept in a file, for whoever says the password."""

import json
import os
import socketserver
import sys
import threading
from pathlib import Path

PORT, PLACE = int(sys.argv[1]), Path(sys.argv[2])
lock = threading.Lock()
notes: dict[str, str] = json.loads(PLACE.read_text()) if PLACE.exists() else {}


def keep() -> None:
    fresh = PLACE.with_suffix(".new")
    with fresh.open("w") as file:
        json.dump(notes, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(PLACE)


def answer(asked: dict[str, str]) -> dict[str, object]:
    if asked["password"] != os.environ["LINE_PASSWORD"]:
        return {"refused": True}
    with lock:
        if asked["do"] == "put":
            notes[asked["key"]] = asked["text"]
            keep()
        elif asked["do"] == "delete":
            notes.pop(asked["key"], None)
            keep()
        return {"text": notes.get(asked["key"])}


class Line(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(json.dumps(answer(json.loads(line))).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("0.0.0.0", PORT), Line) as server:
    server.serve_forever()
