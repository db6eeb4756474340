"""What changed from one campaign to another, and what to suspect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.gating.record import CampaignRecord, CellRecord, PackageRecord
from harness.model.results import Result, Verdict

#: Two runs of the same thing on the same machine differ by this much now and then; both bounds must be passed.
NOISE_RATIO, NOISESECONDS = 1.3, 0.25
SECONDS = {"s": 1.0, "ms": 0.001}


@dataclass(frozen=True, kw_only=True)
class Change:
    """A difference between two campaigns; ``cell`` is empty where the difference concerns the whole campaign."""

    kind: str  #: verdict, case, timing, environment, cell, decision (waivers and accepted risks)
    cell: str
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        place = f"{self.cell}: " if self.cell else ""
        return f"{place}{self.what}: {self.before or '—'} → {self.after or '—'}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Everything that changed; ``suspects`` says for each cell whose verdict changed what else did there."""

    changes: tuple[Change, ...]
    suspects: dict[str, tuple[str, ...]]

    def of(self, kind: str) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def same_verdicts(self) -> bool:
        """Whether both campaigns have the same cells, with the same verdicts."""
        return not self.of("verdict") and not self.of("cell")


def compare(first: CampaignRecord, second: CampaignRecord) -> Difference:
    """From ``first`` to ``second``: cells, verdicts, results, timings beyond noise, environment."""
    old = {cell.id: cell for cell in first.cells}
    new = {cell.id: cell for cell in second.cells}
    changes: list[Change] = []
    for identity in sorted(old.keys() ^ new.keys()):
        cell = old.get(identity) or new[identity]
        there = identity in new
        changes.append(
            Change(
                kind="cell",
                cell=cell.label,
                what="planned",
                before="" if there else "yes",
                after="yes" if there else "",
            )
        )
    whole = list(_whole(first, second))
    changes += whole
    suspects: dict[str, tuple[str, ...]] = {}
    for identity in sorted(old.keys() & new.keys()):
        a, b = old[identity], new[identity]
        decisions, own = list(_decisions(a, b)), list(_environment(a, b))
        changes += [*_results(a, b), *_timings(a, b), *decisions, *own]
        if a.verdict is not b.verdict:
            changes.append(
                Change(kind="verdict", cell=b.label, what="verdict", before=a.verdict.value, after=b.verdict.value)
            )
            suspects[b.label] = tuple(_suspects(a, b, decisions, own, whole))
    order = {"cell": 0, "verdict": 1, "decision": 2, "case": 3, "timing": 4, "environment": 5}
    return Difference(changes=tuple(sorted(changes, key=lambda change: order[change.kind])), suspects=suspects)


def _results(a: CellRecord, b: CellRecord) -> Iterable[Change]:
    before = {(case.suite, case.id): case for case in a.cases}
    for case in b.cases:
        earlier = before.pop((case.suite, case.id), None)
        result = earlier.result.value if earlier is not None else ""
        if result != case.result.value:
            detail = (case.detail.strip().splitlines() or [""])[0][:160]
            yield Change(
                kind="case",
                cell=b.label,
                what=f"{case.id} {case.title.en}",
                before=result,
                after=f"{case.result.value}{': ' + detail if detail else ''}",
            )
    for gone in before.values():
        yield Change(kind="case", cell=b.label, what=f"{gone.id} {gone.title.en}", before=gone.result.value, after="")


def _timings(a: CellRecord, b: CellRecord) -> Iterable[Change]:
    before = {(case.suite, case.id, m.name): m for case in a.cases for m in case.measurements}
    for case in b.cases:
        if case.result is not Result.PASS:
            continue
        for measurement in case.measurements:
            earlier = before.get((case.suite, case.id, measurement.name))
            if earlier is not None and beyond_noise(earlier.value, measurement.value, earlier.unit, measurement.unit):
                yield Change(
                    kind="timing",
                    cell=b.label,
                    what=f"{case.id} {measurement.name}",
                    before=f"{earlier.value:g} {earlier.unit}",
                    after=f"{measurement.value:g} {measurement.unit}",
                )


def beyond_noise(before: float, after: float, unit: str, same: str) -> bool:
    """Whether two times differ by more than runs of the same thing do."""
    if unit != same or unit not in SECONDS:
        return False
    low, high = sorted((before * SECONDS[unit], after * SECONDS[unit]))
    return high - low > NOISESECONDS and high > low * NOISE_RATIO


