"""The HTML report: one file, nothing loaded from elsewhere, one page a cell."""

from __future__ import annotations

from pathlib import Path

import jinja2

import harness.report.charts as charts
from harness.definitions.wording import Wording
from harness.model.view import CampaignView


def render_html(view: CampaignView, templates: Path) -> bytes:
    """Render ``report.html.j2`` of ``templates`` (a ``reports/`` folder)."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    wording = Wording.read(templates)
    environment.globals.update(w=wording, charts=charts)
    environment.filters["day"] = lambda text: text[:10]
    environment.filters["moment"] = lambda text: text[:19].replace("T", " ")
    text = environment.get_template("report.html.j2").render(view=view)
    return text.encode("utf-8", "replace")
