"""Forms of a campaign's report that are made on demand."""

from __future__ import annotations

from harness.evidence import Workspace
from harness.issuing.papers import Office, Papers
from harness.model.view import CampaignView
from harness.presentation import Presentation


def word_report(view: CampaignView, workspace: Workspace, presentation: Presentation, office: Office) -> bytes:
    """The report of a recorded campaign for Word, unsigned; it names the digests of what was rendered.

    Raises:
        DefinitionError: the issuer's profile or the wording is wrong.
        InfrastructureError: a font is missing.
    """
    from harness.report.word import render_word  # with its library it takes a while to be imported

    rendered = workspace.journal.outputs(view.id)
    digests = {kind: rendered.get(kind, "") for kind in ("json", "html")}
    papers = Papers.of(view, presentation, office, None)
    return render_word(view, presentation, papers.issuing(), digests)
