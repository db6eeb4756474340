"""Keys that sign results: made here, encrypted at rest, known by the digest of their public half.

Ed25519 and ECDSA on P-256 by the library cryptography; SM2 by ``harness.certify.sm2``. A folder holds ``NAME.pem``
(private, PKCS#8, encrypted) and ``NAME.pub.pem``; who verifies needs the second alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from harness.certify import sm2
from harness.errors import UsageError

Algorithm = Literal["ed25519", "ecdsa-p256", "sm2"]
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "ecdsa-p256", "sm2")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*")


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """Who verifies knows this of a key."""

    name: str
    algorithm: Algorithm
    spki: bytes  #: SubjectPublicKeyInfo, DER
    pem: bytes

    @property
    def keyid(self) -> str:
        return hashlib.sha256(self.spki).hexdigest()

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is one of ``message`` by this key."""
        if self.algorithm == "sm2":
            return sm2.verify(self.spki, message, signature)
        key = serialization.load_der_public_key(self.spki)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            else:
                return False
        except InvalidSignature:
            return False
        return True


def read_public(name: str, pem: bytes) -> PublicKey:
    """A public key from PEM.

    Raises:
        UsageError: it is none of a kind that is known here.
    """
    import base64

    found = _PEM.fullmatch(pem.strip() + b"\n")
    advice = "name a file with one PUBLIC KEY (PEM): Ed25519, P-256 or SM2"
    if found is None:
        raise UsageError(f"{name} is no public key", advice=advice)
    spki = base64.b64decode(found[1])
    if spki.startswith(sm2.PREFIX):
        return PublicKey(name=name, algorithm="sm2", spki=spki, pem=pem)
    try:
        key = serialization.load_der_public_key(spki)
    except Exception as error:  # the library raises its own kinds, and says that more may come
        raise UsageError(f"{name} is no public key: {error}", advice=advice) from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(name=name, algorithm="ed25519", spki=spki, pem=pem)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return PublicKey(name=name, algorithm="ecdsa-p256", spki=spki, pem=pem)
    raise UsageError(f"{name} is a key of another kind", advice=advice)


def trusted(places: list[Path]) -> list[PublicKey]:
    """Public keys of files, and of all ``*.pub.pem`` in folders.

    Raises:
        UsageError: a place holds none.
    """
    found: list[PublicKey] = []
    for place in places:
        files = sorted(place.glob("*.pub.pem")) if place.is_dir() else [place]
        for file in files:
            try:
                found.append(read_public(file.name.removesuffix(".pem").removesuffix(".pub"), file.read_bytes()))
            except OSError as error:
                raise UsageError(f"{file} cannot be read: {error.strerror}", advice="name a public key") from error
    return found


@dataclass(frozen=True)
class KeyStore:
    """A folder of keys; its files are for their owner alone."""

    folder: Path

    def public(self) -> list[PublicKey]:
        return trusted([self.folder]) if self.folder.is_dir() else []

    def make(self, name: str, algorithm: Algorithm, passphrase: str) -> PublicKey:
        """Make a key pair.

        Raises:
            UsageError: the name is taken or no name, the passphrase is short, the folder cannot be written.
            InfrastructureError: OpenSSL is missing (SM2).
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
            raise UsageError(f"{name!r} is no name for a key", advice="use lower-case letters, digits, . _ -")
        if len(passphrase) < 8:
            raise UsageError("the passphrase has fewer than 8 characters", advice="choose a longer one")
        path = self.folder / f"{name}.pem"
        if path.exists():
            raise UsageError(
                f"there is a key {name} already", advice="choose another name: keys are never written over"
            )
        if algorithm == "sm2":
            private, public = sm2.make(passphrase)
        else:
            key = (
                ed25519.Ed25519PrivateKey.generate()
                if algorithm == "ed25519"
                else ec.generate_private_key(ec.SECP256R1())
            )
            private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.BestAvailableEncryption(passphrase.encode()))  # fmt: skip
            public = key.public_key().public_bytes(serialization.Encoding.PEM,
                                                   serialization.PublicFormat.SubjectPublicKeyInfo)  # fmt: skip
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_bytes(private)
            (self.folder / f"{name}.pub.pem").write_bytes(public)
        except OSError as error:
            raise UsageError(
                f"{error.filename} cannot be written: {error.strerror}", advice="name another folder"
            ) from error
        return read_public(name, public)

    def sign(self, name: str, passphrase: str, message: bytes) -> tuple[PublicKey, bytes]:
        """Sign with the key ``name``.

        Raises:
            UsageError: there is no such key, or the passphrase is wrong.
        """
        path = self.folder / f"{name}.pem"
        if not path.is_file():
            known = ", ".join(one.name for one in self.public()) or "none"
            raise UsageError(
                f"no key {name} in {self.folder}; there is: {known}", advice="make one with: harness keys new"
            )
        (public,) = trusted([self.folder / f"{name}.pub.pem"])
        if public.algorithm == "sm2":
            signature = sm2.sign(path.read_bytes(), passphrase, message)
        else:
            try:
                key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
            except (ValueError, TypeError) as error:
                raise UsageError(
                    f"the key {name} cannot be opened: wrong passphrase, or a damaged file",
                    advice="name the right one with --passphrase env:NAME or file:PATH",
                ) from error
            if isinstance(key, ed25519.Ed25519PrivateKey):
                signature = key.sign(message)
            elif isinstance(key, ec.EllipticCurvePrivateKey):
                signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
            else:
                raise UsageError(f"the key {name} is of another kind", advice="make one with: harness keys new")
        if not public.holds(message, signature):
            raise UsageError(f"{name}.pub.pem does not belong to {name}.pem", advice="restore the pair from a backup")
        return public, signature
