"""Finding a campaign in a journal."""

from __future__ import annotations

from harness.errors import UsageError
from harness.evidence.journal import JournalReader
from harness.evidence.workspace import Workspace
from harness.model.records import CampaignRow


def latest(workspace: Workspace) -> str:
    """Id of the newest campaign.

    Raises:
        UsageError: there is none.
    """
    rows = workspace.journal.campaigns()
    if not rows:
        raise UsageError(f"no campaign in {workspace.root}", advice="begin one with: harness run FOLDER")
    return rows[0].id


def row_of(journal: JournalReader, identity: str) -> CampaignRow:
    """The row of a campaign.

    Raises:
        UsageError: there is none with that id.
    """
    row = journal.campaign(identity)
    if row is None:
        known = ", ".join(campaign.id for campaign in journal.campaigns()[:5]) or "none"
        raise UsageError(f"no campaign {identity!r} here; known: {known}", advice="see: harness list")
    return row
