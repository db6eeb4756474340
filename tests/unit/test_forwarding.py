"""The proxy of builds leads to the sources that it was given, and to nothing else."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.containers import forwarding
from harness.containers.forwarding import Forwarding
from harness.containers.sources import Source, sources_in


class Mirror(BaseHTTPRequestHandler):
    """A web server with a file, a file without a length, a redirection and one that breaks off."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = self.path.rpartition("/")[2]
        self.send_response(302 if kind == "moved" else 200)
        if kind == "moved":
            self.send_header("Location", "/elsewhere/file")
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n0\r\n\r\n")
            return
        self.send_header("X-Host", str(self.headers["Host"]))
        self.send_header("X-Asked", self.path)
        self.send_header("Content-Length", "9" if kind == "broken" else "3")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"abc")
        self.close_connection = kind == "broken"

    do_HEAD = do_GET

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.rfile.readline())
        self.close_connection = True

    def log_message(self, *args: object) -> None: ...


@contextlib.contextmanager
def mirror() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def proxy(*addresses: str, upstream: str = "", public: bool = False) -> Iterator[tuple[Forwarding, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    sources = [source for address in addresses if (source := Source.of(address, public=public))]
    with Forwarding(listener, sources, upstream) as made:
        yield made, listener.getsockname()[1]


def ask(port: int, method: str, address: str, **headers: str) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as end:
        end.putrequest(method, address, skip_host=True)  # a Host of its own would be read out of the address
        for name, value in {"Host": "x", **headers}.items():
            end.putheader(name, value)
        end.endheaders()
        answer = end.getresponse()
        return answer.status, answer.read()


def test_files_of_a_source_come_over_a_connection_that_is_kept() -> None:
    with mirror() as there, proxy(f"http://127.0.0.1:{there}/debian") as (_, port):
        end = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for method, name, content in (("GET", "a", b"abc"), ("HEAD", "a", b""), ("GET", "b", b"abc")):
            end.request(method, f"http://127.0.0.1:{there}/debian/{name}", headers={"Proxy-Authorization": "secret"})
            answer = end.getresponse()
            assert (answer.status, answer.read()) == (200, content)
            assert answer.getheader("X-Host") == f"127.0.0.1:{there}"
        end.close()


def test_a_file_without_a_length_ends_with_the_connection() -> None:
    with mirror() as there, proxy(f"http://127.0.0.1:{there}/") as (_, port):
        assert ask(port, "GET", f"http://127.0.0.1:{there}/chunked") == (200, b"abc")


def test_a_file_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    with (
        mirror() as there,
        proxy(f"http://127.0.0.1:{there}/") as (_, port),
        pytest.raises((http.client.IncompleteRead, ConnectionError)),
    ):
        ask(port, "GET", f"http://127.0.0.1:{there}/broken")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "http://127.0.0.1:{}/other/file"),
        ("GET", "http://127.0.0.1:{}/debian-security/file"),
        ("GET", "http://127.0.0.1:{}/debian/../other"),
        ("GET", "http://127.0.0.1:{}/debian/%2e%2e/other"),
        ("GET", "http://localhost:{}/debian/file"),
        ("GET", "http://127.0.0.1/debian/file"),
        ("GET", "http://user@127.0.0.2:{}/debian/file"),
        ("GET", "https://127.0.0.1:{}/debian/file"),
        ("GET", "/debian/file"),
        ("GET", "http://[/debian"),
        ("GET", "http://127.0.0.1:99999/debian"),
        ("CONNECT", "127.0.0.1:{}"),
        ("CONNECT", ""),
        ("CONNECT", "http://127.0.0.1:{}/debian/"),
    ],
)
def test_everything_else_is_refused_and_named(method: str, address: str) -> None:
    with mirror() as there, proxy(f"http://127.0.0.1:{there}/debian") as (made, port):
        status, text = ask(port, method, address.format(there) or "x")
        assert status == 403, text
        assert made.refused == [f"{method} {address.format(there) or 'x'}"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_is_sent(method: str) -> None:
    with mirror() as there, proxy(f"http://127.0.0.1:{there}/") as (_, port):
        assert ask(port, method, f"http://127.0.0.1:{there}/a")[0] == 501


def test_a_request_with_content_is_refused() -> None:
    with mirror() as there, proxy(f"http://127.0.0.1:{there}/") as (made, port):
        assert ask(port, "GET", f"http://127.0.0.1:{there}/a", **{"Content-Length": "3"})[0] == 403
        assert made.refused


def test_a_redirection_of_a_source_may_be_followed() -> None:
    with mirror() as there, proxy(f"http://127.0.0.1:{there}/debian") as (made, port):
        place = f"http://127.0.0.1:{there}/elsewhere/file"
        assert ask(port, "GET", place)[0] == 403
        assert ask(port, "GET", f"http://127.0.0.1:{there}/debian/moved")[0] == 302
        assert ask(port, "GET", place) == (200, b"abc")
        assert ask(port, "GET", f"{place}s")[0] == 403
        made.led_on(
            made.allows("http", "127.0.0.1", there, "/debian/x") or pytest.fail("refused"), f"http://127.0.0.2:{there}/"
        )
        assert ask(port, "GET", f"http://127.0.0.2:{there}/")[0] == 403  # in this network


def test_sources_of_a_foreign_image_lie_in_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a name leads to now, or a moment later."""
    with mirror() as there, proxy(f"http://localhost:{there}/", public=True) as (made, port):
        assert ask(port, "GET", f"http://localhost:{there}/a")[0] == 403
        answers = iter([["192.0.2.1"], []])
        monkeypatch.setattr(forwarding, "_public_addresses", lambda _source: next(answers))
        assert ask(port, "GET", f"http://localhost:{there}/a")[0] == 502
        assert len(made.refused) == 1


def test_a_source_that_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        there = gone.getsockname()[1]
    with proxy(f"http://127.0.0.1:{there}/", f"https://127.0.0.1:{there}/") as (made, port):
        assert ask(port, "GET", f"http://127.0.0.1:{there}/a") == (
            502,
            b"127.0.0.1 does not answer: ConnectionRefusedError\n",
        )
        assert ask(port, "CONNECT", f"127.0.0.1:{there}")[0] == 502
        assert made.refused == []


def test_another_proxy_is_asked_where_this_machine_needs_it() -> None:
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(mirror())
        _, port = stack.enter_context(proxy("http://mirror.example/debian", upstream=f"http://me:pw@127.0.0.1:{there}"))
        end = stack.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)))
        end.request("GET", "http://mirror.example/debian/a")
        answer = end.getresponse()
        assert answer.getheader("X-Asked") == "http://mirror.example/debian/a"
        assert answer.getheader("X-Host") == "mirror.example"


@pytest.mark.parametrize("through", ["", "another proxy"])
def test_a_tunnel_carries_both_directions(through: str) -> None:
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(mirror())
        if through:
            _, port = stack.enter_context(proxy("https://mirror.example", upstream=f"http://127.0.0.1:{there}"))
            asked, sent = "mirror.example:443", b"hello\n"
        else:
            _, port = stack.enter_context(proxy(f"https://127.0.0.1:{there}"))
            asked, sent = f"127.0.0.1:{there}", b"CONNECT x:1 HTTP/1.1\r\n\r\nhello\n"
        with socket.create_connection(("127.0.0.1", port), 20) as end:
            end.sendall(f"CONNECT {asked} HTTP/1.1\r\n\r\n".encode() + sent)
            data = b""
            while piece := end.recv(999):
                data += piece
        assert data.startswith(b"HTTP/1.1 200")
        assert data.endswith(b"hello\n")


def test_more_connections_than_there_may_be_wait_and_the_end_waits_for_none() -> None:
    with contextlib.ExitStack() as stack:
        _, port = stack.enter_context(proxy("http://127.0.0.1:9/"))
        for _ in range(forwarding.CONNECTIONS + 5):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        stack.pop_all().close()


@given(st.text(max_size=300))
def test_a_refusal_is_a_line_that_can_be_printed(text: str) -> None:
    with socket.socket() as listener:
        made = Forwarding(listener, [])
        for number in range(30):
            made.refuse(f"{number} {text}")
    assert len(made.refused) == forwarding.KEPT
    assert all(words.isprintable() and len(words) <= 200 for words in made.refused)


def test_files_of_package_managers_name_sources() -> None:
    text = """deb [signed-by=/k.gpg] http://a.example/debian/ bookworm main
Types: deb
URIs: https://b.example:8443/debian-security http://a.example/debian/
baseurl=http://c.example/$releasever/os/
metalink="https://d.example/metalink?repo=x&arch=$basearch"
file:/opt/mirror cdrom://x http:///x https://e.example:x/
"""
    named = [(s.scheme, s.host, s.port, s.path) for s in sources_in(text, public=False)]
    assert named == [
        ("http", "a.example", 80, "/debian/"),
        ("https", "b.example", 8443, "/debian-security"),
        ("http", "c.example", 80, "/"),
        ("https", "d.example", 443, "/metalink"),
    ]
    assert {s.path for s in sources_in(text, public=True)} == {"/"}
