"""A product under compose: a container that nobody can see is not one that runs. The shell is real, docker a script
that answers from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.control import compose
from harness.control.compose import Compose
from harness.errors import InfrastructureError
from harness.model.definitions import ComposeFile
from harness.system.process import Completed
from tests.here import run_here
from tests.suite_runs import context

DOCKER = """#!/bin/sh
[ ! -e $PLACE/away ] || { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }
case "$*" in
*com.docker.compose.service*) cut -d' ' -f1 $PLACE/container 2>/dev/null; exit 0 ;;
inspect*) cat $PLACE/container ;;
version*) ;;
*'up -d'*) echo "$PASSWORD" >$PLACE/environment ;;
esac
"""
RUNS = '{} running 0 4711 0 false "0001-01-01T00:00:00Z"\n'
OVER = '{} exited 3 0 0 false "2026-01-01T00:00:00.1Z"\n'


class Machine:
    """This machine's shell, with the folders of the harness below ``place``."""

    name = "application"

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "docker").write_text(DOCKER)
        (place / "docker").chmod(0o755)
        (place / "compose.yaml").touch()

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        environment = {"PATH": f"{self.place}:{os.environ['PATH']}", "PLACE": str(self.place)}
        return run_here(command, timeout=timeout, environment=environment)

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)

    def container(self, line: str) -> None:
        (self.place / "container").write_text(line)


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(compose, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr(compose, "STARTS", str(tmp_path / "starts"))
    given = context(tmp_path)
    application = given.application.model_copy(update={"environment": {"PASSWORD": "given"}})
    file = ComposeFile(file=str(tmp_path / "compose.yaml"), service="web")
    product: Any = Compose(given.model_copy(update={"application": application}), Machine(tmp_path), file)  # type: ignore[arg-type]
    product.install()
    product.machine.container(RUNS.format("first"))
    assert product.start()
    return product


def test_an_end_is_told_once_over_starts(product: Any) -> None:
    assert product.ends() == []
    product.machine.container(OVER.format("first"))
    assert [end.status for end in product.ends()] == [3]
    product.machine.container(RUNS.format("second"))  # up -d may make it anew
    product.start()
    assert [end.status for end in product.ends()] == [3]


@pytest.mark.parametrize("look", ["ends", "running", "exit_code", "pid", "asked"])
def test_an_engine_that_does_not_answer_is_no_proof(product: Any, look: str) -> None:
    (product.machine.place / "away").touch()
    with pytest.raises(InfrastructureError, match="engine"):
        getattr(product, look)()


def test_after_a_restart_of_the_machine_the_variables_are_there_again(product: Any) -> None:
    place = product.machine.place
    assert (place / "environment").read_text() == "given\n"
    product.asked()
    (place / "run").rename(place / "run-of-before")
    (place / "environment").unlink()
    product.start()
    assert (place / "environment").read_text() == "given\n"
    assert product.ends() == []
    product.machine.container(OVER.format("first"))
    assert len(product.ends()) == 1, "what ends after that was not asked for"


@pytest.mark.parametrize("line", ["", RUNS.format("second")], ids=["removed", "replaced"])
def test_another_container_than_was_started_is_no_proof(product: Any, line: str) -> None:
    product.machine.container(line)
    with pytest.raises(InfrastructureError, match="not the one"):
        product.ends()


def test_notes_that_are_gone_are_no_proof(product: Any) -> None:
    (product.machine.place / "starts").rename(product.machine.place / "away-with-them")
    with pytest.raises(InfrastructureError, match="not noted"):
        product.ends()


def test_a_note_that_cannot_be_written_is_no_end_that_was_asked_for(product: Any) -> None:
    (product.machine.place / "starts").rename(product.machine.place / "away-with-them")
    (product.machine.place / "starts").touch()
    with pytest.raises(InfrastructureError, match="cannot be noted"):
        product.asked()


def test_what_was_stopped_may_be_removed(product: Any) -> None:
    product.asked()
    product.machine.container("")
    assert product.ends() == []
