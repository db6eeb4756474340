"""A look into machines: of cells that run, and of failed cells that were kept."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import docker
import psutil

from harness.evidence import Workspace
from harness.system.wait import wait_until
from tests.conftest import Run, command
from tests.products import WEB, product

AXES = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "n": ["good", "bad 一", "worse"]}
CHECK = "def test_it(host):\n    assert 'good' in host.run('cat /srv/www/health').stdout\n"
#: It serves which cell it is of.
OF_ITS_CELL = {**WEB, "start": f"echo '{{{{ cell.n }}}}' >/srv/www/health; exec {WEB['start']}"}


def standing(workspace: Path) -> list[str]:
    client = docker.from_env()
    label = {"label": f"harness.workspace={Workspace(workspace).id}"}
    names = [c.name for c in client.containers.list(filters=label)]
    client.close()
    return names


def test_failed_cells_are_kept_and_can_be_entered(harness: Run, tmp_path: Path) -> None:
    """Three cells, two of which fail: their product still runs, each has its own files, and gc removes them."""
    root = product(tmp_path / "p", OF_ITS_CELL, axes=AXES, check=CHECK)
    ran = harness("run", root, "--keep", "--format", "json")
    assert ran.code == 1, ran.err
    cells: list[dict[str, Any]] = ran.json["cells"]
    failed = [cell for cell in cells if cell["verdict"] == "nonconformant"]
    assert len(failed) == 2
    assert len(standing(tmp_path / ".harness")) == 2
    for cell in failed:
        short = cell["id"].rsplit("#", 1)[1]
        assert f"harness shell {short}" in ran.err
        read = harness("shell", short, "--", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/health")
        assert read.code == 0, read.err
        assert read.out.strip() in cell["id"]
        typed = subprocess.run(
            command("shell", short), cwd=tmp_path, input="cat /srv/www/health; exit 7\n", capture_output=True, text=True
        )
        assert (typed.returncode, typed.stdout) == (7, read.out)
        assert harness("shell", short, "--role", "database").code == 2
    good = next(cell for cell in cells if cell not in failed)
    none = harness("shell", good["id"].rsplit("#", 1)[1])
    assert none.code == 2
    assert "no machine stands for cell" in none.err
    assert "harness run --keep" in none.err
    assert harness("shell", "nothing").code == 2
    removed = harness("gc", "--format", "json").json["removed"]
    assert len([name for name in removed if name.startswith(("container ", "network "))]) >= 4
    assert standing(tmp_path / ".harness") == []
    assert harness("verify").code == 0


def test_nothing_is_kept_where_nobody_asks(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", product(tmp_path / "p", WEB, check="def test_it():\n    assert False\n"))
    assert ran.code == 1
    assert standing(tmp_path / ".harness") == []


def test_a_virtual_machine_of_a_failed_cell_is_kept_and_removed(harness: Run, tmp_path: Path) -> None:
    """Two cells, each in a machine of its own; one fails. It runs on after the harness has ended, is entered as it
    stands, and gc takes its process, its disk and its folder."""
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["none"], "n": ["good", "bad 一"]}
    root = product(tmp_path / "p", OF_ITS_CELL, axes=axes, check=CHECK, prefer=["vm"])
    ran = harness("run", root, "--keep", "--format", "json")
    assert ran.code == 1, ran.err
    (failed,) = [cell for cell in ran.json["cells"] if cell["verdict"] == "nonconformant"]
    short = failed["id"].rsplit("#", 1)[1]
    assert f"harness shell {short}" in ran.err
    machines = tmp_path / ".harness" / "machines"
    (folder,) = [state.parent for state in machines.glob("*/qemu.json")]
    process = int((folder / "pid").read_text())
    assert psutil.pid_exists(process)
    read = harness("shell", short, "--", "cat", "/srv/www/health")
    assert (read.code, read.out) == (0, "bad 一\n"), read.err
    assert harness("shell", short, "--", "sh", "-c", "exit 7").code == 7
    served = harness("shell", short, "--", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/health")
    assert served.out == "bad 一\n", "its product still runs"
    assert harness("shell", short, "--role", "database").code == 2
    removed = harness("gc", "--format", "json").json["removed"]
    assert f"vm {folder.name}" in removed
    assert list(machines.iterdir()) == []
    wait_until(lambda: not psutil.pid_exists(process) or None, seconds=20, what="the end of its process")
    none = harness("shell", short)
    assert (none.code, "no machine stands for cell" in none.err) == (2, True)
    assert harness("verify").code == 0
