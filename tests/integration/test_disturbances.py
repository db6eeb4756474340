"""What is done to the containers of a cell from outside is known, however short it was; verbs of a suite are not."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.disturbances import ContainerWatch
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.model.verbs import Verb, note_deed
from tests.labs import Notes, system


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[tuple[ContainerWatch, Engine, str]]:
    """Two containers on a network, as a cell has them, and their watch."""
    engine = Engine("disturbances")
    base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    name = f"harness-disturbed-{secrets.token_hex(4)}"
    network = engine.create_network(name, engine.labels("test", "1", ""))
    made = {}
    try:
        for role in ("application", "database"):
            made[role] = engine.create_container(
                f"{name}-{role}",
                base.id,
                labels=engine.labels("test", "1", role),
                memory=64 << 20,
                cpus=1,
                processes=32,
                network=name,
                alias=role,
                environment={},
                ports=(8080,),
            )
        yield ContainerWatch(engine, made, network, tmp_path / "deeds"), engine, name
    finally:
        for role in made:
            with contextlib.suppress(Exception):
                engine.client.api.unpause(made[role])
            engine.remove_container(f"{name}-{role}")
        engine.remove_network(name)


def test_nothing_is_seen_where_nothing_was_done(cell: tuple[ContainerWatch, Engine, str]) -> None:
    watch, engine, _ = cell
    since = time.time()
    handle = engine.client.api.exec_create(watch.containers["application"], ["true"])["Id"]
    engine.client.api.exec_start(handle)
    assert watch.disturbances(since) == []


@pytest.mark.parametrize("role", ["application", "database"])
@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("a short pause", "was paused"),
        ("restart", "was restarted"),
        ("kill", "does not run any more"),
        ("disconnect", "was taken off its network"),
        ("reconnect", "was put on a network"),
        ("remove", "is gone"),
    ],
)
def test_each_is_told_for_its_container_alone(
    cell: tuple[ContainerWatch, Engine, str], role: str, deed: str, words: str
) -> None:
    watch, engine, network = cell
    api, identity = engine.client.api, watch.containers[role]
    time.sleep(2.1)
    since = time.time()
    if deed == "a short pause":
        api.pause(identity)
        api.unpause(identity)
    elif deed == "restart":
        api.restart(identity, timeout=0)
    elif deed == "kill":
        api.kill(identity)
    elif deed == "remove":
        api.remove_container(identity, force=True)
    else:
        api.disconnect_container_from_network(identity, network, force=True)
        if deed == "reconnect":
            api.connect_container_to_network(identity, network)
    seen = watch.disturbances(since)
    assert any(words in text and f"of {role} " in text for text in seen), seen
    other = "database" if role == "application" else "application"
    assert not any(f"of {other} " in text for text in seen), seen


def test_what_was_before_and_what_a_suite_did_is_no_disturbance(cell: tuple[ContainerWatch, Engine, str]) -> None:
    watch, engine, _ = cell
    api, identity = engine.client.api, watch.containers["application"]
    api.pause(identity)
    api.unpause(identity)
    time.sleep(0.1)
    since = time.time()
    assert watch.disturbances(since) == []
    note_deed(watch.noted, "application", Verb.PAUSE)
    api.pause(identity)
    assert watch.disturbances(since) == []
    note_deed(watch.noted, "application", Verb.PAUSE, ends=True)
    api.unpause(identity)
    assert watch.disturbances(since) == []
    api.pause(watch.containers["database"])
    assert any("of database was paused" in text for text in watch.disturbances(since))


def test_what_a_container_wrote_is_known(cell: tuple[ContainerWatch, Engine, str]) -> None:
    watch, engine, _ = cell
    handle = engine.client.api.exec_create(
        watch.containers["application"], ["dd", "if=/dev/zero", "of=/var/big", "bs=1M", "count=8"]
    )["Id"]
    engine.client.api.exec_start(handle)
    assert watch.written("application") >= 8 << 20
    assert watch.written("database") < 1 << 20
