"""The command line: turns arguments into calls, errors into exit codes, and nothing else.

Commands live in the modules beside this one and are imported when they are called, so that ``--help`` stays quick.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from harness import __version__
from harness.errors import Canceled, DefinitionError, HarnessError, InfrastructureError, UsageError

#: Command -> the module that holds it as ``NAME_command``, and its line in the help.
COMMANDS = {
    "plan": ("matrices", "show every cell of a matrix with its reason; lock it"),
    "init": ("matrices", "make the folder of a new product, which runs at once"),
    "lint": ("matrices", "check a matrix and everything it names"),
    "schema": ("matrices", "JSON Schemas of all kinds of definitions, for editors"),
    "run": ("runs", "run a matrix: deploy, test, report, certificate"),
    "resume": ("runs", "go on with a campaign that was cut off"),
    "cancel": ("runs", "stop a campaign that another process runs"),
    "gc": ("runs", "remove what killed runs left behind"),
    "status": ("records", "where a campaign stands, cell by cell"),
    "list": ("records", "campaigns of the workspace"),
    "show": ("records", "one campaign: verdicts of its cells"),
    "logs": ("records", "logs and other evidence of a cell"),
    "report": ("records", "render the reports of a campaign again"),
    "verify": ("records", "check journal, evidence and reports against each other"),
    "gate": ("gates", "decide whether a campaign lets a release through"),
    "diff": ("gates", "what changed between two campaigns, and what to suspect"),
    "flaky": ("gates", "cases that both passed and failed with the same product"),
    "doctor": ("surroundings", "check what this machine lacks"),
    "targets": ("surroundings", "the catalogue of CPUs, systems and databases"),
    "suites": ("surroundings", "the suites and their cases"),
}


class _Lazy(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}; known: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Test harness for 信创 adaptation: deploy, test, certify.

    Exit codes: 0 conformant, 1 nonconformant, 2 usage or definition error, 3 inconclusive, 4 nothing ran,
    130 interrupted.
    """


def exit_code(error: HarnessError) -> int:
    """Exit code of an error that reached the edge."""
    if isinstance(error, DefinitionError | UsageError):
        return 2
    return 130 if isinstance(error, Canceled) else 3


def main() -> None:
    """Entry point. Bad input never gives a traceback; an unexpected error writes one to a file."""
    wants_json = "json" in sys.argv[1:] or "--format=json" in sys.argv[1:]
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except HarnessError as error:
        if isinstance(error, DefinitionError):
            if wants_json:
                click.echo(json.dumps({"faults": [vars(fault) for fault in error.faults]}, ensure_ascii=False))
            importlib.import_module("harness.cli.shared").print_faults(error)
        else:
            click.echo(f"harness: {error}", err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        told = InfrastructureError(f"{error.strerror or error}: {error.filename or 'no file named'}",
                                   advice="check the disk and its permissions")  # fmt: skip
        click.echo(f"harness: {told}", err=True)
        sys.exit(3)
    except Exception as error:  # noqa: BLE001  # the edge: everything else is a fault of the harness
        place = Path(f"harness-crash-{os.getpid()}.log")
        text = "".join(traceback.format_exception(error))
        try:
            place.write_text(text)
        except OSError:
            click.echo(text, err=True)
        click.echo(
            f"harness: unexpected {type(error).__name__}: {error}\n  next: please report it with {place}", err=True
        )
        sys.exit(3)
