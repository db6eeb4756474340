"""Reads quantities out of what a program wrote: every number as exactly as it stands there, with its place.

The bytes come from a product: nothing in them ends the reading with an exception, and how much is read is bounded.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from harness.model.definitions import NumberFile
from harness.system.canonical import read_json

#: Numbers of one file that are read, its bytes, and those of JSON, of which a list alone takes many times its text.
MOST_NUMBERS = 2_000_000
MOST_BYTES = 64 * 2**20
MOST_JSON = 32 * 2**20
#: Faults of a file that are kept.
MOST_FAULTS = 100
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d{1,6})?")
#: As printf, Fortran and Python write what is no finite number.
_NOT_FINITE = re.compile(r"([+-]?)(?:(nan)(?:\([\w-]*\))?|(inf(?:inity)?))", re.IGNORECASE)
#: Characters of a word that is shown, and of a number that is read.
_SHOWN, _MOST_DIGITS = 40, 4000


@dataclass(frozen=True)
class Series:
    """The numbers of one quantity in the order of the file, and where each stands."""

    values: tuple[Decimal, ...]
    places: tuple[str, ...]


@dataclass
class Reading:
    """What was read of a file: series by the name of the quantity. ``faults``: what is missing or no number, in words
    with its place."""

    series: dict[str, Series] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def fault(self, words: str) -> None:
        """Note what is wrong; of very many faults the first."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(words)


def number(text: str) -> Decimal | None:
    """The number that a word is, exactly as written, or NaN or infinity; None where it is none."""
    word = text.strip()
    if len(word) <= _MOST_DIGITS and _NUMBER.fullmatch(word):
        return Decimal(re.sub("[dD]", "e", word))
    match = _NOT_FINITE.fullmatch(word)
    if match is None:
        return None
    return Decimal(f"{match[1]}{'NaN' if match[2] else 'Infinity'}")


def read_numbers(file: NumberFile, data: bytes) -> Reading:
    """The declared quantities of a file, and the columns that their formulas need."""
    reading = Reading()
    most = MOST_JSON if file.format == "json" else MOST_BYTES
    if len(data) > most:
        reading.fault(f"the file has {len(data)} bytes; at most {most} are read")
        return reading
    names = tuple(dict.fromkeys(name for each in file.quantities for name in (each.quantity, *each.needs)))
    if file.format == "json":
        _json(reading, names, data)
    elif file.format == "rows":
        _rows(reading, names, _lines(file, data))
    else:
        _columns(reading, file, names, _lines(file, data))
    return reading


def _lines(file: NumberFile, data: bytes) -> Iterator[tuple[int, str]]:
    """Lines that count, by their number; any encoding in which a byte below 128 is ASCII."""
    ignored = [re.compile(pattern) for pattern in file.ignore]
    text = data.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    for place, line in enumerate(text.split("\n"), 1):
        if line.strip() and not any(pattern.search(line) for pattern in ignored):
            yield place, line


def _split(file: NumberFile) -> Callable[[str], list[str]]:
    """How a line is divided into words. A record of csv is one line: no number has a line break in it."""
    if file.format != "csv":
        return str.split

    def fields(line: str) -> list[str]:
        try:
            return [word.strip() for word in next(csv.reader([line], delimiter=file.delimiter, skipinitialspace=True))]
        except (csv.Error, StopIteration):
            return [line]

    return fields


def _columns(reading: Reading, file: NumberFile, names: Sequence[str], lines: Iterator[tuple[int, str]]) -> None:
    split = _split(file)
    header: list[str] = []
    if file.header:
        first = next(lines, None)
        header = split(first[1]) if first is not None else []
    at: dict[str, int] = {}
    for name in names:
        if file.header and name in header:
            at[name] = header.index(name)
        elif not file.header:
            at[name] = int(name) - 1
        else:
            reading.fault(_missing(name, header))
    values: dict[str, list[Decimal]] = {name: [] for name in at}
    places: list[str] = []
    count = 0
    for place, line in lines:
        words = split(line)
        row = {name: number(words[index]) if 0 <= index < len(words) else None for name, index in at.items()}
        for name, value in row.items():
            if value is None:
                index = at[name]
                word = _shown(words[index]) if 0 <= index < len(words) else "nothing"
                reading.fault(f"line {place}, {name}: {word} is no number")
                value = Decimal("NaN")
            values[name].append(value)
        places.append(f"line {place}")
        count += len(at)
        if count > MOST_NUMBERS:
            reading.fault(f"more than {MOST_NUMBERS} numbers: what is behind line {place} is not read")
            break
    for name, series in values.items():
        reading.series[name] = Series(tuple(series), tuple(places))
        if not series:
            reading.fault(f"{name} has no value: the file has no line with numbers")


