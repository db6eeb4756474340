"""What a campaign keeps of its definitions and of the machine it runs on."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from typing import Any

from harness import __version__
from harness.containers.engine import Engine
from harness.errors import InfrastructureError
from harness.model.definitions import Suite
from harness.model.plan import Definitions, Plan
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse


def deployment_suite() -> Suite:
    path = Catalogue.standard().find("suites", "deployment", "suite.yaml")
    if path is None:
        raise InfrastructureError("the built-in catalogue lacks suites/deployment", advice="install the package again")
    return parse(path, Suite)


def snapshot(definitions: Definitions, plan: Plan, deployment: Suite) -> dict[str, Any]:
    """Everything a report needs, so that it can be rendered when the definitions are long gone."""

    def plain(group: dict[str, Any]) -> dict[str, Any]:
        return {name: value.model_dump(mode="json", by_alias=True) for name, value in group.items()}

    return {
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
        "excluded": [{"rule": e.told, "because": e.because, "count": e.count} for e in plan.excluded],
        "valid": plan.valid,
        "definitions": plan.definitions,
        "pairs": {
            "strength": plan.coverage.strength,
            "covered": plan.coverage.covered,
            "never": plan.coverage.never,
            "tuples": plan.coverage.tuples,
        },
    }


def conditions(engine: Engine) -> dict[str, Any]:
    """Test conditions: the controller, the engine, the tools with their versions."""
    tools = {name: version(name) for name in ("pytest", "pytest-testinfra", "locust", "docker", "typst", "pyhanko")}
    return {
        "harness": __version__,
        "python": platform.python_version(),
        "tools": tools,
        "engine": engine.version.get("Version", ""),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": engine.cpus,
        "memory": engine.memory,
        "system": engine.info.get("OperatingSystem", ""),
        "storage": engine.info.get("Driver", ""),
        "python implementation": sys.implementation.name,
    }
