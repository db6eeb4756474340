"""Reports show what was recorded, and certificates are refused or named after what was shown."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pypdfium2
import pytest

from harness.campaigns import choosing
from harness.campaigns.snapshot import deployment_suite
from harness.campaigns.snapshot import snapshot as snapshot_of
from harness.certify.certificate import not_applicable, render_certificate
from harness.certify.policy import decide
from harness.certify.statement import Issue
from harness.errors import DefinitionError
from harness.model.definitions import IssuerProfile
from harness.model.plan import Plan
from harness.model.records import AttemptFacts, AttemptRow, CampaignRow
from harness.model.results import Cause, Observation, Result, SkipReason, State, Verdict
from harness.model.view import AttemptView, CampaignView, CellView
from harness.presentation import Presentation
from harness.reading.parsing import parse
from harness.report import build_view, campaign_summary, full_record, render_html, render_junit
from harness.report.document import Issuing, render_document
from harness.report.document import content as document_content
from harness.report.spreadsheet import compatibility_list, render_xlsx
from harness.report.view import MOST_SAMPLES, _thinned

ROOT = Path(__file__).parents[2]
TEMPLATES = Presentation((ROOT / "reports",))
CONDITIONS = {
    "harness": "0",
    "python": "3",
    "tools": {"pytest": "1", "locust": "2"},
    "engine": "20",
    "kernel": "6",
    "machine": "x86_64",
    "cpus": 2,
    "memory": 2**33,
    "system": "Debian",
    "storage": "overlay2",
}


@functools.cache
def planned() -> tuple[Plan, dict[str, Any]]:
    """The plan of PowerDNS and its snapshot; read, never changed."""
    definitions, plan = choosing.plan_of(ROOT / "matrices" / "powerdns")
    return plan, snapshot_of(definitions, plan, deployment_suite())


def view(
    results: dict[int, Result] | None = None, *, tested: int = 12, fidelity: str = "user-emulated", detail: str = "why"
) -> CampaignView:
    """PowerDNS with made-up results: ``results`` maps a cell's index to the result of its first case."""
    plan, snapshot = planned()
    row = CampaignRow(
        id="20260101-abc",
        created="2026-01-01T00:00:00",
        finished=None,
        matrix="powerdns",
        folder="/x",
        plan_digest=plan.digest,
        plan=snapshot,
        options={},
        conditions=CONDITIONS,
        verdict=None,
    )
    attempts, seen = [], {}
    for index, cell in enumerate(plan.cells[:tested]):
        first = (results or {}).get(index, Result.PASS)
        found = {Result.PASS: Verdict.CONFORMANT, Result.FAIL: Verdict.NONCONFORMANT}.get(first, Verdict.INCONCLUSIVE)
        observations = []
        for suite in [snapshot["deployment"], *snapshot["suites"].values()]:
            for number, case in enumerate(suite["cases"]):
                result = first if suite["suite"] == "deployment" and number == 0 else Result.PASS
                observations.append(
                    Observation(
                        case=case["id"],
                        suite=suite["suite"],
                        result=result,
                        detail=detail if result is first else "",
                        cause=Cause.INFRA if result in (Result.ERROR, Result.MISS) else None,
                        skip_reason=SkipReason.OPERATOR if result is Result.SKIP else None,
                    )
                )
        seen[cell.id, 1] = observations
        attempts.append(
            AttemptRow(
                cell=cell.id,
                number=1,
                state=State.DONE,
                verdict=found,
                cause=None,
                message="",
                started="2026-01-01",
                finished="2026-01-01T01:00:00",
                facts=AttemptFacts.model_validate({"fidelity": fidelity, "seconds": {"total": 1.0}}),
            )
        )
    return build_view(row, attempts, seen, [], lambda _digest: b"", "h" * 64)


def first_cells(shown: CampaignView, count: int) -> CampaignView:
    """For what a document does with any cell: to set all twelve takes seconds."""
    return dataclasses.replace(shown, cells=shown.cells[:count])


def test_no_cell_of_the_plan_is_left_out() -> None:
    partly = view(tested=3)
    assert len(partly.cells) == 12
    assert partly.coverage == {
        "declared": 24,
        "planned": 12,
        "tested": 3,
        "waived": 0,
        "not_applicable": 12,
        "not_selected": 0,
        "not_tested": 9,
    }
    assert partly.verdict is Verdict.INCONCLUSIVE
    assert len(campaign_summary(partly, {})["cells"]) == 12


