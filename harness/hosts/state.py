"""What a lab host is before a cell and after it: packages, accounts, ports, files; compared, and put back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError
from harness.hosts.leases import PLACE
from harness.model.definitions import Host
from harness.model.machine import Machine
from harness.provision.installing import LOADED

#: Files that change by themselves, or that only say what is compared as packages and accounts anyway.
LEFT_OUT = (
    PLACE,
    *(
        f"/var/lib/{name}"
        for name in (
            "docker",
            "containers",
            "containerd",
            "dpkg",
            "apt",
            "rpm",
            "dnf",
            "systemd",
            "ucf",
            "pam",
            "debconf",
            "sudo",
            "NetworkManager",
            "dhcp",
        )
    ),
    *(
        f"/etc/{name}"
        for name in (
            "ld.so.cache",
            "mtab",
            "resolv.conf",
            ".pwd.lock",
            "passwd",
            "group",
            "shadow",
            "gshadow",
            "subuid",
            "subgid",
            "passwd-",
            "group-",
            "shadow-",
            "gshadow-",
            "subuid-",
            "subgid-",
        )
    ),
)
#: Folders of our own on a host, beside ``PLACE``.
OWN = "/run/harness /var/log/harness /var/cache/harness"
_OWN_LINES = tuple(f"{folder}/ " for folder in OWN.split())
#: Of these only what folders are in them: a log of an account that is gone stops the next one of that name.
FOLDERS = "/var/log /var/cache /var/spool"
#: More entries than these are too many to compare file by file.
MOST_FILES = 400_000

_LOOK = r"""
echo '== packages'
if command -v dpkg-query >/dev/null; then
  dpkg-query -W -f '${db:Status-Abbrev}${Package}:${Architecture} ${Version}\n' | sed -n 's/^ii //p'
else rpm -qa --qf '%{NAME}.%{ARCH} %{VERSION}-%{RELEASE}\n'; fi
echo '== users'; getent passwd; echo '== groups'; getent group
echo '== ports'
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local remote state _; do
  [ "$state" != 0A ] || echo "$local"; done
echo '== files'
for d in PLACES; do [ ! -d "$d" ] || find "$d" -xdev \( SKIPPED \) -prune -o \
  -type d -printf '%p/ - %m %U\n' -o \( -type f -o -type l \) -printf '%p %s %m %U\n'; done 2>/dev/null | head -n MOST
