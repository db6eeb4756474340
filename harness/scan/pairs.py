"""Two places of a text that belong together by a name: where it is declared, and where it is used so that it matters.

An expression that looks for both at once goes over the same text again for every declaration. Here each is looked for
once, and positions are compared.
"""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: A name in a list of declarations, with or without its first value: ``c``, ``last = 0``; no pointer, array, function.
_NAMED = re.compile(r"\s*(\w+)\s*(?:=|$)")


@dataclass(frozen=True)
class Pair:
    """What is looked for. ``declares`` and ``uses`` have a group ``name``, or ``declares`` a group ``names``: a list
    with commas. ``hides``: a declaration of the same name that makes the former one void. ``stops``: what ends the
    reach of a declaration. ``within``: characters between both at most."""

    declares: re.Pattern[str]
    uses: re.Pattern[str]
    hides: re.Pattern[str]
    stops: re.Pattern[str]
    within: int


def pair_of(declared: Mapping[str, Any]) -> Pair:
    """A pair as a rule declares it."""
    declares, uses, hides, stops = (
        re.compile(declared.get(key, r"(?!)"), re.MULTILINE) for key in ("declares", "uses", "hides", "stops")
    )
    return Pair(declares, uses, hides, stops, declared["within"])


def places(pair: Pair, text: str) -> Iterator[int]:
    """Where declarations begin that are used so, each once."""
    declared: dict[str, list[tuple[int, int]]] = defaultdict(list)  # name -> end, and beginning or -1 where it is void
    for match in pair.declares.finditer(text):
        for name in _names(match):
            declared[name].append((match.end(), match.start()))
    if not declared:
        return
    for match in pair.hides.finditer(text):
        if match["name"] in declared:
            declared[match["name"]].append((match.end(), -1))
    for ends in declared.values():
        ends.sort()
    stops = [match.start() for match in pair.stops.finditer(text)]
    reported: set[int] = set()
    for match in pair.uses.finditer(text):
        before = declared.get(match["name"], [])
        index = bisect.bisect_right(before, (match.start(), len(text))) - 1
        if index < 0:
            continue
        end, begin = before[index]
        near = match.start() - end <= pair.within
        if begin >= 0 and near and begin not in reported:
            stop = bisect.bisect_left(stops, end)
            if stop == len(stops) or stops[stop] >= match.start():
                reported.add(begin)
                yield begin


def _names(match: re.Match[str]) -> Iterator[str]:
    groups = match.groupdict()
    if groups.get("name"):
        yield groups["name"]
    listed = groups.get("names") or ""
    if listed.count(")") <= listed.count("("):  # else these are parameters
        for part in listed.split(","):
            if (name := _NAMED.match(part)) is not None:
                yield name[1]
