"""Disturbances of a cell's containers from outside: by the laboratory, or by anybody who can reach its engine.

Two sources: the engine's events, which know what was over in a moment (a pause, a kill), and what the containers are
now against what they were, which needs no events (Podman keeps none). Verbs that a suite used itself are known by
their notes (``harness.model.verbs``), and are no disturbance.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import InfrastructureError
from harness.model.verbs import Deed, Verb, deeds

#: Less than so many bytes left on the engine's disk is trouble for every container of it.
DISK_LEFT = 256 << 20
#: A container that wrote more itself than this is not the victim of a full disk.
DISK_OWN = 2 << 30
#: Between the note of a deed and the engine's event of it lies less than this.
NEAR_SECONDS = 15.0
#: The engine's clock is this machine's, and its events come a moment after what they tell.
SLACK_SECONDS = 2.0
WORDS = {
    "pause": "was paused",
    "unpause": "was resumed",
    "kill": "got a signal",
    "stop": "was stopped",
    "restart": "was restarted",
    "destroy": "was removed",
    "update": "got other limits",
    "disconnect": "was taken off its network",
    "connect": "was put on a network",
}
#: The verb that an event can come from.
_VERBS = {"pause": Verb.PAUSE, "unpause": Verb.PAUSE, "update": Verb.MEMORY}


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """The state of a container that changes only when somebody acts on it from outside."""

    started: str
    restarts: int
    networks: tuple[tuple[str, str], ...]


class ContainerWatch:
    """Compares the containers of a cell with what they were when it was made. ``containers``: id by role."""

    def __init__(self, engine: Engine, containers: Mapping[str, str], network: str, noted: Path = Path()) -> None:
        self.engine, self.containers, self.network, self.noted = engine, dict(containers), network, noted
        self._before = {role: _standing(self._inspect(identity)) for role, identity in containers.items()}

    def disturbances(self, since: float) -> list[str]:
        """The disturbances since a moment (seconds since 1970), in words; empty where there were none.

        Raises:
            InfrastructureError: the engine does not answer.
        """
        used = [deed for deed in deeds(self.noted) if deed.at >= since - NEAR_SECONDS]
        words = [*self._events(since, used)]
        for role, identity in self.containers.items():
            words += [f"the container of {role} {what}" for what in self._changes(role, identity, used)]
        words += self._disk()
        return list(dict.fromkeys(words))

    def _inspect(self, identity: str) -> dict[str, Any]:
        with engine_errors("looking at a container"):
            return dict(self.engine.client.api.inspect_container(identity))

    def _changes(self, role: str, identity: str, used: Iterable[Deed]) -> list[str]:
        try:
            now = self._inspect(identity)
        except InfrastructureError:
            return ["is gone, or the engine does not answer"]
        state, before, after = now["State"], self._before[role], _standing(now)
        if not state.get("Running"):
            return [f"does not run any more (status {state.get('ExitCode')})"]
        changes = []
        if (after.started, after.restarts) != (before.started, before.restarts):
            changes.append(f"was restarted at {after.started[:19]}")
        elif after.networks != before.networks:
            changes.append("is on another network, or has another address, than it was given")
        if state.get("Paused") and not any(deed.verb is Verb.PAUSE and deed.machine == role for deed in used):
            changes.append("is paused")
        return changes

    def _events(self, since: float, used: Iterable[Deed]) -> Iterable[str]:
        if self.engine.is_podman:
            return
        roles = {identity: role for role, identity in self.containers.items()}
        until = time.time() + 1
        for filters in ({"container": [*roles]}, {"type": ["network"], "network": [self.network]}):
            with engine_errors("asking the engine for its events"):
                events = list(
                    self.engine.client.events(
                        since=int(since - SLACK_SECONDS), until=int(until), filters=filters, decode=True
                    )
                )
            for event in events:
                action = str(event.get("Action", ""))
                actor = event.get("Actor", {})
                attributes = actor.get("Attributes", {})
                role = roles.get(str(attributes.get("container") or actor.get("ID", "")))
                at = float(event.get("timeNano", 0)) / 1e9
                if action not in WORDS or role is None or at < since:
                    continue
                if any(_explains(deed, role, action, at) for deed in used):
                    continue
                moment = time.strftime("%H:%M:%S", time.localtime(at))
                yield f"the container of {role} {WORDS[action]} at {moment}"

    def _disk(self) -> list[str]:
        """Whether the engine's disk is full, unless the product's container filled it itself."""
        root = Path(str(self.engine.info.get("DockerRootDir") or "/nowhere"))
        if not root.is_dir():
            return []
        left = psutil.disk_usage(str(root)).free
        if left >= DISK_LEFT or self.written("application") > DISK_OWN:
            return []
        return [f"only {left >> 20} MiB are left on the engine's disk ({root})"]

    def written(self, role: str) -> int:
        """Bytes that a container wrote to its own layer; 0 where the engine does not say.

        Raises:
            InfrastructureError: the engine does not answer.
        """
        with engine_errors("asking for the size of a container"):
            listed = self.engine.client.api.containers(
                all=True, size=True, filters={"id": self.containers.get(role, "none")}
            )
        return int(listed[0].get("SizeRw") or 0) if listed else 0


def _standing(inspected: Mapping[str, Any]) -> _Standing:
    networks = inspected["NetworkSettings"].get("Networks") or {}
    return _Standing(
        started=str(inspected["State"].get("StartedAt", "")),
        restarts=int(inspected.get("RestartCount") or 0),
        networks=tuple(sorted((str(name), str(net.get("IPAddress", ""))) for name, net in networks.items())),
    )


def _explains(deed: Deed, role: str, action: str, at: float) -> bool:
    """Whether an event comes from a verb that a suite used."""
    return deed.machine == role and deed.verb is _VERBS.get(action) and abs(at - deed.at) < NEAR_SECONDS
