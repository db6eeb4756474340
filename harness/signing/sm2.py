"""SM2 signatures with SM3: the system's OpenSSL makes them; Python or OpenSSL checks them.

GB/T 32918.2-2016 (SM2 digital signatures), GB/T 32918.5-2017 (the curve), GB/T 32905-2016 (SM3), GM/T 0009-2012 (the
signer's default id, DER of a signature). Nonces are OpenSSL's; nothing secret is computed in Python.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import tempfile
from pathlib import Path

from harness.signing.openssl import openssl, protected

#: OpenSSL's option ``distid``. OpenSSL 3.0 has another default, with which nobody else could verify a signature.
SIGNER_ID = b"1234567812345678"
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
#: DER of a SubjectPublicKeyInfo on this curve (id-ecPublicKey, 1.2.156.10197.1.301), up to the point.
PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")

Point = tuple[int, int] | None


def _add(p: Point, q: Point) -> Point:
    if p is None or q is None:
        return q if p is None else p
    (x1, y1), (x2, y2) = p, q
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) if p == q else (y2 - y1) * pow(x2 - x1, -1, P)
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def _sum(k: int, p: Point, m: int, q: Point) -> Point:
    """k p + m q, in one row of doublings (Shamir's trick) and in Jacobian coordinates, which divide once at the end.

    Its time depends on its arguments, which are public values only. Formulas: Explicit-Formulas Database, short
    Weierstrass with a = -3, dbl-2001-b and madd.
    """
    table: dict[tuple[int, int], Point] = {(1, 0): p, (0, 1): q, (1, 1): _add(p, q)}
    x, y, z = 1, 1, 0
    for bit in range(max(k.bit_length(), m.bit_length()) - 1, -1, -1):
        x, y, z = _doubled(x, y, z)
        point = table.get((k >> bit & 1, m >> bit & 1))
        if point is not None:
            x, y, z = _added(x, y, z, *point)
    if z == 0:
        return None
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse * inverse * inverse % P


def _doubled(x: int, y: int, z: int) -> tuple[int, int, int]:
    delta, gamma = z * z % P, y * y % P
    beta, alpha = x * gamma % P, 3 * (x - delta) * (x + delta) % P
    u = (alpha * alpha - 8 * beta) % P
    return u, (alpha * (4 * beta - u) - 8 * gamma * gamma) % P, ((y + z) * (y + z) - gamma - delta) % P


def _added(x: int, y: int, z: int, x2: int, y2: int) -> tuple[int, int, int]:
    if z == 0:
        return x2, y2, 1
    zz = z * z % P
    h, r = (x2 * zz - x) % P, (y2 * z * zz - y) % P
    if h == 0:
        return _doubled(x, y, z) if r == 0 else (1, 1, 0)
    hh = h * h % P
    hhh, v = h * hh % P, x * hh % P
    u = (r * r - hhh - 2 * v) % P
    return u, (r * (v - u) - y * hhh) % P, z * h % P


def sm3(data: bytes) -> bytes:
    """SM3 digest, 32 bytes."""
    return hashlib.new("sm3", data).digest()


def digest(public: tuple[int, int], message: bytes, signer: bytes = SIGNER_ID) -> int:
    """The signed digest: SM3 of Z (the signer and the curve) and the message (GB/T 32918.2, 5.5 and 6.1)."""
    x, y = public
    words = [A, B, *G, x, y]
    z = sm3(len(signer * 8).to_bytes(2, "big") + signer + b"".join(word.to_bytes(32, "big") for word in words))
    return int.from_bytes(sm3(z + message), "big")


def holds(public: tuple[int, int], message: bytes, r: int, s: int, signer: bytes = SIGNER_ID) -> bool:
    """Whether (r, s) is a signature of the message (7.1 of GB/T 32918.2)."""
    x, y = public
    if not (0 < r < N and 0 < s < N) or not (0 <= x < P and 0 <= y < P) or (y * y - x * x * x - A * x - B) % P:
        return False
    t = (r + s) % N
    if t == 0:
        return False
    point = _sum(s, G, t, public)
    return point is not None and (digest(public, message, signer) + point[0]) % N == r


def verify(spki: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a DER signature (GM/T 0009) of ``message`` holds under a key in DER (SubjectPublicKeyInfo)."""
    if not spki.startswith(PREFIX) or len(spki) != len(PREFIX) + 65 or spki[len(PREFIX)] != 4:
        return False
    point = spki[len(PREFIX) + 1 :]
    numbers = _sequence(signature)
    if numbers is None:
        return False
    public = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    return holds(public, message, *numbers)


def _sequence(der: bytes) -> tuple[int, int] | None:
    """The two integers of a DER sequence; None unless they are encoded in the only way that DER allows."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2:
        return None
    numbers: list[int] = []
    at = 2
    while at + 2 <= len(der):
        kind, length = der[at], der[at + 1]
        value = der[at + 2 : at + 2 + length]
        shortest = (
            len(value) == length > 0 and value[0] < 0x80 and not (length > 1 and value[0] == 0 and value[1] < 0x80)
        )
        if kind != 2 or not shortest:
            return None
        numbers.append(int.from_bytes(value, "big"))
        at += 2 + length
    return (numbers[0], numbers[1]) if len(numbers) == 2 and at == len(der) else None


def make(passphrase: str) -> tuple[bytes, bytes]:
    """Make a key: PEM of its private half (PKCS#8, encrypted) and of its public half.

    Raises:
        InfrastructureError: there is no OpenSSL here, or it has no SM2.
    """
    bare = openssl(
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-pkeyopt", "ec_param_enc:named_curve"],
        passphrase,
    ).encode()
    return protected(bare, passphrase), openssl(["pkey", "-pubout"], passphrase, bare).encode()


@functools.lru_cache(maxsize=8)
def _opened(private: bytes, passphrase: str) -> bytes:
    """The private half without its encryption, opened once in a process; it goes to OpenSSL by a pipe alone."""
    return openssl(["pkey", "-passin", "env:HARNESS_KEY_PASS"], passphrase, private).encode()


def sign(private: bytes, passphrase: str, message: bytes) -> bytes:
    """A signature in DER.

    Raises:
        InfrastructureError: there is no OpenSSL here, or the passphrase is wrong.
    """
    with _file(message) as data, _file(b"") as out:
        how = ["-sigopt", f"distid:{SIGNER_ID.decode()}", "-out", out, data]
        openssl(["dgst", "-sm3", "-sign", "/dev/stdin", *how], passphrase, _opened(private, passphrase))
        return Path(out).read_bytes()


class _file:  # reads like the function that it is
    """A temporary file with this content, readable by this user only; it is removed after use."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __enter__(self) -> str:
        number, self._path = tempfile.mkstemp(prefix=f"harness-{secrets.token_hex(4)}-")
        with os.fdopen(number, "wb") as file:
            file.write(self._content)
        return self._path

    def __exit__(self, *_: object) -> None:
        Path(self._path).unlink(missing_ok=True)
