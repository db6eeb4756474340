"""The report for Word: the content of the PDF, whole, well-formed, and the same bytes for the same content."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from typing import Any
from xml.etree import ElementTree as ET

import docx
import pytest

from harness.model.definitions import Commission, Text
from harness.model.results import Result
from harness.model.view import CampaignView
from harness.report.document import Issuing, content
from harness.report.word import render_word
from tests.unit.test_rendering_is_total import ODD
from tests.unit.test_report import DIGESTS, ISSUE, SELF_TEST, TEMPLATES, first_cells, view

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
ISSUING = Issuing(
    number="XR-1",
    issued=ISSUE.issued,
    profile=SELF_TEST,
    commission=Commission(applicant=Text(zh="示例公司", en="Example Ltd"), tester="张三", sample="S-1"),
)


def two_cells() -> CampaignView:
    return first_cells(view({1: Result.FAIL}), 2)


def body(data: bytes) -> ET.Element:
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        assert parts.testzip() is None
        for name in parts.namelist():
            if name.endswith((".xml", ".rels")):
                ET.fromstring(parts.read(name))
        found = ET.fromstring(parts.read("word/document.xml")).find(f"{W}body")
    assert found is not None
    return found


def text_of(element: Any) -> str:
    return "".join("".join(node.text or "" for node in element.iter(f"{W}t")).split())


def test_a_word_report_holds_what_the_pdf_holds() -> None:
    shown = two_cells()
    data = content(shown, TEMPLATES.wording(), ISSUING, DIGESTS)
    whole = text_of(body(render_word(shown, TEMPLATES, ISSUING, DIGESTS)))

    def demand(value: Any) -> None:
        """Every text of the content, and none that only steers the template."""
        if isinstance(value, dict):
            for key, child in value.items():
                if key not in ("word", "state", "unverified", "short", "strategy", "logo", "message"):
                    demand(child)
        elif isinstance(value, list):
            for child in value:
                demand(child)
        elif isinstance(value, str):
            assert "".join(value.split()) in whole, value

    quiet = {key: data[key] for key in data if key not in ("rules", "cells", "standing-short")}
    demand(quiet)
    for cell in data["cells"]:
        demand({key: cell[key] for key in cell if key not in ("short", "message", "cases", "deployed", "total")})
    assert "可编辑副本，以PDF报告为准" in whole


def test_every_row_of_every_table_fills_its_grid() -> None:
    """A row with too few cells, or a cell without a paragraph, is what Word calls damaged and repairs."""
    tables = list(body(render_word(two_cells(), TEMPLATES, ISSUING, DIGESTS)).iter(f"{W}tbl"))
    assert len(tables) > 40
    for table in tables:
        columns = len(list(table.iter(f"{W}gridCol")))
        for row in table.iter(f"{W}tr"):
            cells = row.findall(f"{W}tc")
            spans = [cell.find(f"{W}tcPr/{W}gridSpan") for cell in cells]
            assert sum(1 if span is None else int(span.get(f"{W}val", "")) for span in spans) == columns, text_of(row)
            assert all(cell.findall(f"{W}p") for cell in cells)
            assert row.find(f"{W}trPr/{W}cantSplit") is not None


def test_the_same_content_gives_the_same_bytes_and_opens_again() -> None:
    shown = two_cells()
    data = render_word(shown, TEMPLATES, ISSUING, DIGESTS)
    assert data == render_word(shown, TEMPLATES, ISSUING, DIGESTS)
    later = dataclasses.replace(ISSUING, issued="2026-05-06T07:08:09+00:00")
    assert data != render_word(shown, TEMPLATES, later, DIGESTS)
    document = docx.Document(io.BytesIO(data))
    headings = [p.text for p in document.paragraphs if p.style is not None and p.style.name == "Heading 1"]
    assert [re.sub(r"[^一-鿿].*", "", heading.split(" ", 1)[1]) for heading in headings] == [
        "概述",
        "一般信息",
        "测试环境",
        "结果汇总",
        "测试用例与结果",
        "各单元结果",
        "追溯",
        "证据",
    ]
    assert len(document.inline_shapes) == 1 + 2 * 2  # the matrix, and of each cell its network and its steps
    saved = io.BytesIO()
    document.save(saved)
    assert text_of(body(saved.getvalue())) == text_of(body(data))


@pytest.mark.parametrize("odd", [ODD, "</w:t></w:r><w:p/>&amp;<!--", "x" * 5000])
def test_text_of_a_product_stays_text(odd: str) -> None:
    shown = first_cells(view({0: Result.FAIL}, detail=odd), 1)
    whole = text_of(body(render_word(shown, TEMPLATES, ISSUING, DIGESTS)))
    assert "Traceback" not in whole
    assert {"</w:t></w:r><w:p/>&amp;<!--": "</w:t></w:r><w:p/>&amp;<!--", "x" * 5000: "x" * 600}.get(
        odd, "<b>&amp;</b>"
    ) in whole


def test_what_was_not_tested_is_not_shown_as_tested() -> None:
    shown = first_cells(view(tested=1), 2)
    whole = text_of(body(render_word(shown, TEMPLATES, ISSUING, DIGESTS)))
    assert "本单元未测试" in whole
    assert "未签名自测样张" in whole
