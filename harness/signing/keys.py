"""Keys that sign results: made here, encrypted at rest, known by the digest of their public half.

Ed25519 and ECDSA on P-256 by the library cryptography; SM2 by ``harness.signing.sm2``. A folder holds ``NAME.pem``
(private, PKCS#8, encrypted) or ``NAME.token.yaml`` (the place of a key on a PKCS #11 token), ``NAME.pub.pem``, which is
all that a verifier needs, and ``NAME.crt.pem`` with the chain of X.509 certificates if the key has one.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import yaml
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from harness.errors import UsageError
from harness.reading.parsing import parse
from harness.signing import sm2, tokens
from harness.signing.openssl import protected
from harness.signing.tokens import TokenKey

Algorithm = Literal["ed25519", "ecdsa-p256", "sm2", "rsa"]
#: The kinds that are made here.
ALGORITHMS: tuple[Algorithm, ...] = ("ed25519", "ecdsa-p256", "sm2")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*")


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """The public half of a key: all that a verifier needs."""

    name: str
    algorithm: Algorithm
    spki: bytes  #: SubjectPublicKeyInfo, DER
    pem: bytes

    @property
    def keyid(self) -> str:
        """SHA-256 (hex) of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.spki).hexdigest()

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is a signature of ``message`` by this key."""
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


def read_public(name: str, pem: bytes, *, may_be_rsa: bool = False) -> PublicKey:
    """A public key from PEM; ``may_be_rsa``: of an authority that stamps times.

    Raises:
        UsageError: the text is no public key of a known kind (Ed25519, P-256, SM2).
    """
    match = _PEM.fullmatch(pem.strip() + b"\n")
    advice = "name a file with one PUBLIC KEY (PEM): Ed25519, P-256 or SM2"
    if match is None:
        raise UsageError(f"{name} is no public key", advice=advice)
    try:
        key = public_of(name, base64.b64decode(b"".join(match[1].split()), validate=True))
    except ValueError as error:  # of base64 too
        raise UsageError(f"{name} is no public key: {error}", advice=advice) from error
    if key.algorithm == "rsa" and not may_be_rsa:
        raise UsageError(f"{name} is a key of another kind", advice=advice)
    return replace(key, pem=pem)


def public_of(name: str, spki: bytes) -> PublicKey:
    """A public key from its SubjectPublicKeyInfo (DER); RSA is known for time stamps alone.

    Raises:
        ValueError: it is no public key of a known kind.
    """
    body = base64.encodebytes(spki).replace(b"\n", b"")
    lines = b"\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    pem = b"-----BEGIN PUBLIC KEY-----\n" + lines + b"\n-----END PUBLIC KEY-----\n"
    if spki.startswith(sm2.PREFIX):
        return PublicKey(name=name, algorithm="sm2", spki=spki, pem=pem)
    try:
        key = serialization.load_der_public_key(spki)
    except Exception as error:  # the library raises its own kinds, and says that more may come
        raise ValueError(str(error) or type(error).__name__) from error
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(name=name, algorithm="ed25519", spki=spki, pem=pem)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return PublicKey(name=name, algorithm="ecdsa-p256", spki=spki, pem=pem)
    if isinstance(key, rsa.RSAPublicKey):
        return PublicKey(name=name, algorithm="rsa", spki=spki, pem=pem)
    raise ValueError("a key of another kind")


def trusted(places: list[Path]) -> list[PublicKey]:
    """Public keys of files, and of all ``*.pub.pem`` in folders.

    Raises:
        UsageError: a file cannot be read, or holds no public key.
    """
    keys: list[PublicKey] = []
    for place in places:
        files = sorted(place.glob("*.pub.pem")) if place.is_dir() else [place]
        for file in files:
            try:
                keys.append(read_public(file.name.removesuffix(".pem").removesuffix(".pub"), file.read_bytes()))
            except OSError as error:
                raise UsageError(f"{file} cannot be read: {error.strerror}", advice="name a public key") from error
    return keys


@dataclass(frozen=True)
class KeyStore:
    """A folder of keys; only the owner can read its files."""

    folder: Path

    def public(self) -> list[PublicKey]:
        """The public halves of all keys of the folder."""
        return trusted([self.folder]) if self.folder.is_dir() else []

    def public_key(self, name: str) -> PublicKey:
        """The public half of a key.

        Raises:
            UsageError: there is no such key.
        """
        path = self.folder / f"{name}.pub.pem"
        if not path.is_file():
            known = ", ".join(key.name for key in self.public()) or "none"
            raise UsageError(
                f"no key {name} in {self.folder}; there is: {known}", advice="make one with: harness keys new"
            )
        return trusted([path])[0]

    def chain(self, name: str) -> bytes:
        """The X.509 certificate of a key and the certificates above it (PEM); empty for a key without a certificate."""
        path = self.folder / f"{name}.crt.pem"
        return path.read_bytes() if path.is_file() else b""

    def keep_chain(self, name: str, chain: bytes) -> None:
        """Keep the X.509 certificate of a key and the certificates above it (PEM)."""
        (self.folder / f"{name}.crt.pem").write_bytes(chain)

    def token(self, name: str) -> TokenKey | None:
        """The place of a key on a token; None for a key in this folder."""
        path = self.folder / f"{name}.token.yaml"
        return parse(path, TokenKey) if path.is_file() else None

    def add_token(self, name: str, key: TokenKey, pin: str) -> PublicKey:
        """Enter a key that is on a token.

        Raises:
            UsageError: the name is taken or not allowed, there is no such key, or the PIN is wrong.
            InfrastructureError: the token or its library cannot be reached.
        """
        self._free(name)
        spki = tokens.public_of(key, pin)
        pem = serialization.load_der_public_key(spki).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        public = read_public(name, pem)
        self._write({f"{name}.token.yaml": yaml.safe_dump(key.model_dump()).encode(), f"{name}.pub.pem": pem})
        return public

    def private(self, name: str, passphrase: str) -> ec.EllipticCurvePrivateKey:
        """The private half of a P-256 key in this folder.

        Raises:
            UsageError: there is no such key, it is another kind of key or on a token, or the passphrase is wrong.
        """
        public, path = self.public_key(name), self.folder / f"{name}.pem"
        if public.algorithm != "ecdsa-p256" or not path.is_file():
            raise UsageError(
                f"{name} is no P-256 key whose private half lies here",
                advice="make one with: harness keys new NAME --algorithm ecdsa-p256",
            )
        key = _open(name, path.read_bytes(), passphrase)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def retire(self, name: str) -> None:
        """Put the private half of a key out of use; its signatures can still be checked."""
        (self.folder / f"{name}.pem").rename(self.folder / f"{name}.retired.pem")

    def state(self, name: str) -> str:
        """``here``, ``token``, ``retired``, or ``public`` where only the public half is."""
        ends = (("here", ".pem"), ("token", ".token.yaml"), ("retired", ".retired.pem"))
        return next((word for word, end in ends if (self.folder / f"{name}{end}").is_file()), "public")

    def _free(self, name: str) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) or name.endswith(
            (".pub", ".crt", ".retired", ".token")
        ):
            raise UsageError(f"{name!r} is no name for a key", advice="use lower-case letters, digits, . _ -")
        if any((self.folder / f"{name}{end}").exists() for end in (".pem", ".pub.pem", ".token.yaml")):
            raise UsageError(
                f"there is a key {name} already", advice="choose another name: keys are never written over"
            )

    def _write(self, files: dict[str, bytes]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for file, content in files.items():
                path = self.folder / file
                path.touch(mode=0o644 if file.endswith(".pub.pem") else 0o600)
                path.write_bytes(content)
        except OSError as error:
            raise UsageError(
                f"{error.filename} cannot be written: {error.strerror}", advice="name another folder"
            ) from error

    def make(self, name: str, algorithm: Algorithm, passphrase: str) -> PublicKey:
        """Make a key pair.

        Raises:
            UsageError: the name is taken or not allowed, the passphrase is short, the folder cannot be written.
            InfrastructureError: OpenSSL is missing.
        """
        self._free(name)
        if len(passphrase) < 8:
            raise UsageError("the passphrase has fewer than 8 characters", advice="choose a longer one")
        if algorithm == "sm2":
            private, public = sm2.make(passphrase)
        else:
            key = (
                ed25519.Ed25519PrivateKey.generate()
                if algorithm == "ed25519"
                else ec.generate_private_key(ec.SECP256R1())
            )
            bare = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            private = protected(bare, passphrase)
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        self._write({f"{name}.pem": private, f"{name}.pub.pem": public})
        return read_public(name, public)

    def sign(self, name: str, passphrase: str, message: bytes) -> tuple[PublicKey, bytes]:
        """Sign with the key ``name``.

        Raises:
            UsageError: there is no such key, or the passphrase is wrong.
        """
        public = self.public_key(name)
        path = self.folder / f"{name}.pem"
        token = self.token(name)
        if token is None and not path.is_file():
            retired = (self.folder / f"{name}.retired.pem").is_file()
            raise UsageError(
                f"the key {name} {'is retired' if retired else 'has no private half here'}",
                advice="name another one: harness keys list",
            )
        if token is not None:
            signature = tokens.sign(token, passphrase, message)
        elif public.algorithm == "sm2":
            signature = sm2.sign(path.read_bytes(), passphrase, message)
        else:
            key = _open(name, path.read_bytes(), passphrase)
            if isinstance(key, ed25519.Ed25519PrivateKey):
                signature = key.sign(message)
            elif isinstance(key, ec.EllipticCurvePrivateKey):
                signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
            else:
                raise UsageError(f"the key {name} is another kind of key", advice="make one with: harness keys new")
        if not public.holds(message, signature):
            raise UsageError(f"{name}.pub.pem does not belong to {name}.pem", advice="restore the pair from a backup")
        return public, signature


@functools.lru_cache(maxsize=8)
def _open(name: str, pem: bytes, passphrase: str) -> PrivateKeyTypes:
    """The private half, opened once in a process: each time costs a quarter of a second, and a certificate is signed
    in several places."""
    try:
        return serialization.load_pem_private_key(pem, passphrase.encode())
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"the key {name} cannot be opened: wrong passphrase, or a damaged file",
            advice="name the right one with --passphrase env:NAME or file:PATH",
        ) from error
