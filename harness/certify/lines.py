"""The certificate as lines: what a verifier without JSON reads. A signed envelope of its own beside the statements.

The lines follow from the adaptation statement, and name the digests of both statements. ``harness verify`` makes them
anew and compares; ``verify.sh`` reads them alone. Each key stands in its turn: the ``KEYS`` once, then one or more of
each of ``LISTS``, then ``end``.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any

from harness.signing.lines import NOTHING, plain, read_time, time_text
from harness.system.canonical import read_json

LINES_TYPE = "application/vnd.xinchuang.certificate+text"
HEAD = "xinchuang-certificate 1"
KEYS = (
    "number",
    "report",
    "type",
    "issuer",
    "product",
    "version",
    "vendor",
    "issued",
    "until",
    "amends",
    "verifier",
    "adaptation",
    "test-result",
)
LISTS = ("signer", "file", "platform")


class NoLines(Exception):
    """The text is no certificate in lines; the message says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What a certificate says. Digests are SHA-256 (hex): of ``verify.sh``, and of the payloads of both statements.

    ``signers``: ids of the keys that had to sign. ``files``: name and SHA-256.
    """

    number: str
    report: str
    type: str
    issuer: str
    product: str
    version: str
    vendor: str
    issued: datetime.datetime
    until: datetime.date | None
    amends: str
    verifier: str
    adaptation: str
    test_result: str
    signers: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    platforms: tuple[str, ...]


def lines_of(adaptation: bytes, test_result: bytes) -> bytes:
    """The lines of a certificate, from the payloads of its two statements.

    Raises:
        NoLines: the first lacks something that a certificate has.
    """
    try:
        statement = read_json(adaptation)
        predicate = statement["predicate"]
        values = _values(predicate)
        values += [("adaptation", _sha256(adaptation)), ("test-result", _sha256(test_result))]
        values += [("signer", str(keyid)) for keyid in predicate["signers"]]
        values += [("file", _file(subject)) for subject in statement["subject"] if not _is_package(subject)]
        values += [("platform", plain(_platform(platform))) for platform in predicate["platforms"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoLines(f"the statement lacks what a certificate has: {error}") from error
    text = "".join(f"{key} {value}\n" for key, value in values)
    return f"{HEAD}\n{text}end\n".encode()


def _values(predicate: dict[str, Any]) -> list[tuple[str, str]]:
    product, amends = predicate["product"], predicate["commission"]["amends"]
    issued = datetime.datetime.fromisoformat(predicate["issued"])
    return [
        ("number", plain(predicate["number"])),
        ("report", plain(predicate["report_number"])),
        ("type", plain(predicate["type"])),
        ("issuer", plain(predicate["issuer"])),
        ("product", _both(product["name"])),
        ("version", plain(product["version"])),
        ("vendor", _both(product["vendor"])),
        ("issued", time_text(issued)),
        ("until", predicate["valid_until"] or NOTHING),
        ("amends", plain(amends["number"]) if amends else NOTHING),
        ("verifier", predicate["verifier"]),
    ]


def _both(name: dict[str, str]) -> str:
    """A name in both languages, once where they are the same."""
    return plain(" ".join(dict.fromkeys((name["zh"], name["en"]))))


def _platform(platform: dict[str, Any]) -> str:
    axes = ", ".join(f"{name} {value}" for name, value in sorted(platform["axes"].items()))
    return f"{platform['verdict']}; {platform['fidelity']}; {axes}"


def _is_package(subject: dict[str, Any]) -> bool:
    """Packages stay with the product's vendor."""
    return str(subject["name"]).startswith("package/")


def _file(subject: dict[str, Any]) -> str:
    return f"{subject['digest']['sha256']} {plain(subject['name'])}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_lines(payload: bytes) -> Lines:
    """Read what ``lines_of`` wrote.

    Raises:
        NoLines: the text has another form.
    """
    try:
        head, *lines, end, rest = payload.decode().split("\n")
        pairs = [line.split(" ", 1) for line in lines]
        once, lists = dict(pairs[: len(KEYS)]), pairs[len(KEYS) :]
        order = [key for key, _ in lists]
        many = {key: tuple(value for word, value in lists if word == key) for key in LISTS}
        if (head, end, rest) != (HEAD, "end", "") or tuple(once) != KEYS or not all(many.values()):
            raise NoLines("the lines of a certificate are not those that it has")
        if order != [key for key in LISTS for _ in many[key]]:
            raise NoLines("the lines of a certificate are not in their order")
        files = [value.split(" ", 1) for value in many["file"]]
        until = once.pop("until")
        return Lines(
            **{key: once[key] for key in ("number", "report", "type", "issuer", "product", "version", "vendor")},
            **{key: once[key] for key in ("amends", "verifier", "adaptation")},
            test_result=once["test-result"],
            issued=read_time(once["issued"]),
            until=None if until == NOTHING else datetime.date.fromisoformat(until),
            signers=many["signer"],
            files=tuple((name, digest) for digest, name in files),
            platforms=many["platform"],
        )
    except (ValueError, KeyError) as error:
        raise NoLines(f"no certificate in lines: {error}") from error
