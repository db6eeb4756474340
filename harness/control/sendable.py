"""What can be sent to a product over HTTP at all; what cannot is a fault of the declarations and says nothing of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from harness.errors import UsageError

#: RFC 9110, 5.1 and 5.5, without octets beyond ASCII, which no two servers read alike.
_NAME, _VALUE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"), re.compile(r"([!-~]([ \t!-~]*[!-~])?)?")
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)


def demand_headers(headers: Mapping[str, str]) -> None:
    """Raises UsageError where one of them is no header of HTTP."""
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            what = "name" if _NAME.fullmatch(name) is None else "value"
            raise UsageError(
                f"the header {name!r} cannot be sent: its {what} is not plain ASCII without line ends and outer spaces",
                advice="correct it in application.yaml (`| urlencode` for other characters), or what it is taken from",
            )


def path_at(root: str, path: str) -> str:
    """A path below ``root``, the product's URL: as it is, or of an absolute URL of the product, such as answers have
    in ``Location``.

    Raises:
        UsageError: it is a URL of something else, or no path.
    """
    if path and not root.endswith("/") and not path.startswith(("/", "?")) and not _ABSOLUTE.match(path):
        raise UsageError(
            f"{path[:200]!r} is no path of the product", advice="a path begins with /: correct the request"
        )
    try:
        here, there = httpx.URL(root), httpx.URL(root + path if not _ABSOLUTE.match(path) else path)
    except httpx.InvalidURL as error:
        raise UsageError(f"{path[:200]!r} cannot be asked for: {error}", advice="correct the path") from error
    if not _ABSOLUTE.match(path):
        return path
    base, asked = here.raw_path.decode().rstrip("/"), there.raw_path.decode()
    if (here.host, _port(here)) == (there.host, _port(there)) and re.match(rf"{re.escape(base)}([/?]|$)", asked):
        return asked[len(base) :].removeprefix("/" if root.endswith("/") else "")
    raise UsageError(
        f"{path[:200]} is no place of the product, which is at {root}",
        advice="take something of the answer that has no address in it, and put the path together of it",
    )


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
