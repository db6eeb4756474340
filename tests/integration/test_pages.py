"""Certificates and reports as pictures: one page for eight platforms, everything fits, nothing moved unseen."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image, ImageChops, ImageStat

from harness.certify.certificate import ShownSignature, render_certificate
from harness.certify.policy import decide
from harness.model.definitions import Commission, Text
from harness.model.results import Measurement, Result
from harness.model.view import CampaignView, CaseView
from harness.report.document import Issuing, render_document
from tests.unit.test_basis import replacing
from tests.unit.test_report import DIGESTS, ISSUE, SELF_TEST, TEMPLATES, view

PICTURES = Path(__file__).parent / "pictures"
DPI = 60
#: Of 255: of a whole page, and of any square of it (12 mm). A word more or a line moved is far above.
PAGE, SQUARE = 0.8, 12.0
LONG = "超长名称企业级一体化云原生数据治理与智能分析平台软件旗舰增强版专用系统套件甲乙丙"
LATIN = "Ω-Suite Enterprise™ 数据平台 Data Governance & Analytics 旗舰版 (Kunpeng/龙芯) 第 12 版"


def shaped(platforms: int, **application: Any) -> CampaignView:
    """A campaign with so many platforms, which say what real ones do."""
    shown = view()
    attestation = (
        {"machine": "application", "name": "kernel", "declared": "", "observed": "6.6.0-72.0.0.oe2403", "holds": True},
        {"machine": "application", "name": "architecture", "declared": "x", "observed": "x", "holds": True},
        {"machine": "database", "name": "database version", "declared": "", "observed": "DB 15.18", "holds": True},
    )
    cells = [
        dataclasses.replace(
            shown.cells[n % 12],
            cases=first_cases(shown.cells[n % 12].cases),
            attestation=attestation,
            version="12.4.1-7ubuntu0.3",
        )
        for n in range(platforms)
    ]
    return dataclasses.replace(
        shown, cells=tuple(cells), basis=fixed(shown), application={**shown.application, **application}
    )


def first_cases(cases: tuple[CaseView, ...]) -> tuple[CaseView, ...]:
    """The first five of each suite: a case that a suite is given later moves nothing in a picture."""
    suites = dict.fromkeys(case.suite for case in cases)
    return tuple(case for suite in suites for case in [one for one in cases if one.suite == suite][:5])


def fixed(shown: CampaignView) -> tuple[dict[str, str], ...]:
    """What was tested with, by digests that do not change with the suites: a picture shall not either."""
    return tuple({**entry, "sha256": "5" * 64} for entry in shown.basis)


def certificate(shown: CampaignView, **more: Any) -> pypdfium2.PdfDocument:
    profile = more.pop("profile", SELF_TEST)
    kind = decide(shown, profile).kind
    assert kind is not None
    return pypdfium2.PdfDocument(render_certificate(shown, TEMPLATES, profile, kind, ISSUE, DIGESTS, **more)[0])


def text(page: pypdfium2.PdfPage) -> str:
    return "".join(page.get_textpage().get_text_bounded().split()).replace("\u200b", "")


@pytest.mark.parametrize("platforms", [1, 3, 8, 9, 30])
def test_eight_platforms_on_the_face_and_the_rest_on_a_continuation(platforms: int) -> None:
    pages = certificate(shaped(platforms))
    face, after = text(pages[0]), text(pages[1])
    assert face.count("conformant") >= min(platforms, 8)
    assert "未签名UNSIGNED" in face
    assert "签发人authorisedby" in face
    assert ("见续页" in face) == ("续页平台（续）" in after) == (platforms > 8)
    assert "附件一" in "".join(text(page) for page in pages)


@pytest.mark.parametrize("name", [LONG[:40], LATIN, "短", "A" * 64, "Σύστημα-ПО-数据库" * 4])
@pytest.mark.parametrize("platforms", [1, 8])
def test_names_of_any_length_fit(name: str, platforms: int) -> None:
    shown = shaped(platforms, name={"zh": name, "en": f"{name} (English)"}, vendor={"zh": name, "en": name})
    commission = Commission(applicant=Text(zh=f"{name}有限责任公司", en=f"{name} Co., Ltd."))
    pages = certificate(shown, commission=commission)
    face = text(pages[0])
    assert "".join(name.split()) in face
    assert "签发人authorisedby" in face
    assert "附件一" in text(pages[1]) or "续页" in text(pages[1])
    within(pages[0])


def within(page: pypdfium2.PdfPage) -> None:
    """No letter lies outside of the frame, and none upon another line's."""
    letters = page.get_textpage()
    width, height = page.get_size()
    frame = 20 * 72 / 25.4
    boxes = [letters.get_charbox(n) for n in range(letters.count_chars())]
    for left, bottom, right, top in boxes:
        if right > left:
            assert frame < left, (left, bottom)
            assert right < width - frame, (right, bottom)
            assert frame - 4 < bottom, (left, bottom)
            assert top < height - frame + 4, (left, top)


