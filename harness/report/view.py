"""Builds the view of a campaign from what was recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.judging import counts, overall
from harness.model.definitions import SELF_TEST, Case, Text
from harness.model.definitions.runners import RUNNER_KINDS
from harness.model.ledger import MEDIA_LOAD, MEDIA_TIMELINE
from harness.model.plan import FRESH, ROLES, SAME, UPGRADE
from harness.model.records import AttemptFacts, AttemptRow, CampaignRow, EnvironmentFacts, FileRow
from harness.model.results import Cause, Fidelity, Observation, Result, Verdict
from harness.model.timeline import Timeline
from harness.model.view import AttemptView, CampaignView, CaseView, CellView, FileView
from harness.report.controllers import Controllers
from harness.system.canonical import read_json
from harness.system.printable import one_line, printable

#: Logs shown in a report are cut to this many lines; the evidence holds them whole.
LOG_LINES = 120
#: Answers of a load that a report shows: hours of it have hundreds of thousands.
MOST_SAMPLES = 5000


def build_view(
    campaign: CampaignRow,
    attempts: Sequence[AttemptRow],
    observations: Mapping[tuple[str, int], list[Observation]],
    files: Sequence[FileRow],
    read: Callable[[str], bytes],
    head: str,
) -> CampaignView:
    """The view of ``campaign`` with its ``attempts`` (by cell and number) and files.

    ``observations`` are by cell and number of the attempt. ``read`` gives stored evidence by SHA-256.

    Raises:
        InfrastructureError: evidence is missing or was changed.
    """
    plan = campaign.plan
    controllers, tries = Controllers(attempts), _tries(attempts, observations, files)
    cells = tuple(_cell(cell, plan, tries(cell["id"]), controllers, read) for cell in plan["cells"])
    title = plan["matrix"].get("title") or {"zh": campaign.matrix, "en": campaign.matrix}
    view = CampaignView(
        id=campaign.id,
        matrix=campaign.matrix,
        title=Text(**title),
        application=plan["application"],
        plan_digest=campaign.plan_digest,
        created=campaign.created,
        finished=max((a.finished for a in attempts if a.finished), default=""),
        verdict=overall(cell.verdict for cell in cells),
        cells=cells,
        excluded=tuple(plan["excluded"]),
        valid=plan["valid"],
        strategy=plan["matrix"]["strategy"]["kind"],
        pairs=plan["pairs"],
        suites=tuple(plan["suites"].values()),
        conditions=controllers.conditions(campaign.conditions),
        profile=plan["matrix"].get("profile", SELF_TEST),
        basis=tuple(plan.get("basis", ())),
        accepted=tuple(sorted({note for cell in cells for note in cell.notes if "expired" in note})),
        journal_head=head,
        interrupted=any(cell.cause is Cause.CANCELED for cell in cells),
    )
    return printable(view)  # what a product or a test printed may be anything; no output is lost by it


@dataclass(frozen=True, kw_only=True)
class _Tries:
    """What the journal has of one cell: its attempts, and of the last the observations and the files."""

    attempts: tuple[AttemptRow, ...]
    observations: Mapping[tuple[str, str], Observation]  #: by suite and case
    files: tuple[FileView, ...]

    @property
    def last(self) -> AttemptRow | None:
        """The last attempt; None where the cell was not tried."""
        return self.attempts[-1] if self.attempts else None

    @property
    def facts(self) -> AttemptFacts:
        """The facts of the last attempt."""
        return self.last.facts if self.last is not None else AttemptFacts()


def _tries(
    attempts: Sequence[AttemptRow], observations: Mapping[tuple[str, int], list[Observation]], files: Sequence[FileRow]
) -> Callable[[str], _Tries]:
    """Gives what the journal has of a cell; each row is looked at once, however many cells there are."""
    of_cell: dict[str, list[AttemptRow]] = {}
    for attempt in attempts:
        of_cell.setdefault(attempt.cell, []).append(attempt)
    of_attempt: dict[tuple[str, int], list[FileView]] = {}
    for f in files:
        view = FileView(name=f.name, sha256=f.sha256, size=f.size, media=f.media)
        of_attempt.setdefault((f.cell, f.number), []).append(view)

    def of(cell: str) -> _Tries:
        own = tuple(of_cell.get(cell, ()))
        last = (cell, own[-1].number if own else 0)
        return _Tries(
            attempts=own,
            observations={(o.suite, o.case): o for o in observations.get(last, [])},
            files=tuple(of_attempt.get(last, ())),
        )

    return of


def _cell(
    cell: dict[str, Any],
    plan: dict[str, Any],
    tries: _Tries,
    controllers: Controllers,
    read: Callable[[str], bytes],
) -> CellView:
    axes = cell["axes"]
    cpu = plan["cpus"][axes["cpu"]]
    names = {
        "cpu": Text(**cpu["name"]),
        "os": Text(**plan["systems"][axes["os"]]["name"]),
        "database": Text(**plan["databases"][axes["database"]]["name"]),
    }
    last, facts, files = tries.last, tries.facts, tries.files
    environment = facts.environment or EnvironmentFacts()
    return CellView(
        id=cell["id"],
        short=cell["short"],
        axes=axes,
        names=names,
        architecture=cpu["architecture"],
        isa_level=cpu["isa_level"],
        reason=cell["reason"],
        fidelity=facts.fidelity,
        worker=controllers.name(facts.controller),
        verdict=_verdict(last),
        cause=last.cause if last is not None else None,
        message=last.message if last is not None else "",
        attempts=tuple(_attempt(attempt) for attempt in tries.attempts),
        cases=tuple(_cases(cell, plan, tries, read)),
        attestation=tuple(fact.model_dump() for fact in facts.attestation),
        seconds=facts.seconds,
        packages=tuple(vars(package) for package in environment.packages),
        database_packages=tuple(vars(package) for package in environment.database_packages),
        foundation_packages=tuple(vars(package) for package in environment.foundation_packages),
        images=environment.images,
        cached=environment.cached,
        emulator=facts.emulator.model_dump() if facts.emulator is not None else {},
        version=one_line(facts.version),
        limits=_limits(axes, plan) if _emulated(facts) else (),
        notes=(*facts.notes, *environment.notes),
        adjusted=tuple(adjust["because"] for adjust in _adjusts(axes, plan)),
        left_out=_left_out(cell, plan),
        waived=tuple(waiver.model_dump(mode="json") for waiver in facts.waived),
        files=files,
        loads=_loads(cell["suites"], files, read),
        timelines=tuple(_timelines(files, read)),
        logs={f.name: _tail(read(f.sha256).decode(errors="replace")) for f in files if f.name.endswith(".log")},
    )


def _loads(suites: Sequence[str], files: Sequence[FileView], read: Callable[[str], bytes]) -> dict[str, dict[str, Any]]:
    """By suite, in their order; a driver names the file of a load after its suite."""
    kept = {f.name: f for f in files if f.media == MEDIA_LOAD}
    named = {suite: kept.get(suite.replace("/", "-") + ".json") for suite in suites}
    return {suite: _thinned(printable(read_json(read(f.sha256)))) for suite, f in named.items() if f is not None}


def _timelines(files: Sequence[FileView], read: Callable[[str], bytes]) -> Iterator[Timeline]:
    """Those that suites kept; what is none, whatever its media type says, is evidence and nothing more."""
    for file in files:
        if file.media == MEDIA_TIMELINE:
            with contextlib.suppress(ValidationError):
                yield Timeline.model_validate_json(read(file.sha256))


def _cases(
    cell: dict[str, Any], plan: dict[str, Any], tries: _Tries, read: Callable[[str], bytes]
) -> Iterator[CaseView]:
    """The cases of the deployment and of the cell's suites; those of upgrades only where the cell upgrades."""
    fidelity = tries.facts.fidelity
    upgrades = cell["axes"].get(UPGRADE, FRESH) != FRESH
    static = {name for name in cell["suites"] if RUNNER_KINDS[plan["suites"][name]["runner"]].reads_files}
    scans = {name.replace("/", "-") + ".json" for name in static}
    against = _against([f for f in tries.files if f.name in scans], read)
    for suite in [plan["deployment"], *(plan["suites"][name] for name in cell["suites"])]:
        name = suite["suite"]
        for case in suite["cases"]:
            if upgrades or case["when"] != "upgrade":
                yield _case(
                    name,
                    Case.model_validate(case),
                    tries.observations.get((name, case["id"])),
                    tries.files,
                    emulated=_emulated(tries.facts),
                    fidelity=Fidelity.STATIC if RUNNER_KINDS[suite["runner"]].reads_files else fidelity,
                    against=against.get(case["id"], ()) if name in static else (),
                )


