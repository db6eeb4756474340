"""The report as a document for Word (.docx): the content of the PDF, to be edited and filed; the PDF is what counts."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.view import CampaignView
from harness.presentation import Presentation
from harness.presentation.typesetting import drawn
from harness.report.blocks import NAVY, RED, SOFT, Box, Paper, begun, both, box, name, packed
from harness.report.document import content, pictures
from harness.report.front import Issuing

COPY = {"zh": "可编辑副本，以 PDF 报告为准", "en": "editable copy; the PDF report is what counts"}
_COLOURS = {"pass": "1F6E43", "conformant": "1F6E43", "fail": RED, "nonconformant": RED}


def render_word(view: CampaignView, presentation: Presentation, issuing: Issuing, digests: Mapping[str, str]) -> bytes:
    """The report as .docx. ``digests``: SHA-256 of ``json`` and ``html``.

    Raises:
        DefinitionError: the wording is faulty.
        InfrastructureError: a font is missing.
    """
    words = presentation.wording()
    data = content(view, words, issuing, digests)
    images = drawn(pictures(view, words))
    header = f"{data['issuer']['name']['zh']}　{data['title']['zh']}　报告编号 {data['number']}"
    paper = begun(header, f"{both(data['standing'])}　{both(COPY)}")
    _cover(paper, data)
    _notices(paper, data)
    _overview(paper, data)
    _general(paper, data)
    _summary(paper, data, images)
    _tables(paper, data)
    _cells(paper, data, images)
    _trace(paper, data)
    moment = datetime.datetime.fromisoformat(issuing.issued).astimezone(datetime.UTC).replace(tzinfo=None)
    return packed(paper.document, f"{data['title']['zh']} {data['number']}", data["issuer"]["name"]["zh"], moment)


def _heads(*pairs: tuple[str, str]) -> list[Box]:
    return [name(zh, en) for zh, en in pairs]


def _pair(text: dict[str, str]) -> Box:
    return box(both(text))


def _said(text: dict[str, str]) -> Box:
    return box(both(text), bold=True, colour=_COLOURS.get(text["word"], SOFT))


def _numbers(numbers: Sequence[int]) -> list[Box]:
    return [box(str(number)) for number in numbers]


def _results(data: Mapping[str, Any]) -> list[Box]:
    return [name(result["zh"], result["en"]) for result in data["results"]]


def _cover(paper: Paper, data: Mapping[str, Any]) -> None:
    marks = "　".join(f"{mark['mark']} {mark['number']}" for mark in data["marks"])
    paper.paragraph(f"{marks}　报告编号 Report No. {data['number']}".strip())
    paper.centred(data["title"]["zh"], 30, bold=True, colour=NAVY)
    paper.centred(data["title"]["en"], 13, colour=SOFT)
    paper.centred(both(data["product"]), 18, bold=True)
    paper.facts(data["cover"])
    paper.paragraph(f"结论 Conclusion：{both(data['verdict'])}", bold=True)
    for sentence in data["conclusion"]:
        paper.paragraph(both(sentence))
    paper.paragraph(both(data["standing"]), bold=True, colour=RED)
    paper.paragraph(both(COPY), colour=RED)
    if data["amends"] is not None:
        paper.paragraph(
            f"本报告替代 this report replaces {data['amends']['number']}：{both(data['amends']['because'])}"
        )
    paper.centred(f"{both(data['issuer']['name'])}　{data['issued']['zh']}　（专用章 place for the seal）", 10)
    paper.page_break()


def _notices(paper: Paper, data: Mapping[str, Any]) -> None:
    paper.centred("注意事项 Notice", 15, bold=True, colour=NAVY)
    for number, notice in enumerate(data["notices"], 1):
        paper.paragraph(f"{number}. {both(notice)}")
    issuer = data["issuer"]
    paper.facts(
        [
            {"name": {"zh": "出具方", "en": "issuer"}, "value": issuer["name"]},
            {"name": {"zh": "地址", "en": "address"}, "value": issuer["address"] or "—"},
            {"name": {"zh": "联系方式", "en": "contact"}, "value": issuer["contact"] or "—"},
        ]
    )
    paper.centred("签署 Signatures", 15, bold=True, colour=NAVY)
    rows = [_heads(("职责", "role"), ("姓名", "name"), ("签字", "signature"), ("日期", "date"))]
    for person in data["people"]:
        signed = both(person["day"]) if person["day"] is not None else "　　　年　　月　　日"
        rows.append([_pair(person["role"]), box(person["name"] or " "), box(" ", " "), box(signed)])
    paper.table((38, 44, 48, 44), rows)
    paper.page_break()
    paper.centred("目录 Contents", 15, bold=True, colour=NAVY)
    paper.contents()
    paper.page_break()


def _overview(paper: Paper, data: Mapping[str, Any]) -> None:
    texts = data["overview"]
    paper.heading(1, "概述 Overview")
    paper.heading(2, "测试目的 Purpose")
    paper.paragraph(both(texts["purpose"]))
    for title, key in (("测试范围 Scope", "scope"), ("测试依据 Basis", "standards"), ("术语与缩略语 Terms", "terms")):
        paper.heading(2, title)
        for text in texts[key]:
            paper.paragraph(both(text), style="List Bullet")
    paper.heading(2, "测试套 Suites")
    rows = [
        _heads(("测试套", "suite"), ("版本", "version"), ("方法", "method"), ("测试项", "cases"), ("摘要", "digest"))
    ]
    rows += [
        [box(both(s["title"]), s["name"]), box(s["version"]), box(s["method"]), box(str(s["cases"])), box(s["digest"])]
        for s in data["suites"]
    ]
    paper.table((60, 18, 46, 18, 32), rows)
    paper.heading(2, "修订记录 Revisions")
    rows = [_heads(("报告编号", "number"), ("日期", "date"), ("说明", "why"), ("编制", "prepared by"))]
    rows += [[box(r["number"]), _pair(r["day"]), _pair(r["why"]), box(r["author"])] for r in texts["revisions"]]
    paper.table((52, 42, 52, 28), rows)


def _general(paper: Paper, data: Mapping[str, Any]) -> None:
    paper.heading(1, "一般信息 General")
    paper.facts(data["general"])
    paper.heading(2, "样品 Items tested")
    rows = [_heads(("软件包", "package"), ("版本", "version"), ("架构", "architecture"), ("摘要", "SHA-256"))]
    rows += [[box(p[key] or "—") for key in ("name", "version", "architecture", "sha256")] for p in data["packages"]]
    paper.table((44, 34, 24, 72), rows)
    paper.heading(2, "声明 Statements")
    paper.facts(data["statements"])
    paper.heading(1, "测试环境 Environments")
    paper.heading(2, "控制机与负载发生端 Controller and load generator")
    paper.facts(data["controller"])
    paper.heading(2, "被测系统 Systems under test")
    heads = (
        ("#", "#"),
        ("处理器", "CPU"),
        ("系统", "OS"),
        ("数据库", "database"),
        ("其他", "further"),
        ("保真度", "fidelity"),
    )
    rows = [_heads(*heads, ("内核与仿真器", "kernel, emulator"))]
    rows += [
        [
            box(str(number)),
            box(both(cell["cpu"]), cell["isa"]),
            _pair(cell["os"]),
            box(cell["database"]),
            box(*cell["further"]),
            _pair(cell["fidelity"]),
            box(*filter(None, (cell["kernel"], cell["emulator"]))),
        ]
        for number, cell in enumerate(data["cells"], 1)
    ]
    paper.table((9, 33, 30, 26, 24, 24, 28), rows)
    if data["basis"]:
        paper.heading(2, "所用测试套与目标 What was tested with")
        rows = [_heads(("种类", "kind"), ("名称与版本", "name, version"), ("来源", "origin"), ("摘要", "SHA-256"))]
        rows += [
            [_pair(b["kind"]), box(f"{b['name']} {b['version']}".strip()), _pair(b["origin"]), box(b["sha256"])]
            for b in data["basis"]
        ]
        paper.table((30, 48, 24, 72), rows)


def _summary(paper: Paper, data: Mapping[str, Any], images: Mapping[str, bytes]) -> None:
    paper.heading(1, "结果汇总 Summary of results")
    for number in range(data["matrices"]):
        paper.picture(images[f"matrix-{number}.svg"], 174)
    paper.paragraph(
        "斜纹为仿真目标 hatched: emulated targets。" + "；".join(f"{both(c)} {c['count']}" for c in data["coverage"])
    )
    rows = [[*_heads(("#", "#"), ("单元", "cell"), ("保真度", "fidelity"), ("结论", "verdict")), *_results(data)]]
    rows[0].append(name("静态", "static"))
    rows += [
        [
            box(str(number)),
            box(cell["name"]),
            _pair(cell["fidelity"]),
            _said(cell["verdict"]),
            *_numbers(cell["counts"]),
            box(f"{cell['static'][0]}/{sum(cell['static'])}"),
        ]
        for number, cell in enumerate(data["cells"], 1)
    ]
    paper.table((9, 42, 22, 24, *[11] * len(data["results"]), 11), rows)
    paper.heading(2, "统计 Statistics")
    rows = [
        [
            *_heads(("种类", "kind"), ("计划", "planned")),
            *_results(data),
            name("通过率（判定项）", "passed of what is judged"),
        ]
    ]
    rows += [[_pair(t["name"]), box(str(t["cases"])), *_numbers(t["counts"]), box(t["rate"])] for t in data["totals"]]
    paper.table((40, 16, *[14] * len(data["results"]), 34), rows)
    paper.heading(2, "按质量特性 By quality characteristic (GB/T 25000.10-2016)")
    rows = [[*_heads(("特性", "characteristic"), ("测试项", "cases")), *_results(data), name("静态", "static")]]
    rows += [
        [_pair(c["name"]), box(str(c["cases"])), *_numbers(c["counts"]), box(f"{c['static'][0]}/{sum(c['static'])}")]
        for c in data["characteristics"]
    ]
    paper.table((60, 16, *[14] * len(data["results"]), 14), rows)
    if data["excluded"]:
        paper.heading(2, "不适用的组合 Excluded combinations")
        rows = [_heads(("数量", "count"), ("理由", "because"), ("规则", "rule"))]
        rows += [[box(str(e["count"])), box(e["because"]), box(e["rule"])] for e in data["excluded"]]
        paper.table((18, 78, 78), rows)
    _incidents(paper, data)


def _incidents(paper: Paper, data: Mapping[str, Any]) -> None:
    paper.heading(2, "缺陷统计 Defects by class")
    rows = [
        _heads(("严重程度", "severity"), ("不同的测试项", "different cases"), ("未关闭", "open"), ("已豁免", "waived"))
    ]
    rows += [[_pair(d["severity"]), *_numbers([d["cases"], d["open"], d["waived"]])] for d in data["defects"]]
    paper.table((72, 34, 34, 34), rows)
    paper.heading(2, "问题清单 Incidents")
    if not data["incidents"]:
        paper.paragraph("无。None.")
        return
    rows = [
        _heads(("编号", "id"), ("严重程度", "severity"), ("现象、位置与复现", "what, where, how"), ("状态", "status"))
    ]
    for incident in data["incidents"]:
        lines = [incident["detail"], f"单元 cell {incident['number']}：{incident['cell']}"]
        if incident["steps"] is not None:
            lines.append(f"步骤 steps：{both(incident['steps'])}")
        if incident["command"]:
            lines.append(f"复现 again：{incident['command']}")
        if incident["files"]:
            lines.append(f"日志 logs：{'、'.join(incident['files'])}")
        rows.append([box(incident["id"]), _pair(incident["severity"]), box(*lines), _pair(incident["status"])])
    paper.table((24, 24, 102, 24), rows)


def _tables(paper: Paper, data: Mapping[str, Any]) -> None:
    paper.heading(1, "测试用例与结果 Cases and results")
    for suite in data["tables"]:
        paper.heading(2, both(suite["title"]))
        for case in suite["cases"]:
            module = (
                f"{both(suite['title'])} {suite['name']}；{both(case['part'])}；GB/T 25000.51-2016 {case['clause']}"
            )
            rows = [
                [name("用例编号", "case"), box(f"{case['id']}　{both(case['title'])}", span=3, bold=True)],
                [name("用例模块", "module"), box(module, span=3)],
                [name("用例目的", "purpose"), box(both(case["purpose"]), span=3)],
                [name("预置条件", "preconditions"), box(both(case["preconditions"]), span=3)],
                [name("测试步骤", "steps"), box(both(case["steps"]), case["step"], span=3)],
                [
                    name("预期结果", "expected"),
                    box(both(case["expected"]), f"证据 evidence：{both(case['leaves'])}", span=3),
                ],
                _heads(("单元", "cells"), ("测试结果", "actual result"), ("测试结论", "verdict"), ("备注", "remarks")),
            ]
            for group in case["groups"]:
                files = [f"证据 files：{'、'.join(group['files'])}"] if group["files"] else []
                remarks = box(*map(both, group["remarks"]))
                rows.append([box(group["cells"]), box(*group["actual"], *files), _said(group["result"]), remarks])
            paper.table((26, 84, 24, 40), rows)
    if data["rules"]:
        paper.heading(2, "静态扫描 Static scan")
        paper.paragraph("只读取样品的文件，未运行任何程序。Files of the item were read and nothing ran.")
        rows = [[*_heads(("规则", "rule"), ("检查内容与发现", "what is checked, findings")), *_results(data)]]
        for rule in data["rules"]:
            findings = [f"单元 cells {f['cells']}：{f['detail']}" for f in rule["findings"]]
            rows.append([box(rule["id"]), box(both(rule["title"]), *findings), *_numbers(rule["counts"])])
        paper.table((22, 74, *[13] * len(data["results"])), rows)


def _cells(paper: Paper, data: Mapping[str, Any], images: Mapping[str, bytes]) -> None:
    paper.heading(1, "各单元结果 Results of each cell")
    for cell in data["cells"]:
        paper.heading(2, f"{cell['name']}　{both(cell['verdict'])}")
        for line in (*cell["reasons"], *map(both, cell["limits"]), *(f"注 note：{note}" for note in cell["notes"])):
            paper.paragraph(line)
        for omission in cell["left_out"]:
            paper.paragraph(f"未执行的测试套 suite left out {omission['suite']}：{omission['because']}")
        if cell["unrun"]:
            paper.paragraph(
                f"本单元未测试，{cell['unrun']} 个测试项均未执行。The cell was not tested: none of its cases was run."
            )
            continue
        paper.heading(3, "测试组网图 Network")
        paper.picture(images[f"network-{cell['short']}.svg"], 128 if cell["network"] <= 2 else 174)
        _facts_of(paper, cell)
        _cases_of(paper, cell)
        for waiver in cell["waived"]:
            terms = f"{waiver['approved_by']}，{waiver['evidence']}，至 until {waiver['expires']}"
            paper.paragraph(f"豁免 waived {waiver['case']}：{waiver['because']}（{terms}）")
        for file in images:
            if f"-{cell['short']}" in file and not file.startswith("network-"):
                paper.picture(images[file], 140)


def _facts_of(paper: Paper, cell: Mapping[str, Any]) -> None:
    if not cell["attestation"]:
        return
    paper.heading(3, "目标核验 Attestation")
    rows = [_heads(("机器", "machine"), ("项目", "fact"), ("声明", "declared"), ("观测", "observed"), ("", ""))]
    rows += [
        [box(f["machine"]), _pair(f["name"]), box(f["declared"]), box(f["observed"]), box(f["mark"] or " ")]
        for f in cell["attestation"]
    ]
    paper.table((26, 48, 40, 52, 8), rows)


def _cases_of(paper: Paper, cell: Mapping[str, Any]) -> None:
    paper.heading(3, "测试项 Cases")
    shown = [case for case in cell["cases"] if case["result"]["word"] != "pass"]
    if shown:
        rows = [
            _heads(("编号", "id"), ("名称", "title"), ("实际结果", "actual"), ("结论", "verdict"), ("备注", "remarks"))
        ]
        rows += [
            [box(c["id"]), _pair(c["title"]), box(*c["actual"]), _said(c["result"]), box(*map(both, c["remarks"]))]
            for c in shown
        ]
        paper.table((24, 40, 56, 20, 34), rows)
    if cell["passed"]:
        paper.paragraph(f"通过的测试项 passed ({len(cell['passed'])})：{'、'.join(cell['passed'])}")
    if cell["quiet"]:
        names = "、".join(cell["quiet"])
        paper.paragraph(f"未发现问题的静态规则 static rules that found nothing ({len(cell['quiet'])})：{names}")


def _trace(paper: Paper, data: Mapping[str, Any]) -> None:
    paper.heading(1, "追溯 Trace: requirement, case, result")
    heads = _heads(("条款", "GB/T 25000.51"), ("质量特性", "characteristic"), ("测试项", "case"), ("名称", "title"))
    rows = [[*heads, *_results(data)]]
    rows += [
        [
            box(t["clause"]),
            _pair(t["characteristic"]),
            box(t["id"], *(["静态 static"] if t["static"] else [])),
            _pair(t["title"]),
            *_numbers(t["counts"]),
        ]
        for t in data["trace"]
    ]
    paper.table((18, 38, 22, 36, *[10] * len(data["results"])), rows)
    paper.heading(1, "证据 Evidence")
    for cell in data["cells"]:
        if cell["files"]:
            paper.heading(3, cell["name"])
            rows = [_heads(("文件", "file"), ("字节", "bytes"), ("摘要", "SHA-256"))]
            rows += [[box(f["name"]), box(str(f["size"])), box(f["sha256"])] for f in cell["files"]]
            paper.table((64, 20, 90), rows)
    paper.heading(2, "记录 Records")
    paper.facts(data["records"])
    paper.centred("—— 报告结束 End of report ——", 10, bold=True, colour=NAVY)
