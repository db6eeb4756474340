"""Records one attempt: implements ``harness.model.ledger.Ledger`` over journal and store."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from harness.evidence.journal import JournalWriter
from harness.evidence.store import EvidenceStore
from harness.model.records import AttemptFacts
from harness.model.results import Cause, Observation, State, Verdict
from harness.system.redact import redact


@dataclass
class Recorder:
    """``hidden`` are secrets that are masked in every text kept here. ``token`` is that of the claim on the campaign.

    Without a cell it records what belongs to the campaign, without a campaign what belongs to the workspace.
    """

    journal: JournalWriter
    store: EvidenceStore
    campaign: str
    cell: str
    number: int
    hidden: list[str] = field(default_factory=list)
    token: int = 0

    @classmethod
    def of_campaign(
        cls, journal: JournalWriter, store: EvidenceStore, campaign: str = "", *, token: int = 0
    ) -> Recorder:
        """Records what belongs to no cell: of a campaign, or of none."""
        return cls(journal, store, campaign, "", 0, token=token)

    def intent(self, kind: str, name: str) -> None:
        self.journal.resource(self.campaign, kind, name, "intent", token=self.token)

    def created(self, kind: str, name: str, engine_id: str) -> None:
        self.journal.resource(self.campaign, kind, name, "created", engine_id, token=self.token)

    def removed(self, kind: str, name: str) -> None:
        self.journal.resource(self.campaign, kind, name, "removed", token=self.token)

    def event(self, kind: str, **data: Any) -> None:
        self.journal.event(kind, data, self.campaign, self.cell, self.number, token=self.token)

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        if media.startswith("text/") or media == "application/json":
            data = redact(data.decode(errors="replace"), self.hidden).encode()
        digest = self.store.put(data)
        self.journal.file(
            self.campaign, self.cell, self.number, _storable(name), digest, len(data), media, token=self.token
        )
        return digest

    def state(self, state: State, step: str = "") -> None:
        self.journal.state(self.campaign, self.cell, self.number, state, step=step, token=self.token)

    def observe(self, *results: Observation) -> None:
        """Record what was seen, secrets masked."""
        recorded = [self._recorded(observation) for observation in results]
        if recorded:
            self.journal.observe(self.campaign, self.cell, self.number, recorded, token=self.token)

    def _recorded(self, observation: Observation) -> Observation:
        """The observation as it is kept: JSON has no NaN and no infinity, so words stand for such a measurement."""
        kept = [
            replace(each, name=self._clean(each.name), unit=self._clean(each.unit))
            for each in observation.measurements
            if math.isfinite(each.value)
        ]
        refused = [
            f"the measurement {each.name} is no number ({each.value}) and was not kept / 测量值不是数，未记录"
            for each in observation.measurements
            if not math.isfinite(each.value)
        ]
        detail = "\n".join(filter(None, (observation.detail, *refused)))
        return replace(observation, detail=self._clean(detail), measurements=tuple(kept))

    def _clean(self, text: str) -> str:
        return _storable(redact(text, self.hidden))

    def finish(self, verdict: Verdict, cause: Cause | None, message: str, facts: AttemptFacts) -> None:
        self.journal.finish(
            self.campaign,
            self.cell,
            self.number,
            verdict=verdict,
            cause=cause,
            message=self._clean(message),
            facts=facts,
            token=self.token,
        )


def _storable(text: str) -> str:
    """Without what no column of text can hold: lone surrogates, which come out of a product's JSON, and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\u2400")
