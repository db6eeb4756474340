"""TLS of the product's HTTP interface: versions, ciphers, certificate, and what it offers of the national suites."""

from __future__ import annotations

import datetime
import functools
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from harness.clients import hello
from harness.control.fault import ProductFault

#: RFC 9325 (BCP 195), 4.1 and 4.2; NIST SP 800-57 part 1: 112 bits.
LEAST_RSA, LEAST_CURVE = 2048, 224
#: Days that a certificate should last from today on.
SOON = 30
GOOD = {"TLS 1.2", "TLS 1.3"}


@pytest.fixture
def tls(application):
    if application.tls is None:
        pytest.skip("not-applicable: the application declares no http.tls / 产品未声明 HTTPS")
    return application.tls


def asked(application, call, silent):
    """What ``call`` gives; ``silent`` where the product does not answer, which is no offer. A product that has ended is
    named so."""
    try:
        return call()
    except TimeoutError:
        application.demand_no_end()
        return silent
    except OSError as error:
        application.demand_no_end()
        raise ProductFault(f"no connection: {error}", f"无法建立连接：{error}", application.log(15)) from error


@pytest.fixture
def offers(tls, application, target):
    """``offers(version, suites)`` gives those suites that the product accepts."""
    at = target.ports[target.application.http.port]

    def ask(version, suites):
        seconds = 10 * target.factor
        look = functools.partial(hello.offered, at, version, suites, name=tls.definition.name, seconds=seconds)
        return asked(application, look, [])

    return ask


@pytest.fixture
def speaks(tls, application, target):
    """``speaks(version)``: whether the product answers a ClientHello of a version with that version."""
    at = target.ports[target.application.http.port]

    def ask(version):
        suites = hello.suites_for(version)
        seconds = 10 * target.factor
        look = functools.partial(hello.ask, at, version, suites, name=tls.definition.name, seconds=seconds)
        return asked(application, look, hello.HelloAnswer()).version == version

    return ask


def test_versions_of_tls(speaks, note):
    versions = (hello.SSL3, hello.TLS10, hello.TLS11, hello.TLS12, hello.TLS13)
    shown = [version for version in versions if speaks(version)]
    names = [hello.VERSIONS[version] for version in shown]
    old = [name for name in names if name not in GOOD]
    assert not old, f"it still speaks {', '.join(old)} (RFC 8996); it offers {', '.join(names)}"
    assert names, "it answers no version of TLS"
    note(f"offered / 支持: {', '.join(names)}")


def test_ciphers_of_tls(offers, note, keep):
    weak = []
    for version in (hello.TLS10, hello.TLS11, hello.TLS12):
        weak += [
            f"{hello.WEAK_SUITES[suite]} ({hello.VERSIONS[version]})" for suite in offers(version, hello.WEAK_SUITES)
        ]
    strong = [f"0x{suite:04X}" for suite in offers(hello.TLS12, hello.COMMON_SUITES)]
    keep("ciphers.txt", "\n".join(["weak:", *weak, "others of TLS 1.2, by IANA's number:", *strong, ""]))
    assert not weak, f"it accepts weak cipher suites: {', '.join(weak)}"
    note(f"none of {len(hello.WEAK_SUITES)} weak suites, {len(strong)} others of TLS 1.2 / 无弱密码套件")


def presented(tls, at, seconds):
    """The certificate that the product shows, in DER."""
    try:
        with socket.create_connection(at, timeout=seconds) as raw, tls.context().wrap_socket(raw) as connection:
            return connection.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        raise AssertionError(f"its certificate is not accepted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise AssertionError(f"it makes no TLS session: {error}") from error


def test_certificate(tls, application, target, note, keep):
    at = target.ports[target.application.http.port]
    shown = asked(application, functools.partial(presented, tls, at, 10 * target.factor), None)
    assert shown is not None, "it shows no certificate: the TLS session is not answered"
    certificate = x509.load_der_x509_certificate(shown)
    keep("certificate.pem", certificate.public_bytes(Encoding.PEM).decode())
    wrong = [*_key(certificate), *_signature(certificate)]
    try:
        names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        wrong.append("it has no subjectAltName, which RFC 9525 demands")
        names = []
    left = (certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days
    assert not wrong, f"its certificate: {'; '.join(wrong)}"
    if left < SOON:
        note(f"it ends in {left} days / 证书将在 {left} 天后到期")
    shown = ", ".join(str(each.value) for each in names)
    note(
        f"verified by http.tls.authority for {tls.definition.name}; {shown}; until "
        f"{certificate.not_valid_after_utc:%Y-%m-%d} / 证书链与名称已验证"
    )


def test_national_suites(offers, tls, target, note):
    tlcp = [hello.TLCP_SUITES[suite] for suite in offers(hello.TLCP, hello.TLCP_SUITES)]
    tls13 = [hello.SM_SUITES[suite] for suite in offers(hello.TLS13, hello.SM_SUITES)]
    declared = tls.definition.national
    lacking = []
    if "tlcp" in declared and not tlcp:
        lacking.append("TLCP (GB/T 38636-2020)")
    if "rfc8998" in declared and not tls13:
        lacking.append("TLS 1.3 with SM4 and curveSM2 (RFC 8998)")
    words = f"TLCP: {', '.join(tlcp) or 'not offered'}; TLS 1.3 (RFC 8998): {', '.join(tls13) or 'not offered'}"
    assert not lacking, f"declared in http.tls.national and not offered: {' and '.join(lacking)} ({words})"
    if not declared and not tlcp and not tls13:
        pytest.skip(f"not-applicable: the application declares no http.tls.national; {words} / 未声明国密，{words}")
    note(f"{words}; offered is what the ServerHello says, no session was made / 以 ServerHello 为准，未建立会话")


def _key(certificate):
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < LEAST_RSA:
        yield f"its key has {key.key_size} bits, {LEAST_RSA} are the least"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_CURVE:
        yield f"its curve has {key.key_size} bits, {LEAST_CURVE} are the least"


def _signature(certificate):
    try:
        digest = certificate.signature_hash_algorithm
    except x509.UnsupportedAlgorithm:
        return  # such as Ed25519, SM2
    if digest is not None and digest.name in ("md5", "sha1"):
        yield f"it is signed with {digest.name}"
