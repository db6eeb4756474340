"""The folder that runs write to, and who is working in it."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager
from pathlib import Path

from harness.errors import UsageError
from harness.evidence.claims import Claims, DatabaseClaims, HeartbeatLiveness, LockLiveness
from harness.evidence.database import DatabaseJournal
from harness.evidence.holding import Hold, hold
from harness.evidence.journal import Journal
from harness.evidence.sqlite import url_of
from harness.evidence.store import EvidenceStore, disk_errors
from harness.evidence.stores import store_of

#: Names the database of the record; without it the record is a file of the workspace.
DATABASE = "HARNESS_DATABASE_URL"
#: Names the evidence that all workers of a center share, a folder or a bucket; without it, it lies in the workspace.
EVIDENCE = "HARNESS_EVIDENCE"
#: Keys of a store of evidence.
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
#: Seconds of silence after which a worker of a center counts as dead.
PATIENCE = "HARNESS_PATIENCE"
SHORTEST, LONGEST = 6.0, 3600.0
FILE = "journal.sqlite"
_taken: dict[str, str] = {}


class Workspace:
    """``.harness/`` beside the user's files: evidence, one folder a campaign, and the journal or the way to it.

    It is made for its owner alone, because it holds logs and records of a product.

    ``database``: URL of the journal's database; by default that of the environment, else a file here. ``evidence``: the
    folder of evidence, likewise.

    Raises:
        UsageError: the URL is none of a database that is known, or the place of evidence is none.
        InfrastructureError: folder or database cannot be made or opened.
    """

    def __init__(self, root: Path, database: str = "", evidence: Path | None = None) -> None:
        self.root = root.resolve()
        with disk_errors(f"opening the workspace {self.root}"):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            url = database or _database()
            if not url:
                (self.root / FILE).touch(mode=0o600)
        journal = DatabaseJournal(url or url_of(self.root / FILE))
        one_machine = journal.engine.one_machine
        self.journal: Journal = journal
        self.claims: Claims = DatabaseClaims(
            journal, LockLiveness(self.root / "campaigns") if one_machine else HeartbeatLiveness(), patience()
        )
        place = str(evidence or os.environ.get(EVIDENCE, ""))
        keys = _keys() if "://" in place else {}
        self.store: EvidenceStore = store_of(
            place, self.root / "evidence", keys, begun=lambda: len(journal.chains()) > 1
        )
        #: Whether others, on other machines, work on the same record.
        self.shared = not one_machine

    @staticmethod
    def is_at(root: Path) -> bool:
        """Whether something was recorded from this folder before."""
        return root.is_dir() if _database() else (root / FILE).is_file()

    @property
    def id(self) -> str:
        """Names this workspace on labels of containers."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]

    @property
    def machines(self) -> Path:
        """Where virtual machines of campaigns run, a folder each."""
        return self.root / "machines"

    def folder(self, campaign: str) -> Path:
        """The folder of a campaign, which is made where it is missing.

        Raises:
            InfrastructureError: it cannot be made.
        """
        path = self.root / "campaigns" / campaign
        with disk_errors("making the campaign's folder"):
            path.parent.mkdir(exist_ok=True, mode=0o700)
            path.mkdir(exist_ok=True, mode=0o700)
        return path

    def hold(self, campaign: str, cell: str = "") -> AbstractContextManager[Hold]:
        """Hold the campaign, or a cell of it; ends with this process, however that ends.

        Raises:
            UsageError: another worker works on it.
        """
        self.folder(campaign)
        return hold(self.claims, campaign, cell)

    def alive(self, campaign: str) -> bool:
        """Whether a worker works on the campaign now."""
        return self.claims.holder(campaign) is not None


def _database() -> str:
    """URL of the database that the environment names, empty where it names none.

    It holds a password, so it is taken out of the environment: suites and tools are started with what is left there.
    """
    _take(DATABASE)
    return _taken.get(DATABASE, "")


def _keys() -> dict[str, str]:
    """Keys of the store of evidence, which are taken out of the environment likewise."""
    for name in KEYS:
        _take(name)
    return {name: _taken[name] for name in KEYS if name in _taken}


def _take(name: str) -> None:
    if name in os.environ:
        _taken[name] = os.environ.pop(name)


def taken() -> dict[str, str]:
    """What was taken out of the environment, for a process of the harness that is to have it too."""
    return dict(_taken)


def patience() -> float | None:
    """Seconds of silence after which a worker counts as dead, that the environment names; None where it names none.

    Raises:
        UsageError: it is no number of seconds that is possible.
    """
    text = os.environ.get(PATIENCE, "")
    try:
        seconds = float(text) if text else None
    except ValueError:
        seconds = 0.0
    if seconds is not None and not SHORTEST <= seconds <= LONGEST:
        raise UsageError(
            f"{PATIENCE}={text} is no number of seconds from {SHORTEST:.0f} to {LONGEST:.0f}",
            advice="for example: 180; all workers of a center have the same",
        )
    return seconds
