"""Comparisons of an architecture with a word that is never printed where the text asks for it.

``uname -m`` prints ``aarch64`` and ``loongarch64``; ``arm64`` and ``loong64`` are words of Debian, Go and Node.js. A
text that names the right word too knows the difference: its other words are for other systems, or its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.definitions import Rule
from harness.scan.languages import COMMENT, LONG_LINE
from harness.scan.passages import Passage
from harness.scan.variants import WORDS


@dataclass(frozen=True)
class _Source:
    """What tells an architecture: ``asks`` finds it, ``prints`` has what the word it prints begins with."""

    name: str
    asks: re.Pattern[str]
    prints: dict[str, str]


_UNAME = {"x86_64": "x86_64", "aarch64": "aarch", "loongarch64": "loongarch"}
_GO = {"x86_64": "amd64", "aarch64": "arm64", "loongarch64": "loong64"}
SOURCES = (
    _Source(
        "uname -m",
        re.compile(
            r"\buname\s+-m\b|\$\(arch\)|`arch`|platform\.machine\(\)|os\.uname\(\)|CMAKE_(?:HOST_)?SYSTEM_PROCESSOR"
            r"|ansible_architecture|\bHOSTTYPE\b"
        ),
        _UNAME,
    ),
    _Source("os.arch", re.compile(r"""getProperty\(\s*"os\.arch"|\$\{os\.arch\}"""), {**_UNAME, "x86_64": "amd64"}),
    _Source("process.arch", re.compile(r"\bprocess\.arch\b|\bos\.arch\(\)"), {**_GO, "x86_64": "x64"}),
    _Source("GOARCH", re.compile(r"\bruntime\.GOARCH\b|\bgo env GOARCH\b|\bTARGETARCH\b"), _GO),
    _Source("dpkg", re.compile(r"dpkg\s+--print-architecture|dpkg-architecture"), {**_GO, "loongarch64": "loong"}),
)
#: Words of which each of these has one: a text without any is not searched, which takes far longer.
_ASKING = (
    "uname $(arch) `arch` machine() SYSTEM_PROCESSOR ansible_architecture HOSTTYPE .arch GOARCH TARGETARCH dpkg".split()
)
_WORD = "|".join(sorted(map(re.escape, WORDS), key=len, reverse=True))
_COMPARED = re.compile(
    rf"""(?:[=!]=+|=~|(?<=\s)=|STREQUAL|MATCHES|equals\w*\(|contains\(|startsWith\(|startswith\(|in\s*[(\[{{]|case\s
    |[|,(]|^)\s*["'^*(\[]*(?P<word>{_WORD})(?=["'$*)\]]*\s*(?:\||\)|\]|;|:|,|&&|then|$|\s))""",
    re.VERBOSE | re.IGNORECASE,
)
#: On a Mac uname -m prints arm64: a condition about it may stand so many lines before.
_MAC, NEAR = re.compile(r"darwin|apple|mac ?os|osx|OBJC", re.IGNORECASE), 8
_CONTEXT = re.compile(
    r"==|!=|=~|\s=\s|STREQUAL|MATCHES|equals|contains\(|starts[wW]ith|\bin\s*[(\[{]|\bcase\b|\bifn?eq\b|^\s*\(?[\w\s|*\"'.-]+\)"
)


def passages(rule: Rule, place: str, text: str, languages: tuple[str, ...]) -> Iterator[Passage]:
    """The first comparison for each architecture whose word is never printed."""
    del rule, place
    if not any(word in text for word in _ASKING):
        return
    sources = [source for source in SOURCES if source.asks.search(text)]
    if len(sources) != 1:
        return
    source = sources[0]
    comments = [COMMENT[language] for language in languages if language in COMMENT]
    lines = [
        "" if len(line) > LONG_LINE or any(comment.match(line) for comment in comments) else line
        for line in text.split("\n")
    ]
    bare = "\n".join(lines).lower()
    places: dict[int, dict[str, str]] = defaultdict(dict)  # line -> architecture -> the word
    for architecture, printed in source.prints.items():
        for number, word in [] if printed in bare else _first(lines, architecture):
            places[number][architecture] = word
    for number, words in places.items():
        prints = ", ".join(_spelt(source, architecture) for architecture in words)
        message = (
            f"{lines[number - 1].strip()[:100]} ({source.name} prints {prints}, never {', '.join(words.values())})"
        )
        yield Passage(line=number, excerpt=message, about=frozenset(words))


def _first(lines: list[str], architecture: str) -> Iterator[tuple[int, str]]:
    """Line and word of the first comparison with a word for an architecture, if there is one."""
    for number, line in enumerate(lines, 1):
        word = _compared(line, architecture)
        if word and not _MAC.search("\n".join(lines[max(number - NEAR, 0) : number])):
            yield number, word
            return


def _compared(line: str, architecture: str) -> str:
    """A word for an architecture that a line compares something with."""
    if not _CONTEXT.search(line):
        return ""
    words = (match["word"] for match in _COMPARED.finditer(line))
    return next((word for word in words if WORDS[word.lower()] == architecture), "")


def _spelt(source: _Source, architecture: str) -> str:
    printed = source.prints[architecture]
    return architecture if architecture.startswith(printed) else printed
