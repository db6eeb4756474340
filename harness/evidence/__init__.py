"""Evidence: files by SHA-256, and the journal of everything that was done."""

from harness.evidence.checking import broken_at, differences
from harness.evidence.journal import Journal
from harness.evidence.recorder import Recorder
from harness.evidence.store import EvidenceStore
from harness.evidence.workspace import Workspace

__all__ = ["EvidenceStore", "Journal", "Recorder", "Workspace", "broken_at", "differences"]
