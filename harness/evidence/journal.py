"""The journal: everything that was done, written before anything is created. Readers and writers see these protocols.

What is written is on the disk before the call returns. An attempt never changes once it is closed, a result is recorded
once, and a writer that lost its claim writes nothing more.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from harness.model.records import (
    AttemptFacts,
    AttemptRow,
    CampaignRow,
    ChainEntry,
    EventRow,
    FileRow,
    ResourceRow,
    ResourceState,
)
from harness.model.results import Cause, Observation, State, Verdict


def now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class JournalReader(Protocol):
    """Reads what was recorded.

    Raises:
        InfrastructureError: the database does not answer, or holds what no harness wrote.
    """

    def campaign(self, identity: str) -> CampaignRow | None:
        """The campaign with that id; None where there is none."""
        ...

    def campaigns(self) -> list[CampaignRow]:
        """All campaigns, the newest first."""
        ...

    def submission(self, campaign: str) -> str | None:
        """The state of a campaign in a center's queue; None where it was not put into a queue."""
        ...

    def attempts(self, campaign: str, cell: str = "") -> list[AttemptRow]:
        """By cell and number; of one cell where it is named."""
        ...

    def observations(self, campaign: str) -> dict[tuple[str, int], list[Observation]]:
        """By cell and number of the attempt, in the order in which they were recorded."""
        ...

    def files(self, campaign: str) -> list[FileRow]:
        """In the order in which they were kept."""
        ...

    def resources(self, state: str | None = None, campaign: str | None = None) -> list[ResourceRow]:
        """What was made outside of the workspace: all of it, or what is in a state, or what is a campaign's."""
        ...

    def follow(self, campaign: str, after: int = 0) -> list[EventRow]:
        """The campaign's events after number ``after``, without a gap: the next call takes the last number."""
        ...

    def events(self, campaign: str | None = None) -> list[EventRow]:
        """Of one chain (empty: the workspace's own), or of all chains by time."""
        ...

    def chains(self) -> dict[str, tuple[int, str]]:
        """Every chain with its length and its head."""
        ...

    def chain(self, campaign: str) -> tuple[int, str] | None:
        """Length and head of one chain, None where there is none."""
        ...

    def entries(self, campaign: str) -> list[ChainEntry]:
        """What the workspace's chain says of a campaign's chain: first where it begins, then how far it was written."""
        ...

    def stored(self, campaign: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Rows of the tables campaigns, attempts, observations and files as they stand, JSON as text."""
        ...

    def head(self, campaign: str) -> str:
        """Digest of the newest event of the campaign's chain."""
        ...

    def outputs(self, campaign: str) -> dict[str, str]:
        """SHA-256 of what was rendered last, by kind."""
        ...

    def timings(self, newest: int) -> list[tuple[dict[str, str], float]]:
        """Axes of a cell and seconds that an attempt at it worked, without waits; only of those with a verdict."""
        ...

    def state_times(self, campaign: str) -> dict[str, str]:
        """When each cell came into the state that it is in."""
        ...


class JournalWriter(Protocol):
    """Writes what is done. ``token`` is that of the claim under which it is written; 0 where none is needed.

    Raises:
        InfrastructureError: the database cannot be written.
        ClaimLost: the token is not that of the campaign's claim any more.
    """

    def open_campaign(self, row: CampaignRow) -> None:
        """Record a campaign before its first attempt."""
        ...

    def close_campaign(self, campaign: str, verdict: Verdict, outputs: dict[str, str], *, token: int = 0) -> None:
        """Record the campaign's verdict and the digests of what was rendered; enter the head of its chain."""
        ...

    def rendered(self, campaign: str, outputs: dict[str, str]) -> None:
        """Record what was rendered again, and enter the head of the campaign's chain."""
        ...

    def begin(self, campaign: str, cell: str, *, token: int = 0) -> int:
        """Open the next attempt at a cell; gives its number, from 1."""
        ...

    def adopt(self, campaign: str, cell: str, number: int, *, token: int) -> None:
        """Go on with an open attempt of an earlier claim."""
        ...

    def state(self, campaign: str, cell: str, number: int, state: State, *, step: str = "", token: int = 0) -> None:
        """Record that an attempt comes into a state; ``step`` says for people what is done in it."""
        ...

    def observe(self, campaign: str, cell: str, number: int, results: Sequence[Observation], *, token: int = 0) -> None:
        """Record results as they come.

        Raises:
            DoubleResult: a case has a result in this attempt already.
        """
        ...

    def finish(
        self,
        campaign: str,
        cell: str,
        number: int,
        *,
        verdict: Verdict,
        cause: Cause | None,
        message: str,
        facts: AttemptFacts,
        token: int = 0,
    ) -> None:
        """Close an attempt for good.

        Raises:
            HarnessBug: it is closed already.
        """
        ...

    def event(
        self,
        kind: str,
        data: Mapping[str, Any],
        campaign: str = "",
        cell: str = "",
        number: int = 0,
        *,
        token: int = 0,
    ) -> None:
        """Add an event to the chain of a campaign, or to that of the workspace where none is named."""
        ...

    def resource(
        self, campaign: str, kind: str, name: str, state: ResourceState, engine_id: str = "", *, token: int = 0
    ) -> None:
        """Record the intent, the making or the removal of a container, network, image or machine."""
        ...

    def file(
        self,
        campaign: str,
        cell: str,
        number: int,
        name: str,
        sha256: str,
        size: int,
        media: str,
        *,
        token: int = 0,
    ) -> None:
        """Record that evidence is kept; ``size`` in bytes."""
        ...


class Journal(JournalReader, JournalWriter, Protocol):
    """Both; good for several threads and processes at once."""

    def snapshot(self) -> AbstractContextManager[JournalReader]:
        """A reader to whom everything stands as it did at one moment, whatever others write meanwhile."""
        ...

    def close(self) -> None: ...
