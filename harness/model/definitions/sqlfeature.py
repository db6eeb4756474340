"""Features of databases that a suite tries, one by one."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Bilingual, Definition, listed

#: Whose SQL a script is in; ``any`` where no family has its own.
Family = Literal["any", "mysql", "postgresql", "oracle", "sqlite", "informix"]


class SqlFeature(Definition):
    """One feature: the SQL that shows it, and what a database that has it answers."""

    feature: str = Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")
    case: str = Field(description="id of the case that tries it")
    title: Bilingual
    standard: str = Field(description="clause of a standard that demands it, or the databases whose habit it is")
    sql: dict[Family, str] = Field(
        description="script by family; {t} and {u} are fresh tables, {text} and {values} of `size` and `rows`"
    )
    answer: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), description="rows of a database that has it, columns by |"
    )
    refused: bool = Field(default=False, description="a database that has it refuses the last statement")
    size: int = Field(default=0, ge=0, le=64 * 2**20, description="characters of {text}")
    rows: int = Field(default=0, ge=0, le=100_000, description="rows of {values}")
    used: str = Field(default="", description="regular expression by which a product's SQL shows that it needs it")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.refused == bool(self.answer):
            raise ValueError(f"{self.feature}: give either `answer` or `refused: true`")
        return self


class SqlFeatures(Definition):
    """The features that a suite tries, in the order of its tables."""

    features: Annotated[tuple[SqlFeature, ...], BeforeValidator(listed)]
