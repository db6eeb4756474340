"""A plan to port, from the findings of a static scan: what is to be done, for which targets, and at what effort."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness import __version__
from harness.model.definitions import Efforts, Rule, Severity, Work
from harness.model.finding import Finding, ScanResult
from harness.presentation import Presentation, Wording
from harness.reading.parsing import parse
from harness.report.spreadsheet import sheet_of

#: Order in which work is done: first what hides other work, then what other work waits for.
ORDER: tuple[Work, ...] = ("look", "replace", "build", "package", "edit", "database")
#: Most person-days of a small and of a medium piece of work.
SMALL, MEDIUM = 1.0, 5.0
GRAVITY: tuple[Severity, ...] = ("blocker", "warning")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A piece of work: all findings of a rule that are equally grave. ``days``: person-days, least and most."""

    rule: Rule
    severity: Severity
    work: Work
    findings: tuple[Finding, ...]
    count: int  #: files, or dependencies, that it is reckoned by
    days: tuple[float, float]

    @property
    def targets(self) -> list[str]:
        """Targets that it is for, as ``cpu:NAME``."""
        return sorted({str(target) for finding in self.findings for target in finding.targets})

    @property
    def size(self) -> str:
        """``small``, ``medium`` or ``large``, by its days at the most."""
        return "small" if self.days[1] <= SMALL else "medium" if self.days[1] <= MEDIUM else "large"


@dataclass(frozen=True)
class Sum:
    """Pieces of work together."""

    tasks: tuple[Task, ...]

    @property
    def days(self) -> tuple[float, float]:
        """Person-days, least and most."""
        return sum(task.days[0] for task in self.tasks), sum(task.days[1] for task in self.tasks)

    @property
    def blocking(self) -> Sum:
        """What must be done before the product can run."""
        return Sum(tuple(task for task in self.tasks if task.severity == "blocker"))

    def of(self, work: str) -> Sum:
        """What is one kind of work."""
        return Sum(tuple(task for task in self.tasks if task.work == work))

    def sized(self, size: str) -> Sum:
        """What is small, medium or large."""
        return Sum(tuple(task for task in self.tasks if task.size == size))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every piece of work in the order of ``ORDER``, what blocks first; by target; and findings that are notes only.

    A piece of work that serves several targets is reckoned once in ``total``, and once for each target in ``targets``.
    """

    total: Sum
    targets: dict[str, Sum]
    notes: int
    unread: int


def efforts_of(presentation: Presentation) -> Efforts:
    """The assumptions that a plan reckons with.

    Raises:
        DefinitionError: ``efforts.yaml`` is missing or faulty.
    """
    return parse(presentation.path("efforts.yaml"), Efforts)


def plan_of(result: ScanResult, findings: Iterable[Finding], efforts: Efforts) -> Plan:
    """The plan for ``findings``, which no waiver accepts."""
    rules = {rule.id: rule for rule in result.rules}
    groups: dict[tuple[str, Severity], list[Finding]] = defaultdict(list)
    notes = 0
    for finding in findings:
        if finding.severity in GRAVITY:
            groups[finding.rule, finding.severity].append(finding)
        else:
            notes += 1
    tasks = sorted(
        (_task(rules[name], severity, group, efforts) for (name, severity), group in groups.items()),
        key=lambda task: (GRAVITY.index(task.severity), ORDER.index(task.work), task.rule.id),
    )
    targets = sorted({target for task in tasks for target in task.targets})
    return Plan(
        total=Sum(tuple(tasks)),
        targets={target: Sum(_for(tasks, target, efforts)) for target in targets},
        notes=notes,
        unread=result.unread,
    )


def _task(rule: Rule, severity: Severity, group: Sequence[Finding], efforts: Efforts) -> Task:
    work = rule.kind_of_work
    # The same dependency is replaced once, whatever files declare it; its findings name it and its version.
    count = len({finding.message if work == "replace" else finding.file for finding in group})
    return Task(
        rule=rule,
        severity=severity,
        work=work,
        findings=tuple(group),
        count=count,
        days=efforts.efforts[work].days(count),
    )


def _for(tasks: Iterable[Task], target: str, efforts: Efforts) -> tuple[Task, ...]:
    """The parts of tasks that one target needs."""
    parts = []
    for task in tasks:
        group = [finding for finding in task.findings if target in map(str, finding.targets)]
        if group:
            parts.append(_task(task.rule, task.severity, group, efforts))
    return tuple(parts)


def render_plan_html(plan: Plan, scanned: Sequence[str], presentation: Presentation) -> bytes:
    """One file, nothing loaded from elsewhere."""
    text = presentation.render(
        "porting.html.j2",
        plan=plan,
        works=ORDER,
        sizes=("small", "medium", "large"),
        scanned=scanned,
        efforts=efforts_of(presentation).efforts,
        version=__version__,
    )
    return text.encode("utf-8", "replace")


_SUMMARY = ("项目 item", "数量 number", "人日（少）days, least", "人日（多）days, most")
_TARGETS = (
    "目标 target",
    "阻断 blocking",
    "阻断：人日（少）days, least",
    "阻断：人日（多）days, most",
    "全部 all",
    "全部：人日（少）days, least",
    "全部：人日（多）days, most",
)
_WORK = (
    "顺序 order",
    "级别 severity",
    "工作 work",
    "规模 size",
    "规则 rule",
    "问题",
    "trouble",
    "处理",
    "what to do",
    "数量 number",
    "人日（少）days, least",
    "人日（多）days, most",
    "目标 targets",
)
_PLACES = ("顺序 order", "规则 rule", "级别 severity", "文件 file", "位置 place", "发现 found", "目标 targets")


def render_plan_xlsx(plan: Plan, scanned: Sequence[str], words: Wording) -> bytes:
    """The plan as a workbook: summary, targets, work, places. Every text is a text, no formula."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet_of(book, "概要 Summary", _SUMMARY, _summary(plan, scanned, words))
    sheet_of(book, "目标 Targets", _TARGETS, _targets(plan))
    sheet_of(book, "工作 Work", _WORK, _work(plan, words))
    places = (
        (
            number,
            task.rule.id,
            words.both("gravity", task.severity),
            finding.file,
            finding.place,
            finding.message,
            " ".join(map(str, finding.targets)),
        )
        for number, task in enumerate(plan.total.tasks, 1)
        for finding in task.findings
    )
    sheet_of(book, "位置 Places", _PLACES, places)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _rounded(total: Sum) -> tuple[float, float]:
    least, most = total.days
    return round(least, 1), round(most, 1)


