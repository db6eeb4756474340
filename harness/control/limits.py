"""Limits that the harness or the lab sets: which of them a machine has reached, and which a failure speaks of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.containers.engine_errors import engine_errors
from harness.containers.machine import ContainerMachine
from harness.errors import HarnessError
from harness.model.definitions import EMULATED_PROCESSES, Limits
from harness.model.machine import Machine

#: A number below which no process limit is taken for the machine's own: that of a whole host is in the thousands.
_READ = r"""
for d in /sys/fs/cgroup /sys/fs/cgroup/pids; do
  [ -r $d/pids.max ] && read -r m <$d/pids.max && read -r c <$d/pids.current && echo "$c $m"
done; :
"""


@dataclass(frozen=True, kw_only=True)
class HarnessLimit:
    """A limit of the way in which a machine is made. ``certain``: the failure cannot be the product's; else it only
    may come from the limit."""

    en: str
    zh: str
    certain: bool

    def __str__(self) -> str:
        return f"{self.en} / {self.zh}"


def full_of_processes(machine: Machine, limits: Limits) -> bool:
    """Whether the programs of a machine have come to its process limit, so that nothing can be started there."""
    counted: list[tuple[int, int]] = []
    try:
        answer = machine.run(_READ, timeout=30)
        counted = [(int(c), int(m)) for c, m in re.findall(r"^(\d+) (\d+)$", answer.out, re.MULTILINE)]
    except HarnessError:
        pass  # what cannot even be asked is asked of the engine
    if not counted and isinstance(machine, ContainerMachine):
        try:
            with engine_errors(f"counting the processes of {machine.name}"):
                stats = machine.engine.client.api.stats(machine.container, stream=False, one_shot=True)
            counts = stats.get("pids_stats") or {}
            counted = [(int(counts.get("current", 0)), int(counts.get("limit", 0)))]
        except HarnessError:
            return False
    # One below: the command that asks is a process too, and so is the next that the product would start.
    stretched = limits.processes * EMULATED_PROCESSES
    return any(current >= most - 2 for current, most in counted if 0 < most <= limits.processes or most == stretched)


def harness_limit(text: str, machine: Machine, *, has_ipv6: bool = True) -> HarnessLimit | None:
    """What a failure's text says of a limit that the harness or the lab has set on this machine; None for nothing."""
    if machine.reference.kind != "container":
        return None
    if re.search(r"no.new.privileges|effective uid is not 0", text, re.IGNORECASE):
        return HarnessLimit(
            en="the harness's containers run with no-new-privileges: set-user-id programs (sudo, su, ping) get no "
            "other user's rights there; run the cell on a virtual machine or a host (prefer: [vm] or [host])",
            zh="测试容器启用了 no-new-privileges，sudo、su 等 setuid 程序无法提权；"
            "请改用虚拟机或主机（prefer: [vm] 或 [host]）",
            certain=True,
        )
    if not has_ipv6 and re.search(
        r"cannot assign requested address|address family not supported|EADDRNOTAVAIL|EAFNOSUPPORT", text, re.IGNORECASE
    ):
        return HarnessLimit(
            en="the lab's containers have no IPv6: a product that listens on ::1 or :: alone cannot do so there; run "
            "the cell on a virtual machine or a host, or let it listen on IPv4 too",
            zh="测试容器没有 IPv6，仅监听 ::1 或 :: 的产品无法启动；请改用虚拟机或主机，或同时监听 IPv4",
            certain=bool(re.search(r"::|ipv6|inet6", text, re.IGNORECASE)),
        )
    if re.search(r"operation not permitted|\bEPERM\b|CAP_[A-Z]{3,}|requires? capabilit", text, re.IGNORECASE):
        return HarnessLimit(
            en="it may be the harness's limit: its containers have few capabilities (no mount, raw sockets, clock, "
            "priorities or tracing); a virtual machine or a host has them (prefer: [vm] or [host])",
            zh="可能是测试容器权限（capabilities）受限所致（不能挂载、使用原始套接字、改时钟、调优先级或跟踪进程）；可改用虚拟机或主机",
            certain=False,
        )
    if re.search(r"read-only file system|\bEROFS\b", text, re.IGNORECASE):
        return HarnessLimit(
            en="it may be the harness's limit: /proc/sys, /sys and the like are read-only in its containers; a virtual "
            "machine or a host lets them be written (prefer: [vm] or [host])",
            zh="可能是测试容器的限制：/proc/sys、/sys 等在容器中只读；可改用虚拟机或主机",
            certain=False,
        )
    return None
