"""The command line. What is here is all that ``--help`` and ``--version`` need, so that both are quick.

Everything else lies in ``harness.cli.entry``, and each command in a module that is imported when it is called.
"""

import sys

from harness import __version__

ABOUT = """\
Test harness for 信创 adaptation: deploy, test, certify.

Exit codes: 0 conformant, 1 nonconformant, 2 usage or definition error,
3 inconclusive, 4 nothing ran, 130 interrupted."""

#: Command -> the module that holds it as ``NAME_command``, and its line in the help.
COMMANDS = {
    "plan": ("matrices", "show every cell of a matrix with its reason; lock it"),
    "init": ("matrices", "make the folder of a new product, which runs at once"),
    "lint": ("matrices", "check a matrix and everything it names"),
    "schema": ("matrices", "JSON Schemas of all kinds of definitions, for editors"),
    "scan": ("scans", "what in a product's files will break on which target; nothing is run"),
    "run": ("runs", "run a matrix: deploy, test, report, certificate"),
    "resume": ("runs", "go on with a campaign that was cut off"),
    "cancel": ("runs", "stop a campaign that another process runs"),
    "gc": ("runs", "remove what killed runs left behind"),
    "shell": ("shells", "a shell in a machine of a cell: one that runs, or that run --keep left standing"),
    "status": ("records", "where a campaign stands, cell by cell"),
    "list": ("records", "campaigns of the workspace"),
    "show": ("reports", "one campaign: verdicts of its cells"),
    "logs": ("records", "logs and other evidence of a cell"),
    "report": ("reports", "render the reports of a campaign again"),
    "keys": ("keys", "keys that sign results: make, show, rotate, certify; on tokens"),
    "certify": ("signing", "sign the certificate, report and record of a campaign"),
    "revoke": ("signing", "publish that a certificate is revoked, suspended, superseded, active again"),
    "renew": ("signing", "publish the status list again before it is stale"),
    "trust": ("trusting", "which keys speak for which issuer, for verify: add, list, remove"),
    "export": ("reports", "the report for Word, cases as a workbook, the compatibility list"),
    "package": ("packages", "report, certificate, record and evidence in archives of a bounded size"),
    "verify": ("signing", "check a signed result, or journal, evidence and reports of a workspace"),
    "gate": ("gates", "decide whether a campaign lets a release through"),
    "diff": ("gates", "what changed between two campaigns, and what to suspect"),
    "flaky": ("gates", "cases that both passed and failed with the same product"),
    "bundle": ("bundles", "pack a campaign into one file"),
    "replay": ("bundles", "run the plan of a bundle here, and compare the verdicts"),
    "doctor": ("surroundings", "check what this machine lacks"),
    "targets": ("catalogue", "the catalogue of targets: list, show, check what can be served here, build, import"),
    "hosts": ("hosts", "lab hosts over SSH: list, trust, check what their labels say"),
    "databases": ("databases", "database servers of the laboratory: list, check, clean"),
    "suites": ("surroundings", "the suites and their cases: list, show"),
    "submit": ("working", "put a matrix into the queue of a center"),
    "worker": ("working", "take cells from the queue of a center and run them here"),
    "workers": ("center", "the workers of a center, and what each can serve"),
    "queue": ("center", "the queue of a center: show, pause, continue, cancel"),
    "sweeper": ("center", "put cells of workers that are gone back into the queue"),
    "serve": ("desk", "the desk of a center: applications, reviews, certificates, the public list"),
    "db": ("databank", "the database of a center: check, backup, restore"),
    "migrate": ("databank", "move a workspace of one machine into a center, and prove that it is the same"),
    "fetch": ("center", "write what was rendered of a center's campaign into a folder"),
}


def help_text() -> str:
    """What ``harness --help`` prints."""
    width = max(map(len, COMMANDS)) + 2
    about = "".join(f"  {line}".rstrip() + "\n" for line in ABOUT.splitlines())
    commands = "".join(f"  {name:{width}}{summary}\n" for name, (_, summary) in COMMANDS.items())
    return (
        f"Usage: harness [OPTIONS] COMMAND [ARGS]...\n\n{about}\nOptions:\n"
        f"  --version   Show the version and exit.\n  -h, --help  Show this message and exit.\n\n"
        f"Commands:\n{commands}"
    )


def main() -> None:
    """Entry point."""
    match sys.argv[1:]:
        case ["--version"]:
            sys.stdout.write(f"harness, version {__version__}\n")
        case ["--help" | "-h"]:
            sys.stdout.write(help_text())
        case _:
            from harness.cli.entry import run

            run()
