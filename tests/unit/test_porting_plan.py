"""``harness scan --plan``: what is to be done, once for all and for each target, as a page and as a workbook."""

from __future__ import annotations

import io
from pathlib import Path

import openpyxl
import pytest
import yaml

from harness.errors import DefinitionError, UsageError
from harness.model.definitions import Efforts
from harness.presentation import Presentation
from harness.report.porting import efforts_of, plan_of
from harness.scan import scan
from tests.elves import elf
from tests.unit.test_scan_command import run
from tests.unit.test_scan_rules import RULES, TARGETS

PRESENTATION = Presentation.standard()
MANIFEST = '{"dependencies": {"node-sass": "4.14.1", "phantomjs-prebuilt": "2.1.16"}}'


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """Two programs and two dependencies that do not run on ARM, a script, and a file that cannot be read."""
    root = tmp_path / "产品 <b>"
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        (root / name / f"=cmd {name}").write_bytes(elf(machine="x86_64", kind="executable"))
        (root / name / "package.json").write_text(MANIFEST)
    (root / "install.sh").write_text("#!/bin/sh\nyum -y install libaio\n")
    (root / "x.zip").write_bytes(b"PK\3\4")
    return root


def test_work_is_reckoned_once_and_for_each_target(product: Path) -> None:
    result = scan([product], RULES, TARGETS)
    efforts = efforts_of(PRESENTATION)
    plan = plan_of(result, result.findings, efforts)
    by_rule = {task.rule.id: task for task in plan.total.tasks}
    assert (by_rule["ARCH-1"].work, by_rule["ARCH-1"].count) == ("build", 2)
    assert by_rule["ARCH-1"].days == efforts.efforts["build"].days(2) == (1.05, 3.25)
    assert (by_rule["LIB-1"].work, by_rule["LIB-1"].count) == ("replace", 2), "declared twice, replaced once"
    assert (by_rule["SRC-9"].work, by_rule["READ-1"].work) == ("edit", "look")
    assert [task.rule.id for task in plan.total.blocking.tasks] == ["ARCH-1"]
    assert plan.total.tasks[0].severity == "blocker"
    assert plan.total.days[0] == pytest.approx(sum(task.days[0] for task in plan.total.tasks))
    arm, x86 = plan.targets["cpu:kunpeng-920"], plan.targets["cpu:hygon-c86"]
    assert {"ARCH-1", "LIB-1"} <= {task.rule.id for task in arm.tasks}
    assert not {"ARCH-1", "LIB-1"} & {task.rule.id for task in x86.tasks}
    assert plan.unread == 1
    assert sum(len(plan.total.sized(size).tasks) for size in ("small", "medium", "large")) == len(plan.total.tasks)


def test_page_and_workbook_say_the_same(product: Path, tmp_path: Path) -> None:
    page, book = tmp_path / "plan.html", tmp_path / "plan.XLSX"
    answer = run(product, "--plan", page, "--plan", book)
    assert answer.exit_code == 1, answer.output
    text = page.read_text(encoding="utf-8")
    assert "<b>" not in text.partition("<header>")[2].partition("</header>")[0], "names are quoted"
    assert "移植计划" in text
    assert "Plan to port" in text
    assert "http" not in text.partition("</style>")[2], "nothing is loaded from elsewhere"
    sheets = openpyxl.load_workbook(io.BytesIO(book.read_bytes()))
    assert sheets.sheetnames == ["概要 Summary", "目标 Targets", "工作 Work", "位置 Places"]
    rows = list(sheets["位置 Places"].iter_rows(min_row=2))
    assert all(cell.data_type != "f" for row in rows for cell in row), "a name is no formula"
    assert any("=cmd one" in row[3].value for row in rows)
    (arm,) = [row for row in sheets["目标 Targets"].iter_rows(values_only=True) if row[0] == "cpu:kunpeng-920"]
    assert f'<td class="n">{arm[1]}<td class="n">{arm[2]:.1f}–{arm[3]:.1f}' in text


def test_a_product_without_findings_has_a_plan_without_work(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\necho fine\n")
    page = tmp_path / "plan.html"
    assert run(tmp_path / "run.sh", "--plan", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "There is no work in the findings" in text
    assert "Test on the targets" in text


def test_a_plan_of_another_form_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for name in ("plan.pdf", "plan"):
        answer = run(tmp_path / "away", "--plan", tmp_path / name)
        assert isinstance(answer.exception, UsageError)
        assert "ends with .html or .xlsx" in str(answer.exception)
    answer = run(tmp_path, "--plan", tmp_path / "away" / "plan.html")
    assert isinstance(answer.exception, UsageError)
    assert "cannot be written" in str(answer.exception)


def test_a_center_puts_its_own_figures(product: Path, tmp_path: Path) -> None:
    own = tmp_path / "reports"
    own.mkdir()
    known = yaml.safe_load(PRESENTATION.path("efforts.yaml").read_text(encoding="utf-8"))
    known["efforts"]["build"] = {"first": [10, 20], "more": [1, 2]}
    (own / "efforts.yaml").write_text(yaml.safe_dump(known))
    result = scan([product], RULES, TARGETS)
    plan = plan_of(result, result.findings, efforts_of(Presentation((own, *PRESENTATION.folders))))
    assert plan.total.blocking.days == (11, 22)
    known["efforts"]["build"] = {"first": [20, 10], "more": [1, 2]}
    (own / "efforts.yaml").write_text(yaml.safe_dump(known))
    with pytest.raises(DefinitionError, match="least"):
        efforts_of(Presentation((own,)))


def test_every_rule_says_what_is_to_be_done() -> None:
    efforts = Efforts.model_validate(yaml.safe_load(PRESENTATION.path("efforts.yaml").read_text(encoding="utf-8")))
    assert {rule.kind_of_work for rule in RULES} == set(efforts.efforts)
    words = PRESENTATION.wording()
    assert all(words.zh("work", work) != words.en("work", work) != work for work in efforts.efforts)
