"""Attestation: what a target was declared to be against what was observed before the test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One property of a target. ``declared`` is empty where nothing was demanded: then it is only recorded.

    ``measured``: a figure of that moment, which differs from run to run without meaning anything.
    """

    name: str
    declared: str
    observed: str
    holds: bool = True
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """All facts of the machines of a cell."""

    facts: tuple[Fact, ...]
    loop_seconds: float | None = None  #: what a fixed piece of work took there

    @property
    def mismatches(self) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if not fact.holds)
