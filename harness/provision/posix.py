"""Reads processes and use of resources of any machine through its own shell and /proc (proc(5))."""

from __future__ import annotations

import re

from harness.errors import InfrastructureError
from harness.model.machine import Machine, Resources

#: A process a line: id, parent, arguments. The shell that lists them comes first, with its id alone.
_TABLE = r"""
echo $$
for d in /proc/[0-9]*; do
  p=${d#/proc/}
  a=$(tr '\000\n' '  ' <$d/cmdline 2>/dev/null) && [ -n "$a" ] || continue
  s=$(cat $d/stat 2>/dev/null) || continue
  s=${s##*) }; set -- $s
  printf '%s %s %s\n' "$p" "$2" "$a"
done
"""
_USED = r"""
head -n 1 /proc/stat; getconf CLK_TCK; sed -n 's/^Mem\(Total\|Available\): *\([0-9]*\) kB/\2/p' /proc/meminfo
echo disks /sys/block/*; cat /proc/net/dev /proc/diskstats 2>/dev/null
"""
#: Devices that lie upon others, or in memory: what they move is counted there, or is no disk's.
_BENEATH = re.compile(r"loop|ram|zram|dm-|md")
#: What serves a login, and is no program of a product.
_SERVING = ("sshd: ", "sshd-session: ", "/usr/lib/openssh/sshd-session", "sshd-auth")


def processes(machine: Machine) -> dict[int, str]:
    """The processes of a machine, as ``Machine.processes`` promises. Raises InfrastructureError as that."""
    answer = machine.run(_TABLE, timeout=120)
    own, *lines = answer.out.splitlines() or [""]
    if not own.isdigit():
        raise InfrastructureError(
            f"{machine.name}: its processes cannot be listed: {answer.text.strip()[-200:]}",
            advice="see whether /proc is mounted there",
        )
    rows = [line.split(" ", 2) for line in lines if line.count(" ") >= 2]
    parents = {int(pid): int(parent) for pid, parent, _ in rows}
    serving = {int(own)}
    above = int(own)
    while above > 1 and above not in (0, 1):  # the supervisor of this very call, up to the login
        serving.add(above)
        above = parents.get(above, 0)
    known: dict[int, str] = {}
    for pid, _, args in rows:
        if not _below(int(pid), serving, int(own), parents) and not args.startswith(_SERVING):
            known[int(pid)] = args.strip()
    return known


def _below(pid: int, serving: set[int], own: int, parents: dict[int, int]) -> bool:
    """Whether a process serves this call: one of its ancestors, or a child of its shell."""
    if pid in serving:
        return True
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == own:
            return True
    return False


def resources(machine: Machine) -> Resources | None:
    """Of the whole machine: time that was not idle, memory that is not available."""
    lines = machine.run(_USED, timeout=60).out.splitlines()
    words = lines[0].split()[1:] if lines else []
    if len(lines) < 4 or len(words) < 5 or not all(word.isdigit() for word in [*words, *lines[1:4]]):
        return None
    ticks = [int(word) for word in words][:8]  # guest time is in user time
    total, available = int(lines[2]), int(lines[3])
    disk, network = _moved(lines[4:])
    return Resources(
        cpu=(sum(ticks) - ticks[3] - ticks[4]) / int(lines[1]),
        memory=(total - available) / 1024,
        disk=disk,
        network=network,
    )


def traffic(lines: list[str]) -> float | None:
    """MiB that went over interfaces other than loopback, in both directions: proc(5), /proc/net/dev."""
    rows = [line.partition(":") for line in lines if ":" in line]
    counts = [values.split() for name, _, values in rows if name.strip() != "lo"]
    moved = [int(row[0]) + int(row[8]) for row in counts if len(row) > 8 and row[0].isdigit() and row[8].isdigit()]
    return sum(moved) / 2**20 if moved else None


def _moved(lines: list[str]) -> tuple[float | None, float | None]:
    """MiB to and from whole disks (sectors of 512 bytes: Documentation/admin-guide/iostats.rst) and over networks."""
    if not lines or not lines[0].startswith("disks "):
        return None, None
    disks = {path.rpartition("/")[2] for path in lines[0].split()[1:]}
    rows = [row for row in map(str.split, lines[1:]) if len(row) > 9 and row[2] in disks and not _BENEATH.match(row[2])]
    sectors = [int(row[5]) + int(row[9]) for row in rows if row[5].isdigit() and row[9].isdigit()]
    return (sum(sectors) * 512 / 2**20 if sectors else None), traffic(lines[1:])
