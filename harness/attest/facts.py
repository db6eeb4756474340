"""The facts of a machine: what its definition declares beside what the machine showed."""

from __future__ import annotations

from collections.abc import Iterator

from harness.attest.architecture import NAMES, Emulator
from harness.attest.probing import Probe
from harness.attest.serving import differing_ids
from harness.attest.versions import states
from harness.model.attestation import Fact
from harness.model.definitions import Cpu, Os
from harness.model.results import Fidelity

#: Lines of /proc/cpuinfo that name the part, by architecture.
CPU_MODEL = ("model name", "Model Name", "CPU implementer")

CLOCK = "clock"
#: The largest allowed difference between the clocks of target and controller.
CLOCK_SECONDS = 5.0

#: Machines that run on the kernel of the machine beneath them.
_SHARED_KERNEL = (Fidelity.CONTAINER, Fidelity.USER_EMULATED)


def identity(system: Os, cpu: Cpu, probe: Probe) -> Iterator[Fact]:
    """Architecture, the vendor's names of the release, and the loader of programs."""
    architecture = probe.get("arch")
    yield Fact(
        name="architecture",
        declared=cpu.architecture,
        observed=architecture,
        holds=architecture == cpu.architecture,
    )
    for key, value in system.identity.items():
        observed = probe.get(f"os.{key}")
        yield Fact(name=f"os-release {key}", declared=value, observed=observed, holds=observed == value)
    for path in system.identity_files:
        observed = probe.get(f"file.{path}")
        yield Fact(name=f"file {path}", declared="present", observed=observed or "absent", holds=bool(observed))
    loader = system.loader or (NAMES[cpu.architecture].loader if cpu.architecture in NAMES else "")
    loaders = probe.get("loader")
    yield Fact(name="ELF interpreter", declared=loader, observed=loaders, holds=not loader or loader in loaders.split())


def family(system: Os, probe: Probe, *, demanded: bool) -> Fact:
    """The system must be of the declared family: editions of a system differ in it under one name.

    ``demanded``: by the database of packages, which must be there; else by the tools that are there, if there are any.
    """
    tools = {"apt-get": "debian", "dnf": "rpm", "yum": "rpm"}
    by_tools = {tools[tool] for tool in probe.get("manager").split()}
    families = set(probe.get("packages").split()) if demanded else by_tools
    return Fact(
        name="package family",
        declared=system.family,
        observed=" ".join(sorted(families)) or "none",
        holds=system.family in families or not (families or demanded),
    )


def kernel(system: Os, cpu: Cpu, fidelity: Fidelity, probe: Probe) -> Iterator[Fact]:
    """Kernel and page size; nothing is demanded of a machine that runs on the kernel beneath it."""
    own = fidelity not in _SHARED_KERNEL
    declared = system.kernel if own else ""
    observed = probe.get("kernel")
    yield Fact(name="kernel", declared=declared, observed=observed, holds=not declared or states(observed, declared))
    page = str(system.page_size.get(cpu.architecture, "")) if own else ""
    yield Fact(name="page size", declared=page, observed=probe.get("page"), holds=page in ("", probe.get("page")))


def clock(probe: Probe) -> Fact:
    """The target's clock must be that of this machine, or no time in any evidence means anything."""
    text = probe.get("clock")
    declared = f"within {CLOCK_SECONDS:.0f} s of this machine's"
    if not text.isdigit():
        return Fact(name=CLOCK, declared=declared, observed=text or "nothing", holds=False)
    early, late = probe.began - int(text) - 1, int(text) - probe.ended  # the probe gives whole seconds
    off = max(early, late, 0.0)
    shown = "the same" if off == 0 else f"{off:.0f} s {'behind' if early > late else 'ahead'}"
    return Fact(name=CLOCK, declared=declared, observed=shown, holds=off <= CLOCK_SECONDS)


def glibc(system: Os, probe: Probe) -> Fact:
    """The version of the C library; any where the system's definition declares none."""
    observed = probe.get("glibc")
    return Fact(
        name="glibc",
        declared=system.glibc or "",
        observed=observed,
        holds=system.glibc is None or states(observed, system.glibc),
    )


