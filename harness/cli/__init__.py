"""The command line: turns arguments into calls, errors into exit codes, and nothing else."""

from __future__ import annotations

import click

from harness import __version__


@click.group()
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Test harness for 信创 adaptation."""
