"""Passwords (argon2id, RFC 9106) and tokens: what is kept is a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

import argon2

#: At once: a hash takes 64 MiB, so that many who try do not take the machine.
_TURN = threading.BoundedSemaphore(2)
_HASHER = argon2.PasswordHasher()
SHORTEST, LONGEST = 12, 256
#: Of a password that nobody has: an unknown account takes as long as a wrong password.
_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))


def hash_password(password: str) -> str:
    """The hash of a password, with its salt and its costs."""
    with _TURN:
        return _HASHER.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether a password is the one that was hashed; None: there is none, which takes as long to say."""
    if len(password) > LONGEST:
        return False
    with _TURN:
        try:
            held = _HASHER.verify(stored or _NOBODY, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
    return held and stored is not None


def acceptable(password: str, account: str) -> bool:
    """Whether a password is long enough, of several characters, and does not hold the account."""
    fits = SHORTEST <= len(password) <= LONGEST
    return fits and len(set(password)) >= 5 and account.lower() not in password.lower()


def fresh_token() -> str:
    """A new token of 256 bits."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """What is kept of a token: SHA-256, hex. Tokens are random, so they need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def form_token(cookie: str) -> str:
    """The token that forms of a page carry: only who holds the cookie can make it, and it does not show the cookie."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()
