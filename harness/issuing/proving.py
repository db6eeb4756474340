"""Records of campaigns and the proof of them: only a workspace can show that a record is the one it rendered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, UsageError
from harness.evidence import Workspace
from harness.evidence.lookup import row_of
from harness.gating import CampaignRecord, read_record
from harness.issuing.rendering import OUTPUTS, distrust


@dataclass(frozen=True, kw_only=True)
class ProvedRecord:
    """A record, why it does not verify (empty where it does), and whether it lies outside of every workspace."""

    record: CampaignRecord
    doubt: str
    loose: bool

    def demand(self) -> CampaignRecord:
        """The record, where it verifies or nothing can tell.

        Raises:
            UsageError: it does not verify.
        """
        if self.doubt:
            raise UsageError(
                f"the record of campaign {self.record.id} does not verify: {self.doubt}",
                advice="restore it from a copy, or run the campaign again; see: harness verify",
            )
        return self.record


def proved_record(name: str, workspace: Workspace | None) -> ProvedRecord:
    """The record ``name``: a file, or that of a campaign of ``workspace``; checked against a workspace that knows it.

    Raises:
        UsageError: there is neither, or the file is no record.
    """
    path = Path(name)
    if not path.is_file():
        if workspace is None:
            raise UsageError(f"{name} cannot be read: no such file", advice="name a campaign or a campaign.json")
        row_of(workspace.journal, name)
        path = workspace.folder(name) / OUTPUTS["json"]
    record = read_record(path)
    keeper = _keeper(record.id, path, workspace)
    if keeper is None:
        doubt = f"it says so itself: {record.unverified}" if record.unverified else ""
        return ProvedRecord(record=record, doubt=doubt, loose=True)
    return ProvedRecord(record=record, doubt=_doubt(record, path, keeper), loose=False)


def _keeper(campaign: str, path: Path, workspace: Workspace | None) -> Workspace | None:
    """The workspace that knows the campaign: the one that is named, else the one that the file lies in."""
    if workspace is not None and workspace.journal.campaign(campaign) is not None:
        return workspace
    around = path.resolve().parents
    if len(around) > 2 and Workspace.is_at(around[2]):
        other = Workspace(around[2])
        if other.journal.campaign(campaign) is not None:
            return other
    return None


def _doubt(record: CampaignRecord, path: Path, keeper: Workspace) -> str:
    try:
        doubts = [distrust(record.id, keeper)]
    except InfrastructureError as error:
        doubts = [error.message]
    rendered = keeper.journal.outputs(record.id).get("json")
    if hashlib.sha256(path.read_bytes()).hexdigest() != rendered:
        doubts.append(f"{path.name} is not what was rendered of it")
    return "; ".join(filter(None, doubts))
