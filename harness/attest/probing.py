"""Asks a machine what it is, with one command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import InfrastructureError
from harness.model.definitions import Os
from harness.model.machine import Machine
from harness.system import shell

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

#: Bits of AT_HWCAP: arch/arm64/include/uapi/asm/hwcap.h, arch/loongarch/include/uapi/asm/hwcap.h.
HWCAP = {
    "aarch64": (
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc "
        "dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg "
    ).split(),
    "loongarch64": ("cpucfg lam ual fpu lsx lasx crc32 complex crypto lvz ").split(),
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a machine said of itself, between two moments of this machine's clock (seconds since 1970).

    Keys of ``values``: ``arch``, ``kernel``, ``glibc``, ``page`` (bytes), ``hwcap`` (hexadecimal), ``locale``; names
    with blanks between them in ``loader``, ``manager``, ``packages``, ``binfmt``; ``clock`` (seconds since 1970);
    ``limit`` (bytes), ``memory`` and ``disk`` (KiB), ``loop`` (microseconds); ``virt``, ``firmware``, ``server``,
    ``release``; ``cpu.KEY`` for /proc/cpuinfo, ``os.KEY`` for os-release, ``file.PATH`` for a declared file.
    """

    values: Mapping[str, str]
    began: float
    ended: float

    def get(self, key: str) -> str:
        """The value of a key; empty where the machine gave none."""
        return self.values.get(key, "")

    def below(self, prefix: str) -> dict[str, str]:
        """The values of all keys that begin with ``prefix``, by the rest of the key."""
        return {key.removeprefix(prefix): value for key, value in self.values.items() if key.startswith(prefix)}

    def features(self, architecture: str) -> set[str]:
        """Names of the instruction-set features that programs on the machine see."""
        if architecture in HWCAP:
            bits = int(self.get("hwcap") or "0", 16)
            return {name for position, name in enumerate(HWCAP[architecture]) if bits >> position & 1}
        return set(self.get("cpu.flags").split())


def probe(machine: Machine, system: Os, *, with_packages: bool) -> Probe:
    """Ask a machine. ``with_packages``: which package manager has itself in its database, too.

    Raises:
        InfrastructureError: the machine cannot be asked.
    """
    began = time.time()
    answer = machine.run(PROBE + (FAMILY if with_packages else "") + _of_system(system), timeout=60)
    ended = time.time()
    if answer.rc == 132:
        raise InfrastructureError(
            f"{machine.name}: its own shell dies with SIGILL: the emulator is too old or too small a CPU model",
            advice="install a newer qemu-user-static with: make setup",
        )
    values: dict[str, str] = {}
    for line in answer.out.splitlines():
        key, _, value = line.partition("=")
        if key in ("loader", "manager", "binfmt") and key in values:
            values[key] += f" {value}"
        else:  # of several processors the first
            values.setdefault(key, value.strip())
    if not values.get("arch"):
        # A machine that gives no answer has not contradicted its declaration: the value is unknown.
        raise InfrastructureError(
            f"{machine.name}: it does not say what it is (status {answer.rc}): "
            f"{answer.text.strip()[-300:] or 'no output'}",
            advice="see the logs of the engine, or of the host, and try again",
        )
    return Probe(values=values, began=began, ended=ended)


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