SELF_TEST = parse(TEMPLATES.path("issuers/self-test.yaml"), IssuerProfile)
DIGESTS = {"report": "0" * 64, "html": "1" * 64, "json": "2" * 64}
ISSUE = Issue(
    number="XC-1",
    report_number="XR-1",
    issuer="Test",
    issued="2026-01-02T03:04:05+00:00",
    valid_until=None,
    type="Certificate",
)


def pdf_text(pdf: bytes) -> str:
    """All text, without spaces: where lines break is not ours to say."""
    return "".join("".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(pdf)).split())


def certificate(shown: CampaignView, **more: Any) -> bytes:
    kind = decide(shown, SELF_TEST).kind
    assert kind is not None
    return render_certificate(shown, TEMPLATES, SELF_TEST, kind, ISSUE, DIGESTS, **more)[0]


def test_a_certificate_with_waivers_says_so_everywhere() -> None:
    shown = view()
    waiver = {
        "suite": "s",
        "case": "HTTP-3",
        "because": "known fault 17",
        "approved_by": "QA lead",
        "evidence": "ticket 17",
        "expires": "2027-01-31",
    }
    first = dataclasses.replace(shown.cells[0], verdict=Verdict.CONDITIONAL, waived=(waiver,))
    shown = dataclasses.replace(shown, verdict=Verdict.CONDITIONAL, cells=(first, *shown.cells[1:]))
    text = pdf_text(certificate(shown))
    assert "预适配证书（带条件）" in text
    assert "全部通过" not in text
    assert "Allplannedcells" not in text
    assert "12个单元中，11个通过，1个带条件通过" in text
    assert "Of12plannedcells11areconformantand1conditional" in text
    for words in ("knownfault17", "QAlead", "ticket17", "2027-01-31", "豁免waived1"):
        assert words in text, words


def test_cases_that_did_not_apply_stand_among_the_limits_of_a_certificate() -> None:
    """Two cells lack one case of a suite; the steps of a deployment were not asked for."""
    shown = view()

    def without(cell: CellView) -> CellView:
        left_out = {"DB-02", "DEP-8"}
        cases = tuple(
            dataclasses.replace(case, result=Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE)
            if case.id in left_out
            else case
            for case in cell.cases
        )
        return dataclasses.replace(cell, cases=cases)

    cells = (without(shown.cells[0]), without(shown.cells[1]), *shown.cells[2:])
    (line,) = not_applicable(dataclasses.replace(shown, cells=cells))
    assert line["en"] == "Not applicable, in so many cells: compat/database: DB-02 (2)."
    assert not_applicable(shown) == []


def test_junit_has_one_suite_a_cell() -> None:
    shown = view({1: Result.FAIL})
    root = ET.fromstring(render_junit(shown))
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites[::2]] == [cell.id for cell in shown.cells]
    assert [suite.get("name") for suite in suites[1::2]] == [f"{cell.id} (static)" for cell in shown.cells]
    for suite, cell in zip(suites[1::2], shown.cells, strict=True):
        assert len(suite.findall("testcase")) == int(suite.get("tests") or 0) == len(cell.scanned) > 50
        assert suite.find("properties/property[@name='fidelity']").get("value") == "static"  # type: ignore[union-attr]
    for suite, cell in zip(suites[::2], shown.cells, strict=True):
        assert len(suite.findall("testcase")) == int(suite.get("tests") or 0) == len(cell.ran) > 20
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
    assert html.count("<script") == html.count("</script>") == 2, "text of a product became markup"
    assert html_data(hostile)["cells"][0]["results"][0][5].startswith("<script>alert(1)</script>")
    text = "".join(e.text or "" for e in ET.fromstring(render_junit(hostile)).iter("failure"))
    assert "<script>alert(1)</script>" in text
    assert "𬱖" in text


