"""What the arithmetic of a target is: formats, roundings, NaN, and the last digits of its library's functions.

No compiler is needed there. What asks is perl, which every Debian has, else python3; where neither is, nothing is
probed. Functions are called with the arguments of ``functions.txt`` and compared with the correctly rounded values
there. What a product's own compiler does, such as contraction of ``a*b + c``, no probe of the target can show.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.model.attestation import Attestation, Fact
from harness.model.machine import Machine
from harness.numerics.units import ulps_between
from harness.system import shell

#: Begins the names of these facts.
NAME = "arithmetic"
_HERE = Path(__file__).parent
#: What arithmetic.pl says -> how it is named.
_NAMES = {
    "long_double": "long double",
    "denormals": "denormals",
    "nan": "NaN",
    "rounding": "rounding modes",
    "integers": "what is too large for an integer",
    "fma": "fma",
}
_PROPERTIES = tuple(_NAMES)
#: How 1/3, -1/3, 1 + 2^-60 and 1 - 2^-60 are rounded in each mode (IEEE 754-2019, 4.3).
_ROUNDED = {
    "nearest": "3fd5555555555555/bfd5555555555555/3ff0000000000000/3ff0000000000000",
    "upward": "3fd5555555555556/bfd5555555555555/3ff0000000000001/3ff0000000000000",
    "downward": "3fd5555555555555/bfd5555555555556/3ff0000000000000/3fefffffffffffff",
    "zero": "3fd5555555555555/bfd5555555555555/3ff0000000000000/3fefffffffffffff",
}
_COMMAND = """
command -v perl >/dev/null && perl -e {perl} 2>/dev/null && exit 0
command -v python3 >/dev/null && python3 -c {python} 2>/dev/null && exit 0
echo none=1
"""


@dataclass(frozen=True)
class Call:
    """A function with its arguments, and the double that is nearest to its value; all as hexadecimal digits."""

    name: str
    arguments: tuple[str, ...]
    nearest: str


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """What a probe said. ``by``: the program that asked; empty where nothing could ask, and ``reason`` says why.

    ``properties``: by their names in arithmetic.pl, as it writes them. ``results``: of each call of ``calls``, as
    hexadecimal digits, or ``-`` where the target does not have the function.
    """

    by: str = ""
    reason: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Arithmetic:
        """What ``dataclasses.asdict`` has made JSON of."""
        return cls(**{**value, "results": tuple(value["results"])})


@functools.cache
def calls() -> tuple[Call, ...]:
    """The stored calls (functions.txt, which ``python -m tests.write_functions`` writes)."""
    rows = [line.split() for line in (_HERE / "functions.txt").read_text(encoding="ascii").splitlines()]
    return tuple(Call(row[0], tuple(row[1:-1]), row[-1]) for row in rows if row and row[0] != "#")


def probe_arithmetic(machine: Machine, *, factor: float = 1.0) -> Arithmetic:
    """Ask a machine; ``factor``: how many times slower than this one it is.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    perl, python = ((_HERE / f"arithmetic.{kind}").read_text(encoding="utf-8") for kind in ("pl", "python3"))
    command = _COMMAND.format(perl=shell.quote(perl), python=shell.quote(python))
    asked = "".join(f"{call.name} {' '.join(call.arguments)}\n" for call in calls())
    answer = machine.run(command, timeout=60 * factor, stdin=asked)
    lines = answer.out.splitlines()
    if lines == ["none=1"]:
        return Arithmetic(reason="the machine has neither perl with POSIX nor python3 with ctypes")
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    results = [line.split() for line in lines if "=" not in line]
    names = [row[0] if len(row) == 2 else "" for row in results]
    if not answer.ok or names != [call.name for call in calls()] or "by" not in pairs:
        return Arithmetic(reason=f"the probe broke off with status {answer.rc}: {answer.text[-200:].strip()!r}")
    properties = {name: pairs[name] for name in _PROPERTIES if name in pairs}
    return Arithmetic(by=pairs["by"][:60], properties=properties, results=tuple(row[1] for row in results))


