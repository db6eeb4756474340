"""The time that a text takes grows with its length, whatever words are repeated in it; what lies beside it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scan import scan
from harness.scan.pairs import pair_of, places
from tests.unit.test_scan_rules import RULES, TARGETS

#: Beginnings of what SRC-6 looks for. Of the first two, 300 KB took 3 s and 44 s.
REPEATED = [
    "char a;",
    "for(char a=",
    "char a = getc(",
    "char a,b;\na = getchar(\n",
    "char c){",
    "char a[1]={1,",
    "char ",
]


@pytest.mark.parametrize("unit", REPEATED)
def test_repeated_beginnings_are_read_to_their_end(tmp_path: Path, unit: str) -> None:
    """A text that takes longer than its size allows would be unread."""
    (tmp_path / "a.c").write_text(unit * (300_000 // len(unit)) + "\n")
    result = scan([tmp_path], [rule for rule in RULES if rule.id in ("SRC-6", "READ-1")], TARGETS)
    assert (result.files, result.unread) == (1, 0)


PAIR = pair_of(
    {
        "declares": r"\bchar (?P<names>[^;]{1,99});",
        "uses": r"\b(?P<name>\w+)<0",
        "hides": r"\bint (?P<name>\w+);",
        "stops": r"\}",
        "within": 60,
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("char a; a<0", [0]),
        ("char a, b; b<0; a<0", [0]),
        ("char *a, b[2], c(int); a<0; b<0; c<0", []),
        ("char a; int a; a<0", []),
        ("int a; char a; a<0 a<0", [7]),
        ("char a; } a<0", []),
        ("char a;" + " " * 61 + "a<0", []),
        ("a<0 char a;", []),
        ("char a; char a; a<0", [8]),
        ("char a; } char a; a<0", [10]),
    ],
)
def test_a_use_belongs_to_the_last_declaration_before_it(text: str, expected: list[int]) -> None:
    assert list(places(PAIR, text)) == expected


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(st.sampled_from(["char a;", "char b;", "int a;", "a<0", "b<0", "}", " " * 40]), max_size=14))
def test_places_are_those_that_a_plain_search_finds(parts: list[str]) -> None:
    """A second way, which goes back from each use."""
    text, begins = "", []
    for part in parts:
        begins.append(len(text))
        text += part + " "
    expected = set()
    for index, part in enumerate(parts):
        if part not in ("a<0", "b<0"):
            continue
        for back in range(index - 1, -1, -1):
            if parts[back] in (f"char {part[0]};", f"int {part[0]};"):
                near = begins[index] - begins[back] - len(parts[back]) <= PAIR.within
                if parts[back].startswith("char") and near and "}" not in parts[back:index]:
                    expected.add(begins[back])
                break
    assert set(places(PAIR, text)) == expected
