"""Two that remove the same machine at once, as happens when a campaign is stopped: nothing may be left."""

from __future__ import annotations

import threading
from pathlib import Path

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.evidence import Recorder, Workspace
from harness.model.definitions import Os
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse

ROUNDS = 6


def test_whoever_comes_second_waits_for_the_first(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    record = Recorder(workspace.journal, workspace.store, "removal", "", 0)
    path = Catalogue.standard().find("targets", "os", "debian-12.yaml")
    assert path is not None
    engine, other = Engine(workspace.id), Engine(workspace.id)
    base = BaseImages(engine, cache_folder()).ensure(parse(path, Os), "x86_64", record)
    for number in range(ROUNDS):
        name = f"harness-removal-{workspace.id}-{number}"
        labels = engine.labels("removal", str(number), "application")
        engine.create_network(name, labels)
        engine.create_container(
            name,
            base.id,
            labels=labels,
            memory=64 << 20,
            cpus=1.0,
            processes=32,
            network=name,
            alias="application",
            environment={},
        )
        first = threading.Thread(target=other.remove_container, args=(name,))
        first.start()
        engine.remove_container(name)
        engine.remove_network(name)
        first.join()
        assert engine.ours() == []
