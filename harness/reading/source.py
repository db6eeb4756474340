"""Reads one YAML file into plain values and remembers the line and column of each.

Only the safe subset is read: no tags, no duplicate keys, bounded size, depth and aliases.
"""

from __future__ import annotations

import errno
import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import DefinitionError, Fault
from harness.system.files import read_plain

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 100_000
#: Longest text, and most texts, whose nodes are kept: one command reads most of its definitions several times.
KEPT_LENGTH, KEPT = 64 * 1024, 128
LIMIT = f"at most {MAX_NODES} values (aliases counted out) nested at most {MAX_DEPTH} deep"

Place = tuple[int, int]
Loc = tuple[str | int, ...]


@dataclass
class Source:
    """Plain values of one file; ``places`` maps a path of keys and indices to its 1-based line and column."""

    path: Path
    value: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    key_places: dict[Loc, Place] = field(default_factory=dict)
    #: Of values that come from a sheet: its file, line and column there.
    sheet_places: dict[Loc, tuple[Path, int, int]] = field(default_factory=dict)
    warnings: list[Fault] = field(default_factory=list)  #: what is no fault, and an author wants to know

    def place(self, loc: Loc, *, key: bool = False) -> Place:
        """Place of the value at ``loc`` (or of its key), or of the nearest thing around it that exists."""
        if key and loc in self.key_places:
            return self.key_places[loc]
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, (1, 1))

    def fault(self, loc: Loc, message: str, *, key: bool = False, **more: str) -> Fault:
        """A fault at a place of the definition, with file, line and column; ``key``: at the key, not its value."""
        outer = loc
        while outer and outer not in self.sheet_places:
            outer = outer[:-1]
        if outer:
            path, line, column = self.sheet_places[outer]
            return Fault(file=str(path), line=line, column=column, message=message, **more)
        line, column = self.place(loc, key=key)
        return Fault(file=str(self.path), line=line, column=column, message=message, **more)


def read_source(path: Path) -> Source:
    """Read and parse a file.

    Raises:
        DefinitionError: the file cannot be read, is no UTF-8 YAML, or goes beyond the limits above.
    """
    source = Source(path)

    def refuse(message: str, mark: Any = None, **more: str) -> DefinitionError:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return DefinitionError([Fault(file=str(path), line=line, column=column, message=message, **more)])

    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise refuse(
            "a symbolic link that leads out of its folder",
            expected=f"a file below {path.parent}",
            found=str(path.readlink()),
            hint="copy the file instead",
        )
    try:
        data = read_plain(path, MAX_BYTES)
    except OSError as error:
        message = "the file is too large" if error.errno == errno.EFBIG else "the file cannot be read"
        raise refuse(message, found=str(error.strerror or error)) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(
            "the file is not UTF-8",
            expected="UTF-8",
            found=f"byte 0x{data[error.start]:02x} at offset {error.start}",
            hint="convert it, for example with: iconv -f GB18030 -t UTF-8",
        ) from error
    try:
        if (beyond := _beyond(text)) is not None:
            raise refuse("the file unfolds to too much", beyond, expected=LIMIT)
        node = _kept(text) if len(text) <= KEPT_LENGTH else _compose(text)
        if node is None:
            raise refuse("the file is empty", expected="a mapping")
        _Builder(source).build(node, ())
    except yaml.MarkedYAMLError as error:
        raise refuse(f"not valid YAML: {error.problem or error}", error.problem_mark, hint=_yaml_hint(error)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise refuse(f"not valid YAML: {error}") from error
    return source


#: The parser in C is ten times as fast; not every build of PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Where the two parsers think differently. The one in C takes tabs between words, counts a byte order mark as a column,
#: and takes ``!`` alone for an empty text instead of no value, and a comment right behind the sign of a block.
_APART = re.compile(r"[\t\ufeff]|!(?=\s|$)|[|>][-+\d]*#")


def _compose(text: str) -> yaml.Node | None:
    if _APART.search(text):
        return yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader)  # which says more of what is wrong, and where


_kept = functools.lru_cache(KEPT)(_compose)  # nodes are read and never changed; what is no YAML raises each time


def _beyond(text: str) -> Any:
    """The mark of what goes beyond the limits, by the events alone; None where nothing does, or the text is no YAML.

    The parser in C is many times faster than what makes values, which would take half a minute for a megabyte.
    """
    depth = values = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            # A mapping has two events a value, of which the key counts for nothing later.
            values += isinstance(event, yaml.NodeEvent)
            if depth > MAX_DEPTH + 1 or values > 2 * MAX_NODES:
                return event.start_mark
    except (yaml.YAMLError, RecursionError):
        pass  # told by the parser that makes the nodes, which knows more of places
    return None


def _yaml_hint(error: yaml.MarkedYAMLError) -> str:
    return "YAML is indented with spaces, never with tabs" if "'\\t'" in str(error) else ""


class _Builder:
    """Turns nodes into values; keeps places; gathers duplicate keys as faults."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.constructor = yaml.SafeLoader("")
        self.nodes = 0

    def build(self, root: yaml.Node, loc: Loc) -> None:
        faults: list[Fault] = []
        self.source.value = self._value(root, loc, 0, faults)
        if faults:
            raise DefinitionError(faults)

    def _value(self, node: yaml.Node, loc: Loc, depth: int, faults: list[Fault]) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            raise DefinitionError([self._fault(node, "the file unfolds to too much", expected=LIMIT)])
        self.source.places[loc] = _place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc, depth, faults)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*loc, i), depth + 1, faults) for i, child in enumerate(node.value)]
        try:
            return self.constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            hint = str(error).splitlines()[0]
            faults.append(self._fault(node, "the value cannot be read", found=str(node.value), hint=hint))
            return None

    def _mapping(self, node: yaml.MappingNode, loc: Loc, depth: int, faults: list[Fault]) -> dict[str, Any]:
        """The values of a mapping, by their keys; a key that is no text, or stands twice, is a fault."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.constructor.construct_object(key_node) if key_node.id == "scalar" else None
            if not isinstance(key, str):
                faults.append(self._fault(key_node, "a key must be a text", found=str(key)))
            elif key in result:
                first = self.source.key_places[(*loc, key)]
                faults.append(self._fault(key_node, f"key {key!r} stands twice", hint=f"first on line {first[0]}"))
            else:
                self.source.key_places[(*loc, key)] = _place(key_node)
                result[key] = self._value(value_node, (*loc, key), depth + 1, faults)
        return result

    def _fault(self, node: yaml.Node, message: str, **more: str) -> Fault:
        line, column = _place(node)
        return Fault(file=str(self.source.path), line=line, column=column, message=message, **more)


def _place(node: yaml.Node) -> tuple[int, int]:
    """Line and column of a node, from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1