find FOLDERS -xdev -mindepth 1 -maxdepth 1 -type d -printf '%p/ - - -\n' 2>/dev/null
true
"""


@dataclass(frozen=True, kw_only=True)
class HostState:
    """Sorted lines of each kind."""

    packages: frozenset[str]
    users: frozenset[str]
    groups: frozenset[str]
    ports: frozenset[str]
    #: ``path size mode owner`` (no time: writing the same again changes nothing); folders end in /
    files: frozenset[str]
    processes: dict[int, str]

    def since(self, before: HostState) -> list[str]:
        """What is not as before, in words; empty where all is."""
        told = []
        for kind in ("packages", "users", "groups", "ports", "files"):
            old, new = getattr(before, kind), getattr(self, kind)
            told += [f"{kind[:-1]} gone: {line}" for line in sorted(old - new)]
            told += [f"{kind[:-1]} new: {line}" for line in sorted(new - old)]
        return told


def look(machine: Machine, host: Host, keep: tuple[Path, ...] = ()) -> HostState:
    """The state of a host now; what lies in ``keep`` is none of it.

    Raises:
        InfrastructureError: it cannot be asked, or holds too many files.
    """
    skipped = " -o ".join(f"-path {shlex.quote(path)}" for path in (*LEFT_OUT, *map(str, keep)))
    places = " ".join(shlex.quote(place) for place in host.watch)
    script = _LOOK.replace("SKIPPED", skipped).replace("PLACES", places).replace("MOST", str(MOST_FILES))
    script = script.replace("FOLDERS", FOLDERS)
    done = machine.run(script, timeout=300)
    groups: dict[str, set[str]] = {}
    lines: set[str] = set()
    for line in done.out.splitlines():
        if line.startswith("== "):
            lines = groups.setdefault(line[3:], set())
        elif line and not line.startswith(_OWN_LINES):
            lines.add(line)
    if not done.ok or set(groups) != {"packages", "users", "groups", "ports", "files"} or not groups["packages"]:
        raise InfrastructureError(
            f"{machine.name}: its state cannot be read: {done.err.strip()[-300:]}",
            advice="the host needs find(1), getent and its package manager",
        )
    if len(groups["files"]) >= MOST_FILES:
        raise InfrastructureError(
            f"{machine.name}: more than {MOST_FILES} files in {places}",
            advice="name fewer places under watch in the inventory",
        )
    return HostState(**{kind: frozenset(found) for kind, found in groups.items()}, processes=machine.processes())


def keep_etc(machine: Machine) -> None:
    """Keep /etc on the host, so that what a product changes there can be put back.

    Raises:
        InfrastructureError: it cannot be kept.
    """
    done = machine.run(f"umask 077; mkdir -p {PLACE} && tar -C / -cf {PLACE}/etc.tar etc", timeout=300)
    if not done.ok:
        raise InfrastructureError(
            f"{machine.name}: /etc cannot be kept: {done.text.strip()[-300:]}", advice="check the host's disk"
        )


def restore(
    machine: Machine, host: Host, before: HostState, mark: str, written: set[str], keep: tuple[Path, ...] = ()
) -> list[str]:
    """Undo what a cell did: end what it started, remove what it installed, the files that it wrote (``written``) and
    the folders that it made, put back /etc; gives what is still not as before. Other files are nobody's to remove.

    Raises:
        InfrastructureError: the host does not answer.
    """
    end_marked(machine, mark)
    machine.run(f"[ ! -s {LOADED} ] || $(command -v docker || command -v podman) rmi -f $(cat {LOADED})", timeout=300)
    for _ in range(2):  # what was removed may have been all that kept something else from being removed
        now = look(machine, host, keep)
        if not now.since(before):
            break
        machine.run(_undoing(before, now, written), timeout=900)
        _end_orphans(machine, before)
    machine.run(f"rm -rf {PLACE}/etc.tar {OWN}", timeout=60)
    left = look(machine, host, keep).since(before)
    return left + [f"process new: {args}" for args in marked(machine, mark).values()]


def marked(machine: Machine, mark: str) -> dict[int, str]:
    """Processes that were started with ``mark`` in their environment, and all that they started."""
    if not mark:
        return {}
    done = machine.run(f"grep -lz '^HARNESS_MARK={mark}$' /proc/[0-9]*/environ 2>/dev/null", timeout=60)
    pids = {int(line.split("/")[2]) for line in done.out.splitlines()}
    return {pid: args for pid, args in machine.processes().items() if pid in pids}


def end_marked(machine: Machine, mark: str) -> None:
    for signal in ("TERM", "KILL"):
        pids = " ".join(map(str, marked(machine, mark)))
        if not pids:
            return
        machine.run(
            f"kill -{signal} {pids} 2>/dev/null; n=0; while kill -0 {pids} 2>/dev/null && [ $n -lt 100 ]; "
            "do sleep 0.1; n=$((n+1)); done",
            timeout=60,
        )


def _end_orphans(machine: Machine, before: HostState) -> None:
    """End programs that came meanwhile and whose files are gone now: daemons that hide their environment."""
    new = " ".join(str(pid) for pid in machine.processes() if pid not in before.processes)
    if new:
        machine.run(
            f"for p in {new}; do a=$(tr '\\000' '\\n' </proc/$p/cmdline 2>/dev/null | head -n 1)\n"
            "case $(readlink /proc/$p/exe) in *' (deleted)') kill -9 $p; continue ;; esac\n"
            'case $a in /*) [ -e "${a%% *}" ] || kill -9 $p ;; esac; done; sleep 0.2',
            timeout=60,
        )


def _undoing(before: HostState, now: HostState, written: set[str]) -> str:
    """Shell text that takes away what is new and puts back what was changed in /etc."""
    packages = " ".join(shlex.quote(line.split()[0]) for line in sorted(now.packages - before.packages))
    lines = []
    if packages:
        names = " ".join(
            shlex.quote(line.split()[0].rpartition(":")[0] or line.split()[0])
            for line in sorted(now.packages - before.packages)
        )
        lines.append(
            f"if command -v apt-get >/dev/null; then DEBIAN_FRONTEND=noninteractive dpkg --purge {packages} || "
            f"DEBIAN_FRONTEND=noninteractive apt-get -y -q purge {names}; "
            f"elif command -v dnf >/dev/null; then dnf -y remove {packages}; else rpm -e {packages}; fi"
        )
    there = {line.rsplit(" ", 3)[0] for line in before.files}
    now_there = {line.rsplit(" ", 3)[0] for line in now.files}
    more = sorted(path for path in now_there - there if path.endswith("/") or path in written)
    if more:
        lines.append(
            'while read -r f; do case $f in */) rm -rf "$f" ;; *) rm -f "$f" ;; esac; '
            "done <<'HARNESS_FILES'\n" + "\n".join(more) + "\nHARNESS_FILES"
        )
    changed = {line.rsplit(" ", 3)[0] for line in before.files - now.files if line.startswith("/etc/")}
    for path in sorted(changed):
        lines.append(f"tar -C / -xpf {PLACE}/etc.tar {shlex.quote(path.lstrip('/'))}")
    for kind, command in (("users", "userdel"), ("groups", "groupdel")):
        here = {line.partition(":")[0] for line in getattr(now, kind)}
        known = {line.partition(":")[0] for line in getattr(before, kind)}
        lines += [f"{command} {shlex.quote(name)}" for name in sorted(here - known)]
    return "\n".join(lines) or "true"
