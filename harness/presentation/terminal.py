"""A picture of a terminal: what was called, and what it printed."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from harness.system.printable import visible

#: Columns of the picture, and the most lines of it.
COLUMNS, MOST_LINES = 100, 200
#: Rich's own form fetches fonts from elsewhere; evidence stands by itself.
_FORM = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "Noto Sans Mono CJK SC", "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def terminal_picture(title: str, command: str, output: str, status: int) -> bytes:
    """An SVG (UTF-8) of a call: its command, its output without colours, its exit status."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ {visible(command)}", style="bold"))
    lines = output.splitlines()
    for line in lines[:MOST_LINES]:
        # Characters that move the cursor, or give a colour, are no part of the picture.
        console.print(Text(visible(Text.from_ansi(line).plain)))
    if len(lines) > MOST_LINES:
        console.print(Text(f"[{len(lines) - MOST_LINES} lines more]", style="italic"))
    console.print(Text(f"[exit {status}]", style="dim"))
    return console.export_svg(title=visible(title), code_format=_FORM, unique_id="terminal").encode()
