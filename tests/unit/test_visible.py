"""No text of anyone steers a terminal, or comes raw into a document."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table

from harness.cli.entry import cli
from harness.cli.output import output_console, print_json, say
from harness.cli.shared import print_whole
from harness.model.results import Measurement
from harness.presentation.typesetting import typeset
from harness.report import render_html, render_junit, render_markdown
from harness.report.spreadsheet import render_xlsx
from harness.system.printable import visible
from tests.elves import elf
from tests.unit.test_rendering_is_total import changed, view
from tests.unit.test_report import TEMPLATES, pdf_text

HOSTILE = (
    "\x1b[31mred\x1b]8;;http://x\x07link\x07 \x9b2J \u202egpj.exe\u2066 \ud800 [/x] \\[bold red]OK [link=http://x]y "
    "\r over \x00 \u2028"
)
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(text=ANY)
@example(text=HOSTILE)
@quick
def test_what_is_shown_holds_nothing_that_steers_and_what_is_harmless_stays(text: str) -> None:
    assert not STEERING.search(visible(text).replace("\r\n", "\n"))
    assert visible(visible(text)) == visible(text)
    if not STEERING.search(text) and not re.search("[\ufeff\ufff9-\uffff\ufffe]", text):
        assert visible(text) == text
    json.loads(visible(json.dumps(text, ensure_ascii=False)))


def test_every_kind_of_value_is_shown() -> None:
    assert visible({"\x1b": ["a\u202e", ("b\x9b", {"\x07"})]}) == {"\\u001b": ["a\\u202e", ("b\\u009b", {"\\u0007"})]}
    kept = {"a": [1, "上\n\t", None]}
    assert visible(kept) is kept


@given(text=ANY)
@example(text=HOSTILE)
@quick
def test_no_console_is_steered_and_no_words_are_taken_for_markup_that_is_none(text: str) -> None:
    out = io.StringIO()
    console = output_console(file=out, width=10_000, force_terminal=False)
    console.print(escape(text), text, style=None)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(escape(text))
    table.add_row(text)
    print_whole(table, console)
    assert not STEERING.search(out.getvalue())


def test_a_terminal_gets_the_styles_of_the_harness_alone() -> None:
    out = io.StringIO()
    console = output_console(file=out, width=500, force_terminal=True, color_system="standard")
    console.print(f"[red]no[/red] {escape(HOSTILE)}")
    assert out.getvalue().startswith("\x1b[31mno\x1b[0m ")
    assert "\x1b" not in out.getvalue().removeprefix("\x1b[31mno\x1b[0m ")
    assert "[bold red]OK" in out.getvalue()


@given(text=ANY)
@example(text=HOSTILE)
@quick
def test_what_is_said_and_printed_as_json_steers_nothing(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    say(text, err=True)
    shown = capsys.readouterr()
    assert not STEERING.search((shown.out + shown.err).replace("\r\n", "\n"))
    print_json({"text": text})
    shown = capsys.readouterr()
    assert not STEERING.search(shown.out)
    assert json.loads(shown.out)["text"] == re.sub("[\ud800-\udfff]", "\ufffd", text)


@given(text=ANY)
@example(text=HOSTILE)
@settings(max_examples=5, deadline=None)
def test_no_document_holds_what_steers(text: str) -> None:
    shown = view(detail=HOSTILE + text)
    first, *others = shown.cells[0].cases
    axes = {**shown.cells[0].axes, "edition": HOSTILE + text}
    measurement = Measurement(name=HOSTILE + text, value=1.0, unit=text)
    shown = changed(
        shown,
        id="c\x1b",
        axes=axes,
        notes=(HOSTILE + text,),
        cases=(type(first)(**{**vars(first), "measurements": (measurement,), "detail": HOSTILE + text}), *others),
    )
    junit = render_junit(shown).decode()
    ET.fromstring(junit)
    words = TEMPLATES.wording()
    for output in (junit, render_markdown(shown, words), render_html(shown, TEMPLATES).decode()):
        assert not STEERING.search(output)
    page = render_html(shown, TEMPLATES).decode()
    assert not STEERING.search(json.dumps(_embedded(page), ensure_ascii=False))
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx(shown, words)))
    values = [value for sheet in book for row in sheet.iter_rows(values_only=True) for value in row]
    assert not any(STEERING.search(value) for value in values if isinstance(value, str))


def _embedded(page: str) -> Any:
    """The data that the page's script reads, as it reads it."""
    (text,) = re.findall(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_no_pdf_holds_what_steers(tmp_path: Path) -> None:
    (tmp_path / "x.typ").write_text('#json("data.json").text')
    presentation = type(TEMPLATES)((tmp_path, *TEMPLATES.folders))
    pdf, _ = typeset(presentation, "x.typ", {"text": HOSTILE})
    text = pdf_text(pdf).replace("\r", "").replace("\n", "")
    assert "u001b" in text
    assert "u202e" in text
    assert not STEERING.search(text.replace("\ufffe", ""))


def test_plans_with_hostile_words_are_shown(folder: Any) -> None:
    folder.change("matrix", exclude=[{"cpu": "kunpeng-920", "because": "x\u202e \x07[/x] \\[bold]"}])
    result = CliRunner().invoke(cli, ["plan", str(folder.root)])
    assert result.exception is None, result.exception
    assert not STEERING.search(result.output)


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_files_with_hostile_names_are_named(tmp_path: Path, form: str) -> None:
    for name in (b"\xff\xfe", b"\x1b[31m", b"\xe2\x80\xae", b"\\[", b"[bold]x", b"[link=http:x]"):
        (tmp_path / os.fsdecode(name + b".so")).write_bytes(elf(machine="x86_64"))
    (tmp_path / "\\[").mkdir()
    (tmp_path / "\\[" / "bold]").write_bytes(elf(machine="x86_64"))
    result = CliRunner().invoke(cli, ["scan", str(tmp_path), "--target", "cpu=kunpeng-920", "--all", "--format", form])
    assert result.exit_code == 1, result.output
    assert not STEERING.search(result.stdout)
    if form != "text":
        assert len(json.loads(result.stdout)) > 1
    else:
        assert "[bold]x.so" in result.stdout


def test_every_word_of_the_command_line_passes_the_filter() -> None:
    folder = Path(__file__).parents[2] / "harness/cli"
    for path in folder.glob("*.py"):
        if path.name == "output.py":
            continue
        text = path.read_text()
        assert not re.search(r"(?<![\w._])Console\(", text), path
        plain = re.findall(r"click\.echo\((?!visible\(|$)\s*(?!visible\()\S.*", text)
        assert plain == [], path
