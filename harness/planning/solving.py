"""Whether any combination of values escapes all rules: a search with propagation.

Shares nothing with ``harness.planning.space``, by which plans are made, so that one may prove the other. The method is
that of Davis, Logemann and Loveland (1962): what a rule leaves no choice about is settled before anything is tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

Value = TypeVar("Value")
#: A forbidden conjunction: a combination whose values lie within all of these is excluded.
Forbidden = Mapping[str, Collection[Value]]


def completion(allowed: Mapping[str, Iterable[Value]], rules: Sequence[Forbidden[Value]]) -> dict[str, Value] | None:
    """A combination of one allowed value per axis that no rule forbids; None where there is none.

    Axes keep the order of ``allowed``; where there is a choice, earlier values are preferred.
    """
    domains = _search({axis: list(values) for axis, values in allowed.items()}, list(rules))
    return {axis: values[0] for axis, values in domains.items()} if domains is not None else None


def _search(domains: dict[str, list[Value]], rules: list[Forbidden[Value]]) -> dict[str, list[Value]] | None:
    left = _propagate(domains, rules)
    if left is None:
        return None
    if not left:
        return domains
    # The axis with the fewest values left of those that a rule still speaks of.
    axis = min(
        {axis for rule in left for axis in rule if len(domains[axis]) > 1},
        key=lambda axis: (len(domains[axis]), -sum(axis in rule for rule in left), axis),
    )
    for value in domains[axis]:
        solution = _search({**domains, axis: [value]}, left)
        if solution is not None:
            return solution
    return None


def _propagate(domains: dict[str, list[Value]], rules: list[Forbidden[Value]]) -> list[Forbidden[Value]] | None:
    """Take from ``domains`` what rules forbid; gives the rules that are still open, None where nothing is left."""
    again = True
    while again:
        again = False
        left = []
        for rule in rules:
            free = []
            for axis, values in rule.items():
                inside = sum(value in values for value in domains[axis])
                if not inside:
                    break  # it can never match
                if inside < len(domains[axis]):
                    free.append(axis)
            else:
                if not free:
                    return None
                if len(free) > 1:
                    left.append(rule)
                    continue
                domains[free[0]] = [value for value in domains[free[0]] if value not in rule[free[0]]]
                again = True
        rules = left
    return rules
