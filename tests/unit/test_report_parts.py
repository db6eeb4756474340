"""Parts of a report: dates at the issuer's place, people, case tables, defects, network pictures, round axes."""

from __future__ import annotations

import dataclasses
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.model.definitions import Commission, IssuerProfile, Text
from harness.model.results import Fidelity, Measurement, Result
from harness.model.view import CellView
from harness.presentation.dates import day, days, minutes, written
from harness.presentation.numbers import ranges
from harness.report.casetables import actual
from harness.report.charts import _rounded, matrices, steps
from harness.report.document import Issuing, content
from harness.report.topology import topology
from tests.unit.test_report import CONDITIONS, DIGESTS, SELF_TEST, TEMPLATES, first_cells, view

WORDS = TEMPLATES.wording()


def parts(shown: Any, profile: IssuerProfile = SELF_TEST, **commission: Any) -> dict[str, Any]:
    issuing = Issuing(
        number="XR-1", issued="2026-11-25T23:30:00+00:00", profile=profile, commission=Commission(**commission)
    )
    return content(shown, WORDS, issuing, DIGESTS)


def test_a_day_is_that_of_the_issuers_place() -> None:
    morning = "2026-11-25T23:30:00+00:00"  # half past seven of the next day in Beijing
    assert day(morning, "+08:00") == {"zh": "2026年11月26日", "en": "2026-11-26"}
    assert day(morning, "-05:00")["en"] == "2026-11-25"
    assert minutes(morning, "+08:00") == "2026-11-26 07:30 +08:00"
    assert minutes("2026-11-25T23:30:00", "+05:30") == "2026-11-26 05:00 +05:30", "a record's time is UTC"
    assert days(morning, "2026-11-26T15:59:59+00:00", "+08:00")["zh"] == "2026年11月26日"
    assert days(morning, "2026-11-26T16:00:00+00:00", "+08:00")["zh"] == "2026年11月26日至2026年11月27日"
    assert [day("", "+08:00")["zh"], minutes("x", "+08:00"), written("2026-02-30")["zh"]] == ["—", "—", "2026-02-30"]


def test_cover_and_general_facts_carry_the_issuers_dates() -> None:
    shown = dataclasses.replace(
        first_cells(view(), 2), created="2026-11-24T23:30:00+00:00", finished="2026-11-25T16:30:00+00:00"
    )
    east, west = (parts(shown, SELF_TEST.model_copy(update={"utc_offset": at})) for at in ("+08:00", "-08:00"))
    dated = [
        {row["name"]["zh"]: row["value"] for row in data["cover"] if "日期" in row["name"]["zh"]}
        for data in (east, west)
    ]
    assert dated[0]["签发日期"]["zh"] == "2026年11月26日"
    assert dated[0]["测试日期"]["zh"] == "2026年11月25日至2026年11月26日"
    assert dated[1]["签发日期"]["zh"] == "2026年11月25日"
    assert east["overview"]["revisions"][0]["day"]["en"] == "2026-11-26"


def test_people_sign_with_a_day_or_leave_a_line() -> None:
    days_of = {"approver": "2026-11-27"}
    data = parts(first_cells(view(), 1), author="赵", tester="张", reviewer="李", approver="王", signed_on=days_of)
    assert [(p["role"]["zh"], p["name"], p["day"]) for p in data["people"]] == [
        ("编制（主检）", "赵", None),
        ("测试", "张", None),
        ("审核", "李", None),
        ("批准", "王", {"zh": "2026年11月27日", "en": "2026-11-27"}),
    ]
    alone = parts(first_cells(view(), 1), tester="张")
    assert [p["name"] for p in alone["people"]] == ["张", "", ""]
    with pytest.raises(ValidationError, match="neither reviews nor approves"):
        Commission(author="李", reviewer="李")


def test_what_only_people_know_is_printed_and_not_made_up() -> None:
    shown = first_cells(view(), 1)
    bare, full = (
        {row["name"]["zh"]: row["value"] for row in data["cover"]}
        for data in (
            parts(shown),
            parts(
                shown,
                sample="S-7",
                order="T-9",
                producer=Text(zh="生产公司", en="Maker"),
                applicant=Text(zh="申请公司", en="Applicant"),
                category=Text(zh="委托检验", en="commissioned"),
            ),
        )
    )
    assert (bare["样品编号"], bare["任务单号"], bare["测试类别"]["zh"]) == ("—", "—", "自测")
    assert (full["样品编号"], full["任务单号"], full["测试类别"]["zh"]) == ("S-7", "T-9", "委托检验")
    assert (full["生产单位"]["zh"], full["委托单位"]["zh"]) == ("生产公司", "申请公司")
    center = SELF_TEST.model_copy(update={"category": None, "notices": (Text(zh="自有声明", en="own"),)})
    data = parts(shown, center)
    assert next(row["value"] for row in data["cover"] if row["name"]["zh"] == "测试类别") == "—"
    assert [notice["zh"] for notice in data["notices"]] == ["自有声明"]
    place = next(row["value"] for row in data["general"] if row["name"]["zh"] == "测试地点")
    assert "用户态仿真" in place["zh"]
    assert "实体机" not in place["zh"]


