"""What is printed, for people and for programs; needs nothing of campaigns, so that quick commands stay quick.

JSON goes to standard output alone; everything for people goes to standard error, lists that were asked for to output.
"""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from harness.system.printable import strict_json


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    click.echo(strict_json(value, indent=1))


def error_console() -> Console:
    """A console on standard error, which wraps no lines."""
    return Console(stderr=True, highlight=False, soft_wrap=True)
