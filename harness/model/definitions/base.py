"""What all definitions share: strict frozen models, texts in both languages, lists."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Architecture = Literal["x86_64", "aarch64", "loongarch64"]
Certainty = Literal["measured", "source", "likely", "general"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]
SuiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,127}$")]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$", description="mebibytes or gibibytes, such as 512m")]
Mode = Annotated[str, Field(pattern=r"^0[0-7]{3}$")]


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
    return {"zh": value, "en": value} if isinstance(value, str) else value


#: A text in both languages, or one string that serves both.
Bilingual = Annotated[Text, BeforeValidator(both, json_schema_input_type=Text | str)]


def listed(value: Any) -> Any:
    """YAML and JSON have lists only; strict mode would refuse them where a tuple is meant."""
    return tuple(value) if isinstance(value, list) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(listed)]
