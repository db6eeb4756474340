"""Asks a product over OPC UA (OPC 10000-4, OPC 10000-6) by the library asyncua; each call waits for its answer.

The extra ``industrial`` brings the library. A session here never connects again by itself: what a suite did not do is
not done behind its back.
"""

from __future__ import annotations

import logging
import secrets
import struct
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from harness.clients.libraries import library
from harness.clients.loops import LoopThread
from harness.clients.resource import NoAnswer
from harness.clients.uasession import Refused, UaSession
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.model.definitions import OpcUa, OpcUaSecurity, OpcUaUser
from harness.model.templating import render
from harness.reading.certificates import application_uri
from harness.reading.nodes import read_nodes
from harness.system.files import read_plain

T = TypeVar("T")
#: Seconds in which an answer must come, scaled by the target's factor.
ANSWER_SECONDS = 5.0
#: Beginning of the URI of a security policy (OPC 10000-7).
POLICIES = "http://opcfoundation.org/UA/SecurityPolicy#"
#: Policies that protect nothing, or not any more (OPC 10000-7, deprecated profiles).
UNSAFE = ("None", "Basic256", "Basic128Rsa15")
#: Bytes of a certificate or key.
MOST = 2**20


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint as GetEndpoints describes it; ``tokens``: Anonymous, UserName, Certificate, IssuedToken."""

    url: str
    policy: str
    mode: str
    tokens: tuple[str, ...]
    transport: str
    uri: str  #: of the server's application
    certificate: bytes


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The harness's application instance certificate and key in PEM, and the URI in it."""

    certificate: bytes
    key: bytes
    uri: str