def pictures() -> dict[str, Image.Image]:
    signed = ShownSignature(sealed=True, code="https://verify.example.invalid/c/XC-1#1." + "A" * 160)
    draft = SELF_TEST.model_copy(update={"signed": True})
    commission = Commission(tester="张三", reviewer="李四", approver="王五")
    profile = draft.model_copy(update={"name": Text(zh="示例信创适配测试中心", en="Example Centre")})
    kind = decide(view(), SELF_TEST).kind
    assert kind is not None
    drafted = render_certificate(shaped(3), TEMPLATES, profile, kind, ISSUE, DIGESTS, commission=commission)[0]
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=profile, commission=commission, state="draft")
    tested = view(tested=2)
    cells = tuple(dataclasses.replace(cell, cases=first_cases(cell.cases)) for cell in tested.cells)
    tested = dataclasses.replace(tested, basis=fixed(tested), cells=cells)
    report = pypdfium2.PdfDocument(render_document(tested, TEMPLATES, issuing, DIGESTS)[0])
    shown = {
        "certificate-1": certificate(shaped(1))[0],
        "certificate-8": certificate(shaped(8), signature=signed)[0],
        "certificate-annex": certificate(shaped(12))[1],
        "certificate-draft": pypdfium2.PdfDocument(drafted)[0],
        "report-cover": report[0],
        "report-notices": report[1],
        "report-contents": report[2],
    }
    return {name: page.render(scale=DPI / 72).to_pil().convert("L") for name, page in shown.items()}


def test_pages_look_as_they_did() -> None:
    """After a change that is meant: HARNESS_PICTURES=write, and look at every picture."""
    told = []
    for name, now in pictures().items():
        path = PICTURES / f"{name}.png"
        if os.environ.get("HARNESS_PICTURES") == "write":
            PICTURES.mkdir(exist_ok=True)
            now.save(path, optimize=True)
        with Image.open(path) as before:
            page, worst = apart(now, before)
        if page > PAGE or worst > SQUARE:
            told.append(f"{name}: page {page:.2f}, worst square {worst}")
    assert not told, told


