"""Commands about what there is: doctor, suites."""

from __future__ import annotations

import click

from harness.cli import doctor
from harness.cli.output import print_json, say
from harness.cli.shared import catalogue_here, format_option
from harness.model.definitions import Suite
from harness.reading.parsing import parse


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


@click.command("suites")
@format_option
def suites_command(form: str) -> None:
    """List the suites and their cases."""
    catalogue = catalogue_here()
    suites = []
    for name in catalogue.suites():
        path = catalogue.find("suites", name, "suite.yaml")
        if path is not None:
            suites.append(parse(path, Suite))
    if form == "json":
        print_json({"suites": [suite.model_dump(mode="json") for suite in suites]})
        return
    for suite in suites:
        say(f"{suite.suite} {suite.version}: {suite.title.zh} / {suite.title.en}")
        for case in suite.cases:
            say(
                f"  {case.id:8} {case.title.zh} / {case.title.en}  "
                f"[{case.characteristic}, {case.clause}{', blocker' if case.blocker else ''}]"
            )
