"""What is printed, for people and for programs; needs nothing of campaigns, so that quick commands stay quick.

Nothing of anyone's text steers a terminal: every word passes ``say`` or a console that is made here.

JSON goes to standard output alone; everything for people goes to standard error, lists that were asked for to output.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.errors import MarkupError
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from harness.model.attestation import Fact
from harness.system.printable import strict_json, visible


class _Console(Console):
    """Shows the styles of the harness, and of all other text no control character."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = visible(segment.text)
            yield segment if segment.control or text is segment.text else segment._replace(text=text)

    def render_str(self, text: str, **how: Any) -> Text:
        try:
            return super().render_str(text, **how)
        except MarkupError:  # words of anyone that were not escaped: shown as they are
            return super().render_str(text, **{**how, "markup": False})


def output_console(**how: Any) -> Console:
    """A console on standard output, without colours of its own for words. ``how``: as for ``Console``."""
    return _Console(**{"highlight": False, **how})


def error_console() -> Console:
    """A console on standard error, which wraps no lines."""
    return output_console(stderr=True, soft_wrap=True)


def say(words: str, *, err: bool = False, nl: bool = True) -> None:
    """Print to standard output, or to standard error; ``nl``: with a newline behind."""
    click.echo(visible(words), err=err, nl=nl)


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    say(strict_json(value, indent=1))


def print_facts(console: Console, facts: Iterable[Fact]) -> None:
    """Print what was observed of a machine, a line each, beside what was declared."""
    for fact in facts:
        mark = "[green]ok[/]" if fact.holds and fact.declared else "[dim]..[/]" if fact.holds else "[red]NO[/]"
        declared = f" (declared {escape(fact.declared)})" if fact.declared else ""
        console.print(f"  {mark} {escape(fact.name)}: {escape(fact.observed) or 'nothing'}{declared}")
