"""Profiles of a campaign: how long and how often its suites test."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from harness.model.definitions.base import Bilingual, Definition, Text

#: ``self-test``: minutes, for a vendor or a pipeline; ``center``: the durations that an adaptation center demands.
Profile = Literal["self-test", "center"]
SELF_TEST: Profile = "self-test"
CENTER: Profile = "center"
PROFILES: tuple[Profile, ...] = (SELF_TEST, CENTER)
#: What stands for an amount in the texts of a case.
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Amount(Definition):
    """How much of something a suite does: a count, a duration, a threshold; for each profile."""

    title: Bilingual
    unit: str = Field(default="1", min_length=1, description="1 for a count, else s, min, h, %, …")
    of: dict[Profile, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(description="profile -> value")
    emulated: dict[Profile, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={}, description="profile -> value on emulated targets, where it is another"
    )

    @field_validator("of")
    @classmethod
    def _of_every_profile(cls, value: dict[Profile, float]) -> dict[Profile, float]:
        if missing := [profile for profile in PROFILES if profile not in value]:
            raise ValueError(f"no value for profile {', '.join(missing)}")
        return value

    def value(self, profile: Profile, *, emulated: bool) -> float:
        """The value in a profile."""
        return self.emulated.get(profile, self.of[profile]) if emulated else self.of[profile]

    def words(self, profile: Profile) -> Text:
        """The value in a profile as texts name it; both values where emulated targets have another."""
        usual, other = (number(self.value(profile, emulated=emulated)) for emulated in (False, True))
        if usual == other:
            return Text(zh=usual, en=usual)
        return Text(zh=f"{usual}（模拟目标 {other}）", en=f"{usual} (emulated: {other})")


Amounts = dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], Amount]


def number(value: float) -> str:
    """A number without a point where it is whole."""
    return str(int(value)) if value == int(value) else f"{value:g}"


def filled(text: Text, amounts: Amounts, profile: Profile) -> Text:
    """A text in which ``{name}`` is the value of that amount in a profile; other braces stay."""
    words = {name: amount.words(profile) for name, amount in amounts.items()}

    def put(language: Literal["zh", "en"], source: str) -> str:
        return _PLACE.sub(lambda place: getattr(words[place[1]], language) if place[1] in words else place[0], source)

    return Text(zh=put("zh", text.zh), en=put("en", text.en))


def named(text: Text) -> set[str]:
    """The amounts that a text names."""
    return {*_PLACE.findall(text.zh), *_PLACE.findall(text.en)}
