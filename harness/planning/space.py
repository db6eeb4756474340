"""All combinations of some axes that no rule forbids, held without listing them.

Axes that rules tie together form a component. A component of up to ``BITS`` combinations is one integer with a bit
for each: restricting it is a bitwise "and", exact and quick. A larger one is searched with memory.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

#: A forbidden conjunction: axis -> values, all by index. A combination that matches every axis is excluded.
Rule = Mapping[int, Collection[int]]
#: Most combinations of one component that are held as bits: 2^20 take 128 KiB.
BITS = 1 << 20


class _Component(Protocol):
    """``start`` is the state of nothing chosen yet; a state is falsy where nothing is left."""

    start: Any
    #: Of each rule: how many combinations it was the first to exclude.
    excluded: list[int]

    def restrict(self, state: Any, axis: int, values: Collection[int]) -> Any: ...
    def count(self) -> int: ...


class _Bits:
    """A bit for each combination."""

    def __init__(self, axes: Sequence[int], sizes: Sequence[int], rules: Sequence[Rule]) -> None:
        total = math.prod(sizes[axis] for axis in axes)
        self._masks: dict[int, list[int]] = {}
        stride = 1
        for axis in axes:  # the values of an axis repeat with a period
            period = stride * sizes[axis]
            first, width = (1 << stride) - 1, period
            while width < total:
                first |= first << width
                width *= 2
            first &= (1 << total) - 1
            self._masks[axis] = [first << (value * stride) for value in range(sizes[axis])]
            stride = period
        self.start = (1 << total) - 1
        self.excluded: list[int] = []
        for rule in rules:
            hit = self.start
            for axis, values in rule.items():
                hit = self.restrict(hit, axis, values)
            self.excluded.append(hit.bit_count())
            self.start &= ~hit
        if self.start.bit_count() * 8 <= total:
            self._pack(axes, sizes)

    def _pack(self, axes: Sequence[int], sizes: Sequence[int]) -> None:
        """Leave out the bits of what is excluded: where little is left, every later step is so much quicker."""
        kept = [place for place, bit in enumerate(reversed(f"{self.start:b}")) if bit == "1"]
        stride = 1
        for axis in axes:
            values = [place // stride % sizes[axis] for place in kept]
            digits = [bytearray(b"0" * len(kept)) for _ in range(sizes[axis])]
            for place, value in enumerate(reversed(values)):
                digits[value][place] = 49  # "1"; the first digit is the highest bit
            self._masks[axis] = [int(text or b"0", 2) for text in digits]
            stride *= sizes[axis]
        self.start = (1 << len(kept)) - 1

    def restrict(self, state: int, axis: int, values: Collection[int]) -> int:
        masks = self._masks[axis]
        if len(values) == 1:
            (value,) = values
            return state & masks[value]
        allowed = 0
        for value in values:
            allowed |= masks[value]
        return state & allowed

    def count(self) -> int:
        return self.start.bit_count()


class _Search:
    """Too many for bits: a state is the values still allowed per axis, and is asked whether anything is left.

    Walking the axes in order, all that matters of the values chosen so far is which rules they still match: that set
    is the key of the memory, as in a decision diagram.
    """

    def __init__(self, axes: Sequence[int], sizes: Sequence[int], rules: Sequence[Rule]) -> None:
        self._axes = list(axes)
        self.start = tuple(frozenset(range(sizes[axis])) for axis in axes)
        self._left: dict[Any, Any] = {}
        self.excluded = []
        self._use(())
        before = self.count()
        for number in range(1, len(rules) + 1):
            self._use(rules[:number])
            after = self.count()
            self.excluded.append(before - after)
            before = after
        if not before:
            self.start = ()

    def _use(self, rules: Sequence[Rule]) -> None:
        last = [max(self._axes.index(axis) for axis in rule) for rule in rules]
        self._all = (1 << len(rules)) - 1
        #: Per depth: rules that end there; rules alive after it; and per value the rules that it still matches.
        self._ends = [sum(1 << n for n, at in enumerate(last) if at == depth) for depth in range(len(self._axes))]
        self._later = [sum(1 << n for n, at in enumerate(last) if at > depth) for depth in range(len(self._axes))]
        self._match = [
            [sum(1 << n for n, rule in enumerate(rules) if axis not in rule or value in rule[axis])
             for value in sorted(allowed)]
            for axis, allowed in zip(self._axes, self.start, strict=True)
        ]  # fmt: skip

    def count(self) -> int:
        @functools.cache
        def below(depth: int, alive: int) -> int:
            if depth == len(self._axes):
                return 1
            found = 0
            for match in self._match[depth]:
                kept = alive & match
                if not kept & self._ends[depth]:
                    found += below(depth + 1, kept & self._later[depth])
            return found

        return below(0, self._all)

    def restrict(self, state: Any, axis: int, values: Collection[int]) -> Any:
        if not state:
            return state
        place = self._axes.index(axis)
        narrowed = state[place] & frozenset(values)
        wanted = (*state[:place], narrowed, *state[place + 1 :])
        if wanted not in self._left:
            self._left[wanted] = wanted if narrowed and self._any(wanted) else ()
        return self._left[wanted]

    def _any(self, allowed: tuple[frozenset[int], ...]) -> bool:
        dead: set[tuple[int, int]] = set()

        def below(depth: int, alive: int) -> bool:
            if depth == len(self._axes):
                return True
            if (depth, alive) in dead:
                return False
            for value in allowed[depth]:
                kept = alive & self._match[depth][value]
                if not kept & self._ends[depth] and below(depth + 1, kept & self._later[depth]):
                    return True
            dead.add((depth, alive))
            return False

        return below(0, self._all)


@dataclass(frozen=True)
class Space:
    """``sizes``: number of values of each axis; ``rules``: what is forbidden, in the order in which it is applied."""

    sizes: tuple[int, ...]
    rules: tuple[Rule, ...] = ()
    component_of: tuple[int, ...] = field(init=False)
    _components: tuple[_Component, ...] = field(init=False, repr=False)
    #: Of each rule: combinations that it was the first to exclude; 0 for a rule that matches nothing.
    excluded: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        parent = list(range(len(self.sizes)))

        def root(axis: int) -> int:
            while parent[axis] != axis:
                axis = parent[axis]
            return axis

        for rule in self.rules:
            first, *others = rule
            for axis in others:
                parent[root(first)] = root(axis)
        roots = list(dict.fromkeys(root(axis) for axis in range(len(self.sizes))))
        components: list[_Component] = []
        excluded = [0] * len(self.rules)
        total = math.prod(self.sizes)
        for one in roots:
            axes = [axis for axis in range(len(self.sizes)) if root(axis) == one]
            mine = [number for number, rule in enumerate(self.rules) if root(next(iter(rule))) == one]
            size = math.prod(self.sizes[axis] for axis in axes)
            kind = _Bits if size <= BITS else _Search
            component = kind(axes, self.sizes, [self.rules[number] for number in mine])
            components.append(component)
            for number, count in zip(mine, component.excluded, strict=True):
                excluded[number] = count * (total // size)
            # What later components exclude is counted only where this one leaves anything.
            total = total // size * component.count()
        object.__setattr__(self, "component_of", tuple(roots.index(root(a)) for a in range(len(self.sizes))))
        object.__setattr__(self, "_components", tuple(components))
        object.__setattr__(self, "excluded", tuple(excluded))

    @property
    def count(self) -> int:
        """Number of combinations that no rule forbids."""
        return math.prod(component.count() for component in self._components)

    @property
    def start(self) -> list[Any]:
        """One state per component; fit for ``choose``."""
        return [component.start for component in self._components]

    def fits(self, state: list[Any], axis: int, value: int) -> bool:
        """Whether a combination is left if ``axis`` is ``value`` too."""
        at = self.component_of[axis]
        return bool(self._components[at].restrict(state[at], axis, (value,)))

    def choose(self, state: list[Any], axis: int, value: int) -> bool:
        """Narrow ``state``; False where nothing is left then."""
        at = self.component_of[axis]
        state[at] = self._components[at].restrict(state[at], axis, (value,))
        return bool(state[at])

    def possible(self, chosen: Mapping[int, Collection[int]]) -> bool:
        """Whether any combination has its axes within ``chosen``."""
        state = self.start
        for axis, values in chosen.items():
            at = self.component_of[axis]
            state[at] = self._components[at].restrict(state[at], axis, values)
            if not state[at]:
                return False
        return all(state)

    def combinations(self) -> Iterator[tuple[int, ...]]:
        """Every combination, in the order of ``itertools.product``; memory does not grow with their number."""
        for head, rest in self._blocks():
            for tail in itertools.product(*rest):
                yield head + tail

    def cells(self, names: Sequence[str], values: Sequence[Sequence[str]]) -> Iterator[dict[str, str]]:
        """The same, as values by the names of their axes."""
        for head, rest in self._blocks():
            first = [values[axis][value] for axis, value in enumerate(head)]
            others = [[of[value] for value in some] for of, some in zip(values[len(head) :], rest, strict=True)]
            for tail in itertools.product(*others):
                yield dict(zip(names, (*first, *tail), strict=True))

    def _blocks(self) -> Iterator[tuple[tuple[int, ...], list[Sequence[int]]]]:
        """Values of the first axes, and the values that each of the others may have with them.

        A rule is looked at once per choice of the axes before its last one, not once per combination.
        """
        ending: list[list[Rule]] = [[] for _ in self.sizes]
        for rule in self.rules:
            ending[max(rule)].append(rule)
        # The last axis on which a rule ends is settled by the axes before it; behind it nothing is forbidden.
        settled = max((axis for axis, rules in enumerate(ending) if rules), default=0)
        rest: list[Sequence[int]] = [range(size) for size in self.sizes[settled + 1 :]]
        chosen: list[int] = []

        def allowed(axis: int) -> list[int]:
            out: set[int] = set()
            for rule in ending[axis]:
                if all(chosen[other] in values for other, values in rule.items() if other != axis):
                    out.update(rule[axis])
            return [value for value in range(self.sizes[axis]) if value not in out]

        def walk(axis: int) -> Iterator[tuple[tuple[int, ...], list[Sequence[int]]]]:
            if axis == settled:
                yield tuple(chosen), [allowed(axis), *rest]
                return
            for value in allowed(axis):
                chosen.append(value)
                yield from walk(axis + 1)
                chosen.pop()

        return walk(0)
