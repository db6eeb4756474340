"""Texts in PostgreSQL, with a fault on purpose. Arguments: the fault, then the DSN of the database.

good: none. forgets: it acknowledges a text that the database did not take. stays-away: it opens its connection once.
single: it serves a client at a time. full: it serves 64 clients at most, and waits for each without end.
"""

import contextlib
import http.server
import sys
import threading
from typing import Any

import psycopg2

FAULT, DSN = sys.argv[1:3]
lock = threading.Lock()
known: dict[str, Any] = {"connection": None}


def connection():
    if known["connection"] is None or (known["connection"].closed and FAULT != "stays-away"):
        known["connection"] = psycopg2.connect(DSN, connect_timeout=2)
        known["connection"].autocommit = True
    return known["connection"]


def run(sql, *values):
    with lock:
        try:
            with connection().cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error:
            if known["connection"] is not None:
                with contextlib.suppress(psycopg2.Error):
                    known["connection"].close()
            raise


class Texts(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def key(self):
        return self.path.rpartition("/")[2]

    def work(self, sql, *values, good=200):
        try:
            rows = run(sql, *values)
        except psycopg2.Error as error:
            if FAULT == "forgets" and self.command == "PUT":
                self.answer(good)
            else:
                self.answer(503, str(error))
            return
        self.answer(good if rows or self.command != "GET" else 404, rows[0][0] if rows else "")

    def do_PUT(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sql = "INSERT INTO texts VALUES (%s, %s) ON CONFLICT (k) DO UPDATE SET t = excluded.t"
        self.work(sql, self.key(), text, good=201)

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, "good")
        else:
            self.work("SELECT t FROM texts WHERE k = %s", self.key())

    def do_DELETE(self):
        self.work("DELETE FROM texts WHERE k = %s", self.key())

    def log_message(self, *_):
        return


room = threading.Semaphore(64)


if FAULT == "full":
    Texts.protocol_version = "HTTP/1.1"  # who is in stays in: a client of before is served while new clients are not


class Full(http.server.ThreadingHTTPServer):
    def process_request(self, request, client_address):
        room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            room.release()


kind = Full if FAULT == "full" else http.server.HTTPServer if FAULT == "single" else http.server.ThreadingHTTPServer
kind.request_queue_size = 2048
kind(("0.0.0.0", 8080), Texts).serve_forever()
