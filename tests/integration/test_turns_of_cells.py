"""Two cells for one host, cells with a load and without, two campaigns at once: each wait ends, and is announced."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.evidence import Workspace
from harness.system.forking import ForkServer
from tests.integration.test_kill import Lab

LOAD = ["checks", "load/http"]


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    server = ForkServer(["tests.scripted"])
    yield server
    server.close()


def lab_with(forks: ForkServer, place: Path, suites: list[str], cells: int = 2) -> Lab:
    lab = Lab(forks, place)
    path = lab.folder / "matrix.yaml"
    matrix = yaml.safe_load(path.read_text())
    matrix["axes"]["n"] = [str(number) for number in range(cells)]
    path.write_text(yaml.safe_dump({**matrix, "suites": suites}))
    return lab


def run(lab: Lab, cache: Path, **environment: str) -> tuple[Workspace, list[str], str]:
    done = lab.forks.run(
        "tests.scripted:campaign",
        ["run", str(lab.folder), str(lab.workspace), 0, "", 2],
        log=lab.place / "log",
        timeout=60,
        cwd=Path.cwd(),
        env={"SCRIPTED": str(lab.place / "engine"), "XDG_CACHE_HOME": str(cache), **environment},
    )
    assert "Traceback" not in done.text, done.text
    workspace = Workspace(lab.workspace)
    (row,) = workspace.journal.campaigns()
    verdicts = [a.verdict.value if a.verdict is not None else "" for a in workspace.journal.attempts(row.id)]
    return workspace, verdicts, done.text


def waits(workspace: Workspace) -> list[str]:
    (row,) = workspace.journal.campaigns()
    events = workspace.journal.events(row.id)
    return [json.loads(event.data)["message"] for event in events if event.kind == "waiting"]


def test_two_cells_with_loads_take_turns_at_one_host(forks: ForkServer, tmp_path: Path) -> None:
    """The second waits for the host and holds no turn meanwhile, so the load of the first begins at once."""
    lab = lab_with(forks, tmp_path / "lab", LOAD)
    _, verdicts, _ = run(lab, tmp_path / "cache", SCRIPTED_ONE_HOST="1", SCRIPTED_SUITE_SECONDS="0.1")
    assert verdicts == ["conformant"] * 2


def test_a_load_has_the_machine_alone(forks: ForkServer, tmp_path: Path) -> None:
    lab = lab_with(forks, tmp_path / "lab", LOAD, cells=4)
    _, verdicts, _ = run(lab, tmp_path / "cache", SCRIPTED_SUITE_SECONDS="0.1")
    assert verdicts == ["conformant"] * 4


def test_two_campaigns_with_loads_on_one_machine(forks: ForkServer, tmp_path: Path) -> None:
    labs = [lab_with(forks, tmp_path / name, LOAD) for name in ("a", "b")]
    verdicts: list[list[str]] = []

    def work(lab: Lab) -> None:
        verdicts.append(run(lab, tmp_path / "cache", SCRIPTED_SUITE_SECONDS="0.1")[1])

    threads = [threading.Thread(target=work, args=(lab,)) for lab in labs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert verdicts == [["conformant"] * 2] * 2


def test_a_long_wait_is_in_the_journal_with_who_is_waited_for(forks: ForkServer, tmp_path: Path) -> None:
    lab = lab_with(forks, tmp_path / "lab", ["checks"])
    workspace, verdicts, _ = run(
        lab, tmp_path / "cache", SCRIPTED_ONE_HOST="1", SCRIPTED_SUITE_SECONDS="0.3", SCRIPTED_NOTICE_SECONDS="0.05"
    )
    assert verdicts == ["conformant"] * 2
    assert waits(workspace) == ["a lab host: the only one is in use"]
