"""What all definitions share: strict frozen models, texts in both languages, lists."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: As ``uname -m`` prints it. The first three can be emulated and run here; the others are known, for lab hosts.
Architecture = Literal["x86_64", "aarch64", "loongarch64", "mips64", "sw_64", "riscv64"]
#: Architectures that images are built for here.
BUILT: tuple[Architecture, ...] = ("x86_64", "aarch64", "loongarch64")
#: SQL that a database takes: its own, or that of the one it descends from.
SqlFamily = Literal["mysql", "postgresql", "oracle", "sqlite", "informix"]
Certainty = Literal["measured", "source", "likely", "general"]
#: Regular expression -> what it takes, in words.
PATTERNS = {
    r"^[a-z0-9][a-z0-9._+-]{0,63}$": "a name of lower-case letters, digits and . _ + -, at most 64, such as app-2.1",
    r"^[1-9][0-9]*[mg]$": "a number with m for mebibytes or g for gibibytes, such as 512m or 2g",
    r"^0[0-7]{3}$": "a file mode of four octal digits in quotes, such as '0755'",
    "^[0-9A-Za-z\u3400-\u9fff][0-9A-Za-z\u3400-\u9fff._/-]{0,127}$": "a path of letters, digits and . _ / -, at most "
    "128, that begins with a letter or digit, such as compat/http: a folder beside the matrix, or what is shipped",
    r"^[0-9a-f]{64}$": "a SHA-256 in 64 lower-case hexadecimal digits",
    r"^/": "a path that begins with /",
    r"^(env|file):.+$": "where the secret is, as env:NAME or file:PATH, and never the secret itself",
    r"^[A-Za-z0-9._:-]+$": "the name of a host, or an IP address",
}
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]


def _without_dots(name: str) -> str:
    if any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
        raise ValueError("a suite is named by the folders that lead to it, without . and ..")
    return name


#: Folders may have Chinese names.
_SUITE = "^[0-9A-Za-z\u3400-\u9fff][0-9A-Za-z\u3400-\u9fff._/-]{0,127}$"
SuiteName = Annotated[str, Field(pattern=_SUITE), AfterValidator(_without_dots)]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$", description="mebibytes or gibibytes, such as 512m")]
Mode = Annotated[str, Field(pattern=r"^0[0-7]{3}$")]


class PlacedError(ValueError):
    """What is wrong between keys of a definition, and below which key: a model's validator knows no places."""

    def __init__(self, message: str, *loc: str | int) -> None:
        super().__init__(message)
        self.loc = loc


def demand_pattern(pattern: str, *loc: str | int) -> None:
    """Raises PlacedError below ``loc`` where it is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise PlacedError(f"no regular expression: {error}", *loc) from error


def size_in_bytes(size: str) -> int:
    """``512m`` -> 536870912."""
    return int(size[:-1]) * {"m": 2**20, "g": 2**30}[size[-1]]


class Definition(BaseModel):
    """Base of all models here: frozen, strict, closed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Text(Definition):
    """A text in both languages of the product."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


def both(value: Any) -> Any:
    """One string for both languages."""
    return {"zh": value, "en": value} if isinstance(value, str) else value


#: A text in both languages, or one string that serves both.
Bilingual = Annotated[Text, BeforeValidator(both, json_schema_input_type=Text | str)]


def listed(value: Any) -> Any:
    """YAML and JSON have lists only; strict mode would refuse them where a tuple is meant."""
    return tuple(value) if isinstance(value, list) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(listed)]


class Provenance(Definition):
    """Where a fact comes from, and how far it can be relied on.

    ``measured``: seen on a running target or emulator; ``source``: read in what ``source`` names; ``likely``: one weak
    or indirect source; ``general``: general knowledge, to be verified on hardware.
    """

    certainty: Certainty
    source: str


class Entry(Definition):
    """What every entry of the catalogue says of itself; ``certainty`` and ``source`` hold for all facts but those of
    ``provenance``."""

    name: Bilingual
    vendor: Bilingual
    certainty: Certainty
    source: str
    provenance: dict[str, Provenance] = Field(
        default={}, description="key of this file -> where that fact comes from, if from elsewhere"
    )
    notes: Annotated[tuple[Bilingual, ...], BeforeValidator(listed)] = Field(
        default=(), description="what whoever relies on this entry should know"
    )

    @model_validator(mode="after")
    def _provenance_of_something(self) -> Self:
        for key in self.provenance:
            value: Any = self
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
            if not value:
                raise ValueError(f"provenance of {key}, which this file does not state")
        return self

    def certainty_of(self, key: str) -> Certainty:
        """How far one fact can be relied on."""
        return self.provenance[key].certainty if key in self.provenance else self.certainty
