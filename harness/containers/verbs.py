"""Verbs of a container, all done from outside of it: with the tools of the engine's machine in the container's network
namespace, or by the engine. What is in effect goes with the container when that is removed.

A container has no clock of its own, and its disk is the engine's, so it has no verb for those. Delay needs the kernel's
``sch_netem``; loss needs iptables alone.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import psutil

from harness.containers.engine import LABEL_MEMORY, Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import InfrastructureError
from harness.model.verbs import UnsupportedVerbs, Verb, note_deed
from harness.system.process import Completed, run

#: Comment of the rules that are ours.
_MARK = "harness-verb"
_SECONDS = 30.0
_OF_NETWORK = (Verb.CUT, Verb.DELAY, Verb.LOSS, Verb.NAMES)
#: With limits below what is in use the kernel would end the product in the call itself, so the engine refuses.
_LEAST_MEMORY = 6 << 20


class ContainerVerbs(UnsupportedVerbs):
    """``role``: by what name the container's deeds are noted in the file ``noted``."""

    kind = "a container"

    def __init__(self, engine: Engine, container: str, role: str, noted: Path = Path()) -> None:
        self.engine, self.container, self.role, self.noted = engine, container, role, noted

    @property
    def can(self) -> frozenset[Verb]:
        verbs = {Verb.PAUSE}
        if not self.engine.is_podman:
            verbs.add(Verb.MEMORY)  # Podman's interface has no update (4.3)
        if self._reaches() and shutil.which("iptables") is not None:
            verbs |= {Verb.CUT, Verb.LOSS, Verb.NAMES}
            if _has_netem():
                verbs.add(Verb.DELAY)
        return frozenset(verbs)

    def cut_network(self, peer: str = "") -> None:
        self._demand(Verb.CUT, "nsenter and iptables are needed, as root on the engine's machine")
        address = self._address(peer) if peer else ""
        note_deed(self.noted, self.role, Verb.CUT, peer=peer)
        self._drop(address, "DROP")

    def slow_network(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        if not 0 <= loss < 1 or delay < 0:
            raise ValueError(f"delay {delay} s, loss {loss}: expected 0 or more, and a part from 0 to below 1")
        if delay:
            self._demand(Verb.DELAY, "the kernel of the engine's machine has no sch_netem")
            note_deed(self.noted, self.role, Verb.DELAY, delay=delay)
            self._in_network("tc", "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", f"{delay * 1000:.0f}ms")
        if loss:
            self._demand(Verb.LOSS, "nsenter and iptables are needed, as root on the engine's machine")
            note_deed(self.noted, self.role, Verb.LOSS, loss=loss)
            chance = ("-m", "statistic", "--mode", "random", "--probability", f"{loss:.4f}")
            self._rule("-I", "OUTPUT", "-o", "eth0", *chance, "-j", "DROP")

    def lose_names(self) -> None:
        self._demand(Verb.NAMES, "nsenter and iptables are needed, as root on the engine's machine")
        note_deed(self.noted, self.role, Verb.NAMES)
        for protocol in ("udp", "tcp"):  # the engine's own server stands behind rules of its own: before those
            self._rule("-t", "raw", "-I", "OUTPUT", "-p", protocol, "--dport", "53", "-j", "DROP")

    def heal_network(self) -> None:
        for verb in _OF_NETWORK:
            note_deed(self.noted, self.role, verb, ends=True)
        self._heal()

    def limit_memory(self, size: int) -> None:
        self._demand(Verb.MEMORY, "the engine cannot change the limits of a container")
        if size < _LEAST_MEMORY:
            raise ValueError(f"{size} bytes: expected at least {_LEAST_MEMORY}")
        note_deed(self.noted, self.role, Verb.MEMORY, size=size)
        declared = self._declared_memory()
        with engine_errors(f"limiting the memory of {self.role}"):
            # The limit with swap stays what it is when the memory shrinks: it must never be the smaller.
            self.engine.client.api.update_container(self.container, mem_limit=size, memswap_limit=max(size, declared))

    def restore_memory(self) -> None:
        self._demand(Verb.MEMORY, "the engine cannot change the limits of a container")
        note_deed(self.noted, self.role, Verb.MEMORY, ends=True)
        size = self._declared_memory()
        with engine_errors(f"giving back the memory of {self.role}"):
            self.engine.client.api.update_container(self.container, mem_limit=size, memswap_limit=size)

    def pause(self) -> None:
        note_deed(self.noted, self.role, Verb.PAUSE)
        with engine_errors(f"pausing {self.role}"):
            self.engine.client.api.pause(self.container)

    def resume(self) -> None:
        note_deed(self.noted, self.role, Verb.PAUSE, ends=True)
        with engine_errors(f"resuming {self.role}"):
            self.engine.client.api.unpause(self.container)

    def undo(self) -> None:
        inspected = self._inspect()
        if inspected["State"].get("Paused"):
            self.resume()
        if Verb.MEMORY in self.can and int(inspected["HostConfig"].get("Memory") or 0) != self._declared_memory():
            self.restore_memory()
        if Verb.CUT in self.can and self._heal():
            for verb in _OF_NETWORK:
                note_deed(self.noted, self.role, verb, ends=True)

    def _demand(self, verb: Verb, why: str) -> None:
        if verb not in self.can:
            self._cannot(verb, why)

    def _inspect(self) -> dict[str, Any]:
        with engine_errors(f"looking at {self.role}"):
            return dict(self.engine.client.api.inspect_container(self.container))

    def _declared_memory(self) -> int:
        """The limit that it was made with, which its label keeps."""
        with engine_errors(f"looking at {self.role}"):
            labels = self.engine.client.api.inspect_container(self.container)["Config"].get("Labels") or {}
        return int(labels.get(LABEL_MEMORY) or 0)

    def _reaches(self) -> bool:
        """Whether this process may enter the container's network: root, on the engine's machine."""
        process = self.engine.first_process(self.container)
        return (
            process > 0
            and shutil.which("nsenter") is not None
            and psutil.Process().uids().effective == 0
            and psutil.pid_exists(process)
            and self.container[:32] in Path(f"/proc/{process}/cgroup").read_text(errors="replace")
        )

    def _address(self, peer: str) -> str:
        """The address of another machine of the cell, by its name in the cell's network."""
        with engine_errors(f"looking for {peer}"):
            own = self.engine.client.api.inspect_container(self.container)
            network = next(iter(own["NetworkSettings"]["Networks"]))
            known = self.engine.client.api.inspect_network(network)["Containers"] or {}
            for identity in known:
                other = self.engine.client.api.inspect_container(identity)
                if peer in (other["Config"]["Hostname"], other["Name"].lstrip("/")):
                    return str(other["NetworkSettings"]["Networks"][network]["IPAddress"])
        raise InfrastructureError(f"{self.role}: no machine {peer} in its network", advice="name a role of the cell")

    def _drop(self, address: str, target: str) -> None:
        for chain, side, end in (("INPUT", "-i", "-s"), ("OUTPUT", "-o", "-d")):
            self._rule("-I", chain, side, "eth0", *((end, address) if address else ()), "-j", target)

    def _rule(self, *words: str) -> None:
        self._in_network("iptables", "-w", "5", *words[:-2], "-m", "comment", "--comment", _MARK, *words[-2:])

    def _heal(self) -> bool:
        """Take our rules and the queue out of the container's network; whether there were any."""
        own = 0
        for table in ("filter", "raw"):
            listed = self._in_network("iptables", "-w", "5", "-t", table, "-S").out.splitlines()
            for words in [line.split() for line in listed if line.startswith("-A ") and _MARK in line]:
                rule = (word.strip('"') for word in words[1:])
                self._in_network("iptables", "-w", "5", "-t", table, "-D", *rule)
                own += 1
        slowed = "netem" in self._in_network("tc", "qdisc", "show", "dev", "eth0").out
        if slowed:
            self._in_network("tc", "qdisc", "del", "dev", "eth0", "root")
        return bool(own) or slowed

    def _in_network(self, *argv: str) -> Completed:
        process = self.engine.first_process(self.container)
        answer = run(["nsenter", "-t", str(process), "-n", *argv], timeout=_SECONDS)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.role}: {' '.join(argv[:3])} failed in its network: {answer.text.strip()[-300:]}",
                advice="see whether the container runs: docker ps",
            )
        return answer


@functools.cache
def _has_netem() -> bool:
    """Whether the kernel can delay packets, tried in a network of its own."""
    if shutil.which("unshare") is None or shutil.which("tc") is None:
        return False
    return run(["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"], timeout=20).ok
