"""Authorities and certificates for tests: good ones, and ones that are wrong in a known way. Files in PEM."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_KEY = ec.generate_private_key(ec.SECP256R1())  # the same for all: keys are not what is tested


@dataclass
class Authority:
    """An authority whose certificates are files of a folder; ``days`` is until when its own is valid."""

    folder: Path
    name: str = "Test authority"
    days: float = 30
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"{self.name.replace(' ', '-')}.pem"
        self.file.write_bytes(_pem(_signed(self.name, self.name, self.key, self.key, 60, self.days, ca=True)))

    def certificate(self, stem: str, *names: str, since: float = 10, days: float = 20) -> Path:
        """Certificate and key in one file, for ``names``, valid from ``since`` days ago for ``days`` days from now."""
        path = self.folder / f"{stem}.pem"
        signed = _signed(stem, self.name, _KEY, self.key, since, days, names=names)
        path.write_bytes(_pem(signed) + private_key(_KEY))
        return path


def private_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = _KEY) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _signed(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    since: float,
    days: float,
    *,
    names: tuple[str, ...] = (),
    ca: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=since))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return builder.sign(by, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # none outlives its test

    def handle_error(self, *_: Any) -> None:  # clients that refuse are what is tested
        pass


@contextmanager
def served(
    handler: type[BaseHTTPRequestHandler], certificate: Path, *, clients: Path | None = None, **options: Any
) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A server over HTTPS on the loopback; with ``clients``, it demands certificates of that authority. Gives its port
    and its context, whose certificate may be changed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    for name, value in options.items():
        setattr(context, name, value)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    with _Server(("127.0.0.1", 0), _within(handler, context)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, context
        server.shutdown()
        thread.join()


def _within(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext) -> Callable[..., BaseHTTPRequestHandler]:
    def wrapped(request: socket.socket, *rest: Any) -> BaseHTTPRequestHandler:
        request.settimeout(5)
        with context.wrap_socket(request, server_side=True) as secured:
            return handler(secured, *rest)

    return wrapped
