"""TLS with a product: a context that verifies by what was given to it alone, and what a failed connection means.

Light, because a load generator imports it.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

#: Verification codes of OpenSSL (x509_vfy.h, X509_V_ERR_*).
NOT_YET, EXPIRED, REVOKED, OTHER_NAME, OTHER_ADDRESS = 9, 10, 23, 62, 64
UNKNOWN = (2, 18, 19, 20, 21, 24)
#: What the name of an alert says of the certificate that the client has shown (RFC 8446, 6.2).
_REFUSED = {
    "CERTIFICATE_REQUIRED": "a certificate is required",
    "BAD_CERTIFICATE": "bad certificate",
    "UNSUPPORTED_CERTIFICATE": "unsupported certificate",
    "CERTIFICATE_REVOKED": "certificate revoked",
    "CERTIFICATE_EXPIRED": "certificate expired",
    "CERTIFICATE_UNKNOWN": "certificate unknown",
    "UNKNOWN_CA": "unknown authority",
    "ACCESS_DENIED": "access denied",
}
_NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
    "UNEXPECTED_MESSAGE",
    "PACKET_LENGTH_TOO_LONG",
)


class ProductContext(ssl.SSLContext):
    """Verifies a product by the authorities and the name that it was made with.

    A product is reached at an address that says nothing of its name, and client libraries add the authorities of this
    machine: here the name that they give is replaced, and what they add is left out.
    """

    product: str
    _sealed = False

    def wrap_socket(self, *args: Any, **given: Any) -> ssl.SSLSocket:
        """As ``ssl.SSLContext.wrap_socket``, for the product's name."""
        return super().wrap_socket(*args, **{**given, "server_hostname": self.product})

    def wrap_bio(self, *args: Any, **given: Any) -> ssl.SSLObject:
        """As ``ssl.SSLContext.wrap_bio``, for the product's name."""
        return super().wrap_bio(*args, **{**given, "server_hostname": self.product})

    def load_verify_locations(self, *args: Any, **given: Any) -> None:
        """Passed over: see ``trust``."""
        if not self._sealed:
            super().load_verify_locations(*args, **given)

    def trust(self, authority: str) -> None:
        """Count the certificates of a PEM text as authorities. Raises ssl.SSLError where it holds none."""
        self._sealed = False
        try:
            self.load_verify_locations(cadata=authority)
        finally:
            self._sealed = True


def context_of(product: str, authority: str, client: str = "") -> ProductContext:
    """A context for connections to ``product``; ``authority`` and ``client`` (certificates and key) are PEM texts.

    Raises:
        ssl.SSLError: a text is no such PEM.
    """
    context = ProductContext(ssl.PROTOCOL_TLS_CLIENT)
    context.product = product
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # the product's own certificate may be named
    context.trust(authority)
    if client:
        _show(context, client)
    return context


def _show(context: ssl.SSLContext, client: str) -> None:
    """Give a context the client's certificate and key, which touch no disk."""
    file = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(file, client.encode())
        context.load_cert_chain(f"/proc/self/fd/{file}", password=lambda: b"")
    finally:
        os.close(file)


@dataclass(frozen=True)
class Trouble:
    """Why a connection has no TLS, in both languages. ``kind``: the product's certificate is wrong (``certificate``,
    then ``code`` is OpenSSL's), the client's is refused or missing (``client``), or there is no TLS at all (``none``).
    """

    kind: Literal["certificate", "client", "none"]
    en: str
    zh: str
    code: int = 0


def trouble_of(error: BaseException, product: str) -> Trouble | None:
    """What an error of a connection to ``product`` says of TLS; None for anything else."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _wrong(cause.verify_code, cause.verify_message, product)
        if isinstance(cause, ssl.SSLError):
            return _unspoken(cause)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _wrong(code: int, message: str, product: str) -> Trouble:
    if code == EXPIRED:
        words = "its certificate has expired", "证书已过期"
    elif code == NOT_YET:
        words = "its certificate is not valid yet", "证书尚未生效"
    elif code == REVOKED:
        words = "its certificate is revoked", "证书已吊销"
    elif code in (OTHER_NAME, OTHER_ADDRESS):
        words = f"its certificate is for another name than {product}", f"证书与名称 {product} 不符"
    elif code in UNKNOWN:
        words = "its certificate is of an authority that http.tls.authority does not name", "证书的签发者不受信任"
    else:
        words = f"its certificate is refused: {message}", f"证书无效：{message}"
    return Trouble("certificate", *words, code)


def _unspoken(error: ssl.SSLError) -> Trouble:
    reason = error.reason or str(error)
    for name, meaning in _REFUSED.items():
        if reason.endswith(f"ALERT_{name}"):
            return Trouble("client", f"it refuses the client: {meaning}", f"拒绝客户端：{meaning}")
    if reason in _NO_TLS:
        return Trouble("none", "what answers speaks no TLS", "应答方未使用 TLS")
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        reason += " (it has no cipher in common, or demands a client's certificate)"
    return Trouble("none", f"no TLS connection: {reason}", f"无法建立 TLS 连接：{reason}")
