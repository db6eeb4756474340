"""Puts a lab host back as it was before a cell, and says what could not be undone.

Only what is below a watched folder is removed, and what the harness itself noted before it wrote it. Everything that
this needs lies on the host, so that any controller can do it after the one that ran the cell was killed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import InfrastructureError
from harness.hosts.keeping import KEPT, REMOVE, noted, put_back, unload
from harness.hosts.leases import PLACE
from harness.hosts.programs import end_marked, end_orphans, marked
from harness.hosts.state import (
    FOLDERS,
    LEFT_OUT,
    OWN,
    HostState,
    is_folder,
    look,
    parents,
    parse_state,
    printable,
    state_bytes,
    topmost,
)
from harness.hosts.verbs import HostVerbs, leftovers
from harness.model.definitions import Host
from harness.model.machine import Machine
from harness.system import shell
from harness.system.canonical import read_json

#: More new folders than these are not removed: something else than a product's installation happened.
MOST_REMOVED = 2000
#: Names of packages and accounts that go into commands; others are left, and make the host dirty.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~:^-]*\$?")
_ETC = f"{PLACE}/etc.tar"
_BEFORE, _NOTES = f"{PLACE}/before", f"{PLACE}/before.json"
_REMOVE_LISTED = REMOVE + 'LC_ALL=C; export LC_ALL; for p; do remove "$p" || printf "%s\\n" "$p"; done'
_UNMOUNT = 'for p; do umount -- "$p" || umount -l -- "$p"; done'


@dataclass(frozen=True)
class Memory:
    """A host before a cell: its state, the mark of the cell's programs, and the harness's own folders on it."""

    before: HostState
    mark: str
    keep: tuple[Path, ...]


def remember(machine: Machine, host: Host, mark: str, keep: tuple[Path, ...] = ()) -> Memory:
    """Look at a host, and keep on it what is needed to put it back.

    Raises:
        InfrastructureError: it cannot be looked at, or its disk is full.
    """
    processes = machine.processes()
    raw = state_bytes(machine, host, keep)
    notes = {"mark": mark, "keep": [str(path) for path in keep], "processes": {str(n): a for n, a in processes.items()}}
    answer = machine.run(
        f"umask 077; rm -rf {KEPT} {_BEFORE} {_NOTES}; tar -C / -cf {_ETC} etc && [ -s {_ETC} ]", timeout=300
    )
    if not answer.ok:
        raise InfrastructureError(
            f"{machine.name}: /etc cannot be kept: {answer.text.strip()[-300:]}", advice="check the host's disk"
        )
    machine.put(_BEFORE, raw, mode="0600")
    machine.put(_NOTES, json.dumps(notes).encode("utf-8", "replace"), mode="0600")
    return Memory(parse_state(machine.name, raw, processes), mark, keep)


def recall(machine: Machine) -> Memory | None:
    """The memory of a host before the cell that was not undone on it; None where nothing is kept there.

    Raises:
        InfrastructureError: it does not answer, or what is kept there is damaged.
    """
    try:
        raw, notes = machine.get(_BEFORE), read_json(machine.get(_NOTES))
        processes = {int(pid): str(args) for pid, args in notes["processes"].items()}
        memory = Memory(parse_state(machine.name, raw, processes), str(notes["mark"]), tuple(map(Path, notes["keep"])))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InfrastructureError(
            f"{machine.name}: what is kept of it in {PLACE} is damaged: {error}",
            advice=f"restore the host by hand, then: harness hosts clean {machine.name} --accept",
        ) from error
    return memory if re.fullmatch(r"[0-9a-f]*", memory.mark) else replace(memory, mark="")


def forget(machine: Machine) -> None:
    """Remove all that is kept on the host of its state before. Raises as ``Machine.run``."""
    machine.run(f"rm -rf {KEPT} {_ETC} {_BEFORE} {_NOTES}", timeout=60)


def restore(machine: Machine, host: Host, memory: Memory) -> list[str]:
    """Undo what a cell did: end what it started, unmount what it mounted, remove what it installed, the folders that
    are new below watched ones and the files that the harness wrote, put back /etc.

    Gives what is still not as before, in words; where that is nothing, what was kept for undoing is gone too.

    Raises:
        InfrastructureError: the host does not answer.
    """
    before = memory.before
    HostVerbs(machine, mark=memory.mark).undo()
    end_marked(machine, memory.mark)
    unload(machine)
    for attempt in range(2):  # what was removed may have been all that kept something else from being removed
        now = look(machine, host, memory.keep, before.roots)
        if attempt and not now.since(before):
            break
        remove_packages(machine, before, now)
        end_orphans(machine, before.processes)
        _unmount(machine, before, now)
        now = look(machine, host, memory.keep, before.roots)
        if now.mounts - before.mounts:
            break  # to remove a folder would remove what is mounted in it
        put_back(machine)
        _remove_files(machine, before, now, memory.keep)
        _put_back_etc(machine, before, now)
        _remove_accounts(machine, before, now)
    machine.run(f"rm -rf {' '.join(OWN)}", timeout=60)
    left = look(machine, host, memory.keep, before.roots).since(before)
    left += leftovers(machine)
    left += [f"file not put back: {printable(path)}" for path in noted(machine)]
    left += [f"process new: {printable(args)}" for args in marked(machine, memory.mark).values()]
    if not left:
        forget(machine)
    return left


def removable(
    before: HostState, now: HostState, keep: tuple[Path, ...] = (), folders: tuple[str, ...] = FOLDERS
) -> list[bytes]:
    """Folders that are new, each without what is below it, and that may be removed.

    They lie below a watched folder; none is a watched folder, holds one, or holds anything that is left out of the
    comparison.
    """
    roots = {*before.roots, *(folder.encode() for folder in folders)}
    apart = {*roots, *(str(path).encode("utf-8", "surrogateescape") for path in keep), *map(str.encode, LEFT_OUT)}
    apart |= {parent for path in apart for parent in parents(path)}
    new = (path for path, entry in now.files.items() if path not in before.files and is_folder(entry))
    return [
        path
        for path in topmost(new)
        if path not in apart
        and any(parent in roots for parent in parents(path))
        and not {b"", b".", b".."} & set(path[1:].split(b"/"))
    ]


def etc_members(before: HostState, now: HostState) -> list[bytes]:
    """What of /etc is to be put back from the copy: what differs, and what was below a folder that is none now."""
    etc = {path: entry for path, entry in before.files.items() if path.startswith(b"/etc/")}
    changed = {path for path, entry in etc.items() if now.files.get(path) != entry}
    return topmost(changed)


def _remove_files(machine: Machine, before: HostState, now: HostState, keep: tuple[Path, ...]) -> None:
    paths = removable(before, now, keep)
    if len(paths) <= MOST_REMOVED:
        _each(machine, _REMOVE_LISTED, paths, timeout=900)


def _put_back_etc(machine: Machine, before: HostState, now: HostState) -> None:
    """Put back what differs in /etc. What has taken the place of another kind of file is removed first: tar would
    follow a link that stands where a folder was."""
    members = etc_members(before, now)
    if not members:
        return
    other = [
        path
        for path in members
        if path in now.files and now.files[path].split(b" ")[0] != before.files[path].split(b" ")[0]
    ]
    _each(machine, _REMOVE_LISTED, other, timeout=300)
    listed = f"{PLACE}/members"
    machine.put(listed, b"".join(path[1:] + b"\0" for path in members), mode="0600")
    machine.run(f"tar -C / -xpf {_ETC} --null -T {listed}; rm -f {listed}", timeout=300)


def _unmount(machine: Machine, before: HostState, now: HostState) -> None:
    """Unmount what is new, the deepest first; mountinfo writes blanks and backslashes as three octal digits."""
    new = sorted(now.mounts - before.mounts, key=lambda place: (-place.count("/"), place))
    _each(machine, _UNMOUNT, [unescape_mount(place) for place in new], timeout=300)


def unescape_mount(place: str) -> bytes:
    """A mount point as proc(5) writes it, as a path."""
    raw = place.encode("utf-8", "surrogateescape")
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), raw)


def _each(machine: Machine, script: str, paths: Iterable[bytes], *, timeout: float) -> None:
    """Give paths to a script as its arguments. They travel in a file, each ended by NUL, never as shell text."""
    data = b"".join(path + b"\0" for path in paths)
    if not data:
        return
    listed = f"{PLACE}/paths-{secrets.token_hex(4)}"
    machine.put(listed, data, mode="0600")
    machine.run(f"xargs -0 -r -n 200 sh -c {shell.quote(script)} sh <{listed}; rm -f {listed}", timeout=timeout)


#: Keys of repositories, which rpm lists as packages without an architecture: all have one name, and differ in version.
_KEY = re.compile(r"gpg-pubkey\.\S+ ([A-Za-z0-9]+-[A-Za-z0-9]+)")
#: The second: where keys are no packages any more.
_REMOVE_KEYS = 'for p; do rpm -e "$p" || rpmkeys --delete "${p#gpg-pubkey-}"; done'
#: Removes packages, given as arguments, that nothing else needs: all at once, and where that is refused, one after
#: another as long as any goes. No tool that solves dependencies is asked: it would remove what needs them too.
#: dpkg marks for removal what it then refuses to remove, so it is asked first.
_REMOVE_PACKAGES = r"""
export DEBIAN_FRONTEND=noninteractive
if command -v dpkg-query >/dev/null; then
  remove() { dpkg --no-act --purge "$@" && dpkg --purge "$@"; }; there() { dpkg-query -W "$1"; }
