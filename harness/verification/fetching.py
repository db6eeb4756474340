"""Downloads the published files of a certificate or a register over HTTP, to be checked as local files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from harness.errors import InfrastructureError, UsageError

SECONDS = 20.0
#: The largest size of a file of a certificate or a register, in bytes.
MOST_BYTES = 200 * 2**20
MOST_FILES = 20


def is_address(place: str) -> bool:
    """Whether a place is an address on the network and no path."""
    return place.startswith(("http://", "https://"))


def fetch(address: str, names: Sequence[str], folder: Path) -> None:
    """Download the files of these names below an address into ``folder``; a missing file is left out.

    Raises:
        UsageError: a name leads elsewhere.
        InfrastructureError: the server does not answer, or a file is too large.
    """
    if len(names) > MOST_FILES:
        raise UsageError(f"{address} speaks of {len(names)} files", advice="that is no certificate")
    folder.mkdir(parents=True, exist_ok=True)
    base = address.partition("#")[0].rstrip("/")
    with httpx.Client(timeout=SECONDS, follow_redirects=True, max_redirects=5) as client:
        for name in names:
            if Path(name).name != name or name in ("", ".", ".."):
                raise UsageError(f"{name!r} leads out of {base}", advice="do not rely on what is published there")
            try:
                with client.stream("GET", f"{base}/{name}") as answer:
                    if answer.status_code == httpx.codes.NOT_FOUND:
                        continue
                    answer.raise_for_status()
                    _keep(answer, folder / name)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise InfrastructureError(
                    f"{base}/{name} cannot be fetched: {str(error) or type(error).__name__}",
                    advice="check the address and the network, then repeat",
                ) from error


def _keep(answer: httpx.Response, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        for chunk in answer.iter_bytes():
            size += len(chunk)
            if size > MOST_BYTES:
                raise InfrastructureError(
                    f"{answer.url} has more than {MOST_BYTES >> 20} MiB", advice="that is no certificate"
                )
            file.write(chunk)
