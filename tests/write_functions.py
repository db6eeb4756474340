"""Writes harness/attest/functions.txt: functions of libm, arguments, and the double nearest to each value (mpmath)."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath

FILE = Path(__file__).parents[1] / "harness" / "attest" / "functions.txt"
#: Calls of each function, and decimal digits that they are computed with.
CALLS, DIGITS = 64, 60
HEAD = "# function, arguments, the double nearest to its value (round half to even), as hexadecimal digits of doubles\n"
#: Name -> ranges of its arguments, on a scale of powers of ten where they span several, and how mpmath calls it.
FUNCTIONS: dict[str, tuple[tuple[tuple[float, float], ...], Callable[..., Any]]] = {
    "sin": (((-1e3, 1e3),), mpmath.sin),
    "cos": (((-1e3, 1e3),), mpmath.cos),
    "tan": (((-1e2, 1e2),), mpmath.tan),
    "asin": (((-1, 1),), mpmath.asin),
    "acos": (((-1, 1),), mpmath.acos),
    "atan": (((-20, 20),), mpmath.atan),
    "atan2": (((-5, 5), (-5, 5)), mpmath.atan2),
    "sinh": (((-20, 20),), mpmath.sinh),
    "cosh": (((-20, 20),), mpmath.cosh),
    "tanh": (((-5, 5),), mpmath.tanh),
    "asinh": (((-50, 50),), mpmath.asinh),
    "acosh": (((1.01, 50),), mpmath.acosh),
    "atanh": (((-1, 1),), mpmath.atanh),
    "exp": (((-100, 100),), mpmath.exp),
    "exp2": (((-100, 100),), lambda x: mpmath.power(2, x)),
    "expm1": (((-2, 2),), mpmath.expm1),
    "log": (((1e-3, 1e3),), mpmath.log),
    "log2": (((1e-3, 1e3),), lambda x: mpmath.log(x, 2)),
    "log10": (((1e-3, 1e3),), mpmath.log10),
    "log1p": (((-0.9, 2),), mpmath.log1p),
    "pow": (((0.01, 100), (-20.5, 20.5)), mpmath.power),
    "sqrt": (((0, 1e6),), mpmath.sqrt),
    "cbrt": (((1e-3, 1e6),), mpmath.cbrt),
    "hypot": (((-100, 100), (-100, 100)), mpmath.hypot),
    "erf": (((-3, 3),), mpmath.erf),
    "erfc": (((-2, 10),), mpmath.erfc),
    "tgamma": (((0.1, 30),), mpmath.gamma),
    "lgamma": (((0.1, 100),), mpmath.loggamma),
}


def digits_of(value: float) -> str:
    """A double as sixteen hexadecimal digits."""
    return struct.pack(">d", value).hex()


def arguments() -> Iterator[tuple[str, tuple[float, ...]]]:
    """Calls of every function, always the same."""
    for name, (ranges, _) in FUNCTIONS.items():
        chance = random.Random(name)
        for _ in range(CALLS):
            yield name, tuple(chance.uniform(*limits) for limits in ranges)


def nearest(name: str, values: tuple[float, ...]) -> float:
    """The double nearest to the value of a function; mpmath rounds half to even, as floats of Python do."""
    with mpmath.workdps(DIGITS):
        value = FUNCTIONS[name][1](*(mpmath.mpf(value) for value in values))
        return float(value)


def main() -> None:
    """Write the file."""
    lines = [
        " ".join([name, *map(digits_of, values), digits_of(nearest(name, values))]) for name, values in arguments()
    ]
    FILE.write_text(HEAD + "\n".join(lines) + "\n", encoding="ascii")
    assert all(math.isfinite(nearest(name, values)) for name, values in arguments())


if __name__ == "__main__":
    main()