def _summary(plan: Plan, scanned: Sequence[str], words: Wording) -> Iterable[tuple[object, ...]]:
    yield "扫描对象 scanned: " + "  ".join(scanned), None, None, None
    yield words.both("plan", "blocking"), len(plan.total.blocking.tasks), *_rounded(plan.total.blocking)
    yield words.both("plan", "all"), len(plan.total.tasks), *_rounded(plan.total)
    for work in ORDER:
        yield words.both("work", work), len(plan.total.of(work).tasks), *_rounded(plan.total.of(work))
    for size in ("small", "medium", "large"):
        yield words.both("size", size), len(plan.total.sized(size).tasks), *_rounded(plan.total.sized(size))
    yield words.both("plan", "unread"), plan.unread, None, None
    yield words.both("plan", "notes"), plan.notes, None, None
    for sentence in ("assumed", "unproven"):
        yield words.both("plan", sentence), None, None, None


def _targets(plan: Plan) -> Iterable[tuple[object, ...]]:
    for target, total in plan.targets.items():
        yield (
            target,
            len(total.blocking.tasks),
            *_rounded(total.blocking),
            len(total.tasks),
            *_rounded(total),
        )


def _work(plan: Plan, words: Wording) -> Iterable[tuple[object, ...]]:
    for number, task in enumerate(plan.total.tasks, 1):
        yield (
            number,
            words.both("gravity", task.severity),
            words.both("work", task.work),
            words.both("size", task.size),
            task.rule.id,
            task.rule.title.zh,
            task.rule.title.en,
            task.rule.advice.zh,
            task.rule.advice.en,
            task.count,
            *_rounded(Sum((task,))),
            " ".join(task.targets),
        )
