"""Reports show what was recorded, and certificates are refused or named after what was shown."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pytest
from pypdf import PdfReader

from harness import campaigns
from harness.campaigns.snapshot import deployment_suite
from harness.campaigns.snapshot import snapshot as snapshot_of
from harness.certify import render_certificate, why_not
from harness.certify.certificate import ADAPTATION, PRE_ADAPTATION, kind_of
from harness.definitions import parse
from harness.presentation import Presentation
from harness.errors import DefinitionError
from harness.evidence import AttemptRow, CampaignRow
from harness.model.definitions import IssuerProfile
from harness.model.results import Cause, Fidelity, Observation, Result, SkipReason, State, Verdict
from harness.model.view import CampaignView
from harness.report import build_view, campaign_summary, full_record, render_html, render_junit
from harness.report.spreadsheet import compatibility_list, render_xlsx

ROOT = Path(__file__).parents[2]
TEMPLATES = Presentation((ROOT / "reports",))
CONDITIONS = {"harness": "0", "python": "3", "tools": {"pytest": "1", "locust": "2"}, "engine": "20", "kernel": "6",
              "machine": "x86_64", "cpus": 2, "memory": 2**33, "system": "Debian", "storage": "overlay2"}  # fmt: skip


def view(results: dict[int, Result] | None = None, *, tested: int = 12, fidelity: str = "user-emulated",
         detail: str = "why") -> CampaignView:  # fmt: skip
    """PowerDNS with made-up results: ``results`` maps a cell's index to the result of its first case."""
    definitions, plan = campaigns.plan_of(ROOT / "matrices" / "powerdns")
    snapshot = snapshot_of(definitions, plan, deployment_suite())
    row = CampaignRow(
        id="20260101-abc", created="2026-01-01T00:00:00", finished=None, matrix="powerdns", folder="/x",
        plan_digest=plan.digest, plan=snapshot, options={}, conditions=CONDITIONS, verdict=None,
    )  # fmt: skip
    attempts, seen = [], {}
    for index, cell in enumerate(plan.cells[:tested]):
        first = (results or {}).get(index, Result.PASS)
        found = {Result.PASS: Verdict.CONFORMANT, Result.FAIL: Verdict.NONCONFORMANT}.get(first, Verdict.INCONCLUSIVE)
        observations = []
        for suite in [snapshot["deployment"], *snapshot["suites"].values()]:
            for number, case in enumerate(suite["cases"]):
                result = first if suite["suite"] == "deployment" and number == 0 else Result.PASS
                observations.append(Observation(
                    case=case["id"], suite=suite["suite"], result=result, detail=detail if result is first else "",
                    cause=Cause.INFRA if result in (Result.ERROR, Result.MISS) else None,
                    skip_reason=SkipReason.OPERATOR if result is Result.SKIP else None,
                ))  # fmt: skip
        seen[cell.id, 1] = observations
        attempts.append(AttemptRow(cell=cell.id, number=1, state=State.DONE, verdict=found,
                                   cause=None, message="", started="2026-01-01", finished="2026-01-01T01:00:00",
                                   facts={"fidelity": fidelity, "seconds": {"total": 1.0}}))  # fmt: skip
    return build_view(row, attempts, seen, [], lambda _digest: b"", "h" * 64)


def test_no_cell_of_the_plan_is_left_out() -> None:
    partly = view(tested=3)
    assert len(partly.cells) == 12
    assert partly.coverage == {"declared": 24, "planned": 12, "tested": 3, "waived": 0, "not_applicable": 12,
                               "not_selected": 0, "not_tested": 9}  # fmt: skip
    assert partly.verdict is Verdict.INCONCLUSIVE
    assert len(campaign_summary(partly, {})["cells"]) == 12


@pytest.mark.parametrize(("made", "told"), [
    (lambda: view({3: Result.FAIL}), "1 of 12 planned cells are nonconformant"),
    (lambda: view({3: Result.ERROR}), "inconclusive"), (lambda: view(tested=11), "not-tested"),
])  # fmt: skip
def test_no_certificate_unless_every_planned_cell_passed(made: Any, told: str) -> None:
    refused = made()
    assert told in why_not(refused)
    with pytest.raises(ValueError, match=told):
        render_certificate(refused, TEMPLATES, "0", "0")


