"""X.509 certificates of signing keys, which signatures in PDF files need: requests, installation, a test authority.

Anybody can make a test authority here. Its names say that it is one, and a reader trusts it only where its file is
named as an anchor.
"""

from __future__ import annotations

import datetime
import itertools

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.errors import UsageError
from harness.signing.keys import KeyStore, PublicKey

#: The subject of everything that a test authority makes holds this text.
MARK = "TEST 仅供测试"
WARNING = "TEST ONLY - not an accredited authority"
DAYS = 825


def request(store: KeyStore, name: str, passphrase: str, common: str, organisation: str) -> bytes:
    """A certificate signing request (PKCS #10, PEM) for an authority.

    Raises:
        UsageError: there is no such P-256 key, or it cannot be opened.
    """
    key = store.private(name, passphrase)
    subject = _name(common, organisation)
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM)


def install(store: KeyStore, name: str, chain: bytes) -> x509.Certificate:
    """Keep an authority's certificate of a key with those above it (PEM, the key's own first).

    Raises:
        UsageError: the file holds no certificate, one of another key, or one that has expired.
    """
    advice = "name a PEM file with the key's certificate first, then those of its authorities"
    public = store.public_key(name)
    if public.algorithm != "ecdsa-p256":
        raise UsageError(f"{name} is no P-256 key: PDF files are signed with one", advice="name such a key")
    try:
        certificates = x509.load_pem_x509_certificates(chain)
        own = (
            certificates[0]
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"no certificate that can be read: {error}", advice=advice) from error
    if own != public.spki:
        raise UsageError(f"the certificate belongs to another key than {name}", advice=advice)
    if certificates[0].not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise UsageError(
            f"the certificate of {name} was over on {certificates[0].not_valid_after_utc:%Y-%m-%d}",
            advice="get a newer one",
        )
    for certificate, above in itertools.pairwise(certificates):
        try:
            certificate.verify_directly_issued_by(above)
        except Exception as error:  # of several kinds, by what is wrong
            raise UsageError(
                f"the chain is broken after {certificate.subject.rfc4514_string()}", advice=advice
            ) from error
    store.keep_chain(name, chain)
    return certificates[0]


def make_test_authority(store: KeyStore, name: str, passphrase: str) -> PublicKey:
    """A key with a certificate that names itself a test authority.

    Raises:
        UsageError: as ``KeyStore.make``.
    """
    public = store.make(name, "ecdsa-p256", passphrase)
    key = store.private(name, passphrase)
    subject = _name(f"{name} {MARK}", "xinchuang-harness", WARNING)
    certificate = (
        _builder(subject, subject, key.public_key(), 3650)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    store.keep_chain(name, certificate.public_bytes(serialization.Encoding.PEM))
    return public


def certify_with(store: KeyStore, authority: str, name: str, passphrase: str, common: str, organisation: str) -> None:
    """Have a test authority of the same store certify the key ``name``.

    Raises:
        UsageError: the authority or the key is missing, is no such key, or cannot be opened.
    """
    above = store.chain(authority)
    if not above:
        raise UsageError(f"{authority} is no authority", advice="make one with: harness keys authority NAME")
    issuer = x509.load_pem_x509_certificates(above)[0]
    key = store.private(authority, passphrase)
    own = serialization.load_der_public_key(store.public_key(name).spki)
    if not isinstance(own, ec.EllipticCurvePublicKey):
        raise UsageError(
            f"{name} is no P-256 key: PDF files are signed with one",
            advice="make one with: harness keys new NAME --algorithm ecdsa-p256",
        )
    certificate = (
        _builder(_name(f"{common} {MARK}", organisation, WARNING), issuer.subject, own, DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    store.keep_chain(name, certificate.public_bytes(serialization.Encoding.PEM) + above)


def subjects(chain: bytes) -> list[dict[str, str]]:
    """``subject`` of each certificate in a chain (PEM), and its first and last day, ``from`` and ``to`` (ISO 8601)."""
    if not chain:
        return []
    return [
        {
            "subject": certificate.subject.rfc4514_string(),
            "from": f"{certificate.not_valid_before_utc:%Y-%m-%d}",
            "to": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        }
        for certificate in x509.load_pem_x509_certificates(chain)
    ]


def demand_current(name: str, chain: bytes, now: datetime.datetime) -> None:
    """Refuse to sign by a chain of certificates (PEM) of which some are not valid at this time.

    Raises:
        UsageError: a certificate is over, or not valid yet (RFC 5280, 4.1.2.5).
    """
    for certificate in x509.load_pem_x509_certificates(chain):
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not first <= now <= last:
            state = f"was over on {last:%Y-%m-%d}" if now > last else f"is not valid before {first:%Y-%m-%d}"
            raise UsageError(
                f"nothing is signed with {name}: its certificate {certificate.subject.rfc4514_string()} {state}",
                advice="get a newer one from the authority, then: harness keys install",
            )


def _name(common: str, organisation: str, unit: str = "") -> x509.Name:
    if not 0 < len(common) <= 64 or not 0 < len(organisation) <= 64:
        raise UsageError("a name in a certificate has 1 to 64 characters", advice="give a shorter one")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            *([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