def _packages(what: str, a: tuple[PackageRecord, ...], b: tuple[PackageRecord, ...], cell: str) -> Iterable[Change]:
    old, new = {p.name: p for p in a}, {p.name: p for p in b}
    for name in sorted(old.keys() | new.keys()):
        first, second = old.get(name), new.get(name)
        before, after = (f"{p.version} {p.sha256[:12]}".strip() if p is not None else "" for p in (first, second))
        if before != after:
            yield Change(kind="environment", cell=cell, what=f"{what} {name}", before=before, after=after)


def _environment(a: CellRecord, b: CellRecord) -> Iterable[Change]:
    yield from _packages("product package", a.packages, b.packages, b.label)
    yield from _packages("database package", a.database_packages, b.database_packages, b.label)
    yield from _packages("runtime package", a.foundation_packages, b.foundation_packages, b.label)
    if a.version != b.version:
        yield Change(kind="environment", cell=b.label, what="product version", before=a.version, after=b.version)
    old, new = (
        {f"{f['machine']} {f['name']}": str(f["observed"]) for f in cell.attestation if not f.get("measured")}
        for cell in (a, b)
    )
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Change(kind="environment", cell=b.label, what=name, before=old.get(name, ""), after=new.get(name, ""))
    if a.images != b.images:
        yield Change(kind="environment", cell=b.label, what="image", before=_short(a.images), after=_short(b.images))


def _short(images: tuple[str, ...]) -> str:
    return " ".join(image.removeprefix("sha256:")[:12] for image in images)


def _whole(before: CampaignRecord, after: CampaignRecord) -> Iterable[Change]:
    old, new = ({s.suite: f"{s.version} {s.digest[:12]}" for s in record.suites} for record in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Change(
                kind="environment", cell="", what=f"suite {name}", before=old.get(name, ""), after=new.get(name, "")
            )
    flat = [{**record.conditions, **record.conditions.get("tools", {})} for record in (before, after)]
    for name in sorted(flat[0].keys() | flat[1].keys()):
        if name != "tools" and flat[0].get(name) != flat[1].get(name):
            yield Change(
                kind="environment",
                cell="",
                what=name,
                before=str(flat[0].get(name, "")),
                after=str(flat[1].get(name, "")),
            )


def _decisions(a: CellRecord, b: CellRecord) -> Iterable[Change]:
    """Waivers that were applied, and what else somebody decided: accepted releases, adjusts."""
    old, new = (
        {f"waiver for {w.case}": f"until {w.expires} by {w.approved_by}: {w.because}" for w in cell.waived}
        for cell in (a, b)
    )
    for what in sorted(old.keys() | new.keys()):
        if old.get(what) != new.get(what):
            yield Change(kind="decision", cell=b.label, what=what, before=old.get(what, ""), after=new.get(what, ""))
    for note in sorted(set(a.notes) ^ set(b.notes)):
        before, after = (note, "") if note in a.notes else ("", note)
        yield Change(kind="decision", cell=b.label, what="note", before=before, after=after)


def _suspects(
    a: CellRecord, b: CellRecord, decisions: list[Change], own: list[Change], whole: list[Change]
) -> Iterable[str]:
    """Likely causes, the likeliest first: decisions, the product, its environment, the suites, the machine, chance.

    What appears only because a cell got further than before, or less far, explains nothing.
    """
    count = 0
    if b.verdict is Verdict.INCONCLUSIVE:
        cause = b.cause.value if b.cause is not None else "unknown"
        count += 1
        yield f"the lab or the definitions ({cause}): {b.message}"
    if a.deployed != b.deployed:
        count += 1
        stopped, which = (a, "earlier") if b.deployed else (b, "now")
        yield f"{which} it was not deployed: {stopped.message or stopped.verdict.value}"
        own = []
    groups = [("", decisions), ("product", own), ("database", own), ("suite", whole), ("emulator", own)]
    shown: set[Change] = set()
    for word, changes in [*groups, ("", own), ("", whole)]:
        for change in changes:
            if word in change.what and change not in shown:
                shown.add(change)
                yield str(change)
    if not shown and not count:
        yield "nothing else changed: an unsteady product, suite or lab; run it again, and see: harness flaky"
