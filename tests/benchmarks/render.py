"""Rendering: HTML and JUnit of 10,000 results beside a plain Jinja2 page of the same content, and what pytest-html adds
to a run of as many tests; the full report by Typst beside WeasyPrint on the same rows."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jinja2
import pypdfium2

from harness.model.view import CampaignView
from harness.report import full_record, render_html, render_junit
from harness.report.document import Issuing, render_document
from tests.unit.test_report import DIGESTS, ISSUE, SELF_TEST, TEMPLATES, view

RESULTS = 10_000
ROUNDS = 5
#: All of a result that the reports show, in one table and one JUnit file, by the plainest template.
PLAIN = jinja2.Environment(autoescape=True).from_string("""\
<!DOCTYPE html><html><body><table>{% for cell in r.cells %}{% for c in cell.cases %}
<tr><td>{{ cell.id }}<td>{{ cell.verdict }}<td>{{ cell.fidelity }}<td>{{ c.suite }}<td>{{ c.id }}<td>{{ c.title.zh }}
<td>{{ c.title.en }}<td>{{ c.expected.zh if c.expected else "" }}<td>{{ c.characteristic }}<td>{{ c.clause }}
<td>{{ c.blocker }}<td>{{ c.decides }}<td>{{ c.result }}<td>{{ c.cause or "" }}<td>{{ c.skip_reason or "" }}
<td>{{ c.seconds }}<td>{{ c.detail }}<td>{% for m in c.measurements %}{{ m.name }}={{ m.value }}{{ m.unit }}
{% endfor %}{% endfor %}{% endfor %}</table></body></html>
<testsuites>{% for cell in r.cells %}<testsuite name="{{ cell.id }}" tests="{{ cell.cases|length }}">
{% for c in cell.cases %}<testcase classname="{{ c.suite }}" name="{{ c.id }} {{ c.title.en }}" time="{{ c.seconds }}">
{% if c.result != "pass" %}<{{ c.result }} message="{{ c.detail }}"/>{% endif %}</testcase>
{% endfor %}</testsuite>{% endfor %}</testsuites>
""")
TESTS = """\
import pytest
@pytest.mark.parametrize("n", range({number}))
def test_one(n):
    assert n >= 0
"""


def main() -> None:
    """Print times and ratios; goals: 2.0 of the plain page, 0.1 of pytest-html's extra CPU, 200 pages in 20 s."""
    shown = many(RESULTS)
    ours, plain = [], []
    for _ in range(ROUNDS):
        ours.append(cpu(lambda: (render_html(shown, TEMPLATES), render_junit(shown))))
        plain.append(cpu(lambda: PLAIN.render(r=full_record(shown)).encode()))
    own, same = statistics.median(ours), statistics.median(plain)
    print(
        f"HTML and JUnit of {RESULTS} results: {own * 1000:.0f} ms of CPU; a plain Jinja2 page of the same content "
        f"{same * 1000:.0f} ms; ratio {own / same:.2f} (goal 2.0)"
    )
    extra = _pytest_html()
    if extra is None:
        print("pytest-html is not installed: pip install 'xinchuang-harness[bench]'")
    else:
        print(f"pytest-html adds {extra:.1f} s of CPU to {RESULTS} tests; ratio {own / extra:.3f} (goal 0.1)")
    _document()


def many(results: int) -> CampaignView:
    """So many results, as the tests make them."""
    shown = view()
    count = -(-results // len(shown.cells[0].cases))
    cells = tuple(dataclasses.replace(shown.cells[n % 12], short=f"c{n:04d}", id=f"cell-{n}") for n in range(count))
    return dataclasses.replace(shown, cells=cells)


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _pytest_html() -> float | None:
    """Seconds of CPU that pytest-html adds to a run."""
    if importlib.util.find_spec("pytest_html") is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "test_many.py").write_text(TESTS.format(number=RESULTS))

        def run(*words: str) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, "test_many.py"],
                cwd=scratch,
                check=True,
                capture_output=True,
                env={**os.environ, "PYTEST_ADDOPTS": ""},
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        return run("--html=out.html", "--self-contained-html") - run()


def _document() -> None:
    """The full report of so many results that it has more than 200 pages; WeasyPrint on its table of cases alone."""
    issuing = Issuing(number="XR-1", issued=ISSUE.issued, profile=SELF_TEST)
    shown = many(3200)
    started = time.perf_counter()
    pdf, _ = render_document(shown, TEMPLATES, issuing, DIGESTS)
    seconds = time.perf_counter() - started
    pages = len(pypdfium2.PdfDocument(pdf))
    print(f"the full report: {pages} pages in {seconds:.1f} s, so 200 in {200 * seconds / pages:.1f} s (goal 20 s)")
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # it loads Pango
        print(f"WeasyPrint cannot be used here ({error}): pip install 'xinchuang-harness[bench]', apt install libpango")
        return

    few = dataclasses.replace(shown, cells=shown.cells[:6])
    style = "<style>@page { size: A4 landscape } body { font: 8pt 'Noto Sans', 'Noto Sans CJK SC' }</style>"
    started = time.perf_counter()
    other = HTML(string=style + PLAIN.render(r=full_record(few)).partition("<testsuites>")[0]).write_pdf()
    theirs = time.perf_counter() - started
    sheets = len(pypdfium2.PdfDocument(other))
    print(
        f"WeasyPrint, the cases of 6 cells in one table: {sheets} pages in {theirs:.1f} s, so 200 in "
        f"{200 * theirs / sheets:.1f} s; ratio a page {(seconds / pages) / (theirs / sheets):.3f}"
    )


if __name__ == "__main__":
    main()
