"""Every example that `harness init --kind` writes, built and run as its README says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Ran, Run
from tests.labs import lab_host

#: Kinds that containers of this machine serve -> what does not apply to the product, and is skipped with that reason.
SERVED: dict[str, set[str]] = {
    "batch": {"DEP-5", "DEP-6", "LC-03", "LC-04", "LC-05", "LC-06"},
    "c": set(),
    "deb": {"DB-03"},
    "docker": {"LC-07"},
    "go": set(),
    "java-jar": {"LC-02"},
    "java-war": {"LC-02"},
    "node": {"LC-02"},
    "php": {"LC-02"},
    "python": {"LC-02"},
    "rust": set(),
    "web": set(),
}
#: Kinds whose example has what an emulated ARM needs.
ON_ARM = ("batch", "c", "deb", "go", "java-jar", "java-war", "node", "php", "python")


def built(harness: Run, folder: Path, kind: str, *architectures: str) -> Path:
    """The example of a kind, after its build."""
    began = harness("init", folder, "--kind", kind, "--name", "试 product")
    assert began.code == 0, began.err
    if kind == "docker":
        assert harness("targets", "build", "debian-12", "--cpu", "x86-64").code == 0
    if (folder / "build.sh").exists():
        assert "build.sh" in began.err, "what is next is said"
        subprocess.run(["sh", folder / "build.sh", *architectures], check=True, cwd=folder.parent)
    checked = harness("lint", folder)
    assert checked.code == 0, checked.err
    assert "warning" not in checked.out + checked.err
    return folder


def record_of(ran: Ran) -> dict[str, Any]:
    return dict(json.loads(Path(ran.json["outputs"]["json"]).read_text()))


def demand_conformant(ran: Ran, skipped: set[str]) -> None:
    """Every cell passed, and what was left out says why."""
    assert ran.code == 0, ran.err
    record = record_of(ran)
    for cell in record["cells"]:
        assert cell["verdict"] == "conformant", cell["message"]
        left = {case["id"]: case["detail"] for case in cell["cases"] if case["result"] == "skip"}
        assert skipped <= left.keys()
        assert {case["result"] for case in cell["cases"]} <= {"pass", "skip"}
        assert all(left.values()), "a case that was left out says why"
    assert "certificate" in ran.json["outputs"]


@pytest.mark.parametrize("kind", SERVED)
def test_an_example_is_conformant_as_it_is(harness: Run, tmp_path: Path, kind: str) -> None:
    folder = built(harness, tmp_path / "p", kind)
    demand_conformant(harness("run", folder, "--format", "json"), SERVED[kind])


@pytest.mark.full
@pytest.mark.parametrize("kind", ON_ARM)
def test_an_example_is_conformant_on_an_emulated_arm(harness: Run, tmp_path: Path, kind: str) -> None:
    """As the README of the example says: another processor in the matrix, and the build for it."""
    compiled = kind in ("batch", "c")
    folder = built(harness, tmp_path / "p", kind, *(("x86_64", "aarch64") if compiled else ()))
    for name, old, new in (
        ("matrix.yaml", "cpu: [x86-64]", "cpu: [kunpeng-920]"),
        ("application.yaml", "  # - {path", "  - {path"),
    ):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    demand_conformant(harness("run", folder, "--format", "json", timeout=7200), SERVED[kind])


def test_an_rpm_package_is_not_tested_where_no_such_system_is(harness: Run, tmp_path: Path) -> None:
    """Its file is good, its plan says that nothing here serves it, and a run claims nothing."""
    folder = built(harness, tmp_path / "p", "rpm")
    (package,) = (folder / "build").glob("*.rpm")
    assert harness("scan", package).code == 0
    listed = subprocess.run(["rpm", "-qpl", package], check=True, capture_output=True, text=True).stdout
    assert "/usr/bin/notesd" in listed
    planned = harness("plan", folder)
    assert "cannot be served here" in planned.out
    ran = harness("run", folder, "--format", "json")
    assert ran.code in (3, 4), ran.err
    (cell,) = record_of(ran)["cells"]
    assert cell["verdict"] in ("inconclusive", "not-tested")
    assert "certificate" not in ran.json["outputs"]


def test_a_compose_file_runs_on_a_lab_host_with_an_engine(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is a container that reaches this machine's engine, so what is started is put into its network."""
    folder = built(harness, tmp_path / "p", "compose")
    blocked = harness("run", folder, "--format", "json")
    assert blocked.code in (3, 4), blocked.err
    socket = {"/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"}}
    with lab_host(
        "debian-12", "x86_64", mem_limit=1 << 30, packages=("docker-compose", "docker.io"), volumes=socket
    ) as lab:
        monkeypatch.setenv("LAB_KEY", lab.key)
        host = lab.plain(address=lab.address, port=22, labels={"cpu": "x86-64", "os": "debian-12"})
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [host]}))
        file = folder / "templates" / "compose.yaml"
        ports = 'ports: ["{{ ports.web }}:{{ ports.web }}"]'
        assert ports in file.read_text()
        file.write_text(file.read_text().replace(ports, f'network_mode: "container:{lab.inside.container}"'))
        demand_conformant(harness("run", folder, "--format", "json"), {"LC-07"})
