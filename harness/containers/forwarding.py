"""A proxy for builds: GET, HEAD and tunnels to the sources that a build may reach, and to nothing else (RFC 9110)."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import selectors
import socket
import socketserver
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from harness.containers.sources import Source

#: Connections at once; of what is refused, so many are kept.
CONNECTIONS = 64
KEPT = 20
SECONDS = 120
PIECE = 1 << 16
_OF_ONE_HOP = frozenset(
    "connection keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer transfer-encoding "
    "upgrade".split()
)


class Forwarding:
    """Answers on ``listener``, which it closes, while its context lasts. ``refused`` holds what was asked in vain.

    ``upstream``: address of the proxy by which this machine itself reaches the mirror, where it needs one.
    """

    def __init__(self, listener: socket.socket, sources: Sequence[Source], upstream: str = "") -> None:
        self.refused: list[str] = []
        self._server = server = _Server(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.owner, server.upstream = self, urlsplit(upstream) if upstream else None
        self._sources = list(sources)
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.ending = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def allows(self, scheme: str, host: str, port: int, path: str) -> Source | None:
        """The source that a request is for."""
        return next((source for source in self._sources if source.holds(scheme, host, port, path)), None)

    def led_on(self, source: Source, address: str) -> None:
        """An allowed server answered that what was asked for is at another address: that may be asked for too."""
        target = Source.of(address, public=True)
        if target is None or len(self._sources) > 1000:
            return
        same = (target.host, target.port) == (source.host, source.port)
        path = urlsplit(address).path or "/"
        self._sources.append(Source(target.scheme, target.host, target.port, path, source.public or not same))

    def refuse(self, request: str) -> None:
        """Note a request that was refused, with characters that can be printed."""
        words = "".join(letter if letter.isprintable() else "?" for letter in request)[:200]
        if words not in self.refused and len(self.refused) < KEPT:
            self.refused.append(words)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    owner: Forwarding
    upstream: SplitResult | None
    ending = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._free.acquire(timeout=0.2):  # more wait in the listener's own queue
            if self.ending:
                self.shutdown_request(request)
                return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the build's own trouble."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 0  # what follows the request for a tunnel is the tunnel's
    timeout = SECONDS
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._held: tuple[Source, http.client.HTTPConnection] | None = None

    def finish(self) -> None:
        if self._held is not None:
            self._held[1].close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # the name in the standard library
        """The installation's log says what was fetched."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """apt shows the phrase of the answer, and curl its text."""
        text = f"{message or 'refused'}\n".encode()
        self.send_response(code, message)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(text)

    def do_GET(self) -> None:
        """Fetch an absolute address in the build's place."""
        source = self._source(self.path)
        if source is None:
            return
        try:
            answer = self._answer(source)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.send_error(502, f"{source.host} does not answer: {type(error).__name__}")
            return
        if answer.status in (301, 302, 303, 307, 308) and (place := answer.getheader("Location")):
            self.server.owner.led_on(source, urljoin(self.path, place))
        self._pass_on(answer)

    do_HEAD = do_GET

    def do_CONNECT(self) -> None:
        """A tunnel to an allowed server, for TLS."""
        source = self._source(f"https://{self.path}/")
        if source is None:
            return
        try:
            far = self._connection(source, tunnel=True)
        except (OSError, http.client.HTTPException) as error:
            self.send_error(502, f"{source.host} does not answer: {type(error).__name__}")
            return
        self.close_connection = True
        with far:
            self.send_response(200, "Connection established")
            self.end_headers()
            _join(self.connection, far)

    def _source(self, address: str) -> Source | None:
        """The source that an address is of; None where the request was answered with a refusal."""
        owner, wanted = self.server.owner, Source.of(address)
        plain = not self.headers.get("Content-Length") and not self.headers.get("Transfer-Encoding")
        if plain and wanted is not None and (self.command == "CONNECT") == (wanted.scheme == "https"):
            source = owner.allows(wanted.scheme, wanted.host, wanted.port, urlsplit(address).path)
            if source is not None and (not source.public or self._is_public(source)):
                return source
        owner.refuse(f"{self.command} {self.path}")
        self.send_error(403, "An installation of the harness reaches the mirror and nothing else")
        return None

    def _is_public(self, source: Source) -> bool:
        if self.server.upstream is not None:  # the other proxy looks names up
            with contextlib.suppress(ValueError):
                return ipaddress.ip_address(source.host).is_global
            return "." in source.host.strip(".")
        return bool(_public_addresses(source))

    def _connection(self, source: Source, *, tunnel: bool = False) -> socket.socket:
        """A connection to a source, or to the proxy that leads there."""
        upstream = self.server.upstream
        if upstream is not None:
            far = socket.create_connection((upstream.hostname or "", upstream.port or 80), SECONDS)
            if tunnel:
                _ask_for_tunnel(far, source, upstream)
            return far
        if not source.public:
            return socket.create_connection((source.host, source.port), SECONDS)
        addresses = _public_addresses(source)  # connected to as looked at: a name may lead elsewhere a moment later
        if not addresses:
            raise OSError("it has no address of the internet any more")
        return socket.create_connection((addresses[0], source.port), SECONDS)

    def _answer(self, source: Source) -> http.client.HTTPResponse:
        """The answer of a source, over a connection that is kept for the next request."""
        kept, self._held = self._held, None
        upstream = self.server.upstream
        parts = urlsplit(self.path)
        target = self.path if upstream is not None else parts._replace(scheme="", netloc="").geturl() or "/"
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        headers["Host"] = parts.netloc.rpartition("@")[2]
        if upstream is not None:
            headers |= _credentials(upstream)
        for connection in (kept[1] if kept is not None and kept[0] == source else None, None):
            if connection is None:
                connection = http.client.HTTPConnection(source.host, source.port, timeout=SECONDS)
                connection.sock = self._connection(source)
                connection.auto_open = 0  # it would connect by the name, and past the other proxy
                last = True
            else:
                last = False
            try:
                connection.request(self.command, target, headers=headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                if last:
                    raise
                continue
            self._held = (source, connection)
            return answer
        raise OSError("no connection")

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        if answer.length is None and self.command != "HEAD":  # its end is that of the connection
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        while piece := answer.read(PIECE):
            self.wfile.write(piece)
        if answer.length:
            raise ConnectionError("the source ended in the middle of a file")


def _public_addresses(source: Source) -> list[str]:
    """Where a name leads, if all of it is in the internet."""
    try:
        entries = socket.getaddrinfo(source.host, source.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = [str(entry[4][0]).partition("%")[0] for entry in entries]
    return addresses if all(ipaddress.ip_address(address).is_global for address in addresses) else []


def _credentials(upstream: SplitResult) -> dict[str, str]:
    if not upstream.username:
        return {}
    pair = f"{unquote(upstream.username)}:{unquote(upstream.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _ask_for_tunnel(far: socket.socket, source: Source, upstream: SplitResult) -> None:
    name = f"[{source.host}]" if ":" in source.host else source.host
    more = "".join(f"{key}: {value}\r\n" for key, value in _credentials(upstream).items())
    far.sendall(f"CONNECT {name}:{source.port} HTTP/1.1\r\nHost: {name}:{source.port}\r\n{more}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows is of the tunnel
        byte = far.recv(1)
        if not byte or len(head) > PIECE:
            raise OSError("the other proxy refuses")
        head += byte
    if head.split(maxsplit=2)[1:2] != [b"200"]:
        raise OSError("the other proxy refuses")


def _join(near: socket.socket, far: socket.socket) -> None:
    """Both directions, until an end of either."""
    with selectors.DefaultSelector() as selector:
        for end, other in ((near, far), (far, near)):
            selector.register(end, selectors.EVENT_READ, other)
        while ready := selector.select(SECONDS):
            for key, _ in ready:
                try:
                    data = cast(socket.socket, key.fileobj).recv(PIECE)
                    if not data:
                        return
                    key.data.sendall(data)
                except OSError:
                    return
