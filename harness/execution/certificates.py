"""Certificates for TLS with a product: those beside application.yaml, and those that are made for one cell."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from harness.model.context import Certificates, MadeCertificates
from harness.model.definitions import Application, Tls
from harness.provision.provisioner import APPLICATION

#: Days for which they are valid, and days before: machines of a cell may have other clocks.
DAYS, BEFORE = 365, 2
_Key = ec.EllipticCurvePrivateKey


def certificates_of(applications: Iterable[Application | None], folder: Path) -> Certificates:
    """What a cell needs of ``applications``: the version under test, and a former one. Fresh for each call.

    Raises:
        OSError: a file of ``folder`` cannot be read.
    """
    declared = [a.http.tls for a in applications if a is not None and a.http is not None and a.http.tls is not None]
    names = {name for tls in declared for name in tls.files}
    wanted = next((tls for tls in declared if tls.for_each_cell), None)
    return Certificates(
        files={
            name: SecretStr((folder / name).read_text(encoding="ascii", errors="replace")) for name in sorted(names)
        },
        own=made_for_cell(wanted) if wanted is not None else None,
    )


def made_for_cell(tls: Tls) -> MadeCertificates:
    """An authority of its own for one cell, which vouches for the product by its names and for one client."""
    authority, server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    issuer = _name("Authority of one cell")
    signed = _certificate(issuer, authority, issuer, authority, x509.BasicConstraints(ca=True, path_length=0))
    names = dict.fromkeys((tls.name, APPLICATION, "localhost", "127.0.0.1"))
    of_server = _certificate(
        _name(tls.name),
        server,
        issuer,
        authority,
        x509.SubjectAlternativeName([_general(name) for name in names]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    )
    of_client = _certificate(
        _name("Client of the harness"),
        client,
        issuer,
        authority,
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    )
    return MadeCertificates(
        authority=_pem(signed),
        certificate=_pem(of_server),
        key=SecretStr(_key(server)),
        client=_pem(of_client),
        client_key=SecretStr(_key(client)),
    )


def _certificate(
    subject: x509.Name, key: _Key, issuer: x509.Name, by: _Key, *extensions: x509.ExtensionType
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    is_authority = any(isinstance(each, x509.BasicConstraints) for each in extensions)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=BEFORE))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(by, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key(key: _Key) -> str:
    """The key as PKCS #8 in PEM, without a passphrase (RFC 5958, RFC 7468)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
