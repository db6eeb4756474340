"""Looks at a target before anything is tested on it: declared against observed."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping

from harness.attest.architecture import NAMES, Emulator
from harness.attest.serving import differing_ids
from harness.attest.versions import states
from harness.errors import AttestationMismatch, InfrastructureError
from harness.model.attestation import Attestation, Fact
from harness.model.definitions import Cpu, Database, Os
from harness.model.machine import Machine
from harness.model.results import Fidelity
from harness.system import shell
from harness.system.process import run

#: One command, because each round trip costs a tenth of a second.
PROBE = r"""
printf 'clock=%s\n' "$(date +%s)"
printf 'arch=%s\n' "$(uname -m)"
printf 'kernel=%s\n' "$(uname -r)"
printf 'glibc=%s\n' "$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/glibc //')"
printf 'page=%s\n' "$(getconf PAGESIZE)"
LD_SHOW_AUXV=1 /bin/true | sed -n 's/^AT_HWCAP: *\(0x\)\?/hwcap=/p; s/^AT_PLATFORM: */platform=/p'
ls /lib/ld-linux-*.so.* /lib64/ld-linux-*.so.* /lib64/ld.so.1 2>/dev/null | sed 's/^/loader=/'
for m in apt-get dnf yum; do command -v $m >/dev/null && printf 'manager=%s\n' $m; done
grep -l '^enabled' /proc/sys/fs/binfmt_misc/* 2>/dev/null | sed 's|.*/|binfmt=|' | grep -v '=status$'
printf 'locale=%s\n' "${LC_ALL:-${LANG:-POSIX}}"
cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | sed 's/^/limit=/'
sed -n 's/^MemTotal: */memory=/p' /proc/meminfo
df -Pk / 2>/dev/null | sed -n '2s/^\S* *\S* *\S* *\(\S*\).*/disk=\1/p'
head -n 60 /proc/cpuinfo | sed -n 's/[[:space:]]*:[[:space:]]*/=/; s/^/cpu./p'
sed 's/^/os./; s/"//g' /etc/os-release
{ [ -e /.dockerenv ] || [ -e /run/.containerenv ] \
  || tr '\000' '\n' </proc/1/environ 2>/dev/null | grep -q '^container='; } \
  && echo virt=container || { cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name \
  /proc/device-tree/compatible /proc/device-tree/hypervisor/compatible 2>/dev/null | tr '\000' '\n' \
  | grep -qiE 'qemu|kvm|vmware|xen|virtual|bochs|openstack|cloud|dummy-virt' && echo virt=vm; }
printf 'firmware=%s\n' "$(cat /sys/class/dmi/id/bios_vendor /sys/class/dmi/id/bios_version /sys/class/dmi/id/bios_date \
  /sys/firmware/devicetree/base/chosen/u-boot,version 2>/dev/null | tr '\000\n' '  ' | cut -c 1-120)"
printf 'server=%s\n' "$(cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name \
  /sys/firmware/devicetree/base/model 2>/dev/null | tr '\000\n' '  ' | cut -c 1-120)"
t=$(date +%s%N); i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done
printf 'loop=%s\n' $((($(date +%s%N) - t) / 1000))
"""

#: The family whose package manager has itself in its database: the tool alone may be there of both.
FAMILY = r"""
printf 'packages=%s\n' \
  "$(dpkg-query -W dpkg >/dev/null 2>&1 && printf 'debian '; rpm -q rpm >/dev/null 2>&1 && echo rpm)"