def apart(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """Mean difference of two pages, and that of their worst square."""
    assert one.size == other.size
    difference = ImageChops.difference(one, other)
    squares = difference.resize((one.width // 28, one.height // 28), Image.Resampling.BOX)
    worst = squares.getextrema()[1]
    assert isinstance(worst, int | float)
    return ImageStat.Stat(difference).mean[0], float(worst)


@pytest.mark.parametrize("change", ["moved", "name", "seal"])
def test_what_is_wrong_would_be_seen(change: str) -> None:
    """The bounds are tight enough: a shift of two millimetres, another product's name, a stamp that is missing."""

    def drawn(shown: CampaignView, **more: Any) -> Image.Image:
        return certificate(shown, **more)[0].render(scale=DPI / 72).to_pil().convert("L")

    good = drawn(shaped(8))
    if change == "moved":
        other = ImageChops.offset(good, 0, round(2 / 25.4 * DPI))
    elif change == "name":
        other = drawn(shaped(8, name={"zh": "PowerDNS 权威域名服务端", "en": "PowerDNS Authoritative Server"}))
    else:
        other = drawn(shaped(8), signature=ShownSignature(sealed=True))
    page, worst = apart(good, other)
    assert page > PAGE or worst > SQUARE, (page, worst)


@functools.cache
def printed() -> tuple[CampaignView, pypdfium2.PdfDocument]:
    """A report of two cells that ended otherwise, with a load, long words, digests, and results of some lines."""
    shown = view({1: Result.FAIL})
    samples = [[n / 50, 3.0 + n % 7, 2.0, n % 90 != 0] for n in range(400)]
    load = {"samples": samples, "resources": [[n / 2, 40.0, 70.0 + n] for n in range(16)], "figures": {}, "ramp": 2.0}
    fact = {"machine": "application", "declared": "", "holds": True}
    facts = (
        {**fact, "name": "emulator SHA-256", "observed": "ab" * 32},
        {**fact, "name": "database version", "observed": "3.40.1 2022-12-28 14:03:47 " + "0123456789abcdef" * 4},
    )
    cells = tuple(
        dataclasses.replace(
            cell,
            attestation=facts,
            loads={"load/http": {**load, "hold": 6.0, "threshold": 25.0}},
            seconds={"environment": 9.3, "deploy": 0.8, "total": 30.0},
            cases=tuple(marked(case, 100 * number + n) for n, case in enumerate(cell.cases)),
        )
        for number, cell in enumerate(shown.cells[:2])
    )
    shown = dataclasses.replace(shown, cells=cells)
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=SELF_TEST)
    return shown, pypdfium2.PdfDocument(render_document(shown, TEMPLATES, issuing, DIGESTS)[0])


def marked(case: CaseView, number: int) -> CaseView:
    """A case with a figure, a long path, and marks at the ends of its text."""
    if case.static:
        return dataclasses.replace(case, detail="")
    words = f"B{number:04}b " + "the/quick/brown-fox_jumps.over.the.lazy-dog " * 4 + f"E{number:04}e"
    figure = Measurement(name="time to ready after restart", value=0.0514, unit="s")
    return dataclasses.replace(case, detail=words, measurements=(figure,))


def lines(page: pypdfium2.PdfPage) -> list[str]:
    return page.get_textpage().get_text_bounded().replace("\u200b", "").replace("\xa0", " ").splitlines()


def test_no_number_is_broken_and_no_row_is_torn() -> None:
    shown, pages = printed()
    ran = sum(len(cell.ran) for cell in shown.cells)
    whole = [line for page in pages for line in lines(page)]
    assert sum("= 0.0514 s" in line for line in whole) >= ran, "a figure stands on one line, with its unit"
    assert not any(line.strip() in ("s", "ms", "%") for line in whole)
    assert not [line for line in whole if line.endswith("= 0.0")]
    for number in range(2):
        for page in pages:
            solid = text(page)
            for n in range(len(shown.cells[number].cases)):
                mark = f"{100 * number + n:04}"
                assert solid.count(f"B{mark}b") == solid.count(f"E{mark}e"), f"the row of {mark} is torn"


def test_nothing_runs_out_of_its_column_or_page() -> None:
    """Letters stay inside of the margins, and a digest inside of its table's cell, clear of what stands beside it."""
    _, pages = printed()
    for page in pages:
        width, _ = page.get_size()
        letters = page.get_textpage()
        boxes = [letters.get_charbox(n) for n in range(letters.count_chars())]
        ink = [(left, right) for left, _, right, _ in boxes if right > left]
        assert max(right for _, right in ink) < width - 17 * 72 / 25.4
        assert min(left for left, _ in ink) > 17 * 72 / 25.4
    (broken,) = {
        len(line) for page in pages for line in lines(page) for line in line.split() if set(line) == {"a", "b"}
    }
    assert broken in (16, 32), "a digest in a narrow column is cut into quarters"


def test_no_page_is_mostly_empty() -> None:
    """The ink of each page goes down to its middle at least; of the last one anywhere."""
    _, pages = printed()
    assert len(pages) > 8
    empty = []
    for number in range(1, len(pages) - 1):
        picture = pages[number].render(scale=DPI / 72).to_pil().convert("L")
        body = picture.crop((0, round(20 / 25.4 * DPI), picture.width, round(278 / 25.4 * DPI)))
        ink = ImageChops.invert(body).point(lambda level: 255 if level > 60 else 0).getbbox()
        if ink is None or ink[3] < 0.5 * body.height:
            empty.append((number + 1, ink))
    assert not empty


def test_the_first_pages_are_a_cover_notices_and_contents() -> None:
    _, pages = printed()
    cover, notices, contents, *_, last = [text(page) for page in pages]
    assert f"报告总页数pages{len(pages)}页" in cover
    for words in (
        "测试类别",
        "生产单位",
        "委托单位",
        "样品编号",
        "任务单号",
        "2026年1月2日",
        "专用章",
        "不通过nonconformant",
    ):
        assert words in cover, words
    for words in (
        "注意事项",
        "无编制（主检）、审核、批准人签字无效",
        "编制（主检）",
        "签字signature",
        "年月日",
        "盖章处",
    ):
        assert words in notices, words
    assert "目录Contents" in contents
    assert "测试目的" in contents
    assert "报告结束Endofreport" in last
    whole = "".join(text(page) for page in pages)
    for words in (
        "测试组网图",
        "用例编号",
        "预置条件",
        "测试步骤",
        "缺陷统计",
        "复现again：harnessrunFOLDER",
        "修订记录",
    ):
        assert words in whole, words


def test_the_face_alone_says_what_it_is_worth() -> None:
    """A photo of the face of an unsigned one is no certificate; a sealed one says nothing of the kind."""
    commission = Commission(applicant=Text(zh="示例公司", en="Example Ltd"), approver="王五")
    unsigned = text(certificate(shaped(8), commission=commission)[0])
    for words in (
        "自测样张SPECIMEN",
        "不具备证明效力",
        "不能用于核验",
        "测试依据basis",
        "发证机构issuer",
        "申请单位applicant",
    ):
        assert words in unsigned, words
    assert "扫码核验" not in unsigned
    signed = ShownSignature(sealed=True, code="https://verify.example.invalid/c/XC-1#1." + "A" * 160)
    sealed = text(certificate(shaped(8), commission=commission, signature=signed)[0])
    assert "扫码核验Scantoverify" in sealed
    assert not [words for words in ("自测样张", "不具备证明效力", "不能用于核验") if words in sealed]


def test_everything_that_was_tested_with_stands_in_certificate_and_report() -> None:
    shown = replacing("compat/lifecycle", "loongson-3a5000")
    issuing = Issuing(number="R", issued="2026-01-01", profile=SELF_TEST, state="unsigned", conclusion=[])
    report = pypdfium2.PdfDocument(render_document(shown, TEMPLATES, issuing, DIGESTS)[0])
    documents = [[text(page) for page in pages] for pages in (certificate(shown), report)]
    for pages in documents:
        whole = "".join(pages)
        assert all(entry["sha256"] in whole for entry in shown.basis)
        assert whole.count("非随附nottheshippedone") == 2
    assert "Nottheshippedsuitecompat/lifecycle,cpuloongson-3a5000:" in documents[0][0]