def test_cells_that_ended_alike_share_a_line_of_a_case() -> None:
    """Cells 2 and 3 of four differ; two campaigns of the same cases do not touch each other."""
    tables = parts(first_cells(view({1: Result.FAIL, 2: Result.ERROR}, detail="seen"), 4))["tables"]
    case = tables[0]["cases"][0]
    assert [(group["cells"], group["result"]["word"]) for group in case["groups"]] == [
        ("1、4", "pass"),
        ("2", "fail"),
        ("3", "error"),
    ]
    assert case["steps"]["zh"] != "—"
    assert [group["cells"] for group in tables[1]["cases"][0]["groups"]] in (["1–4"], ["1、4", "2–3"])
    untried = parts(first_cells(view(tested=1), 3))["tables"][0]["cases"][1]["groups"]
    assert [(group["cells"], group["result"]["word"]) for group in untried] == [("1", "pass"), ("2–3", "miss")]
    assert all(case["id"] not in ("ISA-1", "ELF-1") for suite in tables for case in suite["cases"])


@given(st.sets(st.integers(1, 60), min_size=1))
def test_numbers_in_short_are_those_numbers(numbers: set[int]) -> None:
    again: set[int] = set()
    for run in ranges(sorted(numbers)).split("、"):
        first, _, last = run.partition("–")
        again |= set(range(int(first), int(last or first) + 1))
    assert again == numbers


def test_a_figure_stands_once_and_with_its_unit() -> None:
    (first, *_), word = view().cells[0].cases, "p95"

    def of(detail: str, value: float, unit: str = "ms", name: str = word) -> list[str]:
        return actual(
            dataclasses.replace(first, detail=detail, measurements=(Measurement(name=name, value=value, unit=unit),)),
            WORDS,
        )

    assert of("p95 6.9 ms, threshold 250 ms", 6.87) == ["p95 6.9 ms, threshold 250 ms"]
    assert of("p95 6.9 ms", 8.1) == ["p95 = 8.1 ms", "p95 6.9 ms"], "another figure is not hidden"
    assert of("xp95 6.9", 6.9) == ["p95 = 6.9 ms", "xp95 6.9"]
    assert of("error rate 0.00%", 0.0, "1", "error rate") == ["error rate = 0", "error rate 0.00%"]
    assert of("", 12.5, "1/s", "throughput") == ["throughput = 12.5/s"]


def test_defects_are_counted_by_class_and_can_be_reproduced() -> None:
    shown = first_cells(view({0: Result.FAIL, 1: Result.FAIL, 2: Result.ERROR}), 4)
    waiver = {"suite": "deployment", "case": shown.cells[1].cases[0].id}
    shown = dataclasses.replace(
        shown, cells=(shown.cells[0], dataclasses.replace(shown.cells[1], waived=(waiver,)), *shown.cells[2:])
    )
    data = parts(
        dataclasses.replace(
            shown,
            cells=tuple(
                dataclasses.replace(
                    c,
                    waived=tuple(
                        {**w, "because": "b", "approved_by": "a", "evidence": "e", "expires": "x"} for w in c.waived
                    ),
                )
                for c in shown.cells
            ),
        )
    )
    counts = {row["severity"]["en"]: (row["cases"], row["open"], row["waived"]) for row in data["defects"]}
    assert counts["serious"] == (1, 1, 1)
    assert counts["fatal"] == counts["suggestion"] == (0, 0, 0)
    assert counts["not completed, severity not known"] == (1, 1, 0)
    first = data["incidents"][0]
    assert first["number"] == 1
    assert first["steps"]["zh"]
    axes = shown.cells[0].axes
    assert (
        first["command"]
        == "harness run FOLDER " + " ".join(f"--only {k}={v}" for k, v in axes.items()) + " --case DEP-0"
    )


def drawn(cell: CellView) -> str:
    return "|".join(ET.fromstring(str(topology(cell, "产品", CONDITIONS, WORDS))).itertext())


def test_the_picture_of_a_network_has_the_machines_of_its_cell() -> None:
    cell = view().cells[1]
    text = drawn(cell)
    assert "控制机 controller" in text
    assert "容器网络" in text
    assert "数据库机器" not in text, "the database is on the product's machine"
    apart = dataclasses.replace(cell, axes={**cell.axes, "database_os": "debian-13"}, fidelity=Fidelity.PHYSICAL)
    assert "数据库机器 database" in drawn(apart)
    assert "debian-13" in drawn(apart)
    assert "实验室网络" in drawn(apart)
    served = {
        "machine": "database",
        "name": "database server",
        "declared": "",
        "observed": "db.example:5432",
        "holds": True,
    }
    assert "db.example:5432" in drawn(dataclasses.replace(cell, attestation=(served,)))
    odd = dataclasses.replace(cell, version="<b>&'" + "长" * 300)
    assert "<b>&'" in drawn(odd)
    assert "长" * 60 not in drawn(odd), "a long name stays in its box"


def test_emulated_fields_are_hatched_and_named_by_the_wording() -> None:
    emulated, native = (str(matrices(view(fidelity=kind), WORDS)[0]) for kind in ("user-emulated", "container"))
    assert emulated.count("url(#hatch)") == 12
    assert native.count("url(#hatch)") == 0
    own = type(WORDS)({**WORDS.words, "verdict": {**WORDS.words["verdict"], "conformant": ("合格", "approved")}})
    assert "合格 approved" in str(matrices(view(), own)[0])
    assert "环境准备 environment" in str(
        steps(dataclasses.replace(view().cells[0], seconds={"environment": 2.0}), WORDS)
    )


@given(st.floats(1e-6, 1e9))
def test_axes_end_at_round_numbers(high: float) -> None:
    end = _rounded(high)
    assert high <= end <= 2.6 * high
    assert len(f"{end / 2:.4g}".replace(".", "").strip("0").split("e")[0].rstrip("0")) <= 2
