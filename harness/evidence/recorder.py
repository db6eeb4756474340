"""Records one attempt: implements ``harness.model.ledger.Ledger`` over journal and store."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from harness.evidence.journal import Journal
from harness.evidence.store import EvidenceStore
from harness.model.records import AttemptFacts
from harness.model.results import Cause, Observation, State, Verdict
from harness.system.redact import redact


@dataclass
class Recorder:
    """``hidden`` are secrets that are masked in every text kept here."""

    journal: Journal
    store: EvidenceStore
    campaign: str
    cell: str
    number: int
    hidden: list[str] = field(default_factory=list)

    def intent(self, kind: str, name: str) -> None:
        self.journal.resource(self.campaign, kind, name, "intent")

    def created(self, kind: str, name: str, engine_id: str) -> None:
        self.journal.resource(self.campaign, kind, name, "created", engine_id)

    def removed(self, kind: str, name: str) -> None:
        self.journal.resource(self.campaign, kind, name, "removed")

    def event(self, kind: str, **data: Any) -> None:
        self.journal.event(kind, data, self.campaign, self.cell, self.number)

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        if media.startswith("text/") or media == "application/json":
            data = redact(data.decode(errors="replace"), self.hidden).encode()
        digest = self.store.put(data)
        self.journal.file(self.campaign, self.cell, self.number, name, digest, len(data), media)
        return digest

    def state(self, state: State) -> None:
        self.journal.state(self.campaign, self.cell, self.number, state)

    def observe(self, *seen: Observation) -> None:
        """Record what was seen, secrets masked."""
        recorded = [self._recorded(observation) for observation in seen]
        if recorded:
            self.journal.observe(self.campaign, self.cell, self.number, recorded)

    def _recorded(self, seen: Observation) -> Observation:
        """The observation as it is kept: JSON has no NaN and no infinity, so such a measurement is told in words."""
        kept = [
            replace(each, name=self._clean(each.name), unit=self._clean(each.unit))
            for each in seen.measurements
            if math.isfinite(each.value)
        ]
        refused = [
            f"the measurement {each.name} is no number ({each.value}) and was not kept / 测量值不是数，未记录"
            for each in seen.measurements
            if not math.isfinite(each.value)
        ]
        detail = "\n".join(filter(None, (seen.detail, *refused)))
        return replace(seen, detail=self._clean(detail), measurements=tuple(kept))

    def _clean(self, text: str) -> str:
        """Masked, and without what no file in UTF-8 can hold (lone surrogates come out of a product's JSON)."""
        return redact(text, self.hidden).encode("utf-8", "replace").decode()

    def finish(self, verdict: Verdict, cause: Cause | None, message: str, facts: AttemptFacts) -> None:
        self.journal.finish(
            self.campaign,
            self.cell,
            self.number,
            verdict=verdict,
            cause=cause,
            message=self._clean(message),
            facts=facts,
        )
