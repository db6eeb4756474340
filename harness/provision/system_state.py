"""What of a system an installation may change beside files of its own: users, groups, services, cron, sysctl, settings.

The installer lists it before the product comes and leaves the list on the machine, where suites compare it with later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Where the list lies that was written before the product came.
BEFORE = "/var/log/harness/before.txt"
#: Where what is installed later, and is not the product's, keeps a list of its own meanwhile.
OTHERS = f"{BEFORE}.others"
#: The last line of a whole list.
_END = "end\tof list"
#: Prints a line for each thing: its kind, its name, the checksum of a file whose content matters; then the end mark.
LIST = r"""
named() { while IFS= read -r n; do printf '%s\t%s\n' "$1" "$n"; done; }
summed() { k=$1; shift; find "$@" \( -type f -o -type l \) 2>/dev/null | while IFS= read -r f; do
printf '%s\t%s\t%s\n' "$k" "$f" "$(cksum <"$f" 2>/dev/null)"; done; }
cut -d: -f1 /etc/passwd | named user
cut -d: -f1 /etc/group | named group
units="/etc/systemd/system /usr/lib/systemd/system /lib/systemd/system /etc/init.d"
find -H $units \( -type f -o -type l \) 2>/dev/null |
sed 's|^/lib/|/usr/lib/|' | sort -u | named service
summed cron /etc/crontab /etc/anacrontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly \
/etc/cron.monthly /var/spool/cron
summed sysctl /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d /usr/local/lib/sysctl.d
summed setting /etc/sudoers /etc/sudoers.d /etc/profile.d /etc/ld.so.conf.d
printf 'end\tof list\n'
"""


@dataclass(frozen=True)
class SystemState:
    """Kind -> name -> checksum of its content; empty where only the name counts."""

    things: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, text: str) -> SystemState | None:
        """The state that a list shows; None where the list is cut off."""
        lines = text.rstrip("\n").split("\n")
        if lines[-1] != _END:
            return None
        things: dict[str, dict[str, str]] = {}
        for line in lines[:-1]:
            kind, _, rest = line.partition("\t")
            name, _, content = rest.partition("\t")
            things.setdefault(kind, {})[name] = content
        return cls(things)

    def added(self, before: SystemState, kind: str) -> list[str]:
        """Names of a kind that were not there before, or whose content was another."""
        old = before.things.get(kind, {})
        return sorted(name for name, content in self.things.get(kind, {}).items() if old.get(name) != content)

    def gone(self, before: SystemState, kind: str) -> list[str]:
        """Names of a kind that were there before."""
        return sorted(before.things.get(kind, {}).keys() - self.things.get(kind, {}).keys())


def joined(before: bytes, others: bytes, now: bytes) -> bytes:
    """The list ``before`` with what is in ``now`` and was not in ``others``: a later line of a name counts.

    Where one of them is cut off the list is too, so that nobody takes it for what was there.
    """
    end = _END.encode()
    lists = [text.rstrip(b"\n").split(b"\n") for text in (before, others, now)]
    if any(lines[-1] != end for lines in lists):
        return b""
    old, there, new = lists
    known = set(there)
    return b"\n".join([*old[:-1], *(line for line in new if line not in known), end, b""])
