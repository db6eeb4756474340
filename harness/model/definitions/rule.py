"""Rules of the static scan: what is looked for, why it matters, whom it concerns."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Architecture, Bilingual, Certainty, Definition, Strings, listed

Severity = Literal["blocker", "warning", "info"]
#: SQL that a database takes: its own, or that of the one it descends from.
SqlFamily = Literal["mysql", "postgresql", "oracle", "sqlite", "informix"]


class ExampleFile(Definition):
    """A file of an example: its text, or what an ELF file of it says."""

    file: str = Field(min_length=1)
    text: str | None = None
    elf: dict[str, Any] | None = Field(default=None, description="as tests/elves.py makes one")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.elf is None):
            raise ValueError("give exactly one of text and elf")
        return self


Example = Annotated[tuple[ExampleFile, ...], BeforeValidator(listed), Field(min_length=1)]


class Concerns(Definition):
    """On which targets a finding matters, where the finding itself does not tell: all that are named must hold."""

    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = ()
    package_families: Strings = Field(default=(), description="families of packages of operating systems")
    sql: Annotated[tuple[SqlFamily, ...], BeforeValidator(listed)] = Field(
        default=(), description="databases whose SQL is of these families"
    )


class Rule(Definition):
    """One thing that is looked for. ``detect`` names the code that looks; ``parameters`` are what it looks for."""

    id: str = Field(pattern=r"^[A-Z][A-Z0-9]*-[0-9A-Z-]+$", description="also the id of its case in a matrix")
    title: Bilingual
    why: Bilingual
    advice: Bilingual
    severity: Severity = Field(description="blocker only where the product cannot run")
    characteristic: str = Field(default="portability/adaptability", pattern=r"^[a-z_]+(/[a-z_]+)?$")
    clause: str = "5.3.8"
    detect: str
    parameters: dict[str, Any] = Field(default={})
    concerns: Concerns = Concerns()
    certainty: Certainty
    source: str = Field(min_length=1)
    triggers: Example = Field(description="files in which it is found")
    passes: Example = Field(description="files much like them in which it is not")


class Rules(Definition):
    """A file of rules."""

    rules: Annotated[tuple[Rule, ...], BeforeValidator(listed)]
