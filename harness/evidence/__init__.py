"""Evidence: files by SHA-256, the journal of everything that was done, and who works on a campaign."""

from harness.evidence.checking import broken_at
from harness.evidence.claims import Claim, Claims
from harness.evidence.holding import Hold, hold
from harness.evidence.journal import Journal, JournalReader, JournalWriter
from harness.evidence.recorder import Recorder
from harness.evidence.store import EvidenceStore
from harness.evidence.workspace import Workspace

__all__ = [
    "Claim",
    "Claims",
    "EvidenceStore",
    "Hold",
    "Journal",
    "JournalReader",
    "JournalWriter",
    "Recorder",
    "Workspace",
    "broken_at",
    "hold",
]