def attest_arithmetic(arithmetic: Arithmetic) -> Attestation:
    """The facts of a target's arithmetic; nothing is demanded of them."""
    if not arithmetic.by:
        return Attestation(facts=(Fact(name=NAME, declared="", observed=f"not probed: {arithmetic.reason}"),))
    said = arithmetic.properties
    observed = {
        **{_NAMES[name]: _shown(name, said[name]) if name in said else "" for name in _PROPERTIES},
        "functions of libm": _functions(arithmetic),
        "results of libm, SHA-256": hashlib.sha256("\n".join(arithmetic.results).encode()).hexdigest()[:16],
        "asked by": arithmetic.by,
    }
    return Attestation(
        facts=tuple(
            Fact(name=f"{NAME}: {name}", declared="", observed=value or "not probed")
            for name, value in observed.items()
        )
    )


def differing(first: Arithmetic, second: Arithmetic) -> list[str]:
    """In what the arithmetic of two targets differs, in words; empty where nothing that was probed does."""
    sides = [
        {name: each.properties[name] for name in _PROPERTIES if name in each.properties} for each in (first, second)
    ]
    apart = [name for name in sides[0] if sides[0][name] != sides[1].get(name, sides[0][name])]
    words = [f"{_NAMES[name]} ({' and '.join(_shown(name, side[name]) for side in sides)})" for name in apart]
    counts: dict[str, list[int]] = {}
    for call, one_result, other in zip(calls(), first.results, second.results, strict=False):
        if "-" not in (one_result, other):
            count = counts.setdefault(call.name, [0, 0])
            count[0] += one_result != other
            count[1] += 1
    return [*words, *(f"libm {name}: {off} of {of} results" for name, (off, of) in counts.items() if off)]


def _shown(name: str, said: str) -> str:
    """A property in words; what is not understood as it was said, bounded."""
    match name:
        case "long_double":
            words = f"{said} bits of significand"
        case "rounding":
            words = _rounding(said)
        case "denormals":
            words = _denormals(said)
        case "nan":
            words = _nan(said)
        case "fma":
            words = {"bc30000000000000": "one rounding", "0000000000000000": "two roundings"}.get(said, said)
        case _:
            words = said.replace(",", ", ")
    return words[:200]


def _functions(arithmetic: Arithmetic) -> str:
    correct, farthest, lacking = 0, dict[str, float](), dict[str, None]()
    for call, result in zip(calls(), arithmetic.results, strict=True):
        if result == "-":
            lacking.setdefault(call.name)
            continue
        correct += result == call.nearest
        far = ulps_between(*(_double(digits) for digits in (result, call.nearest)))
        farthest[call.name] = max(farthest.get(call.name, 0.0), far)
    compared = sum(call.name not in lacking for call in calls())
    names = sorted((name for name in farthest if farthest[name]), key=lambda name: -farthest[name])
    parts = [f"{correct} of {compared} results correctly rounded"]
    parts += [", ".join(f"{name} {farthest[name]:.0f} ulp" for name in names)] if names else []
    parts += [f"not there: {', '.join(lacking)}"] if lacking else []
    return "; ".join(parts)


def _double(digits: str) -> float:
    try:
        return float(struct.unpack(">d", bytes.fromhex(digits))[0])
    except (ValueError, struct.error):
        return float("nan")


def _rounding(said: str) -> str:
    modes = dict(part.split(":", 1) for part in said.split(",") if ":" in part)
    kept = [name for name, results in modes.items() if _ROUNDED.get(name) == results]
    wrong = [name for name in modes if name not in kept]
    parts = [", ".join(kept)] if kept else []
    return "; ".join([*parts, *([f"set and not heeded: {', '.join(wrong)}"] if wrong else [])])


def _denormals(said: str) -> str:
    return {"0008000000000000,0000000000000001": "kept", "0000000000000000,0000000000000000": "flushed to zero"}.get(
        said, said
    )


def _nan(said: str) -> str:
    parts = said.split(",")
    if len(parts) != 2 or any(len(part) != 16 for part in parts):
        return said
    sign = "negative" if parts[0][0] in "89abcdef" else "positive"
    payload = "kept" if parts[1].endswith("123") else "lost"
    return f"inf - inf is {sign} ({parts[0]}), payload {payload}"
