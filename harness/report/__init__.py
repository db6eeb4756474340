"""Reports from records: one view, then JSON (authoritative), HTML and JUnit."""

from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.sarif import render_campaign_sarif, render_sarif
from harness.report.summary import campaign_summary, full_record, record_schema
from harness.report.view import build_view

__all__ = [
    "build_view",
    "campaign_summary",
    "full_record",
    "record_schema",
    "render_campaign_sarif",
    "render_html",
    "render_junit",
    "render_markdown",
    "render_sarif",
]
