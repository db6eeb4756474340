"""The HTML report: one file, nothing loaded from elsewhere, one page a cell."""

from __future__ import annotations

import harness.report.charts as charts
from harness.model.view import CampaignView
from harness.presentation import Presentation


def render_html(view: CampaignView, presentation: Presentation) -> bytes:
    """Render ``report.html.j2``.

    Raises:
        DefinitionError: a file of ``reports/`` is missing or faulty.
    """
    return presentation.render("report.html.j2", view=view, charts=charts).encode("utf-8", "replace")
