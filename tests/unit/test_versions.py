"""Versions are compared by their parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.attest.versions import line_of, states

MARIADB = "mariadbd  Ver 10.11.18-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"
POSTGRES = "PostgreSQL 9.6.15 on x86_64-pc-linux-gnu, compiled by gcc (Debian 15.2.0-1) 15.2.0, 64-bit"
JAVA = 'openjdk version "17.0.9" 2023-10-17\nOpenJDK Runtime Environment (build 17.0.9+9-Debian-1deb12u1)\n'
REDIS = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1f"


@pytest.mark.parametrize(
    ("declared", "printed"),
    [
        ("10.11", MARIADB),
        ("10", MARIADB),
        ("10.11.18", MARIADB),
        ("mariadbd Ver 10.11", MARIADB),
        ("9.6", POSTGRES),
        ("PostgreSQL 9", POSTGRES),
        ('openjdk version "17.', JAVA),
        ("17", JAVA),
        ("Python 3.", "Python 3.11.2"),
        ("Apache Tomcat/10.", "Server version: Apache Tomcat/10.1.52 (Debian)"),
        ("Redis server v=", REDIS),
        ("7.0", REDIS),
        ("1.0", "1.0.0"),
        ("4.7", "1:4.7.3-2"),
        ("1.2", "tool-1.2.tar"),
        ("1.1.1", "OpenSSL 1.1.1w"),
        ("python 3.", "Python 3.11.2"),
        ("4.7", "20:15:00.5 server 4.7.3 starts"),
        ("2.1", "loading config 1.0\nserver 2.1"),
        ("22.04", "22.4"),
        ("v2.1", "2.1.3"),
        ("2.1", "tool v2.1.3 (64-bit)"),
        ("1.22", "go version go1.22.1 linux/arm64"),
        ("V008R006", "KingbaseES V008R006C007B0012 on x86_64"),
        ("V8", "DM Database Server 64 V8"),
        ("2.0-rc1", "2.0-rc1"),
        ("1.0.2a", "OpenSSL 1.0.2a 19 Mar 2015"),
        ("3.40", "3.40.1 2022-12-28 14:03:47"),
        ("", "anything"),
        ("8.0", "postgresql-8.0.3"),
    ],
)
def test_what_holds(declared: str, printed: str) -> None:
    assert states(printed, declared)


@pytest.mark.parametrize(
    ("declared", "printed"),
    [
        ("11.1", MARIADB),
        ("11.18", MARIADB),
        ("10.1", MARIADB),
        ("12", MARIADB),
        ("0", MARIADB),
        ("15", POSTGRES),
        ("6.15", POSTGRES),
        ("64", POSTGRES),
        ("9.60", POSTGRES),
        ('openjdk version "1.', JAVA),
        ('openjdk version "1', JAVA),
        ("Python 3.1", "Python 3.11.2"),
        ("5.3", REDIS),
        ("1.0.1", "1.0"),
        ("1.0.0", "1.0"),
        ("1.39", "1.43.11"),
        ("2.0", "2.0~rc1"),
        ("12", "5.1+deb12u1"),
        ("15", "9.6-15"),
        ("1.0", " \n"),
        ("", " \n"),
        ("2.0", "2.0-rc1"),
        ("2.0", "2.0.0-beta.2"),
        ("3.14", "3.14.0a1"),
        ("17", "17dev"),
        ("V008R00", "KingbaseES V008R006C007B0012"),
        ("1.0", "9.9"),
        ("1.0", ""),
        ("", ""),
        ("Redis server v=", "Valkey server v=8"),
    ],
)
def test_what_does_not_hold(declared: str, printed: str) -> None:
    assert not states(printed, declared)


numbers = st.lists(st.integers(0, 300), min_size=1, max_size=4)


@given(numbers, numbers)
def test_a_version_is_stated_by_those_that_begin_with_its_parts(printed: list[int], declared: list[int]) -> None:
    dotted = [".".join(map(str, parts)) for parts in (printed, declared)]
    assert states(f"server {dotted[0]}, built today", dotted[1]) == (printed[: len(declared)] == declared)


def test_the_line_that_states_the_version_is_shown() -> None:
    text = "\n starting up \n  tool   2.0.1\nlibrary 3\n"
    assert line_of(text, "2.0") == "tool 2.0.1"
    assert line_of(text, "4") == "starting up"
    assert line_of("\n", "4") == ""


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_gives_an_answer(declared: str, printed: str) -> None:
    assert states(printed, declared) in (True, False)
