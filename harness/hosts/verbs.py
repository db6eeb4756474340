"""What a reliability suite may do to a lab host, without losing the way to it, and without touching other hosts.

The network is cut and slowed between the machines of the cell alone: everything else, the controller's connection with
it, goes on. Disks are filled by a file that is noted before, programs of the cell are stopped by SIGSTOP. Whatever is
in effect is known by names that only the harness uses, so that any controller can take it back.
"""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Mapping
from pathlib import Path

from harness.errors import InfrastructureError
from harness.hosts.leases import PLACE
from harness.hosts.programs import marked
from harness.model.machine import Machine
from harness.model.verbs import UnsupportedVerbs, Verb, note_deed
from harness.system import shell
from harness.system.process import Completed

#: Commands of the harness itself need this much on the disk that they write to, in bytes.
SPARE = 8 * 2**20
_TABLE = "harness_cut"
_FILLS = f"{PLACE}/fills"
_SLOWED = f"{PLACE}/slowed"

#: A network of its own, so the question whether a verb works harms nothing.
_CAN = f"""
unshare -n sh -c 'nft add table inet {_TABLE} || iptables -N {_TABLE}' >/dev/null 2>&1 && echo cut
unshare -n sh -c 'ip link set lo up; tc qdisc add dev lo root netem delay 1ms' >/dev/null 2>&1 && echo delay loss
command -v fallocate >/dev/null && echo fill
true
"""
# $@ are addresses; both directions are dropped before anything else sees the packet.
_CUT = f"""
set -e
if command -v nft >/dev/null; then
  nft add table inet {_TABLE}
  nft add chain inet {_TABLE} in '{{ type filter hook input priority -300; }}'
  nft add chain inet {_TABLE} out '{{ type filter hook output priority -300; }}'
  for a; do f=ip; case $a in *:*) f=ip6 ;; esac
    nft add rule inet {_TABLE} in $f saddr $a drop; nft add rule inet {_TABLE} out $f daddr $a drop; done
else
  for t in iptables ip6tables; do
    case $t in ip6tables) command -v $t >/dev/null || continue ;; esac
    $t -w -N {_TABLE} 2>/dev/null || $t -w -F {_TABLE}
    for a; do case $a in *:*) [ $t = ip6tables ] || continue ;; *) [ $t = iptables ] || continue ;; esac
      $t -w -A {_TABLE} -s $a -j DROP; $t -w -A {_TABLE} -d $a -j DROP; done
    for c in INPUT OUTPUT; do $t -w -C $c -j {_TABLE} 2>/dev/null || $t -w -I $c 1 -j {_TABLE}; done
  done
fi
"""
_HEAL = f"""
nft delete table inet {_TABLE} 2>/dev/null
for t in iptables ip6tables; do command -v $t >/dev/null || continue
  for c in INPUT OUTPUT; do while $t -w -D $c -j {_TABLE} 2>/dev/null; do :; done; done
  $t -w -F {_TABLE} 2>/dev/null; $t -w -X {_TABLE} 2>/dev/null; done
while read -r dev; do tc qdisc del dev "$dev" root; done 2>/dev/null <{_SLOWED}
rm -f {_SLOWED}
true
"""
# NETEM stands for delay and loss. The queue of a device that is not the system's own is not replaced.
_SLOW = f"""
set -e; mkdir -p {PLACE}
for a; do dev=$(ip -o route get "$a" | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  if ! grep -qx "$dev" {_SLOWED} 2>/dev/null; then
    tc qdisc show dev "$dev" root | grep -q '^qdisc [a-z_]* 0: ' ||
      {{ echo "$dev has a queue of its own" >&2; exit 1; }}
    echo "$dev" >>{_SLOWED}
    tc qdisc replace dev "$dev" root handle 1: prio bands 4
    tc qdisc add dev "$dev" parent 1:4 handle 40: netem NETEM
  fi
  case $a in *:*) p=ipv6 m=ip6 l=128 ;; *) p=ip m=ip l=32 ;; esac
  tc filter add dev "$dev" protocol $p parent 1: prio 1 u32 match $m dst $a/$l flowid 1:4
done
"""
_FREE = f"[ ! -e {_FILLS} ] || xargs -0 -r rm -f -- <{_FILLS}; rm -f {_FILLS}"
_LEFT = f"""
nft list table inet {_TABLE} >/dev/null 2>&1 && echo 'packets to machines of the cell are dropped'
iptables -w -L {_TABLE} >/dev/null 2>&1 && echo 'packets to machines of the cell are dropped'
[ ! -s {_SLOWED} ] || sed 's/^/packets are slowed on /' {_SLOWED}
[ ! -s {_FILLS} ] || echo 'its disk is filled'
true
"""


