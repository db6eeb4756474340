"""No text and no number of a product or a test loses an output of a campaign."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.certify.certificate import render_certificate
from harness.certify.policy import decide
from harness.evidence import Recorder, Workspace
from harness.model.results import Measurement, Observation, Result
from harness.model.view import CampaignView, CellView
from harness.report import full_record, render_html, render_junit, render_markdown
from harness.report.charts import latency, resources
from harness.report.document import Issuing, content, render_document
from harness.report.sarif import render_campaign_sarif
from harness.report.spreadsheet import compatibility_list, render_xlsx
from harness.system.printable import number_text, one_line, printable, strict_json, visible
from tests.unit.test_report import DIGESTS, ISSUE, SELF_TEST, TEMPLATES, pdf_text
from tests.unit.test_report import view as whole

ISSUING = Issuing(number="R", issued=ISSUE.issued, profile=SELF_TEST)
ODD = "上\ud800 \x00\x1b[31m ' \" <b>&amp;</b> | `x` \u2028 ${x} #{y} \\ \ufffe =1+1"


def view(detail: str = "", cells: int = 1) -> CampaignView:
    """Some cells of a campaign with the first cases of each: documents of it are made in a moment."""
    shown = whole(detail=detail)
    return dataclasses.replace(
        shown, cells=tuple(dataclasses.replace(cell, cases=cell.cases[:3]) for cell in shown.cells[:cells])
    )


def changed(shown: CampaignView, **fields: Any) -> CampaignView:
    """The campaign with other values in its first cell, as ``build_view`` would give it."""
    first, *others = shown.cells
    return printable(dataclasses.replace(shown, cells=(dataclasses.replace(first, **fields), *others)))


def measured(cell: CellView, *measurements: Measurement) -> dict[str, Any]:
    first, *others = cell.cases
    return {"cases": (dataclasses.replace(first, measurements=measurements, detail=ODD), *others)}


def every_output(shown: CampaignView) -> Iterator[bytes]:
    words = TEMPLATES.wording()
    yield strict_json(full_record(shown)).encode()
    yield render_junit(shown)
    yield render_markdown(shown, words).encode()
    yield render_html(shown, TEMPLATES)
    yield render_xlsx(shown, words)
    yield render_campaign_sarif(shown).encode()
    yield strict_json(compatibility_list(shown)).encode()
    yield strict_json(content(shown, words, ISSUING, DIGESTS)).encode()


def strictly(text: bytes) -> Any:
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@given(text=st.text(st.characters(codec=None, exclude_categories=()), max_size=40))
@settings(max_examples=6, deadline=None)
def test_any_text_is_rendered_in_every_output(text: str) -> None:
    shown = view(detail=text + ODD)
    cell = shown.cells[0]
    odd = measured(cell, Measurement(name=text + ODD, value=0.1, unit=text))
    fields = {"message": text + ODD, "notes": (text + ODD,), "version": text, "logs": {"a.log": text + ODD}, **odd}
    record, junit, *_ = every_output(changed(shown, **fields))
    strictly(record)
    ET.fromstring(junit)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_become_null(number: float) -> None:
    shown = view()
    load = {"samples": [], "resources": [], "figures": {"p95": number}, "threshold": 250.0, "ramp": 1.0, "hold": 2.0}
    for output in every_output(changed(shown, loads={"load/http": load}, seconds={"total": 1.0})):
        assert not any(word in output for word in (b"NaN", b"Infinity")) or output.startswith(b"<!DOCTYPE")
    record = strictly(strict_json(full_record(changed(shown, loads={"load/http": load}))).encode())
    assert record["cells"][0]["loads"]["load/http"]["figures"]["p95"] is None


def test_load_without_samples_has_a_picture_that_says_so() -> None:
    empty = {"samples": [], "resources": [], "figures": {}, "threshold": 250.0, "ramp": 1.0, "hold": 2.0}
    assert "no request was answered" in ET.fromstring(str(latency(empty, 250.0))).itertext().__next__()
    half = {**empty, "samples": [[1.0, None, None, False]], "resources": [[0.0, None, 1.0], [1.0, 2.0, None]]}
    ET.fromstring(str(latency(half, 250.0)))
    assert resources(half) == []
    shown = changed(view(), loads={"load/http": empty})
    pdf, _ = render_document(shown, TEMPLATES, ISSUING, DIGESTS)
    assert shown.id in pdf_text(pdf)


def test_each_load_of_a_cell_has_its_pictures() -> None:
    """Two suites that load: both are shown, each by its name and with its own threshold."""
    empty = {"samples": [[1.0, 9.0, 9.0, True]], "resources": [], "figures": {}, "ramp": 1.0, "hold": 2.0}
    both = {"load/http": {**empty, "threshold": 9.5}, "负载/b": {**empty, "threshold": 10.5}}
    shown = changed(view(), loads=both)
    page = render_html(shown, TEMPLATES).decode()
    pdf, _ = render_document(shown, TEMPLATES, ISSUING, DIGESTS)
    for name in both:
        assert f'"suite":"{name}"' in page.replace('": "', '":"')
        assert name in pdf_text(pdf)
    assert page.count("p95") == 2


def test_small_numbers_keep_six_digits_everywhere() -> None:
    shown = view()
    odd = measured(shown.cells[0], Measurement(name="error", value=0.000123456, unit="1"))
    record, junit, _, page, book, *_ = every_output(changed(shown, **odd))
    assert strictly(record)["cells"][0]["cases"][0]["measurements"][0]["value"] == 0.000123456
    assert b"error = 0.000123456" in junit
    assert b'"error",0.000123456' in page
    sheet = openpyxl.load_workbook(io.BytesIO(book))["测量 Measurements"]
    assert [row[3].value for row in sheet.iter_rows(min_row=2)] == [0.000123456]
    data = content(
        changed(shown, **odd),
        TEMPLATES.wording(),
        ISSUING,
        DIGESTS,
    )
    assert data["cells"][0]["cases"][0]["actual"][0] == "error = 0.000123456"
    assert number_text(123456.4) == "123456"


def test_what_needs_no_change_is_not_copied() -> None:
    shown = view()
    assert printable(shown) is shown
    assert printable({"a": [1, "上", None, True]}) == {"a": [1, "上", None, True]}
    assert printable({"a\ud800": (math.nan, "\udfff")}) == {"a\ufffd": (None, "\ufffd")}
    assert visible("a\x00\ud800") == "a\\u0000\ufffd"


def test_one_line_says_that_more_was_left_out() -> None:
    assert one_line("") == ""
    assert one_line(" 1.0 \n") == "1.0"
    assert one_line("IMPLEMENTOR=Debian\nJAVA_VERSION=25\n") == "IMPLEMENTOR=Debian…"
    assert one_line("x" * 100, longest=10) == "x" * 9 + "…"


def test_long_names_leave_table_and_conclusion_on_the_first_page() -> None:
    shown = view()
    every = tuple(
        dataclasses.replace(cell, version=f"{number} " + "word " * 60) for number, cell in enumerate(shown.cells)
    )
    shown = dataclasses.replace(shown, cells=every[:3])
    kind = decide(shown, SELF_TEST).kind
    assert kind is not None
    pdf, _ = render_certificate(shown, TEMPLATES, SELF_TEST, kind, ISSUE, DIGESTS)
    first = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_bounded()
    assert "结论 Conclusion" in first
    assert shown.cells[0].names["os"].zh in first
    assert "authorised by" in first


def test_what_an_adjust_took_from_a_cell_stands_on_the_documents() -> None:
    left = ({"suite": "compat/lifecycle", "because": "Zero 解释器太慢"},)
    shown = changed(view(), left_out=left, adjusted=("Zero 解释器太慢", "更长的时限"))
    kind = decide(shown, SELF_TEST).kind
    assert kind is not None
    pdf, _ = render_certificate(shown, TEMPLATES, SELF_TEST, kind, ISSUE, DIGESTS)
    pages = [page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(pdf)]
    assert "未测套件1" in "".join(pages[0].split())
    assert "compat/lifecycle" in "".join(pages[1:])
    assert "Zero 解释器太慢" in "".join(pages[1:])
    assert "更长的时限" in "".join(pages[1:])
    report, _ = render_document(shown, TEMPLATES, ISSUING, DIGESTS)
    text = pdf_text(report).replace("\u200b", "")
    assert "Zero解释器太慢" in text
    assert "更长的时限" in text


def test_measurements_that_are_no_numbers_are_told_and_not_kept(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    number = place.journal.begin("c", "cell")
    record = Recorder(place.journal, place.store, "c", "cell", number)
    good = Measurement(name="上\ud800", value=1e-5, unit="1")
    bad = [Measurement(name=str(value), value=value, unit="ms") for value in (math.nan, math.inf, -math.inf)]
    record.observe(
        Observation(case="A", suite="s", result=Result.PASS, measurements=(good, *bad), detail="seen"),
        Observation(case="B", suite="s", result=Result.PASS, measurements=(good,)),
    )
    first, second = place.journal.observations("c")["cell", number]
    assert [m.value for m in first.measurements] == [m.value for m in second.measurements] == [1e-5]
    assert first.detail.startswith("seen\n")
    assert first.detail.count("is no number") == 3
    assert second.detail == ""
