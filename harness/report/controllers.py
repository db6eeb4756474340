"""The workers of a center that ran a campaign, as a report names them, with the conditions of the test at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.model.records import AttemptRow
from harness.system.canonical import digest_of


class Controllers:
    """Who ran the cells of a campaign, by its attempts; nobody where the campaign had one controller.

    A worker whose conditions changed meanwhile, as by an upgrade of the harness or of its engine, stands there once
    for each, with a number in the order of the attempts' beginnings: what ran before is not shown under what came
    later.
    """

    def __init__(self, attempts: Sequence[AttemptRow]) -> None:
        by_digest: dict[str, Mapping[str, Any]] = {}
        for attempt in sorted(attempts, key=lambda attempt: attempt.started):
            controller = attempt.facts.controller
            if controller.get("worker"):
                by_digest.setdefault(digest_of(controller), controller)
        workers = [str(controller["worker"]) for controller in by_digest.values()]
        self._names: dict[str, str] = {}
        for digest, worker in zip(by_digest, workers, strict=True):
            number = 1
            name = worker if workers.count(worker) == 1 else f"{worker} (1)"
            while name in self._names.values() or (name != worker and name in workers):
                number += 1
                name = f"{worker} ({number})"
            self._names[digest] = name
        self._by_name = {self._names[digest]: controller for digest, controller in by_digest.items()}

    def name(self, controller: Mapping[str, Any]) -> str:
        """The worker that a report names for these conditions; empty where there is none."""
        return self._names[digest_of(controller)] if controller.get("worker") else ""

    def conditions(self, begun: Mapping[str, Any]) -> dict[str, Any]:
        """Conditions of the test: those that the campaign was ``begun`` under; of a campaign of a center those of all
        workers that ran its cells, where they differ as texts with the workers' names."""
        if not self._by_name:
            return dict(begun)
        merged: dict[str, Any] = {}
        for key in dict.fromkeys(key for each in self._by_name.values() for key in each if key != "worker"):
            values = {name: each.get(key) for name, each in sorted(self._by_name.items())}
            kinds = {str(value): value for value in values.values()}
            merged[key] = next(iter(kinds.values())) if len(kinds) == 1 else values
        return {**begun, **merged, "workers": sorted(self._by_name)}
