"""The state of a lab host before and after a cell (packages, accounts, ports, mounts, files), and the differences.

Names of files on a host come from products, so they are bytes from end to end: the host writes records that end in NUL
into a file of its own, and that file is fetched whole. Nothing of them is ever split by lines or put into shell text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError
from harness.hosts.leases import PLACE
from harness.model.definitions import Host
from harness.model.machine import Machine
from harness.system import shell

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
            "yum",
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
#: Folders of the harness on a host, beside ``PLACE``.
OWN = ("/run/harness", "/var/log/harness", "/var/cache/harness")
#: Of these only the folders in them are compared: a log of an account that is gone stops the next one of that name.
FOLDERS = ("/var/log", "/var/cache", "/var/spool")
#: More entries, or more bytes of a listing, are too many to compare file by file.
MOST_FILES = 400_000
MOST_BYTES = 64_000_000
#: Mounts below these come and go with logins and containers.
TRANSIENT = ("/run/", "/proc/", "/sys/", "/dev/", "/var/lib/docker/", "/var/lib/containers/", "/snap/")
#: Kinds of a state that are texts of a line each.
LINES = ("packages", "users", "groups", "ports", "mounts")

_LOOK = r"""
LC_ALL=C; export LC_ALL; umask 077; mkdir -p PLACE || exit 1
{
printf '== packages\0'
if command -v dpkg-query >/dev/null; then
  dpkg-query -W -f '${db:Status-Abbrev}${Package}:${Architecture} ${Version}\n' | sed -n 's/^ii //p'
else rpm -qa --qf '%{NAME}.%{ARCH} %{VERSION}-%{RELEASE}\n'; fi
printf '\0== users\0'; getent passwd; printf '\0== groups\0'; getent group
printf '\0== ports\0'
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local remote state _; do
  [ "$state" != 0A ] || echo "$local"; done
printf '\0== mounts\0'; while read -r _ _ _ _ place _; do printf '%s\n' "$place"; done </proc/self/mountinfo
printf '\0== roots\0'
for d in ROOTS; do r=$(cd -P -- "$d" 2>/dev/null && pwd -P) && printf '%s\n' "$r"; done
printf '\0== files\0'
{ for d in ROOTS; do r=$(cd -P -- "$d" 2>/dev/null && pwd -P) || continue
  find "$r" -xdev \( SKIPPED \) -prune -o ! -type s -printf '%y %s %m %U %G %T@\0%p\0%l\0'; done
  find FOLDERS -xdev -mindepth 1 -maxdepth 1 -type d -printf '- - - - - -\0%p\0\0'; } 2>/dev/null | head -c MOST
printf '== end\0'
} >LIST
"""


@dataclass(frozen=True, kw_only=True)
class HostState:
    """A host at a moment. ``files``: path -> what is compared of it (kind, size, mode, owner; a link's target).

    ``roots`` are the watched folders by their physical paths; nothing outside of them is ever removed.
    """

    packages: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()
    roots: tuple[bytes, ...] = ()
    files: Mapping[bytes, bytes]
    processes: Mapping[int, str]

    def since(self, before: HostState) -> list[str]:
        """The differences from ``before``, in words; empty where there is none."""
        words: list[str] = []
        for kind in LINES:
            old, new = getattr(before, kind), getattr(self, kind)
            words += [f"{kind[:-1]} gone: {printable(line)}" for line in sorted(old - new)]
            words += [f"{kind[:-1]} new: {printable(line)}" for line in sorted(new - old)]
        for path in sorted(before.files.keys() | self.files.keys()):
            was, now = before.files.get(path), self.files.get(path)
            if was != now:
                event = "new" if was is None else "gone" if now is None else "changed"
                detail = " -> ".join(printable(entry) for entry in (was, now) if entry is not None)
                words.append(f"file {event}: {printable(path)} ({detail})")
        return words


def printable(value: bytes | str) -> str:
    """A name of a host in one line for people: what is not UTF-8 or not printable is escaped."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def look(machine: Machine, host: Host, keep: tuple[Path, ...] = (), roots: tuple[bytes, ...] = ()) -> HostState:
    """The state of a host now, without what lies in ``keep``.

    ``roots`` are the physical paths of the watched folders as an earlier look gave them: a link that took the place
    of a watched folder meanwhile leads nowhere.

    Raises:
        InfrastructureError: it cannot be asked, or holds too many files.
    """
    raw = state_bytes(machine, host, keep, roots)
    return parse_state(machine.name, raw, machine.processes(), roots)


def state_bytes(machine: Machine, host: Host, keep: tuple[Path, ...], roots: tuple[bytes, ...] = ()) -> bytes:
    """The listing of ``look`` as the host writes it. Raises as ``look``."""
    listing = f"{PLACE}/listing"
    places = [root.decode() for root in roots] or list(host.watch)
    changes = {
        "ROOTS": shell.join(places),
        "SKIPPED": " -o ".join(f"-path {shell.quote(_literal(path))}" for path in (*LEFT_OUT, *map(str, keep))),
        "FOLDERS": " ".join(FOLDERS),
        "MOST": str(MOST_BYTES),
        "LIST": listing,
        "PLACE": PLACE,
    }
    script = re.sub("|".join(changes), lambda word: changes[word[0]], _LOOK)
    answer = machine.run(script, timeout=300)
    try:
        raw = machine.get(listing) if answer.ok else b""
    except FileNotFoundError:
        raw = b""
    machine.run(f"rm -f {listing}", timeout=60)
    if not raw.endswith(b"== end\0"):
        raise InfrastructureError(
            f"{machine.name}: its state cannot be read: {answer.text.strip()[-300:]}",
            advice="the host needs GNU find, getent and its package manager, and free space below /var/lib",
        )
    if len(raw) >= MOST_BYTES or raw.count(b"\0") > 3 * MOST_FILES:
        raise InfrastructureError(
            f"{machine.name}: more than {MOST_FILES} files, or {MOST_BYTES} bytes of names, in {' '.join(places)}",
            advice="name fewer places under watch in the inventory",
        )
    return raw


def parse_state(name: str, raw: bytes, processes: Mapping[int, str], roots: tuple[bytes, ...] = ()) -> HostState:
    """A listing as a state.

    Raises:
        InfrastructureError: the host ``name`` gave a listing that is incomplete, or watches all of its disk.
    """
    head, _, rest = raw.partition(b"== files\0")
    sections = head.split(b"\0")
    texts = dict(zip(sections[0::2], sections[1::2], strict=False))
    lines = {
        kind: frozenset(filter(None, texts.get(f"== {kind}".encode(), b"").decode(errors="replace").split("\n")))
        for kind in LINES
    }
    lines["mounts"] = frozenset(place for place in lines["mounts"] if not place.startswith(TRANSIENT))
    seen_roots = tuple(filter(None, texts.get(b"== roots", b"").split(b"\n")))
    if not lines["packages"] or not lines["users"]:
        raise InfrastructureError(
            f"{name}: its packages or accounts cannot be listed", advice="the host needs dpkg or rpm, and getent"
        )
    if b"/" in seen_roots or not all(is_utf8(root) for root in seen_roots):
        raise InfrastructureError(
            f"{name}: a watched folder leads to / or to a name that is not UTF-8",
            advice="correct watch in the inventory",
        )
    fields = rest.split(b"\0")
    files: dict[bytes, bytes] = {}
    own = {folder.encode() for folder in OWN}
    for at in range(0, len(fields) - 4, 3):  # the end mark and what follows it are no record
        meta, path, target = fields[at : at + 3]
        if path not in own:
            files[path] = _compared(meta, path, target)
    return HostState(**lines, roots=roots or seen_roots, files=files, processes=processes)


def _compared(meta: bytes, path: bytes, target: bytes) -> bytes:
    """What is compared of a file. Of /etc, which can be put back with its times, the time too: a product that writes
    other text of the same length is seen there."""
    kind, size, mode, user, group, changed = meta.split(b" ")
    if kind == b"d":
        return b" ".join((b"folder", mode, user, group))
    if kind == b"l":
        return b" ".join((b"link", user, group, b"to", target))
    if kind == b"-":
        return b"folder"
    more = (b"at", changed.partition(b".")[0]) if path.startswith(b"/etc/") else ()
    return b" ".join((kind, size, mode, user, group, *more))


def is_utf8(name: bytes) -> bool:
    """Whether the bytes of a name are UTF-8."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_folder(entry: bytes) -> bool:
    """Whether what ``HostState.files`` says of a path is that it is a folder."""
    return entry.startswith(b"folder")


def topmost(paths: Iterable[bytes]) -> list[bytes]:
    """The paths that do not lie below another of ``paths``, in the order of their bytes."""
    every = set(paths)
    return sorted(path for path in every if not any(parent in every for parent in parents(path)))


def parents(path: bytes) -> Iterable[bytes]:
    """The folders above a path, the nearest first, without /."""
    while (path := path.rpartition(b"/")[0]) != b"":
        yield path


def _literal(path: str) -> str:
    """A path for find's -path, which takes a pattern."""
    return "".join(f"\\{char}" if char in "*?[\\" else char for char in path)