else
  remove() { rpm -e "$@"; }; there() { rpm -q "$1"; }
fi
remove "$@" && exit
while went=; for p; do there "$p" >/dev/null 2>&1 && remove "$p" && ! there "$p" >/dev/null 2>&1 && went=1; done
[ -n "$went" ]; do :; done
"""


def remove_packages(machine: Machine, before: HostState, now: HostState) -> None:
    """Remove packages that the host did not have in any version. One that was there and has another version now stays
    as it is, and makes the host dirty: others of the host need it."""
    known = {line.split()[0] for line in before.packages}
    new = _names({line.split()[0] for line in now.packages} - known)
    if new:
        machine.run(f"sh -c {shell.quote(_REMOVE_PACKAGES)} sh {shell.join(new)}", timeout=900)
    # dnf takes over the key of a repository with the first package of it, also of the harness's own.
    if keys := new_keys(before, now):
        machine.run(f"sh -c {shell.quote(_REMOVE_KEYS)} sh {shell.join(keys)}", timeout=300)


def new_keys(before: HostState, now: HostState) -> list[str]:
    """Keys of repositories that the host did not have, by the names that rpm removes them by."""
    new = (_KEY.fullmatch(line) for line in sorted(now.packages - before.packages))
    return [f"gpg-pubkey-{key[1]}" for key in new if key is not None]


def _remove_accounts(machine: Machine, before: HostState, now: HostState) -> None:
    commands = []
    for kind, command in (("users", "userdel"), ("groups", "groupdel")):
        known = {line.partition(":")[0] for line in getattr(before, kind)}
        here = {line.partition(":")[0] for line in getattr(now, kind)}
        commands += [f"{command} {shell.quote(name)}" for name in _names(here - known)]
    if commands:
        machine.run("\n".join(commands), timeout=120)


def _names(names: Iterable[str]) -> list[str]:
    """Those that may stand in a command, sorted."""
    return sorted(name for name in names if _NAME.fullmatch(name))
