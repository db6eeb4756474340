"""The probe of arithmetic: what is stored is right, both programs that ask say the same, silence is told apart."""

from __future__ import annotations

import math
import os
import struct
from fractions import Fraction

import mpmath
import pytest

from harness.attest.arithmetic import (
    Arithmetic,
    attest_arithmetic,
    calls,
    differing,
    probe_arithmetic,
)
from harness.system.process import Completed, run
from tests.write_functions import FUNCTIONS, arguments


class Here:
    """This machine, with the programs that ``path`` has."""

    name = "here"

    def __init__(self, path: str = os.environ["PATH"], before: str = "") -> None:
        self.path, self.before = path, before

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        return run(
            ["/bin/sh", "-c", self.before + command], timeout=timeout, stdin=stdin.encode(), env={"PATH": self.path}
        )


def double(digits: str) -> float:
    return float(struct.unpack(">d", bytes.fromhex(digits))[0])


def test_each_stored_value_is_the_nearest_double() -> None:
    """Shown by the distance to its neighbours, with other digits than they were computed with."""
    assert [(call.name, call.arguments) for call in calls()] == [
        (name, tuple(struct.pack(">d", value).hex() for value in values)) for name, values in arguments()
    ]
    with mpmath.workdps(80):
        for call in calls():
            value = FUNCTIONS[call.name][1](*(mpmath.mpf(double(digits)) for digits in call.arguments))
            sign, mantissa, exponent, _ = value._mpf_
            exact = Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** exponent
            nearest = double(call.nearest)
            off = abs(Fraction(nearest) - exact)
            for other in (math.nextafter(nearest, math.inf), math.nextafter(nearest, -math.inf)):
                assert off < abs(Fraction(other) - exact), call


def test_perl_and_python_say_the_same_of_one_machine() -> None:
    by_perl = probe_arithmetic(Here())
    by_python = probe_arithmetic(Here(before="perl() { return 1; }\n"))
    assert by_perl.by.startswith("perl "), by_perl.reason
    assert by_python.by.startswith("python "), by_python.reason
    assert differing(by_perl, by_python) == []
    assert by_perl.properties == by_python.properties
    assert by_perl.results == by_python.results
    observed = {fact.name.removeprefix("arithmetic: "): fact.observed for fact in attest_arithmetic(by_perl).facts}
    assert observed["rounding modes"] == "nearest, upward, downward, zero"
    assert observed["denormals"] == "kept"
    assert observed["fma"] == "one rounding"
    assert f"of {len(calls())} results correctly rounded" in observed["functions of libm"]
    assert attest_arithmetic(by_perl).mismatches == ()


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Here(before="PATH=/nowhere\n"), "neither perl with POSIX nor python3"),
        (Here(before="echo by=perl 5; echo 任意 x; exit 0\n"), "broke off with status 0"),
        (Here(before="exit 3\n"), "broke off with status 3"),
    ],
    ids=["nothing there", "strange words", "an end"],
)
def test_what_cannot_be_probed_is_said(machine: Here, reason: str) -> None:
    arithmetic = probe_arithmetic(machine)
    assert reason in arithmetic.reason
    (fact,) = attest_arithmetic(arithmetic).facts
    assert fact.observed.startswith("not probed: ")


def test_in_what_two_targets_differ_is_named() -> None:
    results = tuple(call.nearest for call in calls())
    nearest = Arithmetic(by="perl 5", properties={"long_double": "64", "fma": "x"}, results=results)
    at = [index for index, call in enumerate(calls()) if call.name == "cbrt"]
    changed = list(results)
    for index in at[:3]:
        changed[index] = f"{int(results[index], 16) + 2:016x}"
    other = Arithmetic(by="python 3", properties={"long_double": "113"}, results=tuple(changed))
    assert differing(nearest, other) == [
        "long double (64 bits of significand and 113 bits of significand)",
        f"libm cbrt: 3 of {len(at)} results",
    ]
    facts = {fact.name: fact.observed for fact in attest_arithmetic(other).facts}
    assert (
        facts["arithmetic: functions of libm"]
        == f"{len(calls()) - 3} of {len(calls())} results correctly rounded; cbrt 2 ulp"
    )
    assert facts["arithmetic: fma"] == "not probed"
    lacking = Arithmetic(by="perl 5", results=tuple("-" if call.name == "erf" else call.nearest for call in calls()))
    assert (
        "not there: erf"
        in {fact.name: fact.observed for fact in attest_arithmetic(lacking).facts}["arithmetic: functions of libm"]
    )
    assert differing(nearest, lacking) == []


@pytest.mark.parametrize("said", ["", ",,,", "a:b:c", "nan", "\0", "upward:1/2"])
def test_whatever_a_target_says_is_shown_or_refused(said: str) -> None:
    properties = dict.fromkeys(("long_double", "denormals", "nan", "rounding", "integers", "fma"), said)
    facts = attest_arithmetic(Arithmetic(by="perl 5", properties=properties, results=("zz",) * len(calls()))).facts
    assert len(facts) == 9
