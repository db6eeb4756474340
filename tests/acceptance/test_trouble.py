"""The machine fails, definitions are wrong, the operator stops it: clear words, the right exit code, no loss."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.evidence import Workspace, broken_at
from harness.model.results import State
from harness.system.makers import runs
from harness.system.wait import wait_until
from tests.conftest import Run, command
from tests.products import WEB, product

#: Long enough to be stopped in the middle.
SLOW = "import time\n\ndef test_it_runs(application):\n    time.sleep(8)\n"


def ours(workspace: Path) -> list[str]:
    """Containers and networks of a workspace."""
    client = docker.from_env()
    label = {"label": f"harness.workspace={Workspace(workspace).id}"}
    found = [c.name for c in client.containers.list(all=True, filters=label)]
    found += [n.name for n in client.networks.list(filters=label)]
    client.close()
    return found


def begin(tmp_path: Path, root: Path, until: str, *more: str) -> subprocess.Popen[str]:
    """Start a run and return when ``until`` was shown."""
    process = subprocess.Popen(
        command("run", str(root), *more),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if until in line and "sha256" not in line:  # the line that names a vendor's suite comes before any step
            return process
    raise AssertionError(f"{until!r} was never shown; exit {process.wait()}")


def test_no_engine(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB)
    ran = harness("run", root, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert ran.code == 3
    assert "the Docker engine does not answer" in ran.err
    assert "make setup" in ran.err


@pytest.fixture
def no_loongarch() -> Iterator[None]:
    """The kernel forgets how to run LoongArch programs for the time of a test."""
    entry = Path("/proc/sys/fs/binfmt_misc/qemu-loongarch64")
    entry.write_text("0")
    yield
    entry.write_text("1")


@pytest.mark.usefixtures("no_loongarch")
def test_no_binfmt_for_an_architecture_blocks_its_cells_only(harness: Run, tmp_path: Path) -> None:
    root = product(
        tmp_path / "p", WEB, include=[{"os": "debian-forky", "cpu": "loongson-3a5000", "database": "sqlite"}]
    )
    ran = harness("run", root, "--format", "json")
    assert ran.code == 3
    assert ran.cells["x86-64"]["verdict"] == "conformant", ran.err
    assert (ran.cells["loongson-3a5000"]["verdict"], ran.cells["loongson-3a5000"]["cause"]) == ("inconclusive", "infra")
    assert "binfmt entry for loongarch64 is disabled" in ran.cells["loongson-3a5000"]["message"]
    assert harness("doctor").code == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A workspace on a file system of a few hundred kilobytes."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=420k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_nothing_and_the_run_can_go_on(harness: Run, tmp_path: Path, small_disk: Path) -> None:
    root = product(tmp_path / "p", WEB, cpu=["x86-64"], database=["sqlite", "postgresql"])
    (small_disk / "ballast").write_bytes(b"\0" * 120_000)
    ran = harness("run", root, "--workspace", small_disk, "--jobs", "1")
    assert ran.code == 3, ran.err
    assert "no space left on the disk of the workspace" in ran.err
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    workspace = Workspace(small_disk)
    assert broken_at(workspace.journal) is None
    before = len(workspace.journal.events())
    assert before > 0
    assert ours(small_disk) == []
    again = harness("resume", "--workspace", small_disk, "--format", "json")
    assert again.code == 0, again.err
    assert {cell["verdict"] for cell in again.json["cells"]} == {"conformant"}
    assert len(Workspace(small_disk).journal.events()) > before


@pytest.mark.parametrize(
    ("name", "text", "place", "told"),
    [
        ("application.yaml", "application: x\nnmae: y\n", r"application\.yaml:2:1", "unknown key 'nmae'"),
        (
            "matrix.yaml",
            "matrix: x\naxes: {os: [debian-12], cpu: [kunpeng], database: [sqlite]}\nsuites: [checks]\n",
            r"matrix\.yaml:2:\d+",
            "no such cpu",
        ),
        ("matrix.yaml", "matrix: [\n", r"matrix\.yaml:2:1", "not valid YAML"),
    ],
)
def test_wrong_definitions(harness: Run, tmp_path: Path, name: str, text: str, place: str, told: str) -> None:
    root = product(tmp_path / "p", WEB)
    (root / name).write_text(text)
    for verb in ("lint", "plan", "run"):
        ran = harness(verb, root)
        assert ran.code == 2, ran.err
        assert re.search(place, ran.err)
        assert told in ran.err
    assert not (tmp_path / ".harness").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "nowhere"], "no matrix at nowhere"),
        (["resume"], "no workspace at"),
        (["show", "x"], "no workspace at"),
        (["frobnicate"], "no such command 'frobnicate'"),
        (["run", "p", "--only", "cpu"], "expected AXIS=VALUE"),
        (["run", "p", "--only", "cpu=x87"], "no cell has it; known: x86-64"),
        (["run", "p", "--jobs", "many"], "not a valid integer"),
    ],
)
def test_wrong_usage(harness: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    product(tmp_path / "p", WEB)
    ran = harness(*arguments)
    assert ran.code == 2
    assert told in ran.err


def test_ctrl_c_once_finishes_the_steps_and_begins_no_other_cell(harness: Run, tmp_path: Path) -> None:
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "n": ["1", "2", "3"]}
    root = product(tmp_path / "p", WEB, check=SLOW, axes=axes)
    process = begin(tmp_path, root, "n=2  checks", "--jobs", "1")
    now = harness("status", "--format", "json").json
    assert now["state"] == "running"
    assert now["counts"] == {"conformant": 1, "running": 1, "queued": 1}
    assert harness("cancel").code == 0
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Ctrl-C again stops now" in err
    assert ours(tmp_path / ".harness") == []
    shown = [cell["verdict"] for cell in harness("show", "--format", "json").json["cells"]]
    assert shown == ["conformant", "conformant", "not-tested"], "the suite that ran was not finished"
    assert harness("cancel").code == 2
    again = harness("resume", "--format", "json")
    assert again.code == 0, again.err
    assert [cell["attempts"] for cell in again.json["cells"]] == [1, 1, 1]
    status = harness("status", "--format", "json").json
    assert (status["state"], status["counts"]) == ("finished", {"conformant": 3})
    cell = status["cells"][0]["short"]
    names = {file["name"] for file in harness("logs", cell, "--format", "json").json["files"]}
    assert "application.log" in names
    assert "--- start" in harness("logs", cell[:5], "application.log").out
    assert harness("logs", "zz").code == 2
    assert harness("logs", cell, "nothing.log").code == 2
    assert harness("verify").code == 0


def test_interrupt_in_the_middle_then_resume(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB, check=SLOW)
    process = begin(tmp_path, root, "checks")
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "harness resume" in err
    assert ours(tmp_path / ".harness") == []
    shown = harness("show", "--format", "json").json["cells"][0]
    assert (shown["verdict"], shown["cause"]) == ("inconclusive", "canceled")
    again = harness("resume", "--format", "json")
    assert again.code == 0, again.err
    assert again.json["cells"][0]["attempts"] == 2


def test_stop_now_from_another_process_ends_an_installation(harness: Run, tmp_path: Path) -> None:
    """Two cells that need what is being installed: neither waits for its end, and nothing is left of them."""
    slow = {**WEB, "setup": ["sleep 600"]}
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "n": ["1", "2"]}
    process = begin(tmp_path, product(tmp_path / "p", slow, axes=axes), "environment")
    workspace = tmp_path / ".harness"
    wait_until(lambda: any("harness-build" in name for name in ours(workspace)), seconds=120, what="the installation")
    assert harness("cancel", "--now").code == 0
    _, err = process.communicate(timeout=60)  # the installation alone would take ten minutes
    assert process.returncode == 130, err
    assert ours(workspace) == []
    cells = harness("show", "--format", "json").json["cells"]
    assert {cell["verdict"] for cell in cells} <= {"inconclusive", "not-tested"}
    assert {cell["cause"] for cell in cells if cell["verdict"] == "inconclusive"} == {"canceled"}
    assert harness("verify").code == 0


def test_kill_in_the_middle_then_gc_then_resume(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB, check=SLOW)
    process = begin(tmp_path, root, "checks")
    time.sleep(2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    left = ours(tmp_path / ".harness")
    assert left, "a killed harness cannot clean up"
    workspace = Workspace(tmp_path / ".harness")
    names = {resource.name for resource in workspace.journal.resources()}
    assert set(left) <= names, "something was created before it was journaled"
    assert broken_at(workspace.journal) is None
    assert _children_of_the_dead(root) == []
    swept = harness("gc", "--format", "json")
    assert {name.partition(" ")[2] for name in swept.json["removed"]} >= set(left)
    assert ours(tmp_path / ".harness") == []
    assert "cut off" in harness("list").out
    again = harness("resume", "--format", "json")
    assert again.code == 0, again.err
    assert again.json["cells"][0]["attempts"] == 2
    (first, second) = Workspace(tmp_path / ".harness").journal.attempts(again.json["campaign"])
    assert (first.state, second.state) == (State.DONE, State.DONE)
    assert "ended in the middle" in first.message


@pytest.mark.full
def test_kill_then_resume_without_gc(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB, check=SLOW)
    process = begin(tmp_path, root, "deploy")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    again = harness("resume", "--format", "json")
    assert again.code == 0, again.err
    assert ours(tmp_path / ".harness") == []


@pytest.mark.full
def test_resume_takes_the_definitions_that_were_submitted(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB, check=SLOW)
    process = begin(tmp_path, root, "checks")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    (root / "checks" / "test_checks.py").write_text("def test_it_runs():\n    assert False, 'another suite'\n")
    (root / "application.yaml").unlink()
    ran = harness("resume")
    assert ran.code == 0, ran.err


def test_gc_leaves_a_running_campaign_alone(harness: Run, tmp_path: Path) -> None:
    process = begin(tmp_path, product(tmp_path / "p", WEB, check=SLOW), "checks")
    held = ours(tmp_path / ".harness")
    assert held
    removed = harness("gc", "--format", "json").json["removed"]
    for name in removed:  # tests beside this one end runs of theirs, at any time
        folder = re.fullmatch(r"folder harness-[a-z]+-[0-9a-f]{4}-([0-9a-f]{8})-.+", name)
        assert name.startswith("file mmdebstrap.") or (folder and not runs(folder[1])), name
    assert ours(tmp_path / ".harness") == held
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err


@pytest.mark.full
def test_killed_at_random_moments_and_resumed_each_time(harness: Run, tmp_path: Path) -> None:
    """kill -9 with the real engine, again and again; the moments are drawn anew in each run of the test, and told."""
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "n": ["1", "2", "3"]}
    root = product(tmp_path / "p", WEB, axes=axes)
    chance = random.Random()
    moments = [round(chance.uniform(0.7, 4.0), 2) for _ in range(5)]
    verb = ["run", str(root)]
    for moment in moments:
        process = subprocess.Popen(command(*verb), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.kill()
        process.wait()
        if (tmp_path / ".harness" / "journal.sqlite").exists() and harness("list", "--format", "json").json[
            "campaigns"
        ]:
            verb = ["resume"]
    ended = harness(*verb, "--format", "json")
    assert ended.code == 0, f"killed after {moments} s: {ended.err}"
    workspace = Workspace(tmp_path / ".harness")
    (row,) = workspace.journal.campaigns()
    attempts = workspace.journal.attempts(row.id)
    good = [a.cell for a in attempts if a.verdict is not None and a.verdict.value == "conformant"]
    assert len(good) == len(set(good)) == 3, f"killed after {moments} s: a finished cell was run again"
    assert ours(tmp_path / ".harness") == [], f"killed after {moments} s"
    assert harness("verify").code == 0
    assert _children_of_the_dead(root) == []


def _children_of_the_dead(root: Path) -> list[Any]:
    """pytest or locust processes that still work on the product's suites."""
    time.sleep(1)
    found = subprocess.run(["pgrep", "-af", str(root)], capture_output=True, text=True, check=False).stdout
    return [line for line in found.splitlines() if "pgrep" not in line]
