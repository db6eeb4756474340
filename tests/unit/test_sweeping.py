"""A sweep takes what nobody owns, and nothing of a build or a campaign under way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.campaigns.sweeping import sweep
from harness.containers import firewall
from harness.containers.engine import LABEL_MAKER
from harness.containers.engine import Engine as RealEngine
from harness.evidence import Workspace
from harness.system.makers import own_name, runs
from harness.virtual.qemu import STATE
from tests.unit.test_makers import PROGRAM


class Engine:
    """Containers and networks as rows: what an engine would list."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, dict[str, str]]] = []

    def add(self, name: str, campaign: str, maker: str = "", kind: str = "container") -> None:
        self.rows.append((kind, name, {"harness.campaign": campaign, "harness.maker": maker}))

    def ours(self, *, everywhere: bool = False) -> list[tuple[str, str, dict[str, str]]]:
        return list(self.rows)

    def _remove(self, name: str) -> bool:
        self.rows = [row for row in self.rows if row[1] != name]
        return True

    remove_container = remove_network = _remove

    @property
    def names(self) -> set[str]:
        return {name for _, name, _ in self.rows}


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The firewall of this machine is not theirs: rules of networks that are gone may stand there.
    monkeypatch.setattr(firewall, "sweep", list)
    monkeypatch.setattr(firewall, "closed", set)
    return Workspace(tmp_path / "ws")


@pytest.fixture
def builder(workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that builds something, and its name."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    with process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def machine(workspace: Workspace, name: str, campaign: str) -> Path:
    folder = workspace.machines / name
    folder.mkdir(parents=True)
    (folder / STATE).write_text(json.dumps({"campaign": campaign, "name": name}))
    return folder


def swept(engine: Engine, workspace: Workspace, **options: Any) -> set[str]:
    return set(sweep(engine, workspace, **options))  # type: ignore[arg-type]


def test_a_build_under_way_stays_until_its_process_ends(
    workspace: Workspace, builder: tuple[subprocess.Popen[str], str]
) -> None:
    process, name = builder
    engine = Engine()
    engine.add("look", "build", name)
    engine.add("export", "build", name)
    engine.add("left", "build", "0a0a0a0a")
    engine.add("former", "build")
    boot = machine(workspace, f"boot-{name}-77", "")
    old = machine(workspace, "boot-4711-77", "")
    assert swept(engine, workspace) == {"container left", "container former", "vm boot-4711-77"}
    assert engine.names == {"look", "export"}
    assert boot.exists()
    assert not old.exists()
    process.kill()
    process.wait()
    assert swept(engine, workspace) == {"container look", "container export", f"vm boot-{name}-77"}


def test_what_a_running_campaign_owns_stays_and_the_other_campaign_s_goes(workspace: Workspace) -> None:
    engine = Engine()
    for campaign in ("c1", "c2"):
        engine.add(f"{campaign}-app", campaign)
        engine.add(f"{campaign}-net", campaign, kind="network")
        workspace.journal.resource(campaign, "container", f"{campaign}-gone", "intent")
        machine(workspace, f"{campaign}-vm", campaign)
    with workspace.hold("c1"):
        assert swept(engine, workspace) == {"container c2-app", "network c2-net", "vm c2-vm"}
    states = {row.name: row.state for row in workspace.journal.resources()}
    assert (states["c1-gone"], states["c2-gone"]) == ("intent", "removed")


def test_a_campaign_that_ends_takes_its_own_and_nothing_else(
    workspace: Workspace, builder: tuple[subprocess.Popen[str], str]
) -> None:
    engine = Engine()
    engine.add("own", "c1", builder[1])
    engine.add("other", "c2", builder[1])
    engine.add("build", "build", builder[1])
    boot = machine(workspace, "boot-4711-77", "")
    assert swept(engine, workspace, campaign="c1") == {"container own"}
    assert boot.exists()


def test_whatever_an_engine_makes_carries_the_name_of_its_maker(workspace: Workspace) -> None:
    labels = RealEngine.labels(SimpleNamespace(workspace=workspace.id), "build", "a", "look")  # type: ignore[arg-type]
    assert labels[LABEL_MAKER] == own_name()
    assert runs(labels[LABEL_MAKER])


def test_rules_that_outlived_their_networks_are_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "sweep", lambda: ["br-one", "br-two"])
    assert swept(Engine(), workspace) == {"rule br-one", "rule br-two"}