def test_what_a_product_prints_is_no_template() -> None:
    """Marks of Typst, control characters, half a character: text in the documents, and nothing else."""
    marks = "#panic() $x$ *b* @ref <lab> `raw` // /* ]} 𬱖"
    hostile = first_cells(view({0: Result.FAIL}, detail=f"{marks}\x00\x1b[31m\ud800"), 1)
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=SELF_TEST)
    text = pdf_text(render_document(hostile, TEMPLATES, issuing, DIGESTS)[0]).replace("\u200b", "")
    assert "".join(marks.split()) in text
    named = dataclasses.replace(view(), application={**view().application, "name": {"zh": marks, "en": "#x"}})
    assert "".join(marks.split()) in pdf_text(certificate(named))
    for nothing in (first_cells(view(), 0), first_cells(view(tested=0), 1)):
        assert render_document(nothing, TEMPLATES, issuing, DIGESTS)[0].startswith(b"%PDF")


@pytest.mark.parametrize("line", ['#import "@preview/x:1.0.0": y', '#include "@local/x:1.0.0"'])
def test_a_template_fetches_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / "report.typ").write_text(line)
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=SELF_TEST)
    with pytest.raises(DefinitionError, match="packages are not fetched"):
        render_document(view(tested=1), Presentation((tmp_path, ROOT / "reports")), issuing, DIGESTS)


def html_data(shown: CampaignView) -> Any:
    html = render_html(shown, TEMPLATES).decode()
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(found)


def test_the_html_has_every_cell_and_result() -> None:
    shown = view({0: Result.FAIL, 1: Result.ERROR})
    data = html_data(shown)
    assert [cell["id"] for cell in data["cells"]] == [cell.id for cell in shown.cells]
    for cell, there in zip(shown.cells, data["cells"], strict=True):
        told = [(data["cases"][one[0]]["id"], one[1], one[5]) for one in there["results"]]
        assert told == [(case.id, case.result.value, case.detail) for case in cell.cases]


def test_the_record_is_plain_json_with_the_whole_plan() -> None:
    record = full_record(view())
    assert record["coverage"]["planned"] == 12
    assert {case["result"] for cell in record["cells"] for case in cell["cases"]} == {"pass"}


def test_a_centers_own_wording_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "wording.yaml").write_text("verdict: {conformant: {zh: 合格, en: approved}}", encoding="utf-8")
    own = Presentation((tmp_path, ROOT / "reports"))
    assert own.wording().both("verdict", "conformant") == "合格 approved"
    assert own.wording().both("verdict", "conditional") == "带条件通过 conditional", "the rest stays as shipped"
    assert '["合格","approved"]' in render_html(view(), own).decode()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("wording.yaml", "verdict: [a]", r"wording\.yaml:1:10: input should be a valid dictionary"),
        ("report.html.j2", "{{ ''.__class__.__mro__ }}", "template fault: access to attribute '__class__'"),
        ("report.html.j2", "\n{{ view.nothing }}", "template fault"),
        ("report.html.j2", "\n{% if %}", "template fault"),
    ],
)
def test_a_faulty_file_of_a_center_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DefinitionError, match=told):
        render_html(view(), Presentation((tmp_path, ROOT / "reports")))