"""

#: Lines of /proc/cpuinfo that name the part, by architecture.
CPU_MODEL = ("model name", "Model Name", "CPU implementer")

CLOCK = "clock"
#: The largest allowed difference between the clocks of target and controller.
CLOCK_SECONDS = 5.0

#: The same work on this machine, to compare with; microseconds go to the output.
REFERENCE = "t=$(date +%s%N); i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $((($(date +%s%N) - t) / 1000))"

#: Bits of AT_HWCAP: arch/arm64/include/uapi/asm/hwcap.h, arch/loongarch/include/uapi/asm/hwcap.h.
HWCAP = {
    "aarch64": (
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc "
        "dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg "
    ).split(),
    "loongarch64": ("cpucfg lam ual fpu lsx lasx crc32 complex crypto lvz ").split(),
}


def features(architecture: str, observed: dict[str, str]) -> set[str]:
    """Names of the instruction-set features that programs on the target see."""
    if architecture in HWCAP:
        bits = int(observed.get("hwcap", "0") or "0", 16)
        return {name for position, name in enumerate(HWCAP[architecture]) if bits >> position & 1}
    return set(observed.get("cpu.flags", "").split())


def attest(
    machine: Machine,
    cpu: Cpu,
    system: Os,
    emulated_by: Emulator | None,
    *,
    fidelity: Fidelity | None = None,
    as_seen: bool = False,
) -> Attestation:
    """Compare one machine with its definitions; the caller decides what follows from a mismatch.

    ``fidelity``: the declared kind of the machine; by default a container, whose kernel and page size are its host's.
    ``as_seen``: compare the declared kind with the signs that the machine shows of it.

    Raises:
        InfrastructureError: the machine cannot be asked.
    """
    if fidelity is None:
        fidelity = Fidelity.CONTAINER if emulated_by is None else Fidelity.USER_EMULATED
    own_kernel = fidelity not in (Fidelity.CONTAINER, Fidelity.USER_EMULATED)
    started = time.time()
    answer = machine.run(PROBE + (FAMILY if as_seen else "") + _of_system(system), timeout=60)
    ended = time.time()
    if answer.rc == 132:
        raise InfrastructureError(
            f"{machine.name}: its own shell dies with SIGILL: the emulator is too old or too small a CPU model",
            advice="install a newer qemu-user-static with: make setup",
        )
    observed: dict[str, str] = {}
    for line in answer.out.splitlines():
        key, _, value = line.partition("=")
        if key in ("loader", "manager", "binfmt") and key in observed:
            observed[key] += f" {value}"
        else:  # of several processors the first
            observed.setdefault(key, value.strip())
    if not observed.get("arch"):
        # A machine that gives no answer has not contradicted its declaration: the value is unknown.
        raise InfrastructureError(
            f"{machine.name}: it does not say what it is (status {answer.rc}): "
            f"{answer.text.strip()[-300:] or 'no output'}",
            advice="see the logs of the engine, or of the host, and try again",
        )
    facts = [
        Fact(
            name="architecture",
            declared=cpu.architecture,
            observed=observed.get("arch", ""),
            holds=observed.get("arch") == cpu.architecture,
        ),
    ]
    for key, value in system.identity.items():
        observation = observed.get(f"os.{key}", "")
        facts.append(Fact(name=f"os-release {key}", declared=value, observed=observation, holds=observation == value))
    for path in system.identity_files:
        observation = observed.get(f"file.{path}", "")
        facts.append(
            Fact(name=f"file {path}", declared="present", observed=observation or "absent", holds=bool(observation))
        )
    loader = system.loader or (NAMES[cpu.architecture].loader if cpu.architecture in NAMES else "")
    loaders = observed.get("loader", "")
    facts.append(
        Fact(name="ELF interpreter", declared=loader, observed=loaders, holds=not loader or loader in loaders.split())
    )
    facts.append(_family(system, observed, demanded=as_seen))
    kernel, page = observed.get("kernel", ""), observed.get("page", "")
    wanted_kernel = system.kernel if own_kernel else ""
    wanted_page = str(system.page_size.get(cpu.architecture, "")) if own_kernel else ""
    facts.append(
        Fact(
            name="kernel",
            declared=wanted_kernel,
            observed=kernel,
            holds=not wanted_kernel or states(kernel, wanted_kernel),
        )
    )
    facts.append(Fact(name="page size", declared=wanted_page, observed=page, holds=wanted_page in ("", page)))
    facts.append(_clock(observed.get("clock", ""), started, ended))
    glibc = observed.get("glibc", "")
    facts.append(
        Fact(
            name="glibc",
            declared=system.glibc or "",
            observed=glibc,
            holds=system.glibc is None or states(glibc, system.glibc),
        )
    )
    facts.append(_virtualization(observed, cpu.architecture, fidelity, demanded=as_seen))
    seen_features = features(cpu.architecture, observed)
    # Emulated in user mode, /proc/cpuinfo shows the CPU of the machine beneath; QEMU's models of ARM and LoongArch
    # carry other ids than the parts that they stand for.
    real = fidelity not in (Fidelity.USER_EMULATED, Fidelity.SYSTEM_EMULATED)
    if real or (fidelity is Fidelity.SYSTEM_EMULATED and cpu.architecture == "x86_64"):
        seen_ids = {key.removeprefix("cpu."): value for key, value in observed.items() if key.startswith("cpu.")}
        wrong = {key for key, _, _ in differing_ids(cpu, seen_ids)}
        facts += [
            Fact(name=f"CPU {key}", declared=declared, observed=seen_ids.get(key, ""), holds=key not in wrong)
            for key, declared in cpu.ids.items()
        ]
    for name in cpu.features.present:
        facts.append(
            Fact(
                name=f"feature {name}",
                declared="present",
                holds=name in seen_features,
                observed="present" if name in seen_features else "absent",
            )
        )
    for name in cpu.features.absent:
        facts.append(
            Fact(
                name=f"feature {name}",
                declared="absent",
                holds=name not in seen_features,
                observed="present" if name in seen_features else "absent",
            )
        )
    recorded = {
        "AT_HWCAP": observed.get("hwcap", ""),
        "locale": observed.get("locale", ""),
        "memory": _memory(observed),
        "release as printed": observed.get("release", ""),
    }
    if fidelity is not Fidelity.USER_EMULATED:  # /proc/cpuinfo shows the host's CPU there and would mislead
        recorded["CPU model"] = next(filter(None, (observed.get(f"cpu.{key}", "") for key in CPU_MODEL)), "")
    if own_kernel:  # a container shows that of the machine beneath
        # Where one is for another architecture, programs of that run here without anybody noticing.
        recorded["binfmt entries"] = observed.get("binfmt", "")
        recorded["firmware"] = observed.get("firmware", "")
        if emulated_by is None:
            recorded["server model"] = observed.get("server", "").strip()
    if emulated_by is not None:
        model = cpu.emulation.user if emulated_by.kind == "qemu-user" else cpu.emulation.system
        recorded["emulator"] = f"{emulated_by.kind} {emulated_by.version}, {model or 'default model'}"
        recorded["emulator SHA-256"] = emulated_by.sha256
    facts += [Fact(name=name, declared="", observed=value) for name, value in recorded.items() if value]
    loop = observed.get("loop", "")
    seconds = int(loop) / 1e6 if loop.isdigit() else None
    if seconds is not None:
        facts.append(
            Fact(name="20,000 turns of a shell loop", declared="", observed=f"{seconds * 1000:.0f} ms", measured=True)
        )
    if observed.get("disk", "").isdigit():
        facts.append(
            Fact(name="free on /", declared="", observed=f"{int(observed['disk']) / 2**20:.1f} GiB", measured=True)
        )
    return Attestation(facts=tuple(facts), loop_seconds=seconds)


def _virtualization(observed: dict[str, str], architecture: str, fidelity: Fidelity, *, demanded: bool) -> Fact:
    """Signs that the machine is a container, virtual or emulated, compared with its declared kind."""
    shown = observed.get("virt", "")
    family = "flags" if architecture == "x86_64" else "Features" if architecture == "aarch64" else ""
    foreign = any(
        f"cpu.{key}" in observed
        for key in ("flags", "Features", "CPU implementer")
        if key != family and not (architecture == "aarch64" and key == "CPU implementer")
    )
    if foreign:
        kind = "user-emulated"
    elif "container" in shown:
        kind = "container"
    elif "vm" in shown or " hypervisor" in f" {observed.get('cpu.flags', '')}":
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


def _family(system: Os, observed: Mapping[str, str], *, demanded: bool) -> Fact:
    """The system must be of the declared family: editions of a system differ in it under one name.

    ``demanded``: by the database of packages, which must be there; else by the tools that are there, if there are any.
    """
    tools = {"apt-get": "debian", "dnf": "rpm", "yum": "rpm"}
    by_tools = {tools[tool] for tool in observed.get("manager", "").split()}
    families = set(observed.get("packages", "").split()) if demanded else by_tools
    return Fact(
        name="package family",
        declared=system.family,
        observed=" ".join(sorted(families)) or "none",
        holds=system.family in families or not (families or demanded),
    )


def _of_system(system: Os) -> str:
    """Further lines of the probe: files and a command by which the vendor names the release."""
    lines = [
        f"[ -e {shell.quote(path)} ] && printf 'file.%s=%s\\n' {shell.quote(path)} "
        f"\"$(tr '\\n' ' ' <{shell.quote(path)} | cut -c 1-200)\""
        for path in system.identity_files
    ]
    if system.version_command:
        lines.append(f"printf 'release=%s\\n' \"$( {{ {system.version_command}; }} 2>&1 | head -n 1)\"")
    return "\n".join([*lines, "true\n"])


def _clock(text: str, started: float, ended: float) -> Fact:
    """The target's clock must be that of this machine, or no time in any evidence means anything."""
    declared = f"within {CLOCK_SECONDS:.0f} s of this machine's"
    if not text.isdigit():
        return Fact(name=CLOCK, declared=declared, observed=text or "nothing", holds=False)
    early, late = started - int(text) - 1, int(text) - ended  # the probe gives whole seconds
    off = max(early, late, 0.0)
    shown = "the same" if off == 0 else f"{off:.0f} s {'behind' if early > late else 'ahead'}"
    return Fact(name=CLOCK, declared=declared, observed=shown, holds=off <= CLOCK_SECONDS)


