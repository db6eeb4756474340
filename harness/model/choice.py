"""Which cases an operator wants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CaseChoice:
    """The cases that an operator wants: all of ``suites``, and ``cases`` by id; every case where both are empty."""

    suites: frozenset[str] = frozenset()
    cases: frozenset[str] = frozenset()

    @property
    def everything(self) -> bool:
        """Whether nothing was chosen, so that all is run."""
        return not (self.suites or self.cases)

    def takes(self, suite: str, case: str) -> bool:
        """Whether a case is run; those that it does not take are left out by the operator."""
        return self.everything or suite in self.suites or case in self.cases