def test_attempts_that_were_made_again_are_incidents_of_the_report() -> None:
    """A cell that passed at its second attempt did not go through at once, and the report says why."""
    one = view({3: Result.FAIL})
    again = [
        AttemptView(
            number=number,
            verdict=Verdict.INCONCLUSIVE,
            cause=Cause.INFRA,
            message=f"this machine was busy {number}\nmore",
            started="2026-01-01T00:00:00",
            finished=None,
        )
        for number in (1, 2)
    ]
    cells = [
        dataclasses.replace(cell, attempts=(*again[: 2 - index], *cell.attempts)) if index < 2 else cell
        for index, cell in enumerate(one.cells)
    ]
    one = dataclasses.replace(one, cells=tuple(cells[:4]))
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=SELF_TEST)
    rows = document_content(one, TEMPLATES.wording(), issuing, DIGESTS)["incidents"]
    assert [(row["id"], row["detail"], row["status"]["en"]) for row in rows[:3]] == [
        ("I-1 attempt 1", "this machine was busy 1", "made again"),
        ("I-2 attempt 2", "this machine was busy 2", "made again"),
        ("I-3 attempt 1", "this machine was busy 1", "made again"),
    ]
    assert rows[0]["severity"]["en"] == "inconclusive"
    assert rows[0]["cell"] == " × ".join(one.cells[0].axes.values()) != rows[2]["cell"]
    assert [row["status"]["en"] for row in rows[3:]] == ["open"]
    pdf = re.sub(r"\W", "", pdf_text(render_document(one, TEMPLATES, issuing, DIGESTS)[0]))  # breaks of lines too
    assert pdf.count("thismachinewasbusy1") == 2


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
    data = html_data(one)
    assert {r: sum(x[1] == r for cell in data["cells"] for x in cell["results"]) for r in counts} == counts
    assert dict(data["coverage"]) == one.coverage
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=SELF_TEST)
    told = document_content(one, TEMPLATES.wording(), issuing, DIGESTS)
    ran = [sum(column) for column in zip(*(c["counts"] for c in told["cells"]), strict=True)]
    static = [sum(column) for column in zip(*(c["static"] for c in told["cells"]), strict=True)]
    assert [sum(pair) for pair in zip(ran, static, strict=True)] == list(counts.values())
    assert [total["counts"] for total in told["totals"]] == [ran, static]
    assert static[0] > ran[0] / 2 > 0
    grouped = [group for suite in told["tables"] for case in suite["cases"] for group in case["groups"]]
    assert {group["result"]["word"] for group in grouped} == {"pass", "fail", "error", "skip"}
    assert [sum(column) for column in zip(*(c["counts"] for c in told["trace"]), strict=True)] == list(counts.values())
    assert {c["en"]: c["count"] for c in told["coverage"]}.keys() == {w.replace("_", " ") for w in one.coverage}
    pdf = pdf_text(render_document(one, TEMPLATES, issuing, DIGESTS)[0])
    first = one.cells[0]
    assert "".join(str(sum(case.result is result for case in first.ran)) for result in Result) in pdf
    again = sum(len(cell.attempts[1:]) for cell in one.cells)
    assert len(told["incidents"]) == counts["fail"] + counts["error"] + again
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx(one, TEMPLATES.wording())), read_only=True)
    items = {row[0]: row[1] for row in book["概要 Summary"].iter_rows(values_only=True)}
    assert {r: items[f"测试项 cases: {r}"] + items[f"静态规则 static rules: {r}"] for r in counts} == counts
    assert items["静态规则 static rules: pass"] == static[0]
    assert {word: items[f"覆盖 coverage: {word}"] for word in one.coverage} == one.coverage
    cases = list(book["测试项 Cases"].iter_rows(values_only=True))[1:]
    words = TEMPLATES.wording()
    assert {r: sum(row[11] == words.both("result", r) for row in cases) for r in counts} == counts
    cells = list(book["单元 Cells"].iter_rows(values_only=True))[1:]
    verdicts = [cell.verdict.value for cell in one.cells]
    assert [row[7] for row in cells] == [words.both("verdict", verdict) for verdict in verdicts]
    assert [row["verdict"] for row in compatibility_list(one)] == verdicts
    good = view()
    text = pdf_text(certificate(good))
    assert f"计划planned{good.coverage['planned']}；已测tested{good.coverage['tested']}" in text


def test_no_text_of_a_product_becomes_a_formula() -> None:
    one = first_cells(view({0: Result.FAIL}, detail='=HYPERLINK("http://example.org")\x07' + "x" * 40_000), 1)
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx(one, TEMPLATES.wording())))
    cell = book["测试项 Cases"]["N2"]
    assert cell.data_type == "s"
    assert str(cell.value).startswith("=HYPERLINK")
    assert len(str(cell.value)) <= 32_767


def test_a_load_of_hours_is_shown_by_its_slowest_and_wrong_answers() -> None:
    samples = [[number / 10, 5.0 if number % 100 else 80.0, 5.0, number != 70_001] for number in range(100_000)]
    shown = _thinned({"samples": samples, "ramp": 0})
    assert len(shown["samples"]) == MOST_SAMPLES
    assert sum(1 for one in shown["samples"] if one[1] == 80.0) == 999
    assert [one[0] for one in shown["samples"] if not one[3]] == [7000.1]
    assert _thinned({"samples": samples[:50]})["samples"] == samples[:50]
