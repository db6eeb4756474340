"""HTTPS with the product of a cell: what verifies it, and whose failure a failed connection is."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass, field

from cryptography import x509

from harness.errors import UsageError
from harness.model.context import CellContext
from harness.model.definitions import Tls
from harness.model.machine import Machine
from harness.system.tls import (
    EXPIRED,
    NOT_YET,
    OTHER_ADDRESS,
    OTHER_NAME,
    ProductContext,
    Trouble,
    context_of,
    trouble_of,
)

#: Seconds in which a product must show its certificate, for a message about it.
SECONDS = 5.0


@dataclass
class ProductTls:
    """How requests reach the product of a cell: one context for all of them, so that they share what is learnt."""

    cell: CellContext
    machine: Machine
    definition: Tls
    _known: ProductContext | None = field(default=None, repr=False)
    _stranger: ProductContext | None = field(default=None, repr=False)
    _authority: str = field(default="", repr=False)

    @classmethod
    def of(cls, cell: CellContext, machine: Machine) -> ProductTls | None:
        """None where the application declares plain HTTP, or nothing of HTTP."""
        http = cell.application.http
        return cls(cell, machine, http.tls) if http is not None and http.tls is not None else None

    def context(self) -> ProductContext:
        """For good requests, with the client's certificate where one is declared.

        Raises:
            UsageError: what the application declares for it is not there, or is no such PEM.
        """
        if self._known is None:
            self._known = self._made(self.client())
        return self._known

    def for_strangers(self) -> ProductContext:
        """As ``context``, without the client's certificate."""
        if self._stranger is None:
            self._stranger = self._made("")
        return self._stranger

    def headers(self) -> dict[str, str]:
        """The header Host, as clients of the product's name send it (RFC 9110, 7.2)."""
        application = self.cell.application
        port = application.ports[application.http.port] if application.http is not None else 443
        name = f"[{self.definition.name}]" if ":" in self.definition.name else self.definition.name
        return {"Host": name if port == 443 else f"{name}:{port}"}

    def authority(self) -> str:
        """PEM of who vouches for the product. Raises UsageError as ``context``."""
        wanted = self.definition.authority
        if wanted.file is not None:
            return self.cell.certificates.files[wanted.file].get_secret_value()
        if wanted.machine is None:
            own = self.cell.certificates.own
            assert own is not None
            return own.authority
        try:
            return self.machine.get(wanted.machine).decode("ascii", "replace")
        except FileNotFoundError:
            raise UsageError(
                f"the product's machine has no file {wanted.machine}, which http.tls.authority.machine names: its "
                "certificate cannot be verified",
                advice="name the file that the product makes, or mend what should make it",
            ) from None

    def client(self) -> str:
        """PEM of the client's certificate and key; empty where none is declared."""
        client, given = self.definition.client, self.cell.certificates
        if client is None:
            return ""
        if client.certificate is not None and client.key is not None:
            return "\n".join(given.files[name].get_secret_value() for name in (client.certificate, client.key))
        assert given.own is not None
        return f"{given.own.client}\n{given.own.client_key.get_secret_value()}"

    def material(self) -> dict[str, str]:
        """What another process verifies the product by: arguments of ``harness.system.tls.context_of``, and the header
        ``host``. Raises UsageError as ``context``."""
        return {
            "product": self.definition.name,
            "authority": self.authority(),
            "client": self.client(),
            "host": self.headers()["Host"],
        }

    def renewed(self) -> bool:
        """Whether the product has made another authority meanwhile; it counts from now on."""
        if self.definition.authority.machine is None or self._known is None:
            return False
        try:
            now = self.authority()
        except UsageError:
            return False
        if now == self._authority:
            return False
        try:
            for context in (self._known, self._stranger):
                if context is not None:
                    context.trust(now)
        except ssl.SSLError:
            return False
        self._authority = now
        return True

    def trouble(self, error: BaseException, *, at: tuple[str, int] | None = None) -> Trouble | None:
        """What a failed request says of TLS; None where it failed for something else. ``at``: where the product shows
        its certificate, which is then described.

        Raises:
            UsageError: the product is not to blame, what the application declares is.
        """
        trouble = trouble_of(error, self.definition.name)
        if trouble is None:
            return None
        if trouble.code in (EXPIRED, NOT_YET) and (outdated := _outdated(_certificates(self._authority))):
            raise UsageError(
                f"the product cannot be verified: {outdated}",
                advice="give a valid authority under http.tls.authority of application.yaml",
            )
        if trouble.kind == "client":
            return self._refusal(trouble)
        if trouble.kind == "certificate" and at is not None and (shown := _described(at, trouble.code)):
            return Trouble(trouble.kind, f"{trouble.en} ({shown})", f"{trouble.zh}（{shown}）", trouble.code)
        return trouble

    def _refusal(self, trouble: Trouble) -> Trouble:
        if self.definition.client is None:
            raise UsageError(
                f"the product demands a client's certificate, and the application declares none ({trouble.en})",
                advice="declare http.tls.client in application.yaml",
            )
        if outdated := _outdated(_certificates(self.client())[:1]):
            raise UsageError(
                f"the product refuses the client's certificate: {outdated}",
                advice="give a valid certificate under http.tls.client of application.yaml",
            )
        words = f"{trouble.en}, though it shows the certificate of http.tls.client"
        return Trouble(trouble.kind, words, f"{trouble.zh}（已出示 http.tls.client 的证书）")

    def _made(self, client: str) -> ProductContext:
        authority = self.authority()
        try:
            context = context_of(self.definition.name, authority, client)
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"http.tls cannot be used: {error}",
                advice="authority and client are certificates in PEM, the key is that of the client's certificate",
            ) from error
        self._authority = authority
        return context


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _outdated(certificates: list[x509.Certificate]) -> str:
    """What the first of some certificates says of its time, where none of them is valid now; empty where one is."""
    now = datetime.datetime.now(datetime.UTC)
    if not certificates or any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in certificates):
        return ""
    first = certificates[0]
    return f"the declared certificate of {first.subject.rfc4514_string()} is {_time(first)}"


def _time(certificate: x509.Certificate) -> str:
    return f"valid from {certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"


def _described(at: tuple[str, int], code: int) -> str:
    """What the certificate that is shown ``at`` an address says; it is read for this message alone. Empty where none is
    shown."""
    try:
        shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(at, timeout=SECONDS).encode())
    except (OSError, ValueError):
        return ""
    if code in (EXPIRED, NOT_YET):
        return _time(shown)
    if code not in (OTHER_NAME, OTHER_ADDRESS):
        return f"issuer {shown.issuer.rfc4514_string()}"
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return ", ".join(str(name.value) for name in names)
    except (x509.ExtensionNotFound, ValueError):
        return shown.subject.rfc4514_string()
