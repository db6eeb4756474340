"""Targets of a repository and of an installation medium of the RPM family: dnf --installroot for real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import Run
from tests.distribution import ID, Key, base_package, medium, repository, rpm, served
from tests.products import WEB, product

TREEINFO = """\
[general]
family = Harness test distribution
version = 4
arch = {arch}

[release]
name = Harness test distribution
version = 4
"""
#: What a script of the base system saw while it was installed: the new root, no network, and this machine nowhere.
SCRIPT = """\
def test_scripts_of_packages_saw_the_new_root_alone(host):
    seen = host.file("/root/script").content_string
    assert seen.startswith("0\\n")
    assert "srv" in seen.split()
    assert "harness" not in seen
    assert host.run("rpm -V --nofiles harness-test-base").rc == 0
"""
#: A product that needs nothing but the base system.
SERVER = {
    **WEB,
    "packages": [],
    "setup": ["mkdir -p /srv/www && echo good >/srv/www/health"],
    "start": "/usr/bin/python3 -m http.server -d /srv/www 8080",
}
#: Of the base system alone: it is all that the test distribution has.
BASE = ("--package", "harness-test-base")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key.new(tmp_path_factory.mktemp("key") / "gnupg")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    return offered(tmp_path_factory.mktemp("repo"), key, "dnf4")


def offered(folder: Path, key: Key, kind: str) -> Path:
    """A signed repository with the base system of a kind, and a package that a product may ask for."""
    base = folder / base_package(kind).name
    base.write_bytes(base_package(kind).read_bytes())
    packages = [base, rpm(folder / "own", "seeded-tool", files={"/usr/bin/seeded-tool": "#!/bin/sh\necho seeded\n"})]
    key.sign(*packages)
    return repository(folder / "os", *packages)


@pytest.fixture(scope="module")
def keyfile(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    path = tmp_path_factory.mktemp("keyfile") / "KEY"
    path.write_text(key.text)
    return path


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Path]:
    path = medium(tmp_path_factory.mktemp("iso") / "dvd.iso", place, TREEINFO.format(arch="x86_64"))
    yield path
    path.unlink()


def example(root: Path, harness: Run, system: str) -> Path:
    """The example of a package, as `harness init` writes it, for a system that containers serve."""
    assert harness("init", "p", "--kind", "rpm").code == 0
    folder = root / "p"
    subprocess.run(["sh", str(folder / "build.sh")], check=True, capture_output=True)
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    matrix["axes"] |= {"os": [system], "cpu": ["x86-64"]}
    matrix |= {"prefer": ["container"], "suites": [*matrix["suites"], "checks"]}
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    (folder / "checks").mkdir()
    (folder / "checks" / "test_checks.py").write_text(SCRIPT)
    return folder


def test_a_medium_becomes_a_target_that_cells_run_on(harness: Run, tmp_path: Path, iso: Path, keyfile: Path) -> None:
    ran = harness(
        "targets", "import", "rpm", "--medium", iso, "--gpgkey", keyfile, *BASE, "--id", ID, "--format", "json"
    )
    assert ran.code == 0, ran.err
    assert (ran.json["architecture"], ran.json["family"], ran.json["identity"]["ID"]) == ("x86_64", "rpm", ID)
    entry = yaml.safe_load((tmp_path / ran.json["file"]).read_text())
    origin = entry["imported"]["x86_64"]["origin"]
    assert "medium of Harness test distribution 4" in origin
    assert "verified with the key that was given; scripts failed: harness-test-base POSTIN" in origin
    folder = example(tmp_path, harness, ran.json["target"])
    cells = harness("run", folder, "--format", "json")
    assert cells.code == 0, cells.out + cells.err
    (cell,) = json.loads(Path(cells.json["outputs"]["json"]).read_text())["cells"]
    assert cell["verdict"] == "conformant", cell["message"]
    facts = {fact["name"]: fact["observed"] for fact in cell["attestation"]}
    assert facts["package family"] == "rpm"
    assert origin in json.dumps(cell["notes"], ensure_ascii=False)


@pytest.mark.full
def test_a_repository_becomes_a_target_that_installs_from_there(
    harness: Run, tmp_path: Path, key: Key, keyfile: Path
) -> None:
    """Its own rpm keeps its packages elsewhere than the one that made the root, and in its own form (dnf 5, rpm 6)."""
    with served(offered(tmp_path, key, "dnf5")) as address:
        ran = harness(
            *("targets", "import", "rpm", "--repository", address, "--gpgkey", keyfile, "--name", "lab-rpm"),
            *(*BASE, "--format", "json"),
        )
        assert ran.code == 0, ran.err
        application = {**SERVER, "packages": ["seeded-tool"], "setup": ["seeded-tool", *SERVER["setup"]]}
        check = "def test_rpm_knows(host):\n    assert host.package('harness-test-base').is_installed\n"
        folder = product(tmp_path / "p", application, os="lab-rpm", database=["none"], check=check)
        cells = harness("run", folder, "--format", "json")
    assert cells.code == 0, cells.out + cells.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--unsigned", "x"], "either --repository or --medium"),
        (["--medium", "DVD"], "either --gpgkey FILE or --unsigned REASON"),
        (["--medium", "DVD", "--gpgkey", "DVD"], "no armored public key"),
        (["--repository", "ftp://x/", "--unsigned", "x"], "no address of a repository"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    harness: Run, tmp_path: Path, words: list[str], told: str
) -> None:
    (tmp_path / "DVD").write_text("no medium")
    ran = harness("targets", "import", "rpm", *words)
    assert (ran.code, told in ran.err) == (2, True), ran.err
    assert not (tmp_path / "targets").exists()


def test_what_is_no_medium_of_the_wanted_kind_is_refused(
    harness: Run, tmp_path: Path, key: Key, keyfile: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file that is no ISO image, a medium for another architecture, one that another key signs: each says so."""
    folder = tmp_path / "made"
    small = rpm(folder, "harness-test-base")
    Key.new(tmp_path / "other").sign(small)
    foreign = medium(tmp_path / "foreign.iso", repository(tmp_path / "repo", small), TREEINFO.format(arch="aarch64"))
    own = medium(tmp_path / "own.iso", tmp_path / "repo", TREEINFO.format(arch="x86_64"))
    (tmp_path / "none.iso").write_bytes(b"no medium" * 1000)
    for path, code, told in (
        (foreign, 3, "for aarch64, wanted is x86_64"),
        (own, 2, "signed with a key that the system does not know"),
        (tmp_path / "none.iso", 2, "unpack none.iso failed"),
    ):
        ran = harness("targets", "import", "rpm", "--medium", path, "--gpgkey", keyfile, *BASE)
        assert (ran.code, told in ran.err) == (code, True), f"{path.name}: {ran.err}"
    assert not (tmp_path / "targets").exists()