def virtualization(probe: Probe, architecture: str, fidelity: Fidelity, *, demanded: bool) -> Fact:
    """Signs that the machine is a container, virtual or emulated, compared with its declared kind."""
    shown = probe.get("virt")
    family = "flags" if architecture == "x86_64" else "Features" if architecture == "aarch64" else ""
    foreign = any(
        f"cpu.{key}" in probe.values
        for key in ("flags", "Features", "CPU implementer")
        if key != family and not (architecture == "aarch64" and key == "CPU implementer")
    )
    if foreign:
        kind = "user-emulated"
    elif "container" in shown:
        kind = "container"
    elif "vm" in shown or " hypervisor" in f" {probe.get('cpu.flags')}":
        kind = "virtual machine"
    else:
        kind = "none seen"
    fits = {
        Fidelity.PHYSICAL: ("none seen",),
        Fidelity.CONTAINER: ("container", "virtual machine"),
        Fidelity.KVM: ("virtual machine",),
        Fidelity.SYSTEM_EMULATED: ("virtual machine", "none seen"),
        Fidelity.USER_EMULATED: ("user-emulated", "container"),
    }
    return Fact(
        name="virtualization",
        declared=fidelity.value if demanded else "",
        observed=kind,
        holds=not demanded or kind in fits[fidelity],
    )


def processor(cpu: Cpu, fidelity: Fidelity, probe: Probe) -> Iterator[Fact]:
    """Ids and features of the CPU.

    Emulated in user mode, /proc/cpuinfo shows the CPU of the machine beneath; QEMU's models of ARM and LoongArch carry
    other ids than the parts that they stand for.
    """
    real = fidelity not in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)
    if real or (fidelity is Fidelity.SYSTEM_EMULATED and cpu.architecture == "x86_64"):
        ids = probe.below("cpu.")
        wrong = {key for key, _, _ in differing_ids(cpu, ids)}
        for key, declared in cpu.ids.items():
            yield Fact(name=f"CPU {key}", declared=declared, observed=ids.get(key, ""), holds=key not in wrong)
    features = probe.features(cpu.architecture)
    for names, declared in ((cpu.features.present, "present"), (cpu.features.absent, "absent")):
        for name in names:
            observed = "present" if name in features else "absent"
            yield Fact(name=f"feature {name}", declared=declared, observed=observed, holds=observed == declared)


def recorded(cpu: Cpu, fidelity: Fidelity, emulated_by: Emulator | None, probe: Probe) -> Iterator[Fact]:
    """What nobody declares and a reader of the evidence needs; empty values are left out."""
    values = {
        "AT_HWCAP": probe.get("hwcap"),
        "locale": probe.get("locale"),
        "memory": _memory(probe),
        "release as printed": probe.get("release"),
    }
    if fidelity is not Fidelity.USER_EMULATED:  # /proc/cpuinfo shows the host's CPU there and would mislead
        values["CPU model"] = next(filter(None, (probe.get(f"cpu.{key}") for key in CPU_MODEL)), "")
    if fidelity not in _SHARED_KERNEL:  # a container shows that of the machine beneath
        # Where there is an entry for another architecture, its programs run here without anybody noticing.
        values["binfmt entries"] = probe.get("binfmt")
        values["firmware"] = probe.get("firmware")
        if emulated_by is None:
            values["server model"] = probe.get("server")
    if emulated_by is not None:
        model = cpu.emulation.user if emulated_by.kind == "qemu-user" else cpu.emulation.system
        values["emulator"] = f"{emulated_by.kind} {emulated_by.version}, {model or 'default model'}"
        values["emulator SHA-256"] = emulated_by.sha256
    for name, value in values.items():
        if value:
            yield Fact(name=name, declared="", observed=value)


def measured(probe: Probe) -> Iterator[Fact]:
    """Figures of this moment: the speed of a shell loop, the space on the disk."""
    seconds = loop_seconds(probe)
    if seconds is not None:
        observed = f"{seconds * 1000:.0f} ms"
        yield Fact(name="20,000 turns of a shell loop", declared="", observed=observed, measured=True)
    if probe.get("disk").isdigit():
        observed = f"{int(probe.get('disk')) / 2**20:.1f} GiB"
        yield Fact(name="free on /", declared="", observed=observed, measured=True)


def loop_seconds(probe: Probe) -> float | None:
    """Seconds that the probe's loop took there; None where the machine cannot measure it."""
    loop = probe.get("loop")
    return int(loop) / 1e6 if loop.isdigit() else None


def _memory(probe: Probe) -> str:
    """The memory that programs may use: the container's limit where there is one, else the machine's memory."""
    words = probe.get("memory").split()
    total = int(words[0]) * 1024 if words and words[0].isdigit() else 0
    limit = probe.get("limit")
    size = min(int(limit), total or int(limit)) if limit.isdigit() else total
    return f"{size / 2**20:.0f} MiB" if size else ""
