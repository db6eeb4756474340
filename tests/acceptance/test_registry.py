"""Images of a registry, pulled by their digest: a real one on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from tests.conftest import Run
from tests.labs import Notes, system
from tests.products import WEB, product
from tests.registries import push, registry_in

ABSENT = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """References of the images of Debian 12 in it, by architecture."""
    engine = Engine("acceptance")
    images = BaseImages(engine, cache_folder())
    with registry_in(tmp_path_factory.mktemp("registry")) as address:
        yield {
            architecture: push(
                engine,
                images.ensure(system("debian-12"), architecture, Notes()).id,
                f"{address}/lab/debian-{architecture.replace('_', '-')}",
                "12",
            )
            for architecture in ("x86_64", "aarch64")
        }


def matrix(root: Path, reference: str, **change: Any) -> Path:
    """A product on a system that is known by its image alone."""
    folder = product(root, WEB, os="lab-linux", suites=["compat/lifecycle"])
    place = root.parent / "targets" / "os"  # beside the folder that the command runs in
    place.mkdir(parents=True)
    (place / "lab-linux.yaml").write_text(
        yaml.safe_dump(
            {
                "os": "lab-linux",
                "name": {"zh": "实验室系统", "en": "Lab Linux"},
                "vendor": {"zh": "实验室", "en": "Lab"},
                "family": "debian",
                "identity": {"ID": "debian", "VERSION_ID": "12"},
                "pulled": {"x86_64": reference},
                "certainty": "measured",
                "source": "tests",
                **change,
            },
            allow_unicode=True,
        )
    )
    return folder


def test_a_cell_runs_on_an_image_that_was_pulled_by_its_digest(
    harness: Run, tmp_path: Path, registry: dict[str, str]
) -> None:
    ran = harness("run", matrix(tmp_path / "p", registry["x86_64"]), "--format", "json")
    assert ran.code == 0, ran.out + ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (cell,) = record["cells"]
    assert (cell["verdict"], cell["fidelity"]) == ("conformant", "container")
    assert f"pulled by digest: {registry['x86_64']}" in json.dumps(record)


@pytest.mark.parametrize(
    ("wrong", "change", "cause", "told"),
    [
        ("absent", {}, "infra", "pulling"),
        ("away", {}, "infra", "pulling"),
        ("foreign", {}, "config", "is an image for arm64, declared is amd64"),
        ("", {"identity": {"ID": "kylin"}}, "config", "kylin"),
    ],
)
def test_what_a_registry_gives_is_not_taken_on_trust(
    harness: Run, tmp_path: Path, registry: dict[str, str], wrong: str, change: dict[str, Any], cause: str, told: str
) -> None:
    good = registry["x86_64"]
    reference = {
        "absent": f"{good.partition('@')[0]}@{ABSENT}",
        "away": f"127.0.0.1:9/lab/debian@{ABSENT}",
        "foreign": registry["aarch64"],
    }.get(wrong, good)
    ran = harness("run", matrix(tmp_path / "p", reference, **change), "--format", "json")
    assert ran.code == 3, ran.out + ran.err
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", cause)
    assert told in cell["message"]
