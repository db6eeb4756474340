"""Known vulnerabilities as OSV records (https://ossf.github.io/osv-schema/): read, and held against versions.

A file is a zip of JSON files as OSV publishes it for each ecosystem, a JSON file with a record or a list of them, or a
file with a record a line. Versions are compared by whoever knows the rules of their packages: what must be compared is
gathered first.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.system.canonical import read_json

#: Most bytes of one record, and of a file that holds several.
RECORD, WHOLE = 16 * 2**20, 2**30


@dataclass(frozen=True)
class Span:
    """Versions from ``introduced`` on ("0": all) that are affected: before ``fixed``, or up to ``last``; with neither
    there is no end."""

    introduced: str
    fixed: str = ""
    last: str = ""


@dataclass(frozen=True)
class Advisory:
    """What is known of one package in one ecosystem. ``urgency`` is the distribution's word, ``severity`` a vector of
    CVSS; both may be empty."""

    id: str
    aliases: tuple[str, ...]
    package: str
    summary: str
    spans: tuple[Span, ...]
    versions: tuple[str, ...]
    urgency: str = ""
    severity: str = ""

    @property
    def cve(self) -> str:
        """The name by which readers know it."""
        names = (self.id, *self.aliases)
        return next((name[name.index("CVE-") :] for name in names if "CVE-" in name), self.id)

    def bounds(self, version: str) -> Iterator[tuple[str, str]]:
        """Pairs of versions that must be compared to judge ``version``: whether the first is lower."""
        for span in self.spans:
            if span.introduced != "0":
                yield version, span.introduced
            if span.fixed:
                yield version, span.fixed
            if span.last:
                yield span.last, version

    def affects(self, version: str, less: Mapping[tuple[str, str], bool]) -> Span | None:
        """The span in which ``version`` lies; None where it is not affected. ``less`` knows the pairs of ``bounds``."""
        for span in self.spans:
            begun = span.introduced == "0" or not less[version, span.introduced]
            over = (span.fixed and not less[version, span.fixed]) or (span.last and less[span.last, version])
            if begun and not over:
                return span
        return Span(version, last=version) if version in self.versions else None


def advisories(path: Path, ecosystem: str, wanted: Callable[[str], bool]) -> tuple[list[Advisory], int]:
    """Of a file, what is known of packages of ``ecosystem`` whose names are ``wanted``, and how many records of that
    ecosystem it holds at all.

    Raises:
        UsageError: it is no such file.
    """
    known, records = [], 0
    try:
        for record in _records(path):
            affected = [each for each in _listed(record.get("affected")) if isinstance(each, dict)]
            of = [each for each in affected if _package(each).get("ecosystem") == ecosystem]
            records += bool(of)
            if not record.get("withdrawn"):
                known += [_advisory(record, each) for each in of if wanted(str(_package(each).get("name")))]
    # RuntimeError: a member is encrypted, or compressed by an unknown method.
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"{path.name} holds no OSV records: {error}", advice="give a zip of JSON files, a JSON file, or JSON lines"
        ) from error
    return known, records


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    if member.file_size > RECORD:
                        raise ValueError(f"{member.filename} has {member.file_size} bytes")
                    yield _record(read_json(archive.read(member)))
        return
    if path.stat().st_size > WHOLE:
        raise ValueError(f"it has {path.stat().st_size} bytes")
    text = path.read_text("utf-8")
    try:
        value = read_json(text)
    except ValueError:
        value = [read_json(line) for line in text.splitlines() if line.strip()]
    for each in value if isinstance(value, list) else [value]:
        yield _record(each)


def _record(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise ValueError("a record without id")  # noqa: TRY004  # of a file, as what json raises
    return value


def _package(affected: Mapping[str, Any]) -> Mapping[str, Any]:
    package = affected.get("package")
    return package if isinstance(package, dict) else {}


def _advisory(record: Mapping[str, Any], affected: Mapping[str, Any]) -> Advisory:
    specific = affected.get("ecosystem_specific")
    scores = [each for each in _listed(affected.get("severity") or record.get("severity")) if isinstance(each, dict)]
    ranges = [each for each in _listed(affected.get("ranges")) if isinstance(each, dict)]
    return Advisory(
        id=record["id"],
        aliases=tuple(str(each) for each in (*_listed(record.get("aliases")), *_listed(record.get("upstream")))),
        package=str(_package(affected).get("name")),
        summary=str(record.get("summary") or record.get("details") or "")[:200],
        spans=tuple(span for each in ranges if each.get("type") in ("ECOSYSTEM", "SEMVER") for span in _spans(each)),
        versions=tuple(str(each) for each in _listed(affected.get("versions"))),
        urgency=str(specific.get("urgency", "")) if isinstance(specific, dict) else "",
        severity=next((str(each["score"]) for each in reversed(scores) if "score" in each), ""),
    )


def _spans(given: Mapping[str, Any]) -> Iterator[Span]:
    """Each ``introduced`` with the end that follows it."""
    begun = ""
    for event in _listed(given.get("events")):
        if not isinstance(event, dict):
            continue
        if "introduced" in event:
            if begun:
                yield Span(begun)
            begun = str(event["introduced"])
        elif begun and ("fixed" in event or "last_affected" in event):
            yield Span(begun, fixed=str(event.get("fixed", "")), last=str(event.get("last_affected", "")))
            begun = ""
    if begun:
        yield Span(begun)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
