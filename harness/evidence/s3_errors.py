"""What an answer of an S3-compatible store means: whether it passes, and who acts."""

from __future__ import annotations

from typing import Any

from harness.errors import InfrastructureError

#: Error codes of requests that may be sent again as they are (Amazon S3 API Reference, Error Responses).
PASSING = (
    "BadDigest",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "XAmzContentSHA256Mismatch",
)
#: The store has no room for more, in the words of several servers.
FULL = ("InsufficientCapacity", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge")
ABSENT = ("404", "NoSuchKey", "NoSuchUpload")


class Absent(InfrastructureError):
    """The object, or the upload, is not there."""


def _answer(error: Exception) -> tuple[str, int]:
    """Code and HTTP status of an answer; empty and 0 where there was none."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return "", 0
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(response.get("Error", {}).get("Code", "")), int(status)


def full(error: Exception) -> bool:
    """Whether the store has no room."""
    code, status = _answer(error)
    return code in FULL or status == 507


def passing(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    from botocore.exceptions import (
        ClientError,
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
    )
    from urllib3.exceptions import HTTPError

    if isinstance(error, ClientError):
        code, status = _answer(error)
        return not full(error) and (code in PASSING or status == 429 or status >= 500)
    return isinstance(
        error, ConnectionError | HTTPClientError | IncompleteReadError | ResponseStreamingError | HTTPError
    )


def kind_of(error: Exception) -> str:
    """The error in few words, for people."""
    code, status = _answer(error)
    return f"{code} (HTTP {status})" if status else str(error).splitlines()[0][:200]


def trouble(doing: str, place: str, error: Exception) -> InfrastructureError:
    """The error in our words; ``Absent`` where the object, or the upload, is not there."""
    code, status = _answer(error)
    if code in ABSENT:
        return Absent(f"{doing}: nothing is there in {place}", advice="see the log of the store")
    if full(error):
        return InfrastructureError(
            f"{doing}: no space left in the store {place}: {kind_of(error)}",
            advice="free space there, or raise the quota, then go on",
        )
    if code == "NoSuchBucket":
        return InfrastructureError(f"{doing}: there is no bucket {place}", advice="make it; see docs/guide/center.md")
    if status in (401, 403):
        return InfrastructureError(
            f"{doing}: the store {place} refuses: {kind_of(error)}",
            advice="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, this machine's clock, and the rights of that user",
        )
    return InfrastructureError(
        f"{doing}: the store {place}: {kind_of(error)}",
        advice="check HARNESS_EVIDENCE and the variables AWS_*; see docs/guide/center.md",
    )
