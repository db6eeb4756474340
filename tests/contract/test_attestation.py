"""A target is what it was declared to be, and one that lies is found; on real machines of every architecture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.attest.architecture import emulator
from harness.attest.arithmetic import attest_arithmetic, probe_arithmetic
from harness.attest.attestation import attest
from harness.containers.machine import ContainerMachine
from harness.model.attestation import Attestation
from harness.model.definitions import Cpu, Os
from harness.reading.entries import entry
from tests.labs import container, system

TARGETS = [("debian-12", "x86-64"), ("debian-12", "kunpeng-920"), ("debian-forky", "loongson-3a5000")]


def cpu(name: str, **change: Any) -> Cpu:
    value = entry(f"cpu/{name}")[2]
    assert isinstance(value, Cpu)
    return value.model_copy(update=change)


def environment(value: Cpu) -> dict[str, str]:
    return {"QEMU_CPU": value.emulation.user} if value.emulation.user else {}


@pytest.fixture(scope="module", params=TARGETS, ids=[name for _, name in TARGETS])
def target(request: pytest.FixtureRequest) -> Iterator[tuple[ContainerMachine, Cpu, Os]]:
    os, name = request.param
    value = cpu(name)
    with container(os, value.architecture, environment(value)) as machine:
        yield machine, value, system(os)


def look(machine: ContainerMachine, value: Cpu, os: Os) -> Attestation:
    return attest(machine, value, os, emulator(value.architecture))


def test_an_honest_target_holds(target: tuple[ContainerMachine, Cpu, Os]) -> None:
    found = look(*target)
    assert found.mismatches == ()
    facts = {fact.name: fact for fact in found.facts}
    assert {
        "architecture",
        "os-release ID",
        "glibc",
        "page size",
        "kernel",
        "ELF interpreter",
        "clock",
        "locale",
        "memory",
        "free on /",
        "file /etc/debian_version",
    } <= facts.keys()
    assert facts["clock"].observed == "the same"
    assert facts["memory"].observed == "256 MiB"
    assert all(fact.observed for fact in found.facts if fact.holds)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"identity": {"ID": "kylin", "VERSION_ID": "V10"}}, {"os-release ID", "os-release VERSION_ID"}),
        ({"glibc": "2.28"}, {"glibc"}),
        ({"identity_files": ("/etc/kylin-release",)}, {"file /etc/kylin-release"}),
        ({"loader": "/lib64/ld.so.1"}, {"ELF interpreter"}),
    ],
    ids=["kylin", "glibc", "file", "old world"],
)
def test_a_system_that_is_another_is_found(
    target: tuple[ContainerMachine, Cpu, Os], lie: dict[str, Any], told: set[str]
) -> None:
    machine, value, os = target
    found = look(machine, value, os.model_copy(update=lie))
    assert {fact.name for fact in found.mismatches} == told


def test_another_architecture_is_found(target: tuple[ContainerMachine, Cpu, Os]) -> None:
    machine, value, os = target
    other = cpu("kunpeng-920" if value.architecture != "aarch64" else "loongson-3a5000")
    found = attest(machine, other, os, emulator(other.architecture))
    assert {"architecture", "ELF interpreter"} <= {fact.name for fact in found.mismatches}


def test_a_host_of_another_vendor_is_found() -> None:
    with container("debian-12", "x86_64") as machine:
        found = attest(machine, cpu("x86-64", ids={"vendor_id": "OtherGenuine"}), system("debian-12"), None)
    (fact,) = found.mismatches
    assert (fact.name, fact.declared) == ("CPU vendor_id", "OtherGenuine")
    assert fact.observed


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("max", {"feature atomics", "feature asimddp", "feature sve"}),
        ("cortex-a76", {"feature atomics", "feature asimddp"}),
    ],
)
def test_a_larger_cpu_behind_a_phytium_is_found(model: str, told: set[str]) -> None:
    phytium = cpu("phytium-ft2000plus")
    with container("debian-12", "aarch64", {"QEMU_CPU": model}) as machine:
        found = attest(machine, phytium, system("debian-12"), emulator("aarch64"))
    assert {fact.name for fact in found.mismatches} == told


def test_the_arithmetic_of_each_target_is_probed(target: tuple[ContainerMachine, Cpu, Os]) -> None:
    """What IEEE 754 leaves to a processor differs between the three, and what it demands does not."""
    machine, value, _ = target
    arithmetic = probe_arithmetic(machine, factor=10)
    facts = {fact.name: fact.observed for fact in attest_arithmetic(arithmetic).facts}
    assert arithmetic.reason == ""
    own = value.architecture == "x86_64"
    assert facts["arithmetic: long double"] == f"{64 if own else 113} bits of significand"
    assert arithmetic.properties["integers"].split(",")[0] == str(-(2**63) if own else 2**63 - 1)
    assert facts["arithmetic: NaN"].startswith(f"inf - inf is {'negative' if own else 'positive'}")
    assert facts["arithmetic: rounding modes"] == "nearest, upward, downward, zero"
    assert facts["arithmetic: denormals"] == "kept"
    assert facts["arithmetic: fma"] == "one rounding"
    assert "results correctly rounded" in facts["arithmetic: functions of libm"]
