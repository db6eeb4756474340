"""Whether a machine is idle: on a busy machine, a figure says as much about the other work as about the product.

Limits in percent: processors 10, memory 5, disks 5. They are demanded of hardware and of KVM; other machines share
their hardware anyway, so the figures are only recorded.
"""

from __future__ import annotations

import re

from harness.model.attestation import Fact
from harness.model.machine import Machine
from harness.model.results import Fidelity

LIMITS = {"CPU": 10.0, "memory": 5.0, "disk": 5.0}
#: Twice, a second apart: time of all processors (proc(5), /proc/stat), and of each disk under input or output
#: (Documentation/block/stat.rst, io_ticks in milliseconds).
PROBE = r"""
s() { date +%s%N | sed 's/^/at /'; head -n 1 /proc/stat
for d in /sys/block/*; do case ${d##*/} in loop*|ram*|zram*) ;; *) [ -r $d/stat ] || continue
set -- $(cat $d/stat); echo "disk ${d##*/} ${10}" ;; esac; done; }
s; sleep 1; s
sed -n 's/^\(MemTotal\|MemAvailable\): */\1 /p' /proc/meminfo
"""
DEMANDED = (Fidelity.PHYSICAL, Fidelity.KVM)


def idle_facts(machine: Machine, fidelity: Fidelity) -> list[Fact]:
    """Use of processors, memory and the busiest disk over a second, in percent; each a fact.

    Raises:
        InfrastructureError: the machine does not answer.
    """
    lines = [line.split() for line in machine.run(PROBE, timeout=30).out.splitlines()]
    return [
        _fact(what, value, fidelity)
        for what, value in (("CPU", _processors(lines)), ("memory", _memory(lines)), ("disk", _disk(lines)))
    ]


def _fact(what: str, value: float | None, fidelity: Fidelity) -> Fact:
    demanded = fidelity in DEMANDED or what == "CPU"
    return Fact(
        name=f"{what} in use",
        declared=f"below {LIMITS[what]:.0f} %" if demanded else "",
        measured=True,
        observed="unknown" if value is None else f"{value:.0f} %",
        holds=not demanded or (value is not None and value < LIMITS[what]),
    )


def _processors(lines: list[list[str]]) -> float | None:
    samples = [
        [int(word) for word in words[1:]]
        for words in lines
        if words[:1] == ["cpu"] and all(re.fullmatch(r"\d+", word) for word in words[1:])
    ]
    if len(samples) != 2 or len(samples[0]) < 5:
        return None
    spent: list[int] = [late - early for early, late in zip(*samples, strict=True)][:8]  # guest time is in user time
    return 100.0 * (1 - (spent[3] + spent[4]) / max(sum(spent), 1))


def _memory(lines: list[list[str]]) -> float | None:
    sizes = {words[0]: int(words[1]) for words in lines if len(words) >= 2 and words[0].startswith("Mem")}
    if not sizes.get("MemTotal") or "MemAvailable" not in sizes:
        return None
    return 100 * (1 - sizes["MemAvailable"] / sizes["MemTotal"])


def _disk(lines: list[list[str]]) -> float | None:
    moments = [int(words[1]) / 1e6 for words in lines if words[:1] == ["at"] and words[1].isdigit()]
    disks: dict[str, list[int]] = {}
    for words in lines:
        if len(words) == 3 and words[0] == "disk" and words[2].isdigit():
            disks.setdefault(words[1], []).append(int(words[2]))
    if len(moments) != 2 or moments[1] <= moments[0]:
        return None
    used = [100 * (two[1] - two[0]) / (moments[1] - moments[0]) for two in disks.values() if len(two) == 2]
    return min(100.0, max(used)) if used else 0.0
