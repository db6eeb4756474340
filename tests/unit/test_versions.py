"""A version is stated or not, whatever surrounds it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.attest.versions import line_of, states


@pytest.mark.parametrize(
    ("printed", "declared"),
    [
        ("4.7.3-2+deb12u1", "4.7.3"),
        ("1:4.7.3-2", "4.7"),
        ("mariadbd  Ver 10.11.18-MariaDB-0+deb12u1", "10.11"),
        ("v2.0", "2.0"),
        ("tool-1.2.tar", "1.2"),
        ('openjdk version "17.0.13" 2024-10-15', 'openjdk version "17.'),
        ("Redis server v=7.0.15 sha=0", "Redis server v="),
        ("Python 3.11.2", "python 3."),
        ("OpenSSL 1.1.1w", "1.1.1"),
        ("anything", ""),
    ],
)
def test_it_is_stated(printed: str, declared: str) -> None:
    assert states(printed, declared)


@pytest.mark.parametrize(
    ("printed", "declared"),
    [
        ("10.11.18", "11.1"),
        ("9.6.15", "15"),
        ("11.10", "11.1"),
        ("1.43.11", "1.39"),
        ("2.0~rc1", "2.0"),
        ("2.0-beta2", "2.0"),
        ("2.0rc1", "2.0"),
        ("5.1+deb12u1", "12"),
        ("9.6-15", "15"),
        ("1.0", "9.9"),
        ("2.0", "2.0.1"),
        ("", "1.0"),
        (" \n", ""),
    ],
)
def test_it_is_not_stated(printed: str, declared: str) -> None:
    assert not states(printed, declared)


NUMBERS = st.lists(st.integers(min_value=0, max_value=30), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS)
def test_a_version_is_stated_by_those_that_begin_with_its_parts(printed: list[int], declared: list[int]) -> None:
    dotted = [".".join(map(str, parts)) for parts in (printed, declared)]
    assert states(f"tool {dotted[0]}, built today", dotted[1]) == (printed[: len(declared)] == declared)


def test_of_several_lines_the_one_with_the_version_is_shown() -> None:
    assert line_of("Copyright\n\nmytool  2.1\nlicence", "2.1") == "mytool 2.1"
    assert line_of("\nfirst\nsecond", "2.1") == "first"
    assert line_of("", "2.1") == ""