class HostVerbs(UnsupportedVerbs):
    """The verbs of a lab host, or of this machine as one.

    ``mark`` is in the environment of the cell's programs; ``peers``: role -> address of the cell's other machines;
    ``controller``: addresses whose loss would cut off the host itself; ``deeds``: where uses of verbs are noted.
    """

    kind = "this lab host"

    def __init__(
        self,
        machine: Machine,
        *,
        mark: str = "",
        peers: Mapping[str, str] | None = None,
        controller: frozenset[str] = frozenset(),
        deeds: Path = Path(),
    ) -> None:
        self.machine, self.mark, self.peers = machine, mark, dict(peers or {})
        self.controller, self.deeds = controller, deeds
        self._can: frozenset[Verb] | None = None

    @property
    def can(self) -> frozenset[Verb]:
        if self._can is None:
            words = self.machine.run(_CAN, timeout=60).out.split()
            known = {Verb(word) for word in words}
            if not self.peers:
                known -= {Verb.CUT, Verb.DELAY, Verb.LOSS}
            self._can = frozenset(known | ({Verb.PAUSE} if self.mark else set()))
        return self._can

    def cut_network(self, peer: str = "") -> None:
        """Drop packets between this host and ``peer``, or all other machines of the cell."""
        addresses = self._addresses(Verb.CUT, peer)
        self._note(Verb.CUT, peer=peer)
        self._obey(_CUT, addresses)

    def heal_network(self) -> None:
        for verb in (Verb.CUT, Verb.DELAY, Verb.LOSS):
            self._note(verb, ends=True)
        self._obey(_HEAL)

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        """Of packets to the other machines of the cell. Raises ValueError: ``loss`` is no part of one."""
        if not 0 <= loss <= 1 or delay < 0:
            raise ValueError(f"delay {delay} s, loss {loss}: expected a time, and a part from 0 to 1")
        addresses = self._addresses(Verb.DELAY if delay else Verb.LOSS)
        if delay:
            self._note(Verb.DELAY, seconds=delay)
        if loss:
            self._note(Verb.LOSS, part=loss)
        self._obey(_HEAL)
        self._obey(_SLOW.replace("NETEM", f"delay {delay * 1000:.3f}ms loss {loss * 100:.4f}%"), addresses)

    def fill_disk(self, *, leave: int = 0, path: str = "/") -> None:
        """Fill a disk; ``SPARE`` bytes at least are left, without which no command could be given to the host."""
        if Verb.FILL not in self.can:
            self._cannot(Verb.FILL, "it has no fallocate")
        file = posixpath.join(path, ".harness-fill")
        self._note(Verb.FILL, path=path, leave=leave)
        q = shell.quote
        self._obey(
            f"mkdir -p {PLACE}; printf '%s\\0' {q(file)} >>{_FILLS}; "
            f"n=$(df -B1 --output=avail {q(path)} | tail -n 1) && n=$((n - {max(leave, SPARE)})) && "
            f"{{ [ $n -le 0 ] || fallocate -l $n {q(file)}; }}"
        )

    def free_disk(self) -> None:
        self._note(Verb.FILL, ends=True)
        self._obey(_FREE)

    def move_clock(self, seconds: float) -> None:
        self._cannot(Verb.CLOCK, "its clock is that of everything that runs on it; use a virtual machine")

    def restore_clock(self) -> None:
        self._cannot(Verb.CLOCK)

    def limit_memory(self, size: int) -> None:
        self._cannot(Verb.MEMORY, "its programs are not in a group of their own; use a container or a virtual machine")

    def restore_memory(self) -> None:
        self._cannot(Verb.MEMORY)

    def pause(self) -> None:
        """Stop the programs of the cell; the host itself goes on."""
        if not marked(self.machine, self.mark):
            self._cannot(Verb.PAUSE, "no program of the cell was found on it, such as systemd starts without its mark")
        self._note(Verb.PAUSE)
        self._signal("STOP")

    def resume(self) -> None:
        self._note(Verb.PAUSE, ends=True)
        self._signal("CONT")

    def undo(self) -> None:
        self._obey(f"{_HEAL}\n{_FREE}")
        self._signal("CONT")

    # --- how ---

    def _addresses(self, verb: Verb, peer: str = "") -> list[str]:
        """Of the machines on the other side, as the host itself resolves their names."""
        if peer and peer not in self.peers:
            self._cannot(verb, f"the cell has no machine {peer!r} beside it, only: {', '.join(self.peers) or 'none'}")
        names = [self.peers[peer]] if peer else list(self.peers.values())
        if verb not in self.can:
            self._cannot(verb, "it lacks nft or iptables (tc with netem), or the cell has no other machine")
        words = shell.join(names)
        answer = self.machine.run(
            f'for n in {words}; do getent ahosts "$n" | while read -r a _; do echo "$a"; done; done', timeout=60
        )
        addresses = sorted(set(filter(_is_address, answer.out.split())))
        if not addresses:
            raise InfrastructureError(
                f"{self.machine.name}: it knows no address of {', '.join(names)}",
                advice="check names and network there",
            )
        if lost := [address for address in addresses if address in self.controller or _is_own(address)]:
            self._cannot(verb, f"the way to the host goes through {', '.join(lost)}")
        return addresses

    def _note(self, verb: Verb, *, ends: bool = False, **details: str | float | int) -> None:
        note_deed(self.deeds, self.machine.name, verb, ends=ends, **details)

    def _obey(self, script: str, arguments: list[str] | None = None) -> Completed:
        answer = self.machine.run(f"set -- {shell.join(arguments or [])}\n{script}", timeout=120)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.machine.name} does not obey: {answer.text.strip()[-300:]}", advice="see what it says there"
            )
        return answer

    def _signal(self, name: str) -> None:
        """Until no further program of the cell is found: one that is not stopped yet may start others."""
        reached: set[int] = set()
        while new := set(marked(self.machine, self.mark)) - reached:
            self.machine.run(f"kill -{name} {' '.join(map(str, sorted(new)))} 2>/dev/null", timeout=60)
            reached |= new


def leftovers(machine: Machine) -> list[str]:
    """What verbs did to a host and is still in effect, in words. Raises as ``Machine.run``."""
    return sorted(set(machine.run(_LEFT, timeout=60).out.splitlines()))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_own(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
