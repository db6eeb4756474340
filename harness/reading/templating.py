"""Names in templates, held against what templates see: one that is misspelt is a fault before anything runs."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes

from harness.errors import Fault
from harness.model.context import Access
from harness.model.plan import ROLES
from harness.reading.parsing import nearest
from harness.reading.source import MAX_BYTES, Loc, Source
from harness.system.files import read_plain

#: Where a request has templates.
_REQUEST: tuple[tuple[str, ...], ...] = (
    ("path",),
    ("headers", "*"),
    ("body", "**"),
    ("form", "*"),
    ("content",),
    ("parts", "*", "text"),
)
#: Keys of an application that are templates; ``*`` stands for every key or index. All see the same names.
TEXTS: tuple[tuple[str, ...], ...] = (
    ("start",),
    ("environment", "*"),
    ("uninstall", "*"),
    ("calls", "*", "run"),
    ("ready", "command"),
    ("services", "*", "start"),
    ("services", "*", "environment", "*"),
    ("services", "*", "ready", "command"),
    ("accounts", "users", "*", "password"),
    ("interfaces", "*", "users", "*", "password"),
    ("http", "headers", "*"),
    ("http", "wrong_credentials", "*"),
    ("schema", "*", "*", "sql"),
    ("schema", "*", "*", "command"),
    ("playbooks", "*", "variables", "*"),
    ("tasks", "*", "command"),
    ("former", "*", "upgrade", "*"),
    ("former", "*", "rollback", "*"),
)
#: Those of a session, which also see what was captured.
SESSION: tuple[tuple[str, ...], ...] = (
    ("http", "session", "headers", "*"),
    *(("http", "session", "requests", "*", *place) for place in _REQUEST),
)
#: Those of a login, which also see who logs in and what was captured.
LOGIN: tuple[tuple[str, ...], ...] = tuple(
    ("accounts", *step, *place) for step in (("login",), ("login", "before", "*"), ("inside",)) for place in _REQUEST
)
#: Files beside the application that are templates.
FILES: tuple[tuple[str, ...], ...] = (("templates", "*", "template"),)
#: Keys with names of their own.
REQUESTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("http", "resource", "key"): ("n",),
    ("http", "resource", "stored"): ("key",),
    ("resource", "key"): ("n",),
    ("resource", "stored"): ("key",),
    **{("audit", action): ("user", "key") for action in ("login", "refused", "create", "update", "delete")},
    **{
        ("http", "resource", "*", *before, *place): ("key", "text", "session", "got")
        for before in ((), ("before", "*"))
        for place in _REQUEST
    },
}
#: Commands of a database or a middleware of the catalogue.
SERVER_WORDS = {"database": "db", "middleware": "middleware"}
SERVER_COMMANDS = ("start", "stop", "ready", "create", "query", "version", "observe_settings", "jdbc")
#: What templates see of the runtime and of the servlet container of a cell.
BENEATH = {"runtime": ("home", "java", "options"), "servlet": ("base", "port")}
#: What templates see of the certificates that are made for a cell.
MADE_CERTIFICATES = ("authority", "certificate", "key", "client")

#: Name -> what may follow it after a dot; None: anything may.
Names = Mapping[str, Collection[str] | None]
_ASKED: tuple[type[nodes.Expr], ...] = (nodes.Filter, nodes.Test)
_MEMBERS: tuple[type[nodes.Expr], ...] = (nodes.Getattr, nodes.Getitem)
_EASING = {"default", "d", "defined", "undefined"}
_METHODS = {"items", "keys", "values", "get"}
_environment = jinja2.Environment(autoescape=False)  # noqa: S701  # parses only


@dataclass(frozen=True)
class Unknown:
    """A name in a template that nothing gives. ``line`` is 1-based, within the template."""

    name: str
    line: int
    message: str
    known: tuple[str, ...]


def application_faults(source: Source, axes: Collection[str] | None) -> Iterator[Fault]:
    """Unknown names in all templates of an application; ``axes``: the axes of the matrix, None without a matrix."""
    values = source.value
    bases: list[Loc] = [(), *(("variants", i, "set") for i in range(len(values.get("variants") or ())))]
    bases += [("former", name, "set") for name in values.get("former") or {}]
    names = _names(source, bases, axes)
    for base in bases:
        for pattern in TEXTS:
            for loc, text in _matching(source, base, pattern):
                yield from _faults(source, loc, text, names)
        for pattern in SESSION:
            for loc, text in _matching(source, base, pattern):
                yield from _faults(source, loc, text, {**names, "session": None})
        for pattern in LOGIN:
            for loc, text in _matching(source, base, pattern):
                yield from _faults(source, loc, text, {**names, **dict.fromkeys(("user", "password", "got"))})
        for request, known in REQUESTS.items():
            for loc, text in _matching(source, base, request):
                yield from _faults(source, loc, text, dict.fromkeys(known))
        for pattern in FILES:
            for _, name in _matching(source, base, pattern):
                yield from _file_faults(source.path.parent / name, names)


def server_faults(source: Source, word: str) -> Iterator[Fault]:
    """Unknown names in the commands of a server of the catalogue, which see ``word`` (db, middleware) alone."""
    for key in SERVER_COMMANDS:
        for loc, text in _matching(source, (), (key,)):
            yield from _faults(source, loc, text, {word: Access.names()})
    access = Access.names()
    for loc, text in _matching(source, (), ("session", "command")):
        yield from _faults(source, loc, text, {word: access})
    for key in ("begin", "end", "read"):
        for loc, text in _matching(source, (), ("capture", key)):
            yield from _faults(source, loc, text, {word: access})
    for key in ("dump", "restore", "remove"):
        for loc, text in _matching(source, (), ("backup", key)):
            yield from _faults(source, loc, text, {word: access, "backup": ("tables", "file", "name", "path")})
    for below in (("environment", "*"), ("entrypoint", "*"), ("command", "*"), ("create",)):
        for loc, text in _matching(source, (), ("image", *below)):
            yield from _faults(source, loc, text, {"db": access, "admin": ("user", "password")})
    for key in ("ready", "query", "version", "observe_settings"):
        for loc, text in _matching(source, (), ("image", key)):
            yield from _faults(source, loc, text, {"db": access})
    for key in ("create", "drop"):
        for loc, text in _matching(source, (), ("endpoint", key, "*")):
            yield from _faults(source, loc, text, {"db": ("name", "user", "password")})
    for loc, text in _matching(source, (), ("endpoint", "lease")):
        yield from _faults(source, loc, text, {"slot": None})
    for pattern in (("servlet", "start"), ("servlet", "environment", "*")):
        for loc, text in _matching(source, (), pattern):
            yield from _faults(source, loc, text, {"db": Access.names(), **BENEATH})


def _names(source: Source, bases: list[Loc], axes: Collection[str] | None) -> Names:
    access = Access.names()

    def keys(key: str) -> set[str]:
        every = [_at(source.value, (*base, key)) for base in bases]
        return {str(name) for some in every if isinstance(some, dict | list) for name in some}

    return {
        "db": access,
        **{role: access for role in ROLES if role != "database"},
        **BENEATH,
        "tls": _certificates(source, bases),
        "ports": keys("ports"),
        "secrets": keys("secrets"),
        "params": keys("parameters"),
        "cell": {*axes, "architecture"} if axes is not None else None,
    }


def _certificates(source: Source, bases: list[Loc]) -> Collection[str]:
    """What templates see of certificates that are made for a cell; nothing where none are."""
    wanted = (("authority", "cell"), ("client", "cell"))
    per_cell = any(_at(source.value, (*base, "http", "tls", *keys)) for base in bases for keys in wanted)
    return MADE_CERTIFICATES if per_cell else ()


def _at(value: Any, loc: Loc) -> Any:
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _matching(source: Source, base: Loc, pattern: tuple[str, ...]) -> Iterator[tuple[Loc, str]]:
    """Texts below ``base`` whose place fits the pattern; ``**`` at its end stands for everything below."""

    def walk(value: Any, loc: Loc, rest: tuple[str, ...]) -> Iterator[tuple[Loc, str]]:
        if not rest or rest == ("**",):
            if isinstance(value, str):
                yield loc, value
            if not rest:
                return
        if isinstance(value, dict):
            children: list[tuple[str | int, Any]] = list(value.items())
        else:
            children = list(enumerate(value)) if isinstance(value, list) else []
        for key, child in children:
            if rest[0] == "**":
                yield from walk(child, (*loc, key), rest)
            elif rest[0] in ("*", key):
                yield from walk(child, (*loc, key), rest[1:])

    yield from walk(_at(source.value, base), base, pattern)


def _faults(source: Source, loc: Loc, text: str, names: Names) -> Iterator[Fault]:
    line, column = source.place(loc)
    try:
        lines = read_plain(source.path, MAX_BYTES).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for unknown in unknown_names(text, names):
        spot = _spot(lines, line, unknown.name) or (line, column)
        yield _fault(source.path, *spot, unknown)


def _file_faults(path: Path, names: Names) -> Iterator[Fault]:
    try:
        data = read_plain(path, MAX_BYTES)
        text = data.decode("utf-8")
    except OSError as error:
        if error.errno == errno.EFBIG:  # whether the file is there is asked elsewhere
            yield Fault(file=str(path), line=1, column=1, message=f"the template is {error.strerror}")
        return
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        yield Fault(
            file=str(path),
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
            message="the template is not UTF-8",
            expected="UTF-8",
            found=f"byte 0x{data[error.start]:02x} at offset {error.start}",
            hint="convert it, for example with: iconv -f GB18030 -t UTF-8; what the product needs in another encoding, "
            "its start may convert",
        )
        return
    for unknown in unknown_names(text, names):
        line, column = _spot(text.splitlines(), unknown.line, unknown.name) or (unknown.line, 1)
        yield _fault(path, line, column, unknown)


def _fault(path: Path, line: int, column: int, unknown: Unknown) -> Fault:
    return Fault(
        file=str(path),
        line=line,
        column=column,
        message=unknown.message,
        expected=f"one of {', '.join(unknown.known)}" if unknown.known else "",
        found=unknown.name,
        hint=nearest(unknown.name, unknown.known),
    )


def _spot(lines: list[str], line: int, name: str) -> tuple[int, int] | None:
    """Where a name stands first, from a line on: a text of YAML may begin some lines above it."""
    word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    for number in range(line, len(lines) + 1):
        if (match := word.search(lines[number - 1])) is not None:
            return number, match.start() + 1
    return None


def unknown_names(text: str, names: Names) -> list[Unknown]:
    """Names in a template that ``names`` does not have; a template that is no Jinja2 is reported as such."""
    if "{" not in text:
        return []
    try:
        tree = _environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
        return [Unknown("", error.lineno, f"template fault: {error.message}", ())]
    free = meta.find_undeclared_variables(tree)
    eased = {id(child) for node in tree.find_all(_ASKED) for child in _may_be_absent(node)}
    unknown = []
    for node in tree.find_all(nodes.Name):
        if node.name in free and node.name not in names and id(node) not in eased:
            message = f"templates here see no {node.name}"
            unknown.append(Unknown(node.name, node.lineno, message, tuple(sorted(names))))
    for member in tree.find_all(_MEMBERS):
        root, key = _member(member)
        if root is None or root.name not in free or key is None or id(member) in eased:
            continue
        known = names.get(root.name)
        if known is not None and key not in known and key not in _METHODS:
            message = f"{root.name} has no {key}"
            unknown.append(
                Unknown(f"{root.name}.{key}", member.lineno, message, tuple(f"{root.name}.{k}" for k in sorted(known)))
            )
    return unknown


def _may_be_absent(asked: nodes.Node) -> Iterator[nodes.Node]:
    """What ``default`` and ``is defined`` are asked of, which need not be there."""
    if isinstance(asked, nodes.Filter | nodes.Test) and asked.name in _EASING and asked.node is not None:
        yield asked.node
        yield from asked.node.find_all(nodes.Name)


def _member(node: nodes.Node) -> tuple[nodes.Name | None, str | None]:
    """``db.host`` and ``db['host']`` as the name and what is asked of it; None where it has another shape."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return node.node, node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Name) and isinstance(node.arg, nodes.Const):
        return node.node, node.arg.value if isinstance(node.arg.value, str) else None
    return None, None
