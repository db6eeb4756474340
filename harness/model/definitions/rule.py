"""Rules of the static scan: what is looked for, why it matters, whom it concerns."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Architecture, Bilingual, Certainty, Definition, SqlFamily, Strings, listed
from harness.model.definitions.efforts import Work
from harness.model.definitions.trouble import Trouble

Severity = Literal["blocker", "warning", "info"]


#: The code that looks; what each does stands in ``harness.scan``.
Detector = Literal[
    "architecture",
    "objects",
    "label",
    "truncated",
    "x86-level",
    "extension",
    "symbol-version",
    "loongarch-world",
    "page-alignment",
    "marker",
    "text",
    "text-architecture",
    "text-system",
    "text-page",
    "text-level",
    "chain",
    "printed",
    "stated",
    "go-variants",
    "foreign-libc",
    "sql",
    "component",
    "format",
    "unread",
    "unparsed",
    "names",
    "links",
]
#: What is to be done about what a detector finds; about all others: to change what stands in the file.
WORK: dict[str, Work] = {
    **dict.fromkeys(
        (
            "architecture",
            "objects",
            "label",
            "truncated",
            "x86-level",
            "extension",
            "symbol-version",
            "loongarch-world",
            "page-alignment",
            "marker",
            "foreign-libc",
        ),
        "build",
    ),
    **dict.fromkeys(("component",), "replace"),
    **dict.fromkeys(("sql",), "database"),
    **dict.fromkeys(("format", "names", "links"), "package"),
    **dict.fromkeys(("unread", "unparsed"), "look"),
}
#: What each detector cannot do without.
NEEDS = {
    "extension": {"extensions"},
    "symbol-version": {"prefix", "of", "library"},
    "marker": {"markers"},
    "text": {"languages", "patterns"},
    "text-architecture": {"languages", "patterns"},
    "text-system": {"languages", "patterns"},
    "text-page": {"languages", "patterns"},
    "text-level": {"languages", "patterns", "cpus", "extensions"},
    "chain": {"languages"},
    "printed": {"languages"},
    "stated": {"languages", "of"},
    "foreign-libc": {"loader", "library"},
    "component": {"packages"},
}


class ExampleFile(Definition):
    """A file of an example: its text, or what an ELF file of it says."""

    file: str = Field(min_length=1)
    text: str | None = None
    elf: dict[str, Any] | None = Field(default=None, description="as tests/elves.py makes one")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.text is None) == (self.elf is None):
            raise ValueError("give exactly one of text and elf")
        return self


Example = Annotated[tuple[ExampleFile, ...], BeforeValidator(listed), Field(min_length=1)]


class Concerns(Definition):
    """On which targets a finding matters, where the finding itself does not tell: all that are named must hold."""

    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = Field(
        default=(), description="CPU classes of these; none: of all"
    )
    other_than: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = Field(
        default=(), description="but of these"
    )
    package_families: Strings = Field(default=(), description="families of packages of operating systems")
    sql: Annotated[tuple[SqlFamily, ...], BeforeValidator(listed)] = Field(
        default=(), description="databases whose SQL belongs to these families"
    )
    databases: Strings = Field(default=(), description="further databases, by name")
    trait: Literal["bytes", "no-empty-string"] | None = Field(
        default=None, description="databases whose VARCHAR(n) counts bytes, or whose '' is NULL, in their mode"
    )


class Rule(Definition):
    """One thing that is looked for. ``detect`` names the code that looks; ``parameters`` are what it looks for."""

    id: str = Field(pattern=r"^[A-Z][A-Z0-9]*-[0-9A-Z-]+$", description="also the id of its case in a matrix")
    title: Bilingual = Field(description="of a finding")
    checks: Bilingual | None = Field(
        default=None,
        description="what is checked: the title of its case in reports, which passes where nothing is found",
    )
    why: Bilingual
    advice: Bilingual
    severity: Severity = Field(description="blocker only where the product cannot run")
    characteristic: str = Field(default="portability/adaptability", pattern=r"^[a-z_]+(/[a-z_]+)?$")
    clause: str = "5.3.8"
    detect: Detector
    parameters: dict[str, Any] = Field(default={})
    concerns: Concerns = Concerns()
    work: Work | None = Field(default=None, description="what is to be done, where the detector does not tell")
    certainty: Certainty
    source: str = Field(min_length=1)
    triggers: Example = Field(description="files in which it is found")
    passes: Example = Field(description="files much like them in which it is not")

    @model_validator(mode="after")
    def _parameters(self) -> Self:
        if missing := sorted(NEEDS.get(self.detect, set()) - self.parameters.keys()):
            raise ValueError(f"{self.id}: detect: {self.detect} needs parameters {', '.join(missing)}")
        texts = [
            self.parameters.get(key, "") for key in ("fallback", "unless", "unless_file", "unless_place", "eased_by")
        ]
        for text in [*texts, *self.parameters.get("patterns", ()), *self._markers(), *self._pairs()]:
            try:
                re.compile(text)
            except re.error as error:
                raise ValueError(f"{self.id}: {text!r} is no regular expression: {error}") from error
        if self.detect == "component":
            for entry in self.parameters["packages"]:
                Trouble.model_validate(entry)
        return self

    def _pairs(self) -> list[str]:
        pairs = self.parameters.get("pairs", ())
        if not all({"declares", "uses", "within"} <= pair.keys() for pair in pairs):
            raise ValueError(f"{self.id}: each pair needs declares, uses and within")
        return [pair[key] for pair in pairs for key in ("declares", "uses", "hides", "stops") if key in pair]

    @property
    def kind_of_work(self) -> Work:
        """What is to be done about what it finds."""
        return self.work or WORK.get(self.detect, "edit")

    def _markers(self) -> list[str]:
        markers = self.parameters.get("markers", ())
        if not all(isinstance(marker, dict) and isinstance(marker.get("contains"), str) for marker in markers):
            raise ValueError(f"{self.id}: each marker needs contains")
        return [marker.get("matches", "") for marker in markers]


class Rules(Definition):
    """A file of rules."""

    rules: Annotated[tuple[Rule, ...], BeforeValidator(listed)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [rule.id for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"id used twice: {', '.join(twice)}")
        return self
