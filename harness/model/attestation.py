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
        """The facts that differ from what was declared."""
        return tuple(fact for fact in self.facts if not fact.holds)


@dataclass(frozen=True, kw_only=True)
class ForeignProgram:
    """A program that is not of the target's architecture, and that ran all the same.

    ``path`` as the target names it; ``process`` as this machine numbers it; ``command`` is its command line, as far as
    it could still be read.
    """

    path: str
    architecture: str
    process: int
    command: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.architecture}), process {self.process}{f': {self.command}' if self.command else ''}"


@dataclass(frozen=True, kw_only=True)
class Executions:
    """What is known of the programs that ran on a machine.

    ``foreign``: those of another architecture. ``tried``: those that something tried to start and that could not
    start. ``limit``: why not every execution is known, empty where every one is.
    """

    foreign: tuple[ForeignProgram, ...] = ()
    tried: tuple[ForeignProgram, ...] = ()
    limit: str = ""

    def __add__(self, other: Executions) -> Executions:
        """What is known of both."""
        return Executions(
            foreign=self.foreign + other.foreign,
            tried=self.tried + other.tried,
            limit="; ".join(dict.fromkeys(filter(None, (self.limit, other.limit)))),
        )
