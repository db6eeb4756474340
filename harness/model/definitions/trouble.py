"""A dependency that is known to make trouble on a target: an entry of the table of a rule (``detect: component``)."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Architecture, Certainty, Definition, Strings, listed

#: Where packages come from.
Ecosystem = Literal["npm", "pypi", "maven", "cargo", "golang", "conan", "vcpkg", "deb", "rpm"]


class Trouble(Definition):
    """Which versions of a package make trouble on which targets, who says so, and what to take instead."""

    kinds: Annotated[tuple[Ecosystem, ...], BeforeValidator(listed), Field(min_length=1)]
    name: str = Field(min_length=1, description="regular expression of the whole name")
    group: str = Field(default="", description="regular expression of Maven's group, where it is known")
    below: str = Field(default="", description="versions below this one; none: all")
    since: str = Field(default="", description="versions from this one on; none: all")
    architectures: Annotated[tuple[Architecture, ...], BeforeValidator(listed)] = ()
    databases: Strings = ()
    told: str = Field(min_length=1, description="what the trouble is")
    instead: str = Field(default="", description="what to take instead")
    source: str = Field(min_length=1)
    certainty: Certainty

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.architectures and not self.databases:
            raise ValueError(f"{self.name}: name architectures, or databases")
        for text in (self.name, self.group):
            try:
                re.compile(text)
            except re.error as error:
                raise ValueError(f"{text!r} is no regular expression: {error}") from error
        return self
