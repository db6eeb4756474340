"""Commands about what there is: doctor, suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli import doctor
from harness.cli.output import print_json, say
from harness.cli.shared import catalogue_here, format_option, profile_option
from harness.errors import UsageError
from harness.model.definitions import SELF_TEST, Profile, Suite
from harness.model.definitions.runners import RUNNER_KINDS
from harness.presentation import Presentation
from harness.presentation.cases import amounts_of, described
from harness.reading.parsing import parse
from harness.reading.read import read
from harness.reading.suites import cases_of_rules, rules_of


@click.command("doctor")
@format_option
@click.pass_context
def doctor_command(ctx: click.Context, form: str) -> None:
    """Check what this machine has and lacks; exit 3 where something is missing."""
    checks = doctor.check()
    if form == "json":
        print_json({"checks": [vars(check) for check in checks]})
    else:
        for check in checks:
            say(f"{'ok     ' if check.ok else 'MISSING'} {check.name}: {check.found}")
            if not check.ok:
                say(f"        next: {check.advice}")
    ctx.exit(0 if all(check.ok for check in checks) else 3)


@click.group("suites", invoke_without_command=True)
@click.pass_context
def suites_command(ctx: click.Context) -> None:
    """The suites and their cases; without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


_matrix_option = click.option(
    "--matrix",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="folder of a matrix: the suites that it names, its own among them; else those of the catalogue",
)


@suites_command.command("list")
@_matrix_option
@format_option
def list_command(matrix: Path | None = None, form: str = "text") -> None:
    """List the suites and their cases."""
    suites = _known(matrix)
    if form == "json":
        print_json({"suites": [_record(suite) for suite in suites]})
        return
    words = Presentation.standard(catalogue_here()).wording()
    for suite in suites:
        say(f"{suite.suite} {suite.version}: {suite.title.zh} / {suite.title.en}")
        for case in suite.cases:
            say(
                f"  {case.id:8} {case.title.zh} / {case.title.en}  "
                f"[{words.both('severity', case.defect)}, {case.characteristic}, {case.clause}"
                f"{', blocker' if case.blocker else ''}]"
            )


@suites_command.command("show")
@click.argument("suite")
@click.argument("case", required=False)
@_matrix_option
@profile_option
@format_option
def show_command(suite: str, case: str | None, matrix: Path | None, profile: Profile | None, form: str) -> None:
    """Show what the cases of SUITE are for, what they do and expect, or CASE alone."""
    known = {each.suite: each for each in _known(matrix, profile)}
    chosen = known.get(suite)
    if chosen is None:
        raise UsageError(
            f"no suite {suite!r}; known: {', '.join(known)}",
            advice="see: harness suites list; a suite beside a matrix is found with --matrix FOLDER",
        )
    cases = [each for each in chosen.cases if case in (None, each.id)]
    if not cases and case is not None:
        have = ", ".join(each.id for each in chosen.cases)
        raise UsageError(f"no case {case} in {suite}; it has: {have}", advice=f"see: harness suites show {suite}")
    if form == "json":
        print_json(_record(chosen.model_copy(update={"cases": tuple(cases)})))
        return
    say(f"{chosen.suite} {chosen.version}: {chosen.title.zh} / {chosen.title.en}")
    if chosen.method:
        say(chosen.method)
    for line in amounts_of(chosen):
        say(line)
    words = Presentation.standard(catalogue_here()).wording()
    for each in cases:
        say("\n" + "\n".join(described(chosen, each, words)))


def _known(matrix: Path | None, profile: Profile | None = None) -> list[Suite]:
    """The suites that a matrix names, or every suite of the catalogue; a scan has a case for each of its rules.

    They are as they are in ``profile``; else as the matrix says, or as in a self-test.

    Raises:
        DefinitionError: the matrix, or a suite, is wrong.
    """
    if matrix is not None:
        located = read(matrix, catalogue_here(), profile).suites
        return [each.definition.model_copy(update={"suite": name}) for name, each in located.items()]
    catalogue, suites = catalogue_here(), []
    for name in catalogue.suites():
        path = catalogue.find("suites", name, "suite.yaml")
        if path is not None:
            suite = parse(path, Suite).under(profile or SELF_TEST)
            if RUNNER_KINDS[suite.runner].reads_files:
                suite = suite.model_copy(update={"cases": cases_of_rules(rules_of(path.parent))})
            suites.append(suite)
    return suites


def _record(suite: Suite) -> dict[str, Any]:
    """A suite as JSON values, with what follows from its keys."""
    reads_files = RUNNER_KINDS[suite.runner].reads_files
    record = suite.model_dump(mode="json")
    for plain, case in zip(record["cases"], suite.cases, strict=True):
        plain["severity"] = case.defect.value
        plain["certifies_on"] = [fidelity.value for fidelity in case.certifies_on(reads_files=reads_files)]
    return record
