"""Features of databases that a suite tries, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Bilingual, Definition, SqlFamily, listed

#: Whose SQL a script is in; ``any`` where no family has its own.
Family = Literal["any", SqlFamily]
#: Isolation levels of ISO/IEC 9075-2 4.41.4.
Level = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]


class SqlStep(Definition):
    """What a session is given, and what must come of it; nothing is demanded of what a key does not say."""

    session: str = Field(pattern="^[A-Z]$", description="the one that is given it; it is connected at its first step")
    times: int = Field(
        default=1,
        ge=1,
        le=50,
        description="given to so many sessions at once, which stay connected: A is A1, A2 and so on then",
    )
    sql: str = Field(min_length=1, description="statements; {begin} begins a transaction at the level of the feature")
    waits: bool | None = Field(default=None, description="whether it waits for another session; either where not given")
    answer: Annotated[tuple[str, ...] | None, BeforeValidator(listed)] = Field(
        default=None, description="rows, columns by |, where it was not refused"
    )
    refused: bool | Literal["may"] = Field(default=False, description="whether it is refused; may: either")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.refused is True and self.answer is not None:
            raise ValueError("a step that is refused has no answer")
        if self.times > 1 and self.waits is not None:
            raise ValueError("whether steps wait that many sessions are given at once is not looked at")
        return self


Steps = Annotated[tuple[SqlStep, ...], BeforeValidator(listed), Field(min_length=1)]


class SqlFeature(Definition):
    """One feature: the SQL that shows it, in one session or in several, and what a database that has it answers."""

    feature: str = Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")
    case: str = Field(description="id of the case that tries it")
    title: Bilingual
    standard: str = Field(description="clause of a standard that demands it, or the databases whose habit it is")
    sql: dict[Family, str] = Field(
        default={},
        description="script by family; {t} and {u} are fresh tables, {text}, {values} and {characters} of `size`, "
        "`rows` and `characters`; with `steps`: what is run before them",
    )
    answer: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), description="rows of a database that has it, columns by |"
    )
    refused: bool = Field(default=False, description="a database that has it refuses the last statement")
    restored: dict[Family, str] = Field(
        default={}, description="asked, after `sql`, of what the database's own tools dumped and restored"
    )
    steps: dict[Family, Steps] = Field(default={}, description="of several sessions at once, by family")
    levels: Annotated[tuple[Level, ...], BeforeValidator(listed)] = Field(
        default=(), description="isolation levels at which the steps are tried, each a feature of its own"
    )
    refusals: int = Field(default=0, ge=0, description="at least so many steps are refused")
    without: dict[Family, Bilingual] = Field(default={}, description="why a family cannot be asked")
    size: int = Field(default=0, ge=0, le=64 * 2**20, description="characters of {text}")
    rows: int = Field(default=0, ge=0, le=100_000, description="rows of {values}")
    characters: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), description="code points of {characters}, as FIRST-LAST in hexadecimal digits"
    )
    used: str = Field(default="", description="regular expression by which a product's SQL shows that it needs it")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum((self.refused, bool(self.answer), bool(self.steps))) != 1:
            raise ValueError(f"{self.feature}: give either `answer`, `refused: true` or `steps`")
        if not self.sql and not self.steps:
            raise ValueError(f"{self.feature}: give `sql`")
        if self.restored and self.steps:
            raise ValueError(f"{self.feature}: `restored` and `steps` do not go together")
        if (self.levels or self.refusals) and not self.steps:
            raise ValueError(f"{self.feature}: `levels` and `refusals` belong to `steps`")
        begins = any("{begin}" in step.sql for steps in self.steps.values() for step in steps)
        if begins != bool(self.levels):
            raise ValueError(f"{self.feature}: {{begin}} and `levels` belong together")
        for each in self.characters:
            if not all(0x80 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF for code in bounds(each)):
                raise ValueError(f"{self.feature}: {each} are no code points beyond ASCII, as FIRST-LAST")
        return self

    def at_levels(self) -> Iterator[SqlFeature]:
        """The feature itself, or one for each level."""
        if len(self.levels) < 2 and self.feature.endswith("".join(self.levels).replace(" ", "-")):
            yield self  # it has none, or is one of them
            return
        for level in self.levels:
            title = {"zh": f"{self.title.zh}（{level.upper()}）", "en": f"{self.title.en} ({level.upper()})"}
            yield self.model_copy(
                update={
                    "feature": f"{self.feature}-{level.replace(' ', '-')}",
                    "title": type(self.title).model_validate(title),
                    "levels": (level,),
                }
            )


class SqlFeatures(Definition):
    """The features that a suite tries, in the order of its tables; ``begin``: how a family begins a transaction at
    a {level}."""

    begin: dict[SqlFamily, str] = Field(default={})
    features: Annotated[tuple[SqlFeature, ...], BeforeValidator(listed)]


def bounds(characters: str) -> tuple[int, int]:
    """First and last code point of ``FIRST-LAST``.

    Raises:
        ValueError: it is something else.
    """
    first, dash, last = characters.partition("-")
    codes = int(first, 16), int(last, 16)
    if not dash or codes[0] > codes[1]:
        raise ValueError(f"{characters} is no FIRST-LAST")
    return codes
