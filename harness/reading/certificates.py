"""Certificates and keys beside an application: whether HTTPS can be spoken with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from harness.errors import Fault
from harness.reading.source import Loc, Source
from harness.system.files import read_plain

#: Bytes of a file of certificates.
MOST = 4 * 2**20


def certificate_faults(source: Source, named: Iterable[tuple[Loc, str]]) -> Iterator[Fault]:
    """What is wrong with the files that ``http.tls`` and ``client`` of an interface name, of which each is there."""
    folder = source.path.parent
    pairs: dict[Loc, dict[str, str]] = {}
    for loc, name in named:
        if loc[-1] not in ("file", "certificate", "key") or not {"tls", "interfaces"} & {*loc}:
            continue
        look = _key_fault if loc[-1] == "key" else _fault
        fault = look(source, loc, folder / name)
        if fault is not None:
            yield fault
        elif loc[-2] == "client":
            pairs.setdefault(loc[:-1], {})[str(loc[-1])] = name
    for loc, pair in pairs.items():
        if not pair.keys() >= {"certificate", "key"}:
            continue
        if not _fit(folder, pair):
            yield source.fault(
                (*loc, "key"),
                "the key is of another certificate",
                expected=f"that of {pair['certificate']}",
                found=pair["key"],
            )
        elif "interfaces" in loc:
            yield from _unfit_for_opcua(source, loc, folder, pair)


def _unfit_for_opcua(source: Source, loc: Loc, folder: Path, pair: Mapping[str, str]) -> Iterator[Fault]:
    """What an application instance certificate of OPC UA has, and this one has not (OPC 10000-6, 6.2.2)."""
    certificate = x509.load_pem_x509_certificates(read_plain(folder / pair["certificate"], MOST))[0]
    if not isinstance(certificate.public_key(), RSAPublicKey):
        message = "its key is no RSA key, which all security policies need"
        yield source.fault((*loc, "certificate"), message, expected="an RSA key of 2048 bits or more")
    elif not application_uri(certificate):
        yield source.fault(
            (*loc, "certificate"),
            "its subjectAltName has no application URI (OPC 10000-6, 6.2.2)",
            expected="a URI, such as urn:example:harness",
            found=pair["certificate"],
            hint="openssl req -x509 -addext subjectAltName=URI:urn:example:harness,DNS:harness …",
        )


def application_uri(certificate: x509.Certificate) -> str:
    """The application URI in the subjectAltName of a certificate; empty without one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def _fault(source: Source, loc: Loc, path: Path) -> Fault | None:
    try:
        x509.load_pem_x509_certificates(read_plain(path, MOST))
    except (OSError, ValueError) as error:
        return source.fault(
            loc,
            f"it holds no certificate that can be read: {_first(error)}",
            expected="certificates in PEM (-----BEGIN CERTIFICATE-----)",
            found=path.name,
            hint="openssl x509 -inform DER -in FILE makes PEM of DER",
        )
    return None


def _key_fault(source: Source, loc: Loc, path: Path) -> Fault | None:
    try:
        _loaded(path)
    except (OSError, ValueError, TypeError) as error:
        return source.fault(
            loc,
            f"it holds no key that can be read: {_first(error)}",
            expected="a private key in PEM without a passphrase",
            found=path.name,
        )
    return None


def _loaded(path: Path) -> PrivateKeyTypes:
    return load_pem_private_key(read_plain(path, MOST), None)


def _fit(folder: Path, pair: Mapping[str, str]) -> bool:
    """Whether a key is that of the first certificate of a file."""
    certificate = x509.load_pem_x509_certificates(read_plain(folder / pair["certificate"], MOST))[0]
    return _public(certificate.public_key()) == _public(_loaded(folder / pair["key"]).public_key())


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