def _rows(reading: Reading, names: Sequence[str], lines: Iterable[tuple[int, str]]) -> None:
    values: dict[str, list[Decimal]] = {}
    places: dict[str, list[str]] = {}
    known: dict[str, None] = {}
    count = 0
    for place, line in lines:
        name, *words = re.split(r"[\s=:,;]+", line.strip())
        known.setdefault(name)
        if name not in names:
            continue
        for index, word in enumerate(filter(None, words), 1):
            value = number(word)
            if value is None:
                reading.fault(f"line {place}, {name}: {_shown(word)} is no number")
                value = Decimal("NaN")
            values.setdefault(name, []).append(value)
            places.setdefault(name, []).append(f"line {place}, number {index}")
            count += 1
        if count > MOST_NUMBERS:
            reading.fault(f"more than {MOST_NUMBERS} numbers: what is behind line {place} is not read")
            break
    for name in names:
        if name in values:
            reading.series[name] = Series(tuple(values[name]), tuple(places[name]))
        else:
            reading.fault(_missing(name, list(known)))


def _json(reading: Reading, names: Sequence[str], data: bytes) -> None:
    count = itertools.count(1)

    def exact(word: str) -> Decimal | None:
        if next(count) > MOST_NUMBERS:
            raise ValueError(f"it has more than {MOST_NUMBERS} numbers")
        return number(word)

    try:
        text = data.decode("utf-8-sig")
        document = read_json(text, number=exact)
    except ValueError as error:
        reading.fault(f"the file is no JSON that can be read: {str(error)[:200] or 'nested too deeply'}")
        return
    for name in names:
        try:
            value = _pointed(document, name)
        except LookupError as error:
            reading.fault(f"quantity {name} is missing: {error.args[0]}")
            continue
        values: list[Decimal] = []
        places: list[str] = []
        for place, leaf in _leaves(value, name):
            if not isinstance(leaf, Decimal):
                reading.fault(f"{place}: {_shown(str(leaf))} is no number")
                leaf = Decimal("NaN")
            values.append(leaf)
            places.append(place)
        if not values:
            reading.fault(f"{name} has no value: the list is empty")
        reading.series[name] = Series(tuple(values), tuple(places))


def _pointed(document: Any, pointer: str) -> Any:
    """What a JSON Pointer leads to (RFC 6901, 4).

    Raises:
        LookupError: nothing is there; what is there in its place.
    """
    value = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9]\d{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict):
            raise LookupError(f"there is no {_shown(key)}; there are {_some(list(value))}")
        else:
            kind = f"a list of {len(value)}" if isinstance(value, list) else "a number or text"
            raise LookupError(f"there is no {_shown(key)} in {kind}")
    return value


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Everything in nested lists, in order, with its JSON Pointer."""
    stack = [(place, value)]
    while stack:
        place, item = stack.pop()
        if isinstance(item, list):
            stack += [(f"{place}/{index}", inner) for index, inner in reversed(list(enumerate(item)))]
        else:
            yield place or "/", item


def _missing(name: str, known: list[str]) -> str:
    return f"quantity {name} is missing: the file has {_some(known)}"


def _some(known: list[str]) -> str:
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return (", ".join(_shown(name) for name in known[:10]) or "nothing") + more


def _shown(word: str) -> str:
    return repr(word if len(word) <= _SHOWN else f"{word[:_SHOWN]}…")