def _thinned(load: Any) -> Any:
    """A load with as many answers as a picture can show: of each group of neighbours the slowest. The evidence holds
    all of them, and figures are of all of them."""
    samples = load.get("samples") if isinstance(load, dict) else None
    if not isinstance(samples, list) or len(samples) <= MOST_SAMPLES:
        return load
    size = -(-len(samples) // MOST_SAMPLES)
    groups = [samples[first : first + size] for first in range(0, len(samples), size)]
    return {**load, "samples": [max(group, key=lambda sample: (not sample[3], sample[1])) for group in groups]}


def _emulated(facts: AttemptFacts) -> bool:
    return facts.fidelity in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)


def _attempt(attempt: AttemptRow) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        verdict=_verdict(attempt),
        cause=attempt.cause,
        message=attempt.message,
        started=attempt.started,
        finished=attempt.finished,
    )


def _adjusts(axes: dict[str, str], plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The adjusts of the matrix that concern a cell with these axes."""
    return [
        adjust
        for adjust in plan["matrix"].get("adjust", ())
        if all(axes.get(axis) == value for axis, value in adjust["when"].items())
    ]


def _left_out(cell: dict[str, Any], plan: dict[str, Any]) -> tuple[dict[str, str], ...]:
    """Suites of the matrix that an adjust took from the cell, with its reason: what was not run must not look run."""
    reasons = [adjust["because"] for adjust in _adjusts(cell["axes"], plan) if adjust["set"].get("suites") is not None]
    return tuple(
        {"suite": suite, "because": "; ".join(reasons)}
        for suite in plan["matrix"].get("suites", ())
        if suite not in cell["suites"]
    )


def _limits(axes: dict[str, str], plan: dict[str, Any]) -> tuple[Text, ...]:
    """What the emulated machines of a cell cannot show."""
    others = [name for role in ROLES if (name := axes.get(f"{role}_cpu", SAME)) != SAME]
    cpus = [plan["cpus"][name] for name in dict.fromkeys((axes["cpu"], *others))]
    return tuple(dict.fromkeys(Text(**limit) for cpu in cpus for limit in cpu["emulation"]["limits"]))


def _against(kept: Sequence[FileView], read: Callable[[str], bytes]) -> dict[str, tuple[str, ...]]:
    """Rule of a static scan -> files with findings that block, from the findings that were kept as evidence."""
    files: dict[str, dict[str, None]] = {}
    for file in kept:
        for finding in read_json(read(file.sha256)):
            if finding["severity"] == "blocker":
                files.setdefault(finding["rule"], {})[finding["file"]] = None
    return {rule: tuple(names) for rule, names in files.items()}


def _case(
    suite: str,
    case: Case,
    recorded: Observation | None,
    kept: tuple[FileView, ...],
    *,
    emulated: bool,
    fidelity: Fidelity | None,
    against: tuple[str, ...],
) -> CaseView:
    observation = recorded or Observation(
        case=case.id,
        suite=suite,
        result=Result.MISS,
        cause=Cause.CANCELED,
        detail="not recorded: the attempt did not get here",
    )
    return CaseView(
        suite=suite,
        id=case.id,
        test=case.test,
        title=case.title,
        severity=case.defect,
        purpose=case.purpose,
        preconditions=case.preconditions,
        steps=case.steps,
        expected=case.expected,
        leaves=case.evidence,
        characteristic=case.characteristic,
        clause=case.clause,
        blocker=case.blocker,
        decides=counts(case, emulated=emulated),
        fidelity=fidelity,
        result=observation.result,
        cause=observation.cause,
        skip_reason=observation.skip_reason,
        seconds=observation.seconds,
        detail=observation.detail,
        measurements=observation.measurements,
        evidence=tuple(f for f in kept if f.sha256 in observation.evidence),
        against=against,
    )


def _verdict(attempt: AttemptRow | None) -> Verdict:
    """The verdict of an attempt: inconclusive where the attempt is not closed, not tested where there is no attempt."""
    if attempt is None:
        return Verdict.NOT_TESTED
    return Verdict.INCONCLUSIVE if attempt.verdict is None else attempt.verdict


def _tail(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= LOG_LINES:
        return text
    return f"[{len(lines) - LOG_LINES} earlier lines: see the evidence]\n" + "\n".join(lines[-LOG_LINES:])
