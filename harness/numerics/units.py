"""Units in the last place of a double (IEEE 754-2019, 3.4)."""

from __future__ import annotations

import math
import struct


def ulps_between(value: float, expected: float) -> float:
    """How many doubles one must go from one to the other; infinite where one is not finite, and not the other."""
    if not (math.isfinite(value) and math.isfinite(expected)):
        return 0.0 if value == expected else math.inf
    first, second = (_place(number) for number in (value, expected))
    return float(abs(first - second))


def _place(number: float) -> int:
    """The doubles in their order, numbered; both zeros have number 0."""
    bits: int = struct.unpack("<q", struct.pack("<d", number))[0]
    return bits if bits >= 0 else -(2**63) - bits
