"""The HTML report in a real browser, opened from disk: ten thousand results, filters, axes, languages, keyboard."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_core_python
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from harness.model.results import Fidelity, Result, Verdict
from harness.model.view import CampaignView
from harness.report import render_html
from tests.unit.test_report import TEMPLATES, view

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
Browse = Callable[[str], webdriver.Chrome]


def many() -> CampaignView:
    """More than ten thousand results in 127 cells with a fourth axis; some of every kind, some static."""
    shown = view({1: Result.FAIL, 2: Result.ERROR, 3: Result.SKIP}, detail="what was seen")
    static = dataclasses.replace(shown.cells[0].cases[5], fidelity=Fidelity.STATIC, detail="")
    cells = []
    for n in range(127):
        one = shown.cells[n % 12]
        cases = (static, *one.cases[:5], *one.cases[6:]) if n % 12 == 0 else one.cases
        cells.append(
            dataclasses.replace(
                one, short=f"c{n:04d}", id=f"cell-{n}", cases=cases, axes={**one.axes, "runtime": f"jdk-{n // 12}"}
            )
        )
    return dataclasses.replace(shown, cells=tuple(cells))


TOTAL = sum(len(cell.cases) for cell in many().cells)
PAGES = -(-TOTAL // 100)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("html") / "report.html"
    path.write_bytes(render_html(many(), TEMPLATES))
    return path


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    profile = tmp_path_factory.mktemp("profile")
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1280,1000",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    found.set_script_timeout(300)  # 30 s are too few for axe on a busy machine
    yield found
    found.quit()


@pytest.fixture
def browse(driver: webdriver.Chrome, report: Path) -> Iterator[Browse]:
    def go(place: str) -> webdriver.Chrome:
        driver.get("about:blank")
        driver.get(f"file://{report}{place}")
        return driver

    yield go
    errors = [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    assert not errors, errors
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert loaded == [], "something was loaded from elsewhere"


def all_(driver: webdriver.Chrome, css: str) -> list[WebElement]:
    """Elements of the page that the address stands for: it is drawn in an event of its own, after that has changed."""
    drawn = "return document.documentElement.dataset.at === location.hash"
    WebDriverWait(driver, 20).until(lambda _: driver.execute_script(drawn))
    return driver.find_elements(By.CSS_SELECTOR, css)


def arrived(driver: webdriver.Chrome, words: str) -> None:
    """Wait until the address has these words at its end, or in its query."""
    WebDriverWait(driver, 20).until(
        lambda _: driver.current_url.endswith(words) if words.startswith("#r") else words in driver.current_url
    )


def counted(driver: webdriver.Chrome) -> tuple[int, int]:
    """Shown and all, as the page says."""
    text = all_(driver, "#count")[0].text
    found = re.search(r"(\d+) / (\d+)|(\d+) of (\d+)", text)
    assert found is not None, text
    one, every = (int(word) for word in found.groups() if word is not None)
    return one, every


def test_ten_thousand_results_are_paged(browse: Browse) -> None:
    driver = browse("#results")
    assert TOTAL > 10_000
    assert counted(driver) == (TOTAL, TOTAL)
    assert len(all_(driver, "tbody tr")) == 100
    all_(driver, ".pager button")[1].click()
    assert f"第 2 页，共 {PAGES} 页" in all_(driver, ".pager")[0].text
    arrived(driver, "page=2")
    driver.back()
    arrived(driver, "#results")
    assert "第 1 页" in all_(driver, ".pager")[0].text
    driver = browse(f"#results?page={PAGES}")
    assert len(all_(driver, "tbody tr")) == TOTAL - 100 * (PAGES - 1)


@pytest.mark.parametrize(
    ("query", "keep"),
    [
        ("result=fail", lambda cell, case: case.result is Result.FAIL),
        ("cause=infra", lambda cell, case: case.cause is not None and case.cause.value == "infra"),
        ("verdict=nonconformant", lambda cell, case: cell.verdict.value == "nonconformant"),
        ("fidelity=static", lambda cell, case: case.fidelity is Fidelity.STATIC),
        ("characteristic=security", lambda cell, case: case.characteristic.startswith("security")),
        ("q=HTTP-0&result=pass", lambda cell, case: "HTTP-0" in case.id and case.result is Result.PASS),
        ("q=what was seen", lambda cell, case: "what was seen" in case.detail),
    ],
)
def test_filters_keep_what_they_say(browse: Browse, query: str, keep: Callable[..., bool]) -> None:
    expected = sum(keep(cell, case) for cell in many().cells for case in cell.cases)
    assert counted(browse(f"#results?{query}"))[0] == expected > 0


def test_a_filter_is_chosen_and_stands_in_the_address(browse: Browse) -> None:
    driver = browse("#results")
    Select(all_(driver, ".controls select")[0]).select_by_value("fail")
    arrived(driver, "result=fail")
    assert counted(driver)[0] == len(all_(driver, "tbody tr")) == 11
    assert {one.text for one in all_(driver, "tbody .tag")} == {"不通过fail"} or all(
        "fail" in one.text for one in all_(driver, "tbody .tag")
    )


def test_the_matrix_is_turned(browse: Browse) -> None:
    driver = browse("#overview")
    rows = [one.text for one in all_(driver, ".heat tbody th")]
    assert len(rows) == 4
    assert len(all_(driver, ".heat thead th")) == 3
    assert {one.get_attribute("class") for one in all_(driver, ".heat td a")} == {
        "nonconformant",
        "inconclusive",
        "conformant",
    }
    Select(all_(driver, ".controls select")[0]).select_by_value("runtime")
    assert len(all_(driver, ".heat tbody th")) == 11
    Select(all_(driver, ".controls select")[1]).select_by_value("cpu")
    assert [one.text for one in all_(driver, ".heat thead th")] == rows
    link = all_(driver, ".heat td a")[0]
    link.click()
    arrived(driver, "#cells?")
    assert counted(driver)[0] == 3


def test_a_cell_shows_everything_about_it(browse: Browse) -> None:
    driver = browse("#cell-c0001")
    text = all_(driver, "main")[0].text
    for words in ("时间线", "目标核验", "步骤日志", "证据", "DEP-1", "what was seen"):
        assert words in text, words
    assert len(all_(driver, "main svg")) >= 1


@pytest.mark.parametrize(
    ("lang", "there", "absent"),
    [
        ("zh", "适配矩阵", "Matrix"),
        ("en", "Matrix", "适配矩阵"),
        ("both", "适配矩阵", "nothing of the kind"),
    ],
)
def test_one_language_or_both(browse: Browse, lang: str, there: str, absent: str) -> None:
    driver = browse("#overview")
    all_(driver, f'.lang button[data-lang="{lang}"]')[0].click()
    text = all_(driver, "main")[0].text
    assert there in text
    assert absent not in text
    pressed = [one.get_attribute("data-lang") for one in all_(driver, '.lang button[aria-pressed="true"]')]
    assert pressed == [lang]
    assert all_(driver, "html")[0].get_attribute("lang") == ("en" if lang == "en" else "zh-CN")
    all_(driver, '.lang button[data-lang="both"]')[0].click()


def test_by_keyboard_alone(browse: Browse) -> None:
    driver = browse("#overview")

    def focused() -> WebElement:
        return driver.switch_to.active_element

    focused().send_keys(Keys.TAB)
    assert focused().get_attribute("class") == "skip"
    for _ in range(30):
        focused().send_keys(Keys.TAB)
        if focused().get_attribute("href") and str(focused().get_attribute("href")).endswith("#results"):
            break
    focused().send_keys(Keys.ENTER)
    arrived(driver, "#results")
    assert counted(driver)[1] == TOTAL
    assert focused().tag_name == "h2", "the reader is told where it is"
    outline = driver.execute_script("return getComputedStyle(document.querySelector('.controls select')).outlineStyle")
    focused().send_keys(Keys.TAB)
    assert focused().tag_name == "select"
    assert focused().value_of_css_property("outline-style") == "solid" != outline
    focused().send_keys(Keys.ARROW_DOWN)
    arrived(driver, "result=")


@pytest.mark.parametrize("place", ["#overview", "#cells", "#results", "#results?result=fail", "#cell-c0001"])
def test_axe_finds_no_barrier(browse: Browse, place: str) -> None:
    """axe-core (WCAG 2.1 A and AA, best practices): no violation."""
    driver = browse(place)
    driver.execute_script(AXE)
    found = driver.execute_async_script("const done = arguments[arguments.length - 1]; axe.run().then(done)")
    told = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
    assert told == []
    assert len(found["passes"]) > 20


def test_it_prints_the_cells_of_a_small_campaign(driver: webdriver.Chrome, tmp_path: Path) -> None:
    import base64

    import pypdfium2

    small = view({1: Result.FAIL})
    (tmp_path / "small.html").write_bytes(render_html(small, TEMPLATES))
    driver.get(f"file://{tmp_path / 'small.html'}")
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    text = "".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(pdf))
    assert text.count("DEP-1\r\n") >= 12 or text.count("DEP-1") >= 12
    assert "跳到内容" not in text


def test_unsteady_and_waived_cells_are_told(driver: webdriver.Chrome, tmp_path: Path) -> None:
    shown = view()
    first, second = shown.cells[:2]
    failed = dataclasses.replace(first.attempts[0], verdict=Verdict.NONCONFORMANT)
    waiver = {
        "suite": "s",
        "case": "HTTP-3",
        "because": "known fault 17",
        "approved_by": "QA lead",
        "evidence": "ticket 17",
        "expires": "2027-01-31",
    }
    cells = (
        dataclasses.replace(first, attempts=(failed, *first.attempts)),
        dataclasses.replace(second, verdict=Verdict.CONDITIONAL, waived=(waiver,)),
        *shown.cells[2:],
    )
    (tmp_path / "some.html").write_bytes(render_html(dataclasses.replace(shown, cells=cells), TEMPLATES))
    driver.get(f"file://{tmp_path / 'some.html'}")
    text = all_(driver, "main")[0].text
    assert "第 2 次执行才通过" in text
    assert "known fault 17" in text
    assert "QA lead" in text
