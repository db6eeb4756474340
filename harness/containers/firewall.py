"""A rule of this machine's firewall for the bridge of a closed network: nothing there begins a connection to this
machine, by whatever address.

An internal network of Docker keeps its containers from other networks. This machine is no other network: what listens
on all its addresses would be reached. Answers to connections that this machine began go through.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.system.process import Completed, run

#: Comment of the rules that are ours.
_MARK = "harness-cell"
_SECONDS = 60.0
_INTERFACES = Path("/sys/class/net")


def can_close() -> bool:
    """Whether this process may set rules here."""
    return os.geteuid() == 0 and shutil.which("iptables") is not None


def close(bridge: str) -> str:
    """Drop what comes in by ``bridge`` and belongs to no connection that this machine began; gives why that cannot be
    done, empty where it was."""
    if not can_close():
        return "root and iptables are needed"
    for program in _programs():
        answer = _run(program, "-I", *_rule(bridge))
        if not answer.ok:
            return f"{program} does not take the rule: {answer.text.strip()[-200:]}"
    return ""


def reopen(bridge: str) -> bool:
    """Remove the rules of ``bridge``; gives whether there were any."""
    answers = [_run(program, "-D", *_rule(bridge)) for program in _programs()]
    return any(answer.ok for answer in answers)


def closed() -> set[str] | None:
    """The bridges that have a rule; None where this process may not look."""
    if not can_close():
        return None
    lines = _run("iptables", "-S", "INPUT").out.splitlines()
    words = (line.split() for line in lines if _MARK in line)
    return {line[line.index("-i") + 1] for line in words if "-i" in line}


def sweep() -> list[str]:
    """Remove the rules of bridges that are gone; gives those."""
    gone = [bridge for bridge in sorted(closed() or ()) if not (_INTERFACES / bridge).exists()]
    return [bridge for bridge in gone if reopen(bridge)]


def _programs() -> tuple[str, ...]:
    """A bridge has an address of IPv6 too, wherever the kernel has that."""
    both = Path("/proc/net/if_inet6").exists() and shutil.which("ip6tables") is not None
    return ("iptables", "ip6tables") if both else ("iptables",)


def _rule(bridge: str) -> tuple[str, ...]:
    own = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
    return ("INPUT", "-i", bridge, *own, "-m", "comment", "--comment", _MARK, "-j", "DROP")


def _run(program: str, *words: str) -> Completed:
    return run([program, "-w", "30", *words], timeout=_SECONDS)
