"""All combinations of some axes that no rule forbids, held without listing them.

Axes that rules tie together form a component. A component of up to ``BITS`` combinations is one integer with a bit
for each: restricting it is a bitwise "and", exact and quick. A larger one is searched with memory.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.planning.bounding import Steps

#: A forbidden conjunction: axis -> values, all by index. A combination that matches every axis is excluded.
Rule = Mapping[int, Collection[int]]
#: Most combinations of one component that are held as bits: 2^20 take 128 KiB.
BITS = 1 << 20
#: Parts without any forbidden combination that a search remembers.
KEPT = 64


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
    """Too many for bits: a state is the values still allowed, a bit each, per axis; nothing a rule forbids by itself.

    Whether anything is left is found by search with propagation; what was found free of every rule is tried first.
    """

    def __init__(self, axes: Sequence[int], sizes: Sequence[int], rules: Sequence[Rule]) -> None:
        steps = Steps()
        self._place = {axis: place for place, axis in enumerate(axes)}
        self._rules = [
            {self._place[axis]: sum(1 << value for value in values) for axis, values in rule.items()} for rule in rules
        ]
        self._about = [[rule for rule in self._rules if place in rule] for place in range(len(axes))]
        self._known: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._solutions: list[tuple[int, ...]] = []
        whole = tuple((1 << sizes[axis]) - 1 for axis in axes)
        self.excluded = [
            _count(
                [allowed & rule.get(place, allowed) for place, allowed in enumerate(whole)],
                self._rules[:number],
                steps,
            )
            for number, rule in enumerate(self._rules)
        ]
        self._count = math.prod(allowed.bit_count() for allowed in whole) - sum(self.excluded)
        self.start = self._settled(whole, range(len(axes))) if self._count else ()

    def count(self) -> int:
        return self._count

    def restrict(self, state: Any, axis: int, values: Collection[int]) -> Any:
        if not state:
            return state
        place = self._place[axis]
        narrowed = state[place] & sum(1 << value for value in values)
        if narrowed == state[place]:
            return state
        wanted = (*state[:place], narrowed, *state[place + 1 :])
        if wanted not in self._known:
            self._known[wanted] = self._narrowed(wanted, place) if narrowed else ()
        return self._known[wanted]

    def _narrowed(self, wanted: tuple[int, ...], place: int) -> tuple[int, ...]:
        settled = self._settled(wanted, (place,))
        if not settled:
            return ()
        for number, solution in enumerate(self._solutions):
            if all(map(operator.and_, solution, settled)):
                self._solutions.insert(0, self._solutions.pop(number))
                return settled
        solution = self._any(settled)
        if solution:
            self._solutions = [solution, *self._solutions[: KEPT - 1]]
        return settled if solution else ()

    def _settled(self, state: Sequence[int], changed: Iterable[int]) -> tuple[int, ...]:
        """Without the values that a rule leaves no choice about; empty where nothing is left."""
        allowed, todo = list(state), list(changed)
        while todo:
            for rule in self._about[todo.pop()]:
                free = -1
                for place, mask in rule.items():
                    if not allowed[place] & mask:
                        break  # it can never match
                    if allowed[place] & ~mask:
                        if free >= 0:
                            break  # more than one axis may still escape it
                        free = place
                else:
                    if free < 0:
                        return ()
                    allowed[free] &= ~rule[free]
                    todo.append(free)
        return tuple(allowed)

    def _any(self, state: tuple[int, ...]) -> tuple[int, ...]:
        """Part of a settled state in which nothing is forbidden; empty where there is none."""
        for rule in self._rules:
            if all(state[place] & mask for place, mask in rule.items()):
                break
        else:
            return state
        place = max(rule, key=lambda place: (state[place] & ~rule[place]).bit_count())
        for part in (state[place] & ~rule[place], state[place] & rule[place]):  # first what escapes the rule
            settled = self._settled((*state[:place], part, *state[place + 1 :]), (place,)) if part else ()
            solution = self._any(settled) if settled else ()
            if solution:
                return solution
        return ()


def _count(allowed: Sequence[int], rules: Sequence[Mapping[int, int]], steps: Steps) -> int:
    """Combinations within ``allowed`` that no rule forbids.

    Axis by axis; all that matters of the values chosen so far is which rules they still match: that set is the key of
    the memory, as in a decision diagram. The order of the axes keeps few rules begun and not ended.

    Raises:
        UsageError: it takes more steps than are left.
    """
    rules = [rule for rule in rules if all(allowed[place] & mask for place, mask in rule.items())]
    left, order, begun = set(range(len(allowed))), [], set[int]()
    while left:

        def cost(place: int, begun: set[int] = begun) -> tuple[int, int]:
            after = begun | {n for n, rule in enumerate(rules) if place in rule}
            rest = left - {place}
            return sum(any(other in rest for other in rules[n]) for n in after), place

        chosen = min(left, key=cost)
        left.remove(chosen)
        order.append(chosen)
        begun |= {n for n, rule in enumerate(rules) if chosen in rule}
    last = [max(order.index(place) for place in rule) for rule in rules]
    ends = [sum(1 << n for n, at in enumerate(last) if at == depth) for depth in range(len(order))]
    match = [
        [
            sum(1 << n for n, rule in enumerate(rules) if place not in rule or rule[place] >> value & 1)
            for value in range(allowed[place].bit_length())
            if allowed[place] >> value & 1
        ]
        for place in order
    ]
    states = {(1 << len(rules)) - 1: 1}
    for depth in range(len(order)):
        after: dict[int, int] = {}
        steps.take(len(states) * len(match[depth]))
        for alive, number in states.items():
            for matching in match[depth]:
                kept = alive & matching
                if not kept & ends[depth]:
                    after[kept] = after.get(kept, 0) + number
        states = after
    return sum(states.values())


@dataclass(frozen=True)
class Space:
    """``sizes``: number of values of each axis; ``rules``: what is forbidden, in the order in which it is applied.

    Raises:
        UsageError: what the rules leave over takes too long to count.
    """

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
        for representative in roots:
            axes = [axis for axis in range(len(self.sizes)) if root(axis) == representative]
            numbers = [number for number, rule in enumerate(self.rules) if root(next(iter(rule))) == representative]
            size = math.prod(self.sizes[axis] for axis in axes)
            kind = _Bits if size <= BITS else _Search
            component = kind(axes, self.sizes, [self.rules[number] for number in numbers])
            components.append(component)
            for number, count in zip(numbers, component.excluded, strict=True):
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
