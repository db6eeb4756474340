"""Notes on a host what was there before the harness writes a file, so that any controller can put it back.

The note and the copy are made by the same shell text that writes the file, before it: a controller that is killed in
between leaves nothing that is not noted. They lie in ``KEPT``, a folder of root.
"""

from __future__ import annotations

import hashlib
import re

from harness.hosts.leases import PLACE
from harness.model.machine import Machine
from harness.provision.installing import LOADED
from harness.provision.searching import literal
from harness.system import shell

KEPT = f"{PLACE}/kept"
_APART = (f"{PLACE}/", "/run/harness/", "/var/log/harness/", "/var/cache/harness/", "/tmp/.harness-")  # noqa: S108

#: Shell function: remove a path of a real folder; fails where a link is on the way to it, and follows none.
REMOVE = r"""
remove() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  d=${1%/*}; [ -n "$d" ] || return 1
  cd -P -- "$d" 2>/dev/null || return 1
  [ "$(pwd -P; printf x)" = "$d
x" ] || return 1
  rm -rf -- "./${1##*/}"
}
"""
# $p is the path, $m the topmost of its folders that is missing, $r the physical path of the folder of that.
_NOTE = r"""
( k=KEPT/NUMBER; [ ! -e $k.path ] || exit 0
umask 077; mkdir -p KEPT || exit 1
p=PATH; m=$p
while d=${m%/*}; [ -n "$d" ] && [ ! -e "$d" ] && [ ! -L "$d" ]; do m=$d; done
r=$(cd -P -- "$d/" && pwd -P) || exit 1; r=${r%/}
if [ -e "$p" ] || [ -L "$p" ]; then rm -rf $k.data; cp -a -- "$p" $k.data || exit 1
o=$(dpkg -S PATTERN 2>/dev/null) && printf %s "${o%%:*}" >$k.owner
o=$(rpm -qf --qf '%{NAME}' "$p" 2>/dev/null) && printf %s "$o" >$k.owner
else
printf %s "$r/${m##*/}" >$k.made || exit 1; fi
printf %s "$r${p#"$d"}" >$k.path.part && mv -f $k.path.part $k.path ) || exit 1
"""
_PUT_BACK = (
    REMOVE
    + r"""
LC_ALL=C; export LC_ALL; umask 077; rc=0
owned() { [ ! -s "$1" ] || dpkg-query -W "$(cat "$1")" >/dev/null 2>&1 || rpm -q "$(cat "$1")" >/dev/null 2>&1; }
for f in KEPT/NUMBER.path; do
  [ -e "$f" ] || continue
  k=${f%.path}; p=$(cat "$f"; printf x); p=${p%x}
  if [ -e $k.data ] || [ -L $k.data ]; then
    # What belonged to a package or folder that is gone came with the product, and goes with it.
    if owned "$k.owner" && [ -d "${p%/*}/" ]; then remove "$p" && cp -a -- $k.data "$p" || { rc=1; continue; }
    else remove "$p"; fi
  else m=$(cat $k.made; printf x); [ "$m" != x ] && remove "${m%x}" || { rc=1; continue; }; fi
  rm -rf -- "$k.path" "$k.made" "$k.data" "$k.owner"
done
exit $rc
"""
)
_UNLOAD = (
    f"[ ! -s {LOADED} ] || grep -xE '(sha256:)?[0-9a-f]{{12,64}}' {LOADED} | "
    "xargs -r $(command -v docker || command -v podman) rmi -f"
)


def note(path: str) -> str:
    """Shell text that notes what is at ``path`` before it is written; it exits with 1 where that cannot be done."""
    if path.startswith(_APART):
        return ""
    pattern = shell.quote(literal(path))
    values = {"KEPT": KEPT, "NUMBER": _number(path), "PATH": shell.quote(path), "PATTERN": pattern}
    return re.sub("KEPT|NUMBER|PATTERN|PATH", lambda match: values[match[0]], _NOTE)


def note_folder(path: str, *, compared: bool) -> str:
    """Shell text that notes a folder before an archive is unpacked there.

    A folder that is there already cannot be put back, unless it is ``compared`` file by file; the note then makes
    sure that the host counts as dirty.
    """
    unsure = f"mkdir -p {KEPT} && printf %s {shell.quote(path)} >{KEPT}/{_number(path)}.path"
    return f"if [ ! -e {shell.quote(path)} ]; then {note(path)}\nelse {'true' if compared else unsure}; fi"


def put_back(machine: Machine, path: str = "") -> bool:
    """Put back what was at ``path``, or at every path that was noted, and forget it; whether all could be put back.

    A file that was not there is removed with the folders that were made for it. Raises as ``Machine.run``.
    """
    script = _PUT_BACK.replace("KEPT", KEPT).replace("NUMBER", _number(path) if path else "*")
    return machine.run(script, timeout=600).ok


def noted(machine: Machine) -> list[str]:
    """Paths that were noted and not put back. Raises as ``Machine.run``."""
    answer = machine.run(f"for f in {KEPT}/*.path; do [ ! -e $f ] || {{ cat $f; printf '\\000'; }}; done", timeout=60)
    return [path for path in answer.out.split("\0") if path]


def unload(machine: Machine) -> None:
    """Remove container images that were loaded for the cell. Raises as ``Machine.run``."""
    machine.run(_UNLOAD, timeout=300)


def _number(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
