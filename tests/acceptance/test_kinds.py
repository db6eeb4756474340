"""Every example that `harness init --kind` writes, built and run as its README says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import commands
from tests.conftest import Ran, command

#: Kinds that containers of this machine serve -> what does not apply to the product, and is skipped with that reason.
SERVED: dict[str, set[str]] = {
    "batch": {"DEP-5", "DEP-6", "LC-03", "LC-04", "LC-05", "LC-06"},
    "c": set(),
    "cpp": set(),
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
#: What the gate leaves to `full`; it runs them with a part of their suites, on one database.
LONG = ("java-war", "php")
#: Kinds whose example has what an emulated ARM needs.
ON_ARM = ("batch", "c", "deb", "go", "java-jar", "java-war", "node", "php", "python")


def harness_in(folder: Path, *words: str | Path, timeout: float = 1800) -> Ran:
    """Run the command line as a process in ``folder``."""
    return Ran.of(commands.run([*map(str, words)], cwd=folder, env=os.environ, timeout=timeout))


def built(folder: Path, kind: str, *architectures: str) -> Path:
    """The example of a kind in ``folder``/p, after its build."""
    began = harness_in(folder, "init", "p", "--kind", kind, "--name", "试 product")
    assert began.code == 0, began.err
    if kind == "docker":
        assert harness_in(folder, "targets", "build", "debian-12", "--cpu", "x86-64").code == 0
    if (folder / "p" / "build.sh").exists():
        assert "build.sh" in began.err, "what is next is said"
        subprocess.run(["sh", "p/build.sh", *architectures], check=True, cwd=folder)
    checked = harness_in(folder, "lint", "p")
    assert checked.code == 0, checked.err
    assert "warning" not in checked.out + checked.err
    return folder / "p"


def built_and_run(folder: Path, kind: str) -> Ran:
    built(folder, kind)
    return harness_in(folder, "run", "p", "--format", "json")


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ran]]]:
    """All examples that are asked for, three at a time, each in a workspace of its own: mostly they wait."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [str(item.callspec.params["kind"]) for item in items if "runs" in item.fixturenames]
    with ThreadPoolExecutor(3) as pool:
        yield {kind: pool.submit(built_and_run, tmp_path_factory.mktemp(kind), kind) for kind in asked}


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


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.full) if kind in LONG else kind for kind in SERVED]
)
def test_an_example_is_conformant_as_it_is(runs: dict[str, Future[Ran]], kind: str) -> None:
    demand_conformant(runs[kind].result(), SERVED[kind])


@pytest.mark.parametrize("kind", LONG)
def test_a_long_example_runs_with_a_part_of_its_suites(tmp_path: Path, kind: str) -> None:
    folder = built(tmp_path, kind)
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    matrix["axes"]["database"] = matrix["axes"]["database"][:1]
    matrix["suites"] = ["compat/http"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    demand_conformant(harness_in(tmp_path, "run", "p", "--format", "json"), set())


@pytest.mark.full
@pytest.mark.parametrize("kind", ON_ARM)
def test_an_example_is_conformant_on_an_emulated_arm(tmp_path: Path, kind: str) -> None:
    """As the README of the example says: another processor in the matrix, and the build for it."""
    compiled = kind in ("batch", "c")
    folder = built(tmp_path, kind, *(("x86_64", "aarch64") if compiled else ()))
    for name, old, new in (
        ("matrix.yaml", "cpu: [x86-64]", "cpu: [kunpeng-920]"),
        ("application.yaml", "  # - {path", "  - {path"),
    ):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    demand_conformant(harness_in(tmp_path, "run", "p", "--format", "json", timeout=7200), SERVED[kind])


def test_an_example_for_a_lab_host_claims_nothing_without(tmp_path: Path) -> None:
    """Its files are good, its plan says that nothing here serves it, and a run tests and certifies nothing."""
    folder = built(tmp_path, "compose")
    targets = ("--target", "cpu=x86-64", "--target", "os=debian-12")
    assert harness_in(tmp_path, "scan", folder / "build" / "notes-x86_64.tar", *targets).code == 0
    assert "cannot be served here" in harness_in(tmp_path, "plan", folder).out
    ran = harness_in(tmp_path, "run", folder, "--format", "json")
    assert ran.code == 3, ran.err
    (cell,) = record_of(ran)["cells"]
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert "a compose file needs a lab host that has an engine and compose" in cell["message"]
    assert "name a host with an engine and compose in hosts.yaml" in json.dumps(cell)
    deployed = [case for case in cell["cases"] if case["suite"] != "static/porting"]
    assert {case["result"] for case in deployed} == {"miss"}
    assert "certificate" not in ran.json["outputs"]


def test_a_package_runs_on_the_system_that_its_example_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its README says: build.sh, system.sh, run. The system says of itself that it is nobody's product."""
    monkeypatch.setenv("HARNESS", " ".join(command()))
    began = harness_in(tmp_path, "init", "p", "--kind", "rpm", "--name", "试 product")
    assert began.code == 0, began.err
    assert "next: sh p/build.sh && sh p/system.sh && harness run p" in began.err
    for script in ("build.sh", "system.sh"):
        done = subprocess.run(["sh", f"p/{script}"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    checked = harness_in(tmp_path, "lint", "p")
    assert (checked.code, "warning" in checked.out + checked.err) == (0, False), checked.err
    ran = harness_in(tmp_path, "run", "p", "--format", "json")
    demand_conformant(ran, set())
    (cell,) = record_of(ran)["cells"]
    facts = {fact["name"]: fact["observed"] for fact in cell["attestation"]}
    assert (facts["package family"], facts["os-release ID"]) == ("rpm", "practice")


def test_a_compose_file_runs_on_the_lab_host_that_its_example_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its README says: build.sh, host.sh, run; and a file of hosts that is there already is not touched."""
    folder = built(tmp_path, "compose")
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("PORT", str(free.getsockname()[1]))
    (tmp_path / "hosts.yaml").write_text("hosts: []\n")
    script = ["sh", str(folder / "host.sh")]
    try:
        refused = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (refused.returncode, "hosts.yaml here already" in refused.stderr) == (3, True), refused.stderr
        (tmp_path / "hosts.yaml").unlink()
        made = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        demand_conformant(harness_in(tmp_path, "run", "p", "--format", "json"), {"LC-07"})
    finally:
        subprocess.run([*script, "--remove"], cwd=tmp_path, check=True)
    left = subprocess.run(
        ["docker", "ps", "--all", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    assert "notes-practice-host" not in left.stdout