@pytest.mark.parametrize(("fidelity", "kind"), [
    (Fidelity.USER_EMULATED, PRE_ADAPTATION), (Fidelity.CONTAINER, PRE_ADAPTATION), (Fidelity.PHYSICAL, ADAPTATION),
    (Fidelity.KVM, ADAPTATION), (Fidelity.SYSTEM_EMULATED, PRE_ADAPTATION), (Fidelity.STATIC, PRE_ADAPTATION),
])  # fmt: skip
def test_the_certificate_is_called_what_the_fidelity_allows(fidelity: Fidelity, kind: Any) -> None:
    profile = parse(TEMPLATES.path("issuers/self-test.yaml"), IssuerProfile)
    assert kind_of(view(fidelity=fidelity.value), profile) is kind


def test_a_cell_without_known_fidelity_is_never_an_adaptation() -> None:
    profile = parse(TEMPLATES.path("issuers/self-test.yaml"), IssuerProfile)
    assert kind_of(view(tested=0), profile) is PRE_ADAPTATION


def test_a_certificate_with_waivers_says_so_everywhere() -> None:
    shown = view()
    waiver = {"suite": "s", "case": "HTTP-3", "because": "known fault 17", "approved_by": "QA lead",
              "evidence": "ticket 17", "expires": "2027-01-31"}  # fmt: skip
    first = dataclasses.replace(shown.cells[0], verdict=Verdict.CONDITIONAL, waived=(waiver,))
    shown = dataclasses.replace(shown, verdict=Verdict.CONDITIONAL, cells=(first, *shown.cells[1:]))
    assert why_not(shown) == ""
    pages = PdfReader(io.BytesIO(render_certificate(shown, TEMPLATES, "0" * 64, "0" * 64))).pages
    text = "".join("".join(page.extract_text() for page in pages).split())
    assert "预适配证书（带条件）" in text
    assert "全部通过" not in text
    assert "无none" not in text
    assert "Allplannedcells" not in text
    assert "12个单元中，11个通过，1个带条件通过" in text
    assert "Of12plannedcells11areconformantand1conditional" in text
    for words in ("knownfault17", "QAlead", "ticket17", "2027-01-31", "豁免1"):
        assert words in text, words


def test_junit_has_one_suite_a_cell() -> None:
    shown = view({1: Result.FAIL})
    root = ET.fromstring(render_junit(shown))
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == [cell.id for cell in shown.cells]
    for suite, cell in zip(suites, shown.cells, strict=True):
        assert len(suite.findall("testcase")) == int(suite.get("tests") or 0) == len(cell.cases)
        assert suite.find("properties/property[@name='verdict']").get("value") == cell.verdict.value  # type: ignore[union-attr]
    assert int(root.get("tests") or 0) == sum(len(cell.cases) for cell in shown.cells)


def test_junit_keeps_failure_error_and_skip_apart() -> None:
    mixed = view({0: Result.FAIL, 1: Result.ERROR, 2: Result.SKIP, 3: Result.MISS})
    root = ET.fromstring(render_junit(mixed))
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("1", "2", "1")
    kinds = {element.get("type") for element in root.iter("error")}
    assert kinds == {"error/infra", "miss/infra"}


def test_markup_and_control_characters_of_a_product_stay_text() -> None:
    hostile = view({0: Result.FAIL}, detail="<script>alert(1)</script>\x00\x1b[31m]]>\ud800 & 𬱖")
    html = render_html(hostile, TEMPLATES).decode()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    text = "".join(e.text or "" for e in ET.fromstring(render_junit(hostile)).iter("failure"))
    assert "<script>alert(1)</script>" in text
    assert "𬱖" in text


def test_the_html_shows_every_cell_and_result() -> None:
    html = render_html(view({0: Result.FAIL, 1: Result.ERROR}), TEMPLATES).decode()
    assert len(re.findall(r'<section class="page" id="cell-', html)) == 12
    for word in ("不通过", "未完成", "通过", "仅记录"):
        assert word in html


