"""Brings what was rendered of a campaign here: by its digests in the journal, out of the shared evidence."""

from __future__ import annotations

from pathlib import Path

from harness.center.queueing import Center
from harness.errors import UsageError
from harness.evidence.lookup import row_of
from harness.evidence.store import disk_errors
from harness.issuing.rendering import OUTPUTS


def fetch(campaign: str, center: Center, into: Path) -> dict[str, str]:
    """Write the outputs of a closed campaign into a folder; gives their paths by kind.

    Raises:
        UsageError: there is no such campaign, or it is not closed.
        InfrastructureError: an output is missing in the store or was changed, or the disk refuses.
    """
    row = row_of(center.journal, campaign)
    digests = center.journal.outputs(campaign)
    if not row.finished or not digests:
        raise UsageError(f"campaign {campaign} is not closed, so nothing was rendered", advice="see: harness queue")
    with disk_errors(f"writing {into}"):
        into.mkdir(parents=True, exist_ok=True)
    for kind, digest in digests.items():
        if kind in OUTPUTS:
            center.workspace.store.fetch(digest, into / OUTPUTS[kind])
    return {kind: str(into / OUTPUTS[kind]) for kind in digests if kind in OUTPUTS}
