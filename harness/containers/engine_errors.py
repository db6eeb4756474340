"""Turns errors of the Docker SDK into errors of the harness."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import docker.errors
import requests.exceptions

from harness.errors import InfrastructureError, UsageError

T = TypeVar("T")
#: Words of refusals that pass by themselves, how often such work is tried, and the pause between.
_PASSING = ("no such network interface",)
_TIMES, _PAUSE_SECONDS = 6, 0.5


@contextlib.contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn errors of the SDK into errors of the harness.

    Raises:
        InfrastructureError: the engine is away, out of space, or refuses.
        UsageError: a definition asks for limits that the engine may not give.
    """
    try:
        yield
    except docker.errors.NotFound as error:
        raise InfrastructureError(f"{doing}: {error.explanation or error}", advice="look at: docker events") from error
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        if "setting rlimit" in text:  # only what a definition asks for is set
            raise UsageError(
                f"{doing}: the engine may not give its processes such limits: {text}",
                advice="lower `ulimits` below `image` in the entry of the catalogue, or have the engine allow more",
            ) from error
        if "no space left" in text.lower():
            raise _full(doing) from error
        raise InfrastructureError(
            f"{doing}: the Docker engine refused: {text}", advice="see the engine's log"
        ) from error
    except docker.errors.ImageLoadError as error:  # it comes in the answer to an upload that the engine took
        text = str(error)
        if "no space left" in text.lower():
            raise _full(doing) from error
        raise InfrastructureError(
            f"{doing}: the Docker engine answered, and refused the archive: {text.strip()[:300]}",
            advice="see the engine's log; another archive of the same system may be taken",
        ) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise InfrastructureError(
            f"{doing}: the Docker engine does not answer ({_short(error)})",
            advice="start it with: make setup (or systemctl start docker), then: harness resume",
        ) from error


def steadily(work: Callable[[], T]) -> T:
    """Do what an engine may refuse for a moment: Podman lists this machine's interfaces for a new network, and fails
    where another program removes one meanwhile. What it refuses for another reason is refused at once.

    Raises:
        docker.errors.APIError: it refuses.
    """
    for _ in range(_TIMES - 1):
        try:
            return work()
        except docker.errors.APIError as error:
            if not any(words in str(error.explanation or error) for words in _PASSING):
                raise
        time.sleep(_PAUSE_SECONDS)
    return work()


def _full(doing: str) -> InfrastructureError:
    return InfrastructureError(
        f"{doing}: no space left on the disk of the Docker engine",
        advice="free space (docker system df shows what is used), then: harness resume",
    )


def _short(error: BaseException) -> str:
    text = str(error)
    for word in ("Connection refused", "No such file or directory", "Permission denied", "Read timed out"):
        if word in text:
            return word
    return text.splitlines()[0][:200] if text else type(error).__name__
