"""Cells on systems of the RPM family, for real: the test distribution with dnf 4 and dnf 5, and a signed repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.containers.engine import Engine
from tests.conftest import Run
from tests.distribution import ID, KINDS, Key, comps, image, repository, rpm, served
from tests.registries import push, registry_in

#: What a laboratory writes of a repository of its own.
PLACE = "os"


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Entries of the systems by name, with images in a registry and packages in a signed repository."""
    folder = tmp_path_factory.mktemp("systems")
    key = Key.new(folder / "key")
    packages = [rpm(folder, f"seeded-{name}") for name in ("tool-a", "tool-b", "lib")]
    key.sign(*packages)
    place = repository(folder / "repo", *packages, comps=comps("seeded-tools", "seeded-tool-a", "seeded-tool-b"))
    engine = Engine("acceptance")
    (folder / "registry").mkdir()
    with registry_in(folder / "registry") as there, served(place) as address:
        yield {
            f"{ID}-{kind}": entry(
                f"{ID}-{kind}",
                kind[-1],
                push(engine, image(kind), f"{there}/lab/{kind}", "1"),
                address=address,
                key=key.text,
            )
            for kind in KINDS
        }


def entry(name: str, version: str, reference: str, *, address: str, key: str) -> dict[str, Any]:
    return {
        "os": name,
        "name": {"zh": "测试发行版", "en": "Test distribution"},
        "vendor": {"zh": "测试", "en": "Tests"},
        "family": "rpm",
        "package_manager": "dnf",
        "identity": {"ID": ID, "VERSION_ID": version},
        "pulled": {"x86_64": reference},
        "repositories": [{"repository": PLACE, "baseurl": f"{address}/", "gpgkey": key}],
        "certainty": "measured",
        "source": "tests: files and programs of Debian, no product of anybody",
    }


def offered(root: Path, *entries: dict[str, Any]) -> None:
    place = root / "targets" / "os"
    place.mkdir(parents=True)
    for value in entries:
        (place / f"{value['os']}.yaml").write_text(yaml.safe_dump(value, allow_unicode=True))


def example(root: Path, harness: Run, systems: list[str], **change: Any) -> Path:
    """The example of a package that `harness init` writes, as versions 1.0 and 1.1, for ``systems``."""
    folder = root / "p"
    began = harness("init", "p", "--kind", "rpm")
    assert began.code == 0, began.err
    for version in ("1.0", "1.1"):
        for name, old in (("notes.spec", "Version:        "), ("src/notesd", 'VERSION = "')):
            text = (folder / name).read_text()
            known = text.partition(old)[2][:3]
            (folder / name).write_text(text.replace(f"{old}{known}", f"{old}{version}"))
        subprocess.run(["sh", str(folder / "build.sh")], check=True, capture_output=True)
        (folder / "build" / f"notes-{version}-1.noarch.rpm").rename(folder / f"notes-{version}.rpm")
    application = yaml.safe_load((folder / "application.yaml").read_text())
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    artifacts = {version: [{"path": f"notes-{version}.rpm", "install": "package"}] for version in ("1.0", "1.1")}
    application |= {
        "version": "1.1",
        "version_command": "/usr/bin/notesd --version",
        "artifacts": artifacts["1.1"],
        "former": {"1.0": {"set": {"version": "1.0", "artifacts": artifacts["1.0"]}, "rollback": []}},
        "packages": ["@seeded-tools"],
        "needs": ["seeded-lib"],
        "templates": [{"template": "notes.sysconfig", "path": "/etc/sysconfig/notes", "mode": "0644"}],
        **change,
    }
    (folder / "notes.sysconfig").write_text("NOTES_PORT={{ ports.web }}\n")
    matrix["axes"] |= {"os": systems, "cpu": ["x86-64"], "upgrade_from": ["1.0"]}
    matrix["prefer"] = ["container"]
    (folder / "application.yaml").write_text(yaml.safe_dump(application, allow_unicode=True, sort_keys=False))
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix, allow_unicode=True, sort_keys=False))
    return folder


def record_of(ran: Any) -> dict[str, Any]:
    return dict(json.loads(Path(ran.json["outputs"]["json"]).read_text()))


def test_a_package_is_installed_upgraded_taken_back_checked_and_removed(
    harness: Run, tmp_path: Path, systems: dict[str, dict[str, Any]]
) -> None:
    offered(tmp_path, *systems.values())
    ran = harness("run", example(tmp_path, harness, list(systems)), "--format", "json")
    assert ran.code == 0, ran.out + ran.err
    cells = record_of(ran)["cells"]
    assert len(cells) == len(KINDS)
    for cell in cells:
        assert cell["verdict"] == "conformant", cell["message"]
        results = {case["id"]: case["result"] for case in cell["cases"]}
        assert {results[case] for case in ("DEP-7", "DEP-8", "DEP-9", "LC-01", "LC-07")} == {"pass"}
        assert {package["name"] for package in cell["packages"]} == {"notes", "seeded-tool-a", "seeded-tool-b"}
        (removal,) = (case for case in cell["cases"] if case["id"] == "LC-07")
        kept = {each["name"]: each["value"] for each in removal["measurements"]}
        assert kept["copies of changed configuration that stay"] == 1, (
            "the .rpmsave of the file that the template wrote"
        )
        assert all(len(package["sha256"]) == 64 for package in cell["packages"]), cell["packages"]
        said = json.dumps(cell, ensure_ascii=False)
        assert "notes 1.1-1: not signed" in said
        assert "verified with the key that the system's definition names" in said
        facts = {fact["name"]: fact for fact in cell["attestation"]}
        assert facts["os-release ID"]["observed"] == ID
        assert facts["package family"]["observed"] == "rpm"


def test_a_repository_that_is_away_or_has_another_key_is_never_the_products(
    harness: Run, tmp_path: Path, systems: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (name, good), *_ = systems.items()
    other = Key.new(tmp_path / "other").text
    (repository,) = good["repositories"]
    wrong = {
        "away": {**repository, "baseurl": "http://127.0.0.2:9/nothing/"},
        "strange": {**repository, "gpgkey": other},
    }
    offered(tmp_path, *({**good, "os": f"{name}-{what}", "repositories": [value]} for what, value in wrong.items()))
    folder = example(tmp_path, harness, [f"{name}-{what}" for what in wrong], former={})
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    del matrix["axes"]["upgrade_from"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 3, ran.out + ran.err
    causes = {cell["axes"]["os"]: (cell["verdict"], cell["cause"]) for cell in record_of(ran)["cells"]}
    assert causes == {f"{name}-away": ("inconclusive", "infra"), f"{name}-strange": ("inconclusive", "config")}
