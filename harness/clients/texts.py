"""Texts in an answer of HTTP: what a product gives back of what was written into it."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx

#: Characters of XML or HTML that are looked at.
MOST = 4 * 2**20


def texts_of(answer: httpx.Response) -> list[str]:
    """Every text of a JSON body. Of XML and HTML: texts between tags and values of attributes, without blanks at their
    ends, then the body as it is. Of anything else the body as it is."""
    try:
        value = answer.json()
    except (ValueError, RecursionError):
        media = answer.headers.get("content-type", "").partition(";")[0]
        return [*(_marked(answer.text) if "xml" in media or "html" in media else ()), answer.text]
    strings: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            strings.append(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return strings


class _Texts(HTMLParser):
    """Collects texts; it knows no entities but characters, and follows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.end_text()
        self.texts += [value for _, value in attrs if value]

    def handle_endtag(self, tag: str) -> None:
        self.end_text()

    def handle_data(self, data: str) -> None:
        self._parts.append(data)

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):
            self._parts.append(data.removeprefix("CDATA["))

    def end_text(self) -> None:
        if text := "".join(self._parts).strip():
            self.texts.append(text)
        self._parts.clear()


def _marked(body: str) -> list[str]:
    parser = _Texts()
    try:
        parser.feed(body[:MOST])
        parser.close()
    except AssertionError:  # how the parser says that a declaration is none
        pass
    parser.end_text()
    return parser.texts
