"""The report opens in a real browser, offline, and a cell's page is its own; the guide's examples run as written."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import Run
from tests.pages import pdf_text
from tests.products import WEB, product

ROOT = Path(__file__).parents[2]


def browse(folder: Path, *arguments: str) -> None:
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}",
            *arguments,
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


def test_the_report_in_a_browser(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", product(tmp_path / "p", WEB), "--format", "json")
    assert ran.code == 0, ran.err
    report = ran.json["outputs"]["html"]
    short = ran.json["cells"][0]["id"].rpartition("#")[2]
    for name, place in (("overview", ""), ("cell", f"#cell-{short}")):
        browse(tmp_path, "--window-size=1200,1600", f"--screenshot={tmp_path / name}.png", f"file://{report}{place}")
    overview, cell = ((tmp_path / f"{name}.png").read_bytes() for name in ("overview", "cell"))
    assert len(overview) > 20_000
    assert len(cell) > 20_000
    assert overview != cell, "the link to a cell shows the same page"
    browse(tmp_path, f"--print-to-pdf={tmp_path / 'printed.pdf'}", f"file://{report}")
    printed = pdf_text(tmp_path / "printed.pdf")
    assert "DEP-6" in printed
    assert "V-IT-RUNS" in printed


@pytest.mark.full
def test_the_guides_examples_run_as_written(harness: Run, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "guide" / "guide.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```yaml\n# (\w+\.yaml)\n(.*?)```", text, re.DOTALL))
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    root = tmp_path / "tiny-web"
    (root / "mine").mkdir(parents=True)
    (root / "application.yaml").write_text(blocks["application.yaml"], encoding="utf-8")
    matrix = {**yaml.safe_load(blocks["matrix.yaml"]), "suites": ["compat/lifecycle", "mine"]}
    (root / "matrix.yaml").write_text(yaml.safe_dump(matrix), encoding="utf-8")
    (root / "mine" / "test_mine.py").write_text(python, encoding="utf-8")
    ran = harness("run", root, "--format", "json")
    assert ran.code == 0, ran.err
    assert {cell["verdict"] for cell in ran.json["cells"]} == {"conformant"}
