"""The compatibility table of a product's SQL, as a workbook and for a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.model.finding import ScanResult
from harness.model.sqlrow import SqlAnswer, SqlRow
from harness.report.spreadsheet import workbook

OUTCOMES = {
    "refused": "不接受或含义不同 refused, or means something else",
    "noted": "提示 noted",
    "clear": "未发现问题 nothing found",
    "unknown": "不能断定 not known",
    "other": "文件用于其他数据库 its file is for another database",
}
READINGS = {
    "parsed": "已解析 parsed",
    "words": "逐词 word by word",
    "line": "客户端命令 line for a client",
    "damaged": "损坏 without its quotes",
}
BASES = {
    "named": "按名称 named",
    "recognised": "已识别 recognised",
    "declared": "已声明 declared",
    "guessed": "推测 guessed",
    "unknown": "不明 unknown",
}
_HEADS = {
    "语句 Statements": (
        "文件 file",
        "行 line",
        "语句 statement",
        "方言 dialect",
        "方言依据 basis",
        "读取方式 reading",
        "数据库 database",
        "模式 mode",
        "判断 outcome",
        "规则 rules",
        "所涉 words",
        "建议改写 suggested rewriting",
        "实测 answered",
        "服务器的话 its words",
    ),
    "数据库 Databases": ("数据库 database", "模式 mode", *OUTCOMES.values()),
}
PROOFS = {
    "accepted": "已接受 accepted",
    "refused": "已拒绝 refused",
    "open": "未定：缺表、已存在或无权限 open: a table, a row or a right",
    "not-sent": "未发送 not sent",
}
#: Rows that a page shows; a workbook has all of them.
SHOWN = 500


def render_sql_xlsx(result: ScanResult) -> bytes:
    """The table as XLSX: a row for each statement and database, and a sheet with their numbers."""
    counts = [(name, mode, *numbers.values()) for (name, mode), numbers in counted(result.sql).items()]
    return workbook(_HEADS, {"语句 Statements": _lines(result.sql), "数据库 Databases": counts})


def _lines(rows: Sequence[SqlRow]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        statement = row.statement
        for answer in row.answers:
            yield (
                statement.place,
                statement.line,
                statement.text,
                statement.dialect,
                BASES[statement.basis],
                READINGS[statement.reading],
                answer.database,
                answer.mode,
                OUTCOMES[answer.outcome],
                ", ".join(answer.rules),
                ", ".join(answer.whats),
                answer.rewriting,
                PROOFS[answer.proof] if answer.proof is not None else "",
                answer.said,
            )


def counted(rows: Sequence[SqlRow]) -> dict[tuple[str, str], dict[str, int]]:
    """Database and mode -> outcome -> number of statements."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        for answer in row.answers:
            numbers = counts.setdefault((answer.database, answer.mode), dict.fromkeys(OUTCOMES, 0))
            numbers[answer.outcome] += 1
    return counts


def troubled(rows: Sequence[SqlRow]) -> list[tuple[SqlRow, list[SqlAnswer]]]:
    """Statements that some database may refuse, or of which too little is known, with those databases."""
    every = []
    for row in rows:
        against = [each for each in row.answers if each.outcome in ("refused", "noted") or each.proof == "refused"]
        if against:
            every.append((row, against))
    return every[:SHOWN]
