"""One file as a model of ``harness.model.definitions``; pydantic's errors become faults with line and column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import DefinitionError, Fault
from harness.model.definitions.base import PATTERNS, PlacedError
from harness.reading.source import Loc, Source, read_source

ModelT = TypeVar("ModelT", bound=BaseModel)
#: Keys with these words name secrets; so does ``key``.
SECRETS = ("password", "passphrase", "passwd", "secret", "token", "credential")


def parse(path: Path, model: type[ModelT]) -> ModelT:
    """Read one file as ``model``.

    Raises:
        DefinitionError: with every fault of the file.
    """
    return validate(read_source(path), model)


def validate(source: Source, model: type[ModelT]) -> ModelT:
    """What was read as ``model``.

    Raises:
        DefinitionError: with every fault of the file.
    """
    if not isinstance(source.value, dict):
        raise DefinitionError([source.fault((), "not a mapping", expected=f"a mapping of {_keys(model)}")])
    try:
        return model.model_validate(source.value)
    except ValidationError as error:
        raise DefinitionError([_fault(source, model, detail) for detail in _causes(error.errors())]) from error


def _causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without what only follows: a list is too short because an item of it is wrong."""
    places = [tuple(detail["loc"]) for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(len(place) > len(detail["loc"]) and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _shown(value: object, loc: Loc) -> str:
    """A value for a message; what stands where a secret belongs is not repeated."""
    hidden = _hidden(value, secret=any(_is_secret(part) for part in loc))
    text = hidden if isinstance(hidden, _Hidden) else repr(hidden)
    return text if len(text) <= 80 else text[:77] + "…"


class _Hidden(str):
    """Stands in place of a value."""

    def __repr__(self) -> str:
        return str(self)


def _is_secret(key: object) -> bool:
    return str(key).lower() == "key" or any(word in str(key).lower() for word in SECRETS)


def _hidden(value: object, *, secret: bool = False) -> object:
    if isinstance(value, dict):
        return {key: _hidden(item, secret=secret or _is_secret(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(item, secret=secret) for item in value]
    return _Hidden("a value that may be a secret") if secret and isinstance(value, str) and value else value


def _fault(source: Source, model: type[BaseModel], detail: ErrorDetails) -> Fault:
    kind, context = detail["type"], detail.get("ctx", {})
    whole: Loc = tuple(detail["loc"])
    loc = _in_source(source, whole)
    if isinstance(error := context.get("error"), PlacedError):
        # The message names the value; what pydantic shows as input is the whole definition.
        return source.fault(_in_source(source, (*whole, *error.loc)), str(error))
    if kind == "extra_forbidden":
        known = _keys_at(model, whole[:-1])
        unknown = str(loc[-1])
        return source.fault(
            loc,
            f"unknown key {unknown!r}",
            key=True,
            expected=f"one of {', '.join(known)}",
            found=unknown,
            hint=nearest(unknown, known),
        )
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _untagged(source, loc, context)
    if kind == "missing":
        return source.fault(loc[:-1], f"key {loc[-1]!r} is missing", expected=f"{loc[-1]}: …", found="nothing")
    unknown = _shown(detail["input"], loc)
    if kind in ("literal_error", "enum"):
        words = [word.strip("' ") for word in str(context.get("expected", "")).replace(" or ", ",").split(",")]
        return source.fault(
            loc,
            "not one of the values known here",
            expected=", ".join(words),
            found=unknown,
            hint=nearest(str(detail["input"]), words),
        )
    message = detail["msg"].removeprefix("Value error, ")
    expected = str(context.get("pattern", ""))
    if expected in PATTERNS:
        return source.fault(
            loc, "the value has not the form that is wanted", expected=PATTERNS[expected], found=unknown
        )
    return source.fault(loc, message[0].lower() + message[1:], expected=expected, found=unknown)


def _untagged(source: Source, loc: Loc, context: dict[str, Any]) -> Fault:
    """A mapping whose key that says what it is (``protocol``) is missing, or has a value that is not known."""
    key = str(context.get("discriminator", "")).strip("'")
    if "tag" not in context:
        return source.fault(loc, f"key {key!r} is missing", expected=f"{key}: …", found="nothing")
    words = [word.strip("' ") for word in str(context.get("expected_tags", "")).split(",")]
    tag = str(context["tag"])
    return source.fault(
        (*loc, key),
        "not one of the values known here",
        expected=", ".join(words),
        found=repr(tag)[:80],
        hint=nearest(tag, words),
    )


def _in_source(source: Source, loc: Loc) -> Loc:
    """A place without the tags that pydantic puts into it where a mapping is one of several kinds."""
    value, kept = source.value, list[str | int]()
    for index, part in enumerate(loc):
        inside = isinstance(value, dict) and part in value
        if isinstance(value, dict) and not inside and index < len(loc) - 1:
            continue
        kept.append(part)
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
    return tuple(kept)


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(_keys_at(model, ()))


def _keys_at(model: Any, loc: Loc) -> list[str]:
    """Names of the keys that are valid at ``loc`` below ``model``."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        below = loc[1:] if loc and (isinstance(loc[0], int) or get_origin(model) is dict) else loc
        for inner in getattr(model, "__args__", ()):
            if below and _tagged(inner, below[0]):
                return _keys_at(inner, below[1:])
        for inner in getattr(model, "__args__", ()):
            if keys := _keys_at(inner, below):
                return keys
        return []
    if not loc:
        return [field.alias or name for name, field in model.model_fields.items()]
    for name, field in model.model_fields.items():
        if loc[0] in (name, field.alias):
            return _keys_at(field.annotation, loc[1:])
    return []


def _tagged(model: Any, tag: str | int) -> bool:
    """Whether a model is the one of several that a tag means: a field of it has that value alone."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return False
    return any(get_args(field.annotation) == (tag,) for field in model.model_fields.values())


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word that is nearest; empty where none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else ""
