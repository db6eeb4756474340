"""The WSGI application (PEP 3333)."""

import hmac
import os
import re

import psycopg2


def application(environ, start_response):
    """Answer a request: /health, /notes/KEY."""
    status, text = answer(environ)
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def answer(environ):
    """Status and text."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path == "/health":
        return "200 OK", "good\n"
    if not hmac.compare_digest(environ.get("HTTP_X_TOKEN", ""), os.environ["NOTES_TOKEN"]):
        return "401 Unauthorized", ""
    match = re.fullmatch(r"/notes/([A-Za-z0-9-]{1,64})", path)
    if match is None:
        return "404 Not Found", ""
    text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    # A connection for each request: one that a restart of the database ended is used by nobody.
    connection = psycopg2.connect(os.environ["NOTES_DATABASE"])
    try:
        with connection, connection.cursor() as cursor:
            return note(cursor, method, match[1], text)
    finally:
        connection.close()


def note(cursor, method, key, text):
    """One note: stored, given or removed."""
    if method == "PUT":
        cursor.execute("UPDATE notes SET body = %s WHERE name = %s", (text, key))
        if cursor.rowcount:
            return "200 OK", ""
        cursor.execute("INSERT INTO notes (name, body) VALUES (%s, %s)", (key, text))
        return "201 Created", ""
    if method == "GET":
        cursor.execute("SELECT body FROM notes WHERE name = %s", (key,))
        row = cursor.fetchone()
        return ("200 OK", row[0]) if row else ("404 Not Found", "no such note")
    if method == "DELETE":
        cursor.execute("DELETE FROM notes WHERE name = %s", (key,))
        return ("204 No Content" if cursor.rowcount else "404 Not Found"), ""
    return "405 Method Not Allowed", ""
