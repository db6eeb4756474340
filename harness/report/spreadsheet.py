"""Cases and cells as a workbook, and the compatibility list as JSON: what centers file and publish."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.model.results import Result
from harness.model.view import CampaignView, CaseView, CellView
from harness.presentation import Wording
from harness.system.printable import visible

LONGEST = 32_000  #: characters of a cell; Excel takes 32,767
HEADS = {
    "概要 Summary": ("项目 item", "值 value"),
    "单元 Cells": (
        "单元 cell",
        "处理器 CPU",
        "架构 architecture",
        "系统 OS",
        "数据库 database",
        "其他 further",
        "保真度 fidelity",
        "结论 verdict",
        "原因 cause",
        "说明 message",
        "产品版本 version",
        "执行次 attempts",
        *(result.value for result in Result),
        "秒 s",
        "静态规则：通过/全部 static rules",
    ),
    "测试项 Cases": (
        "单元 cell",
        "测试套 suite",
        "编号 id",
        "名称 title",
        "title",
        "质量特性 characteristic",
        "条款 clause",
        "否决 blocker",
        "判定 decides",
        "保真度 fidelity",
        "预期结果 expected",
        "结论 result",
        "原因 cause",
        "实际结果 actual",
        "秒 s",
        "失败的严重程度 severity of a failure",
        "目的 purpose",
        "预置条件 preconditions",
        "步骤 steps",
    ),
    "测量 Measurements": ("单元 cell", "编号 id", "名称 name", "值 value", "单位 unit"),
}


def render_xlsx(view: CampaignView, words: Wording) -> bytes:
    """The campaign as XLSX. Every text is a text: nothing that a product printed becomes a formula."""
    rows: dict[str, Iterable[Sequence[object]]] = {
        "概要 Summary": _summary(view, words),
        "单元 Cells": (_cell(cell, words) for cell in view.cells),
        "测试项 Cases": (_case(cell, case, words) for cell in view.cells for case in cell.cases),
        "测量 Measurements": (
            (cell.short, case.id, m.name, m.value, m.unit)
            for cell in view.cells
            for case in cell.cases
            for m in case.measurements
        ),
    }
    return workbook(HEADS, rows)


def workbook(sheets: Mapping[str, Sequence[str]], rows: Mapping[str, Iterable[Sequence[object]]]) -> bytes:
    """A workbook. Every text is a text. ``sheets``: heads of the columns by title; ``rows``: their rows."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    for title, heads in sheets.items():
        sheet_of(book, title, heads, rows[title])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def sheet_of(book: Any, title: str, heads: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Add a sheet to a workbook that is only written: bold heads, then the rows."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    top = []
    for column, head in enumerate(heads, 1):
        sheet.column_dimensions[get_column_letter(column)].width = 14 if len(head) < 12 else 24
        cell = WriteOnlyCell(sheet, value=head)
        cell.font = Font(bold=True)
        top.append(cell)
    sheet.append(top)
    for row in rows:
        sheet.append([_value(sheet, value) for value in row])


def _value(sheet: Any, value: object) -> Any:
    from openpyxl.cell import WriteOnlyCell

    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, value=visible(value)[:LONGEST])
    cell.data_type = "s"  # openpyxl takes a text that begins with = for a formula
    return cell


def _summary(view: CampaignView, words: Wording) -> Iterable[tuple[object, ...]]:
    yield "任务 campaign", view.id
    yield "产品 product", f"{view.application['name']['zh']} {view.application['name']['en']}"
    yield "结论 verdict", words.both("verdict", view.verdict)
    yield "开始 from", view.created
    yield "结束 to", view.finished
    yield "计划摘要 plan", view.plan_digest
    yield "时长档案 profile", view.profile
    yield "日志链 journal", view.journal_head
    for word, number in view.coverage.items():
        yield f"覆盖 coverage: {word}", number
    for result in Result:
        yield f"测试项 cases: {result.value}", sum(cell.counts[result] for cell in view.cells)
    for result in Result:
        yield (
            f"静态规则 static rules: {result.value}",
            sum(1 for cell in view.cells for case in cell.scanned if case.result is result),
        )


def _cell(cell: CellView, words: Wording) -> tuple[object, ...]:
    return (
        cell.short,
        f"{cell.axes['cpu']} {cell.names['cpu'].zh}",
        cell.architecture,
        f"{cell.axes['os']} {cell.names['os'].zh}",
        f"{cell.axes['database']} {cell.database_version}".strip(),
        cell.further,
        words.both("fidelity", cell.fidelity) if cell.fidelity is not None else "",
        words.both("verdict", cell.verdict),
        cell.cause.value if cell.cause is not None else "",
        cell.message,
        cell.version,
        len(cell.attempts),
        *cell.counts.values(),
        cell.seconds.get("total"),
        cell.silent,
    )


def _case(cell: CellView, case: CaseView, words: Wording) -> tuple[object, ...]:
    cause = (
        case.cause.value if case.cause is not None else case.skip_reason.value if case.skip_reason is not None else ""
    )
    texts = (case.purpose, case.preconditions, case.steps)
    return (
        cell.short,
        case.suite,
        case.id,
        case.title.zh,
        case.title.en,
        case.characteristic,
        case.clause,
        "是 yes" if case.blocker else "否 no",
        "是 yes" if case.decides else "否 no",
        words.both("fidelity", case.fidelity) if case.fidelity is not None else "",
        f"{case.expected.zh} {case.expected.en}" if case.expected is not None else "",
        words.both("result", case.result),
        cause,
        case.detail,
        round(case.seconds, 3),
        words.both("severity", case.severity),
        *(f"{text.zh} {text.en}" if text is not None else "" for text in texts),
    )


def compatibility_list(view: CampaignView) -> list[dict[str, Any]]:
    """Rows of a compatibility list, in the fields of the openEuler one; what is not known of a target is None.

    Every planned cell has its row, with its verdict and fidelity: a list that names passed ones only hides the others.
    """
    application = view.application
    return [
        {
            "hardwareFactory": None,
            "hardwareModel": cell.fact("server model") or None,
            "cpu": cell.axes["cpu"],
            "ram": cell.fact("memory") or None,
            "architecture": cell.architecture,
            "os": cell.axes["os"],
            "osVersion": cell.names["os"].en,
            "kernel": cell.fact("kernel") or None,
            "database": f"{cell.axes['database']} {cell.database_version}".strip(),
            "productInformation": {
                "name": application["name"],
                "vendor": application["vendor"],
                "version": cell.version or application["version"],
            },
            "date": view.created[:10],
            "certificationTime": view.finished[:10] or None,
            "fidelity": cell.fidelity.value if cell.fidelity is not None else None,
            "verdict": cell.verdict.value,
            "waivers": len(cell.waived),
            "campaign": view.id,
        }
        for cell in view.cells
    ]