def _memory(observed: dict[str, str]) -> str:
    """The memory that programs may use: the container's limit where there is one, else the machine's memory."""
    words = observed.get("memory", "").split()
    total = int(words[0]) * 1024 if words and words[0].isdigit() else 0
    limit = observed.get("limit", "")
    size = min(int(limit), total or int(limit)) if limit.isdigit() else total
    return f"{size / 2**20:.0f} MiB" if size else ""


@functools.cache
def reference_seconds() -> float | None:
    """The time of the probe's loop on this machine itself, the best of three; None where it cannot be run."""
    taken = []
    for _ in range(3):
        answer = run(["sh", "-c", REFERENCE], timeout=60)
        if not answer.out.strip().isdigit():
            return None
        taken.append(int(answer.out) / 1e6)
    return max(min(taken), 1e-4)


def attest_database(database: Database, version: str, settings: dict[str, str]) -> Attestation:
    """The database's version and settings against what its definition declares."""
    facts = [
        Fact(
            name="database version",
            declared=database.declared,
            observed=_first(version),
            holds=states(version, database.declared),
        )
    ]
    for name, value in database.settings.items():
        observation = settings.get(name, "")
        facts.append(
            Fact(
                name=f"database {name}",
                declared=value,
                observed=observation,
                holds=observation.lower() == value.lower(),
            )
        )
    return Attestation(facts=tuple(facts))


def attest_version(what: str, printed: str, declared: str) -> Attestation:
    """A runtime or middleware: it must print a version, with the words that its definition declares."""
    first_line = _first(printed)
    return Attestation(
        facts=(Fact(name=f"{what} version", declared=declared, observed=first_line, holds=states(printed, declared)),)
    )


def _first(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().splitlines()[0]) if text.strip() else ""


def demand(who: str, attestation: Attestation) -> None:
    """``who`` names the machine in the message.

    Raises:
        AttestationMismatch: it is not what was declared.
        InfrastructureError: it is, but its clock is not this machine's, or this machine's is wrong: the laboratory
            sets clocks, no definition does.
    """
    if not attestation.mismatches:
        return
    words = "; ".join(
        f"{fact.name}: declared {fact.declared or 'any'}, observed {fact.observed or 'nothing'}"
        for fact in attestation.mismatches
    )
    if {fact.name for fact in attestation.mismatches} == {CLOCK}:
        raise InfrastructureError(
            f"{who} has another time than this machine: {words}", advice="set both clocks (NTP), then: harness resume"
        )
    raise AttestationMismatch(
        f"{who} is not what was declared: {words}",
        advice="correct the definition under targets/, or the machine",
    )
