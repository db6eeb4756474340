"""Builds and reads shell text: values are quoted, words are joined, commands are split.

Texts are for a POSIX ``sh`` (IEEE 1003.1-2017, XCU 2): dash, BusyBox ash and bash take the same.
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Iterable, Mapping
from pathlib import PurePath

#: Of those, what may stand before the last command: it only prepares the shell.
_PREPARING = frozenset({":", "cd", "export", "true", "ulimit", "umask"})
#: Commands of the shell itself, and its reserved words: no program stands behind them that could replace the shell.
_OF_THE_SHELL = frozenset(
    """
    . : alias bg break cd command continue eval exec exit export false fg getopts hash jobs local read readonly return
    set
    shift source times trap true type ulimit umask unalias unset wait case do done elif else esac fi for function if in
    select then time until while
    """.split()
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def quote(value: str | PurePath) -> str:
    """A value as one word of a shell text, whatever is in it.

    Raises:
        ValueError: it holds a NUL, which no word can.
    """
    text = str(value)
    if "\0" in text:
        raise ValueError(f"a word of the shell cannot hold a NUL character: {text[:60]!r}")
    return shlex.quote(text)


def join(words: Iterable[str | PurePath]) -> str:
    """Words of a command as shell text, each of them quoted."""
    return " ".join(quote(word) for word in words)


def exports(values: Mapping[str, str]) -> str:
    """Shell text that exports variables, one a line, each ended by a newline.

    Raises:
        ValueError: a name is not a valid name of a shell variable, or a value holds a NUL.
    """
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name of a variable: {name!r}; expected letters, digits and _")
    return "".join(f"export {name}={quote(value)}\n" for name, value in values.items())


def here(text: str, mark: str = "HARNESS_END") -> str:
    """A here-document with ``text`` as it is, for the end of a command's line; ends with a newline.

    dash 0.5.12 loses a byte where a line begins as the mark does and goes on with a character beyond ASCII, so the mark
    gets a first letter with which no such line begins.

    Raises:
        ValueError: the mark stands in the text, or lines of the text begin with every letter there is.
    """
    lines = text.split("\n")
    if mark in lines:
        raise ValueError(f"the text holds the mark {mark} that ends it")
    taken = {line[:1] for line in lines if not line.isascii()}
    first = next(
        (letter for letter in ("", *string.ascii_letters, *string.digits) if (letter + mark)[0] not in taken), None
    )
    if first is None:
        raise ValueError("no mark can end a text whose lines begin with every letter")
    mark = first + mark
    return f"<<'{mark}'\n{text}{'' if text.endswith(chr(10)) else chr(10)}{mark}\n"


def replacing(command: str) -> str | None:
    """``command`` with ``exec`` before the last program it runs, so that this program takes the shell's place.

    None where that could change what the command does: a pipe, a job in the background, a compound command, a trap,
    a here-document, a substitution, a comment, or a last command that is the shell's own.
    """
    parts = _parts(command)
    if parts is None or not parts[-1][1].strip():
        return None
    start, last = parts[-1]
    try:
        words = [shlex.split(part) for _, part in parts]
    except ValueError:
        return None
    if words[-1][0] == "exec" and len(words[-1]) > 1 and not any(these[:1] == ["exec"] for these in words[:-1]):
        return command  # its author wrote it so
    if any(these[:1] and these[0] in _OF_THE_SHELL - _PREPARING for these in words):
        return None
    program = next((word for word in words[-1] if not _ASSIGNMENT.match(word)), "")
    if not program or program in _OF_THE_SHELL or program == "[" or program[0] in "<>!{":
        return None
    at = start + len(last) - len(last.lstrip())
    while (assigned := _ASSIGNMENT.match(command, at)) is not None:  # VAR=value before the program stays before exec
        at = assigned.end()
        quoted = ""
        while at < len(command) and (quoted or not command[at].isspace()):
            letter = command[at]
            if letter == "\\" and quoted != "'":
                at += 1
            elif letter in "'\"":
                quoted = "" if quoted == letter else quoted or letter
            at += 1
        at += len(command[at:]) - len(command[at:].lstrip())
    return f"{command[:at]}exec {command[at:]}"


def _parts(command: str) -> list[tuple[int, str]] | None:
    """Commands of a list by their places in the text, split at ``&&``, ``||``, ``;`` and newlines; None for a text that
    holds more than words, quotes and redirections."""
    parts: list[tuple[int, str]] = []
    start = at = 0
    quoted = ""
    while at < len(command):
        letter, pair = command[at], command[at : at + 2]
        if letter == "\\" and quoted != "'":
            at += 2
            continue
        if quoted:
            if letter == "`" or pair == "$(":
                return None
            quoted = "" if letter == quoted else quoted
        elif letter in "'\"":
            quoted = letter
        elif pair in ("&&", "||"):
            parts.append((start, command[start:at]))
            start, at = at + 2, at + 2
            continue
        elif letter in ";\n":
            parts.append((start, command[start:at]))
            start = at + 1
        elif letter == "&" and at and command[at - 1] in "<>":
            pass  # 2>&1
        elif (
            (letter in "`(){}|&" and pair != "${" and not _in_braces(command, at))
            or pair == "<<"
            or (letter == "#" and (at == 0 or command[at - 1].isspace()))
        ):
            return None
        at += 1
    if quoted:
        return None
    parts.append((start, command[start:]))
    while len(parts) > 1 and not parts[-1][1].strip():
        parts.pop()
    return parts


def _in_braces(command: str, at: int) -> bool:
    """Whether a brace belongs to ``${NAME}``."""
    begun = command.rfind("${", 0, at + 1)
    if command[at] == "{":
        return begun == at - 1
    return command[at] == "}" and begun >= 0 and "}" not in command[begun:at]
