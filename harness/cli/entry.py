"""The command line: turns arguments into calls, errors into exit codes, and nothing else.

Commands live in the modules beside this one and are imported when they are called, so that ``--help`` stays quick.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from harness import __version__
from harness.cli import ABOUT, COMMANDS, help_text
from harness.errors import Canceled, DefinitionError, HarnessError, InfrastructureError, UsageError
from harness.system.printable import visible


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

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(help_text())


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]}, help=ABOUT)
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """The command line; its help is ``ABOUT``."""
    pass


def exit_code(error: HarnessError) -> int:
    """Exit code of an error that reached the edge."""
    if isinstance(error, DefinitionError | UsageError):
        return 2
    return 130 if isinstance(error, Canceled) else 3


def _import_for_good(name: str) -> None:
    """Import a command ahead: what is imported stays, so the collector of garbage need not look through it.

    Only the program itself may decide so. In a process with other code, such as tests that call commands, what that
    code holds would be out of the collector's sight too.
    """
    gc.disable()
    try:
        if name in COMMANDS:
            importlib.import_module(f"harness.cli.{COMMANDS[name][0]}")
    finally:
        gc.freeze()
        gc.enable()


def run() -> None:
    """Run the command line. Bad input never gives a traceback; an unexpected error writes one to a file."""
    wants_json = "json" in sys.argv[1:] or "--format=json" in sys.argv[1:]
    try:
        _import_for_good(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
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
                click.echo(visible(json.dumps({"faults": [vars(fault) for fault in error.faults]}, ensure_ascii=False)))
            importlib.import_module("harness.cli.shared").print_faults(error)
        else:
            click.echo(visible(f"harness: {error}"), err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        failure = InfrastructureError(
            f"{error.strerror or error}: {error.filename or 'no file named'}",
            advice="check the disk and its permissions",
        )
        click.echo(visible(f"harness: {failure}"), err=True)
        sys.exit(3)
    except Exception as error:  # noqa: BLE001  # the edge: everything else is a fault of the harness
        place = Path(f"harness-crash-{os.getpid()}.log")
        text = "".join(traceback.format_exception(error))
        try:
            place.write_text(text)
        except OSError:
            click.echo(visible(text), err=True)
        click.echo(
            visible(f"harness: unexpected {type(error).__name__}: {error}\n  next: please report it with {place}"),
            err=True,
        )
        sys.exit(3)
