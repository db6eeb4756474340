"""Starts the desk: what it needs, where it may listen, and the scan of what lies in quarantine."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from harness.desk.office import Office
from harness.desk.uploads import scan_waiting
from harness.desk.web.app import application
from harness.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where the desk listens. ``origin``: under which address people reach it; empty: that of the socket."""

    host: str = "127.0.0.1"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    behind: str = ""  #: address of a proxy that speaks TLS in front of it
    origin: str = ""

    def checked(self) -> str:
        """The origin of the desk's pages.

        Raises:
            UsageError: passwords would cross a network unprotected, or the options do not fit together.
        """
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--tls-cert and --tls-key belong together", advice="name both, or neither")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"no file {path}", advice="name the certificate and its key in PEM")
        if self.behind and not self.origin.startswith("https://"):
            raise UsageError(
                "--behind-proxy needs --url, the https address under which people reach the desk",
                advice="for example: --url https://desk.example",
            )
        if self.certificate is None and not self.behind and not _loopback(self.host):
            raise UsageError(
                f"the desk listens on {self.host} without TLS, so passwords would cross the network in the clear",
                advice="name --tls-cert and --tls-key, or --behind-proxy ADDRESS with --url, or listen on 127.0.0.1",
            )
        name = f"[{self.host}]" if ":" in self.host else self.host
        standard = f"{'https' if self.certificate is not None else 'http'}://{name}:{self.port}"
        return (self.origin or standard).rstrip("/")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(office: Office, listening: Listening, say: Callable[[str], None]) -> None:
    """Serve the desk until Ctrl-C or SIGTERM.

    Raises:
        UsageError: it may not listen there, or templates are missing.
    """
    origin = listening.checked()
    config = uvicorn.Config(
        application(office, origin),
        host=listening.host,
        port=listening.port,
        ssl_certfile=listening.certificate,
        ssl_keyfile=listening.key,
        proxy_headers=bool(listening.behind),
        forwarded_allow_ips=listening.behind or None,
        server_header=False,
        log_level="warning",
        timeout_keep_alive=15,
        limit_concurrency=400,
    )
    # What a desk that was stopped had not yet scanned.
    threading.Thread(target=scan_waiting, args=(office,), name="scan", daemon=True).start()
    say(f"desk / 工作台: {origin}")
    uvicorn.Server(config).run()
