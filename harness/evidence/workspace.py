"""The folder that runs write to, and who is working in it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.evidence.journal import Journal
from harness.evidence.store import EvidenceStore, disk_errors


class Workspace:
    """``.harness/`` beside the user's files: journal, evidence, one folder a campaign.

    Raises:
        InfrastructureError: it cannot be made or opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        with disk_errors(f"opening the workspace {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        self.journal = Journal(self.root / "journal.sqlite")
        self.store = EvidenceStore(self.root / "evidence")

    @property
    def id(self) -> str:
        """Names this workspace on labels of containers."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    @property
    def machines(self) -> Path:
        """Where virtual machines of campaigns run, a folder each."""
        return self.root / "machines"

    def folder(self, campaign: str) -> Path:
        path = self.root / "campaigns" / campaign
        with disk_errors("making the campaign's folder"):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def working(self, campaign: str) -> Iterator[None]:
        """Hold the campaign: the lock ends with this process, however that ends.

        Raises:
            UsageError: another process works on it.
        """
        with (self.folder(campaign) / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"campaign {campaign} is being worked on by another process",
                    advice="wait for it, or look at: harness status",
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def worker(self, campaign: str) -> int | None:
        """Process that works on the campaign now, None where none does."""
        text = (self.root / "campaigns" / campaign / "lock").read_text() if self.alive(campaign) else ""
        return int(text) if text.isdigit() else None

    def alive(self, campaign: str) -> bool:
        """Whether a process works on the campaign now."""
        path = self.root / "campaigns" / campaign / "lock"
        if not path.exists():
            return False
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
