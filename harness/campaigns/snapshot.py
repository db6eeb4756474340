"""The copy of its definitions, and of the facts about its machine, that a campaign keeps."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from harness import __version__
from harness.containers.engine import Engine
from harness.errors import InfrastructureError
from harness.model.definitions import Suite
from harness.model.plan import Definitions, Plan
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse


def deployment_suite(catalogue: Catalogue | None = None) -> Suite:
    """The suite whose cases are the steps of a deployment.

    Raises:
        InfrastructureError: it is not there.
    """
    path = (catalogue or Catalogue.standard()).find("suites", "deployment", "suite.yaml")
    if path is None:
        raise InfrastructureError("the built-in catalogue lacks suites/deployment", advice="install the package again")
    return parse(path, Suite)


def snapshot(definitions: Definitions, plan: Plan, deployment: Suite, inputs: str = "") -> dict[str, Any]:
    """Everything a report needs, so that it can be rendered when the definitions are long gone.

    ``inputs``: SHA-256 of the list of the files that the campaign was submitted with (``harness.campaigns.inputs``).
    """

    def plain(group: dict[str, Any]) -> dict[str, Any]:
        return {name: value.model_dump(mode="json", by_alias=True) for name, value in group.items()}

    return {
        "inputs": inputs,
        "matrix": definitions.matrix.model_dump(mode="json"),
        "application": definitions.application.model_dump(mode="json", by_alias=True),
        "cpus": plain(definitions.cpus),
        "systems": plain(definitions.systems),
        "databases": plain(definitions.databases),
        "deployment": deployment.model_dump(mode="json"),
        "suites": {
            name: {**suite.definition.model_dump(mode="json"), "digest": suite.digest}
            for name, suite in definitions.suites.items()
        },
        "cells": [
            {"id": c.id, "short": c.short, "axes": c.axes, "suites": list(c.suites), "reason": c.reason}
            for c in plan.cells
        ],
        "basis": [entry.recorded for entry in definitions.basis],
        "excluded": [{"rule": e.text, "because": e.because, "count": e.count} for e in plan.excluded],
        "valid": plan.valid,
        "definitions": plan.definitions,
        "pairs": {
            "strength": plan.coverage.strength,
            "covered": plan.coverage.covered,
            "never": plan.coverage.never,
            "tuples": plan.coverage.tuples,
        },
    }


@dataclass(frozen=True, kw_only=True)
class MachineSize:
    """CPUs, and memory in bytes."""

    cpus: int
    memory: int

    @classmethod
    def of(cls, engine: Engine | None) -> MachineSize:
        """Of the engine's machine; of this one where no engine is used."""
        if engine is not None:
            return cls(cpus=engine.cpus, memory=engine.memory)
        return cls(cpus=os.cpu_count() or 1, memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def conditions(engine: Engine | None) -> dict[str, Any]:
    """Test conditions: the controller, the engine where one is used, the tools with their versions."""
    size = MachineSize.of(engine)
    tools = {name: version(name) for name in ("pytest", "pytest-testinfra", "locust", "docker", "typst", "pyhanko")}
    return {
        "harness": __version__,
        "python": platform.python_version(),
        "tools": tools,
        "engine": engine.version.get("Version", "") if engine is not None else "none 未使用",
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": size.cpus,
        "memory": size.memory,
        "system": engine.info.get("OperatingSystem", "") if engine is not None else platform.platform(),
        "storage": engine.info.get("Driver", "") if engine is not None else "—",
        "python implementation": sys.implementation.name,
    }
