"""Keys that never leave a token (PKCS #11: a smart card, an HSM, SoftHSM); the extra ``token`` brings python-pkcs11."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pydantic import Field

from harness.errors import InfrastructureError, UsageError
from harness.model.definitions import Definition

if TYPE_CHECKING:
    import pkcs11


class TokenKey(Definition):
    """``NAME.token.yaml``: the place of a key on a token."""

    module: str = Field(pattern=r"^/", description="library of the token's maker")
    token: str = Field(min_length=1, description="label of the token")
    label: str = Field(min_length=1, description="label of the key on it")


@contextlib.contextmanager
def _session(key: TokenKey, pin: str) -> Iterator[pkcs11.Session]:
    try:
        import pkcs11
        from pkcs11 import exceptions
    except ImportError as error:
        raise UsageError(
            "this key is on a token, and python-pkcs11 is not installed",
            advice="pip install 'xinchuang-harness[token]'",
        ) from error
    where = f"token {key.token!r}"
    if not Path(key.module).is_file():
        raise InfrastructureError(f"{key.module} is not there", advice="install the library of the token's maker")
    try:
        library = pkcs11.lib(key.module)
        with library.get_token(token_label=key.token).open(user_pin=pin) as session:
            yield session
    except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange) as error:
        raise UsageError(
            f"{where} refuses the PIN",
            advice="name the right one with --passphrase; a token may lock itself after a few wrong ones",
        ) from error
    except exceptions.NoSuchToken as error:
        raise InfrastructureError(f"{where} is not there", advice="plug it in, or correct the label") from error
    except exceptions.NoSuchKey as error:
        raise UsageError(f"{where} has no key labelled {key.label!r}", advice="correct the label") from error
    except exceptions.PKCS11Error as error:
        raise InfrastructureError(
            f"{where}: {type(error).__name__} {error}".strip(), advice="try it with the maker's own tool"
        ) from error


def public_of(key: TokenKey, pin: str) -> bytes:
    """SubjectPublicKeyInfo (DER) of a P-256 key on a token.

    Raises:
        UsageError: no key has that label, the key is another kind of key, or the PIN is wrong.
        InfrastructureError: the token or its library cannot be reached.
    """
    with _session(key, pin) as session:
        from pkcs11 import KeyType, ObjectClass
        from pkcs11.util.ec import encode_ec_public_key

        public: Any = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=key.label)
        if public.key_type is not KeyType.EC:
            raise UsageError(f"{key.label!r} is no P-256 key", advice="make one on the token")
        return bytes(encode_ec_public_key(public))


def sign(key: TokenKey, pin: str, message: bytes) -> bytes:
    """An ECDSA P-256 signature with SHA-256 (DER), made on the token. Raises as ``public_of``."""
    import hashlib

    with _session(key, pin) as session:
        from pkcs11 import Mechanism, ObjectClass

        private: Any = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=key.label)
        raw = private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
