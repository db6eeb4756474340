"""Private keys through the system's OpenSSL: encrypted for the disk, and opened again. Nothing bare lies in a file."""

from __future__ import annotations

from harness.errors import InfrastructureError
from harness.system.process import run

#: Rounds of PBKDF2 with HMAC-SHA-256 that protect a private key (OWASP Password Storage Cheat Sheet, 2023). The library
#: cryptography writes PKCS #8 with 2,048 and takes no other number.
ROUNDS = 600_000
SECONDS = 60


def openssl(words: list[str], passphrase: str, stdin: bytes | None = None) -> str:
    """Run OpenSSL; it reads the passphrase as ``env:HARNESS_KEY_PASS``.

    Raises:
        InfrastructureError: OpenSSL is missing, or refuses.
    """
    answer = run(["openssl", *words], timeout=SECONDS, env={"HARNESS_KEY_PASS": passphrase}, stdin=stdin)
    if not answer.ok:
        message = (answer.err.strip().splitlines() or ["no message"])[0]
        raise InfrastructureError(
            f"openssl {words[0]} failed: {message}", advice="is the passphrase right? SM2 needs OpenSSL 3"
        )
    return answer.out


def protected(bare: bytes, passphrase: str) -> bytes:
    """A private key (PEM) as encrypted PKCS #8 (RFC 5958; PBES2 of RFC 8018). Raises as ``openssl``."""
    how = ["-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", str(ROUNDS)]
    return openssl(["pkcs8", *how, "-passout", "env:HARNESS_KEY_PASS"], passphrase, bare).encode()
