"""Several sessions at one database at once: what each is given in turn, and what came of it; travels as JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from harness.model.definitions.base import listed

#: Most steps and sessions of one run.
MOST_STEPS, MOST_SESSIONS = 200, 64


class SessionStep(BaseModel):
    """SQL for a session, which is connected at its first step."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    session: str = Field(pattern=r"^[A-Z][0-9]{0,3}$")
    sql: str
    at_once: bool = False  #: the next step is given at once, and nothing shows whether this one waited


Steps = Annotated[tuple[SessionStep, ...], BeforeValidator(listed), Field(max_length=MOST_STEPS)]


class SessionPlan(BaseModel):
    """The steps in their order. ``look``: seconds after which a step that was not answered is waiting, and the next is
    given; ``bound``: seconds that a session waits at most until it is given its next step, or ends."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    steps: Steps
    look: float = Field(gt=0, le=600)
    bound: float = Field(gt=0, le=3600)

    @property
    def patience(self) -> float:
        """Seconds within which a session has its last answer: many that are given theirs at once share a machine."""
        return self.bound + self.look * sum(step.at_once for step in self.steps)

    @property
    def seconds(self) -> float:
        """What the whole takes at most."""
        return len(self.steps) * (self.look + 2) + self.bound + self.patience + 60


class StepAnswer(BaseModel):
    """What came of a step. ``given``: whether the session got it; ``waited``: it was still without an answer after the
    look; ``answered``: it got one in the end, with ``rows``, or with the words of a refusal."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    given: bool = True
    waited: bool = False
    answered: bool = True
    rows: Annotated[tuple[Annotated[tuple[str, ...], BeforeValidator(listed)], ...], BeforeValidator(listed)] = ()
    refusal: str = ""


ANSWERS = TypeAdapter(list[StepAnswer])