def test_the_record_is_plain_json_with_the_whole_plan() -> None:
    record = full_record(view())
    assert record["coverage"]["planned"] == 12
    assert {case["result"] for cell in record["cells"] for case in cell["cases"]} == {"pass"}


def test_a_centers_own_wording_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "wording.yaml").write_text("verdict: {conformant: {zh: 合格, en: approved}}", encoding="utf-8")
    html = render_html(view(), Presentation((tmp_path, ROOT / "reports"))).decode()
    assert "合格 approved" in html


@pytest.mark.parametrize(("name", "text", "told"), [
    ("wording.yaml", "verdict: [a]", r"wording\.yaml:1:10: input should be a valid dictionary"),
    ("report.html.j2", "\n{{ view.nothing }}", "template fault"), ("report.html.j2", "\n{% if %}", "template fault"),
])  # fmt: skip
def test_a_faulty_file_of_a_center_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DefinitionError, match=told):
        render_html(view(), Presentation((tmp_path, ROOT / "reports")))


def test_the_same_numbers_everywhere() -> None:
    """Verdicts and counts of record, summary, HTML, JUnit, workbook, compatibility list, certificate: one source."""
    one = view({1: Result.FAIL, 2: Result.ERROR, 3: Result.SKIP})
    counts = {result.value: sum(cell.count(result) for cell in one.cells) for result in Result}
    record, summary = full_record(one), campaign_summary(one, {})
    assert {r: sum(c["cases"][r] for c in summary["cells"]) for r in counts} == counts
    assert {r: sum(case["result"] == r for cell in record["cells"] for case in cell["cases"]) for r in counts} == counts
    suites = ET.fromstring(render_junit(one))
    assert int(suites.get("tests", "")) == sum(counts.values())
    assert int(suites.get("failures", "")) == counts["fail"]
    assert int(suites.get("errors", "")) == counts["error"] + counts["miss"]
    assert int(suites.get("skipped", "")) == counts["skip"]
    html = render_html(one, TEMPLATES).decode()
    rows = re.findall(r'<tr><td><a href="#cell-.*?(?=<tr>|</table>)', html, re.DOTALL)
    numbers = [[int(n) for n in re.findall(r'<td class="n">(\d+)\s*(?=<td)', row)][:5] for row in rows]
    assert [sum(column) for column in zip(*numbers, strict=True)] == list(counts.values())
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx(one, TEMPLATES.wording())), read_only=True)
    items = {row[0]: row[1] for row in book["概要 Summary"].iter_rows(values_only=True)}
    assert {r: items[f"测试项 cases: {r}"] for r in counts} == counts
    assert {word: items[f"覆盖 coverage: {word}"] for word in one.coverage} == one.coverage
    cases = list(book["测试项 Cases"].iter_rows(values_only=True))[1:]
    words = TEMPLATES.wording()
    assert {r: sum(row[11] == words.both("result", r) for row in cases) for r in counts} == counts
    cells = list(book["单元 Cells"].iter_rows(values_only=True))[1:]
    verdicts = [cell.verdict.value for cell in one.cells]
    assert [row[7] for row in cells] == [words.both("verdict", verdict) for verdict in verdicts]
    assert [row["verdict"] for row in compatibility_list(one)] == verdicts
    good = view()
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(
        render_certificate(good, TEMPLATES, "0" * 64, "0" * 64))).pages)  # fmt: skip
    assert f"计划 {good.coverage['planned']} 已测 {good.coverage['tested']}" in text


def test_no_text_of_a_product_becomes_a_formula() -> None:
    one = view({0: Result.FAIL}, detail='=HYPERLINK("http://example.org")\x07' + "x" * 40_000)
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx(one, TEMPLATES.wording())))
    cell = book["测试项 Cases"]["N2"]
    assert cell.data_type == "s"
    assert str(cell.value).startswith("=HYPERLINK")
    assert len(str(cell.value)) <= 32_767
