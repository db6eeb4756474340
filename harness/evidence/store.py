"""Files kept under their own SHA-256; what is there is never changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from harness.errors import InfrastructureError


@contextlib.contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn errors of the disk into errors of the harness.

    Raises:
        InfrastructureError: no space, no permission, a broken disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InfrastructureError(
                f"{doing}: no space left on the disk of the workspace", advice="free space there, then: harness resume"
            ) from error
        raise InfrastructureError(
            f"{doing}: {error.strerror or error}", advice="check the workspace folder and its permissions"
        ) from error


class EvidenceStore:
    """A folder ``sha256/ab/abcd…``; writing is atomic and reaches the disk before it returns."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the bytes with this SHA-256 (hex) are, or would be."""
        return self.root / "sha256" / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Store ``data``; gives its SHA-256 (hex).

        Raises:
            InfrastructureError: the disk is full or refuses.
        """
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        if target.exists():
            return digest
        with disk_errors("storing evidence"):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{digest}.{secrets.token_hex(4)}")
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        return digest

    def get(self, digest: str) -> bytes:
        """Read it back, checked.

        Raises:
            InfrastructureError: the file is missing or was changed.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise InfrastructureError(f"evidence {digest} is missing", advice="restore the workspace") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise InfrastructureError(f"evidence {digest} was changed", advice="restore the workspace from a copy")
        return data
