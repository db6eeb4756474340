"""Commands that weigh campaigns: gate, diff, flaky."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from harness.campaigns import history
from harness.cli.output import output_console, print_json, say
from harness.cli.shared import catalogue_here, existing, format_option, workspace_option
from harness.errors import DefinitionError
from harness.evidence import Workspace
from harness.evidence.lookup import latest
from harness.gating import CampaignRecord, Decision, Difference, GateFinding, compare, decide
from harness.issuing import proving
from harness.issuing.proving import ProvedRecord
from harness.model.definitions import Policy, Waivers
from harness.reading.naming import Names, known_names, policy_faults, waiver_faults
from harness.reading.parsing import validate
from harness.reading.source import read_source
from harness.report.annotations import Annotation, github, gitlab

EXIT = {"open": 0, "closed": 1, "undecided": 3}
WORDS = {"open": ("放行", "green"), "closed": ("不放行", "red"), "undecided": ("无法判定", "magenta")}
LOOSE = "a file outside of its workspace: nothing here can show that it was not changed / 工作区外的文件，无法核验"
LEVELS = {"closes": "error", "undecided": "warning", "noted": "notice"}


@click.command("gate")
@click.argument("campaign", required=False)
@click.option(
    "--policy", type=click.Path(path_type=Path, dir_okay=False), help="policy.yaml; none: every cell must pass"
)
@click.option("--waivers", type=click.Path(path_type=Path, dir_okay=False), help="waivers.yaml")
@click.option("--baseline", default="", help="campaign, or its campaign.json, to compare with")
@click.option("--annotate", type=click.Choice(["github", "gitlab"]), help="write findings as annotations to the output")
@click.option("--path", "shown", default="matrix.yaml", show_default=True, help="file that annotations point to")
@workspace_option
@format_option
@click.pass_context
def gate_command(
    ctx: click.Context,
    campaign: str | None,
    policy: Path | None,
    waivers: Path | None,
    baseline: str,
    annotate: str | None,
    shown: str,
    workspace: Path,
    form: str,
) -> None:
    """Decide whether CAMPAIGN (an id, a campaign.json, or the newest) lets a release through.

    Exit codes: 0 open, 1 closed (the product), 3 undecided (the lab or the plan), 2 usage or definition error.
    """
    place = _place(campaign, workspace)
    proved = proving.proved_record(campaign or latest(existing(workspace)), place)
    earlier = proving.proved_record(baseline, _place(baseline, workspace)) if baseline else None
    record = proved.record
    decision = decide(
        record,
        _policy(policy, record) if policy is not None else Policy(policy="default"),
        waivers=_waivers(waivers, record).waivers if waivers is not None else (),
        baseline=earlier.record if earlier is not None else None,
        today=datetime.datetime.now(datetime.UTC).date(),
    )
    decision = Decision(findings=(*_doubts("record", proved), *_doubts("baseline", earlier), *decision.findings))
    planned = {cell.id for cell in record.cells}
    flaky = [case for case in history.flaky_cases(place) if case["cell"] in planned] if place is not None else []
    if annotate is not None:
        say(_annotated(decision, annotate, shown), nl=False)
    elif form == "json":
        print_json(
            {
                "campaign": record.id,
                "decision": decision.word,
                "proved": not proved.loose,
                "findings": [vars(f) for f in decision.findings],
                "flaky": flaky,
            }
        )
    console = output_console(stderr=form == "json" or annotate is not None, soft_wrap=True)
    _show_decision(decision, flaky, proved, console)
    ctx.exit(EXIT[decision.word])


def _show_decision(
    decision: Decision, flaky: Sequence[Mapping[str, Any]], proved: ProvedRecord, console: Console
) -> None:
    """Print each finding and each unsteady case of a campaign, then the decision."""
    styles = {"closes": "red", "undecided": "magenta", "noted": "yellow"}
    for finding in decision.findings:
        console.print(f"[{styles[finding.effect]}]{finding.effect:9}[/] {escape(str(finding))}")
    for case in flaky:
        message = f"{case['failed']} of {case['runs']} attempts failed with this product and suite; see: harness flaky"
        console.print(f"[yellow]unsteady[/]  {escape(case['cell'])} {case['case']}: {message}")
    if proved.loose:
        console.print(f"[yellow]{LOOSE}[/yellow]")
    zh, colour = WORDS[decision.word]
    console.print(f"gate 门禁 {proved.record.id}: [{colour}]{decision.word} {zh}[/]")


def _doubts(what: str, proved: ProvedRecord | None) -> list[GateFinding]:
    """What closes the gate before anything is weighed: a record that was changed says nothing."""
    if proved is None:
        return []
    if proved.doubt:
        doubt = f"the {what} does not verify, and nothing in it counts / 记录未通过核验: {proved.doubt}"
        return [GateFinding(effect="closes", cell=proved.record.id, case="", reason=doubt)]
    return []


def _policy(path: Path, record: CampaignRecord) -> Policy:
    """Raises:
    DefinitionError: it is wrong, or names an axis or a value that neither the campaign nor the catalogue has.
    """
    source = read_source(path)
    policy = validate(source, Policy)
    if faults := list(policy_faults(source, policy, _names(record))):
        raise DefinitionError(faults)
    return policy


def _waivers(path: Path, record: CampaignRecord) -> Waivers:
    """Raises:
    DefinitionError: they are wrong, or name what neither the campaign nor the catalogue has.
    """
    source = read_source(path)
    waivers = validate(source, Waivers)
    if faults := list(waiver_faults(source, waivers, _names(record))):
        raise DefinitionError(faults)
    return waivers


def _names(record: CampaignRecord) -> Names:
    axes: dict[str, set[str]] = {}
    cases: dict[str, set[str]] = {}
    for cell in record.cells:
        for axis, value in cell.axes.items():
            axes.setdefault(axis, set()).add(value)
        for case in cell.cases:
            cases.setdefault(case.suite, set()).add(case.id)
    return known_names(axes, cases, catalogue_here())


def _annotated(decision: Decision, kind: str, path: str) -> str:
    notes = [
        Annotation(level=LEVELS[f.effect], title=f"{f.cell} {f.case}".strip(), message=f.reason, path=path)
        for f in decision.findings
    ]
    return github(notes) if kind == "github" else gitlab(notes)


@click.command("diff")
@click.argument("before")
@click.argument("after")
@workspace_option
@format_option
@click.pass_context
def diff_command(ctx: click.Context, before: str, after: str, workspace: Path, form: str) -> None:
    """Show what changed from campaign BEFORE to AFTER (ids, or files campaign.json), and what to suspect.

    Exit codes: 0 the same cells and verdicts, 1 not.
    """
    first, second = (proving.proved_record(name, _place(name, workspace)).demand() for name in (before, after))
    difference = compare(first, second)
    if form == "json":
        print_json(
            {
                "before": first.id,
                "after": second.id,
                "same_verdicts": difference.same_verdicts,
                "changes": [vars(change) for change in difference.changes],
                "suspects": {cell: list(what) for cell, what in difference.suspects.items()},
            }
        )
        ctx.exit(0 if difference.same_verdicts else 1)
    print_difference(difference, output_console(soft_wrap=True))
    ctx.exit(0 if difference.same_verdicts else 1)


def print_difference(difference: Difference, console: Console) -> None:
    """What changed, by kind, and the suspects."""
    titles = {
        "cell": "单元 cells",
        "verdict": "结论 verdicts",
        "decision": "豁免与接受 waivers, accepted risks, notes",
        "case": "测试项 cases",
        "timing": "耗时 timings beyond noise",
        "environment": "环境 environment",
    }
    for kind, title in titles.items():
        changes = difference.of(kind)
        if changes:
            console.print(f"[bold]{title}[/bold]")
        for change in changes:
            console.print(f"  {escape(str(change))}")
    for cell, suspects in difference.suspects.items():
        console.print(f"[bold]疑点 suspect for {escape(cell)}[/bold]")
        for number, what in enumerate(suspects, 1):
            console.print(f"  {number}. {escape(what)}")
    if not difference.changes:
        console.print("无差异 no difference")


@click.command("flaky")
@workspace_option
@format_option
def flaky_command(workspace: Path, form: str) -> None:
    """List cases that both passed and failed with the same product and suite, from all campaigns of the workspace."""
    cases = history.flaky_cases(existing(workspace))
    if form == "json":
        print_json({"flaky": cases})
        return
    for case in cases:
        say(f"{case['failed']}/{case['runs']} failed  {case['case']}  {case['cell']}  ({', '.join(case['failures'])})")
    say(f"{len(cases)} unsteady 不稳定")


def _place(name: str | None, workspace: Path) -> Workspace | None:
    """The workspace that a name is looked for in; a file needs none, and is checked by one where it is there."""
    if name is not None and Path(name).is_file() and not Workspace.is_at(workspace):
        return None
    return existing(workspace)