class OpcUaClient:
    """One interface of the product; ``session`` connects to it. It is for one thread."""

    def __init__(self, deployment: Deployment, name: str, definition: OpcUa) -> None:
        """Raises InfrastructureError where the library is not installed, DefinitionError for a sheet of points."""
        context = deployment.context
        self.deployment, self.name, self.definition = deployment, name, definition
        self.seconds = ANSWER_SECONDS * context.factor
        self.factor = context.factor
        self.place = context.ports[definition.port]
        folder = context.template_folder
        self.points = read_nodes(folder / definition.points, definition.namespace) if definition.points else ()
        self.library = library("asyncua", "asyncua")
        # What the library says of a broken connection is said by what is raised; a suite has nobody to read its log.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
        self._loop: LoopThread | None = None
        self._open: list[UaSession] = []
        self._identity: Identity | None = None

    @property
    def where(self) -> str:
        """The interface in words."""
        host, port = self.place
        inside = self.deployment.context.application.ports[self.definition.port]
        return f"{self.name} (port {inside}, from here {host}:{port})"

    @property
    def url(self) -> str:
        """Of the endpoint, as it is reached from here."""
        host, port = self.place
        return f"opc.tcp://{host}:{port}{self.definition.path}"

    def password_of(self, user: OpcUaUser) -> str:
        """The password of a user. Raises UsageError: its template cannot be rendered."""
        return render(user.password, self.deployment.context.values(), where=f"interfaces.{self.name}.users")

    def first_login(self) -> tuple[str, str] | None:
        """User and password of the first that is declared; None where nobody logs in."""
        users = self.definition.users
        return (users[0].user, self.password_of(users[0])) if users else None

    def endpoints(self) -> list[Endpoint]:
        """What GetEndpoints says, without a session. Raises NoAnswer, Refused, ProductFault."""
        client = self.library.Client(self.url, timeout=self.seconds)
        described = self.wait("GetEndpoints", client.connect_and_get_server_endpoints())
        return [
            Endpoint(
                url=each.EndpointUrl or "",
                policy=(each.SecurityPolicyUri or "").removeprefix(POLICIES),
                mode={"None_": "None"}.get(each.SecurityMode.name, each.SecurityMode.name),
                tokens=tuple(token.TokenType.name for token in each.UserIdentityTokens or ()),
                transport=each.TransportProfileUri or "",
                uri=each.Server.ApplicationUri or "",
                certificate=each.ServerCertificate or b"",
            )
            for each in described
        ]

    def session(
        self, security: OpcUaSecurity | None = None, user: tuple[str, str] | None = None, *, anonymous: bool = False
    ) -> UaSession:
        """A connected session, with the first security and the first user where nothing else is said.

        Raises:
            NoAnswer: nothing answers, or not in time.
            Refused: the product says no.
            ProductFault: it offers no such endpoint, or what it sends is no OPC UA.
        """
        security = security or self.definition.securities[0]
        client = self.library.Client(self.url, timeout=self.seconds)
        client.name = client.description = f"harness-{secrets.token_hex(4)}"
        login = None if anonymous else user or self.first_login()
        if login is not None:
            client.set_user(login[0])
            client.set_password(login[1])
        if security.policy != "None":
            self._secure(client, security)
        self.wait(f"connecting with {security.policy}/{security.mode}", client.connect())
        session = UaSession(self, client)
        self._open.append(session)
        return session

    def _secure(self, client: Any, security: OpcUaSecurity) -> None:
        policies = library("asyncua.crypto.security_policies", "asyncua")
        properties = library("asyncua.crypto.uacrypto", "asyncua").CertProperties
        mode = self.library.ua.MessageSecurityMode[security.mode]
        identity = self._identity = self._identity or self._identify()
        client.application_uri = identity.uri
        policy = getattr(policies, f"SecurityPolicy{security.policy.replace('_', '')}")
        self.wait(
            f"an endpoint with {security.policy}/{security.mode}",
            client.set_security(
                policy, properties(identity.certificate, "pem"), properties(identity.key, "pem"), mode=mode
            ),
        )

    def _identify(self) -> Identity:
        """Read the declared certificate, or make one."""
        declared = self.definition.client
        if declared is not None:
            folder: Path = self.deployment.context.template_folder
            certificate, key = (read_plain(folder / name, MOST) for name in (declared.certificate, declared.key))
            first = x509.load_pem_x509_certificates(certificate)[0]
            return Identity(certificate=certificate, key=key, uri=application_uri(first))
        making = library("asyncua.crypto.cert_gen", "asyncua")
        uri = "urn:xinchuang-harness:client"
        key = making.generate_private_key()
        names = [x509.UniformResourceIdentifier(uri), x509.DNSName("harness")]
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        signed = making.generate_self_signed_app_certificate(key, "harness", {}, names, usage)
        pem = signed.public_bytes(Encoding.PEM)
        return Identity(certificate=pem, key=making.dump_private_key_as_pem(key), uri=uri)

    def wait(self, what: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the library gives. Raises NoAnswer, Refused, ProductFault (what came is no OPC UA)."""
        loop = self._loop = self._loop or LoopThread()
        ua = self.library.ua
        try:
            return loop.call(coroutine, 2 * self.seconds)  # connecting is several requests
        except ua.UaStatusCodeError as error:
            name, meaning = ua.status_codes.get_name_and_doc(error.code)
            raise Refused(f"{self.name}: {what}", name, meaning) from error
        except TimeoutError as error:
            raise self.silence(what, "not in time") from error
        except OSError as error:
            raise self.silence(what, f"{type(error).__name__}: {error}".strip(": ")) from error
        except ua.UaError as error:
            words = " ".join(str(error).split())[:200]
            raise ProductFault(f"{self.where}: {what}: {words}", f"{self.where}：{what}：{words}") from error
        except (EOFError, ValueError, LookupError, struct.error) as error:
            # The library reads what came with these; what is sent has been checked before.
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ProductFault(
                f"{self.where}: {what}: what came back cannot be read as OPC UA ({words})",
                f"{self.where}：{what}：返回的内容不是有效的 OPC UA（{words}）",
            ) from error

    def silence(self, what: str, words: str) -> NoAnswer:
        """That nothing answered, and where."""
        return NoAnswer(f"{self.where}: {what}: no answer ({words})", f"{self.where}：{what}：无应答（{words}）")

    def close(self) -> None:
        """End all sessions."""
        for session in self._open:
            session.close()
        self._open.clear()
        if self._loop is not None:
            self._loop.close()
            self._loop = None
