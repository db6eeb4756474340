"""Texts of answers: whatever form a product gives them in, what was written into it is among them."""

from __future__ import annotations

import html
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clients.texts import texts_of

WRITTEN = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1)


def answer(body: str, media: str) -> httpx.Response:
    return httpx.Response(200, content=body.encode(), headers={"Content-Type": f"{media}; charset=utf-8"})


@given(WRITTEN, WRITTEN)
def test_what_was_written_is_a_text_of_the_answer(text: str, other: str) -> None:
    for body, media in (
        (json.dumps({"a": [{"b": text}], "c": other}), "application/json"),
        (f"<r xmlns='urn:x'><t>\n {html.escape(text)}</t><o>{html.escape(other)}</o></r>", "application/xml"),
        (f"<r><t a='{html.escape(text)}'/><o>{html.escape(other)}</o></r>", "application/vnd.vendor+xml"),
        (f"<!doctype html><p>{html.escape(other)}<br><b>{html.escape(text)}</b>", "text/html"),
    ):
        assert {text, other} <= set(texts_of(answer(body, media))), body
    assert texts_of(answer(f"x{text}", "text/plain")) == [f"x{text}"]


def test_marked_sections_and_entities_of_xml() -> None:
    head = "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
    body = f"{head}<r><t><![CDATA[a <b> & c]]></t>&e;</r>"
    assert "a <b> & c" in texts_of(answer(body, "text/xml"))
    assert not any("root:" in text for text in texts_of(answer(body, "text/xml")))


@given(st.text())
@pytest.mark.parametrize("media", ["text/html", "application/xml"])
def test_any_body_has_texts(media: str, body: str) -> None:
    assert texts_of(answer("<!" + body, media))[-1] == "<!" + body
