"""Targets made of what a center holds, imported for real, and a product's cells on them."""

from __future__ import annotations

import contextlib
import io
import json
import platform
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import yaml

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.containers.imported import kept_file
from harness.system.files import digest_of_file
from tests.conftest import Ran, Run
from tests.disks import command_line, disk_of
from tests.labs import Notes, role, system, virtual_machines
from tests.pages import solid
from tests.products import WEB, product
from tests.registries import push, registry_in

TITLE = "Test Linux {}, a test distribution"
RELEASE = 'ID=testlinux\nVERSION_ID="{0}"\nPRETTY_NAME="' + TITLE.format("{0}") + '"\nVENDOR_NAME="Tests"\n'


@dataclass(frozen=True)
class Made:
    """What a center holds: a root, an archive of docker save, the ids of two images."""

    root: Path
    archive: Path
    first: str
    second: str


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("acceptance")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Made]:
    """Of the harness's own base image, with another os-release: three systems that say that they are tests."""
    folder = tmp_path_factory.mktemp("center")
    base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    ids = []
    for version in ("1", "2", "3"):
        container = engine.client.containers.create(base.id, ["true"])
        try:
            container.put_archive("/usr/lib", release(version))
            if version == "1":
                with (folder / "root.tar").open("wb") as file:
                    file.writelines(container.export())
            ids.append(str(container.commit().id))
        finally:
            container.remove()
    with (folder / "image.tar").open("wb") as file:
        file.writelines(engine.client.images.get(ids[1]).save())
    yield Made(folder / "root.tar", folder / "image.tar", ids[2], ids[1])
    names = [tag for image in engine.client.images.list() for tag in image.tags if ":testlinux" in tag]
    for name in (*names, *ids):
        with contextlib.suppress(docker.errors.APIError):  # environments that were made of it stay for a while
            engine.client.images.remove(name)


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path) -> Iterator[None]:
    """What a test imported is not kept longer than the test: the cache is this machine's own."""
    yield
    for path in (tmp_path / "targets" / "os").glob("*.yaml"):
        for imported in yaml.safe_load(path.read_text()).get("imported", {}).values():
            kept_file(cache_folder(), imported["sha256"]).unlink(missing_ok=True)


def without(root: Path, other: Path, left_out: str) -> None:
    """The root without a file."""
    with tarfile.open(root) as source, tarfile.open(other, "w") as tar:
        for info in source:
            if info.name.lstrip("./") != left_out:
                tar.addfile(info, source.extractfile(info) if info.isreg() else None)


def release(version: str) -> bytes:
    out = io.BytesIO()
    data = RELEASE.format(version).encode()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("os-release")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_in(tmp_path_factory.mktemp("registry")) as address:
        yield address


def entry(tmp_path: Path, name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((tmp_path / "targets" / "os" / f"{name}.yaml").read_text())
    return value


def test_cells_run_on_a_root_an_archive_and_an_image_and_are_named_by_what_was_attested(
    harness: Run, tmp_path: Path, made: Made, registry: str, engine: Engine
) -> None:
    pinned = push(engine, made.first, f"{registry}/lab/testlinux", "stable")
    imports = {
        "testlinux-1": harness("targets", "import", "root", made.root, "--format", "json"),
        "testlinux-2": harness("targets", "import", "archive", made.archive, "--id", "testlinux", "--format", "json"),
        "testlinux-3": harness(
            "targets", "import", "image", f"{registry}/lab/testlinux:stable", "--arch", "x86_64", "--format", "json"
        ),
    }
    for name, ran in imports.items():
        assert ran.code == 0, ran.err
        assert (ran.json["target"], ran.json["changed"], ran.json["family"]) == (name, True, "debian")
        assert ran.json["identity"]["PRETTY_NAME"] == TITLE.format(name[-1])
    assert imports["testlinux-3"].json["digest"] == pinned
    assert [imports[f"testlinux-{n}"].json["origin_sha256"] for n in (1, 2)] == [
        digest_of_file(path) for path in (made.root, made.archive)
    ]
    assert imports["testlinux-2"].json["image"].startswith("sha256:")
    shown = harness("targets", "show", "testlinux-1", "--format", "json")
    assert imports["testlinux-1"].json["digest"] in shown.out

    folder = product(tmp_path / "p", WEB, suites=["compat/lifecycle"], axes={"os": list(imports)})
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.out + ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    cells = {cell["axes"]["os"]: cell for cell in record["cells"]}
    assert {cell["verdict"] for cell in cells.values()} == {"conformant"}
    for name, cell in cells.items():
        facts = {fact["name"]: fact for fact in cell["attestation"] if fact.get("machine") in (None, "", "application")}
        assert facts["os-release ID"]["observed"] == "testlinux"
        assert facts["os-release PRETTY_NAME"]["holds"]
        assert imports[name].json["digest"] in json.dumps(cell)
    certificate = solid(Path(ran.json["outputs"]["certificate"]))
    for name in imports:
        assert "".join(f"{TITLE.format(name[-1])}（导入）".split()) in certificate
        assert imports[name].json["digest"] in certificate
    assert "Debian" not in certificate


def test_a_tag_that_moves_later_does_not_move_the_target(
    harness: Run, tmp_path: Path, made: Made, registry: str, engine: Engine
) -> None:
    name = f"{registry}/lab/moving"
    pinned = push(engine, made.first, name, "latest")
    assert harness("targets", "import", "image", f"{name}:latest", "--name", "lab-moving").code == 0
    before = entry(tmp_path, "lab-moving")
    assert before["pulled"] == {"x86_64": pinned}
    other = push(engine, made.second, name, "latest")
    assert other != pinned
    again = harness("targets", "import", "image", f"{name}:latest", "--name", "lab-moving")
    assert again.code == 2
    assert "--replace" in again.err
    assert entry(tmp_path, "lab-moving") == before
    assert harness("targets", "import", "image", pinned, "--name", "lab-moving").out.count("unchanged 未变") == 1


def test_what_an_import_refuses_is_said_in_a_sentence_and_leaves_no_target(
    harness: Run, tmp_path: Path, made: Made, registry: str, engine: Engine
) -> None:
    name = f"{registry}/lab/refused"
    push(engine, made.first, name, "1")
    cut = tmp_path / "cut.tar"
    cut.write_bytes(made.root.read_bytes()[:5_000_000])
    twice, broken = tmp_path / "twice.tar", tmp_path / "broken.tar"
    shutil.copy(made.root, twice)
    with tarfile.open(twice, "a") as tar:
        tar.addfile(tarfile.TarInfo("./usr/lib/os-release"))
    without(made.root, broken, "usr/bin/sleep")
    for arguments, code, words in (
        (("image", f"{name}:absent"), 2, "the registry has no"),
        (("image", f"{name}:1", "--arch", "aarch64"), 2, "has no image of aarch64"),
        (("image", f"{name}:1", "--as", "kylin-v10-sp3"), 3, "expected kylin (kylin-v10-sp3), attested testlinux"),
        (("image", "127.0.0.1:9/lab/x:1"), 3, "asking the registry"),
        (("archive", made.archive, "--version", "9"), 3, "version: expected 9 (--version), attested 2"),
        (("root", cut), 2, "no whole tar archive"),
        (("root", twice), 2, "is no whole root: 'usr/lib/os-release' is in it twice"),
        (("root", broken), 2, "has no sleep"),
        (("root", made.archive), 2, "import archive FILE"),
        (("archive", made.root), 2, "import root FILE"),
        (("image", f"{name}@sha256:1"), 2, "no digest behind its @"),
        (("root", made.root, "--id", ""), 2, "it is empty"),
    ):
        ran = harness("targets", "import", *arguments)
        assert ran.code == code, (arguments, ran.out, ran.err)
        assert words in " ".join(ran.err.split()), (arguments, ran.err)
        assert "next: " in ran.err or "Usage: " in ran.err
    assert not (tmp_path / "targets").exists()
    assert not [tag for image in engine.client.images.list() for tag in image.tags if tag.startswith("harness-import")]


def test_an_image_that_was_removed_is_made_again_of_what_is_kept_and_else_asked_for(
    harness: Run, tmp_path: Path, made: Made, engine: Engine
) -> None:
    ran = harness("targets", "import", "root", made.root, "--name", "testlinux-kept", "--format", "json")
    assert ran.code == 0, ran.err
    (name,) = [tag for image in engine.client.images.list() for tag in image.tags if ":testlinux-kept" in tag]
    engine.client.images.remove(name)
    assert harness("targets", "build", "testlinux-kept", "--cpu", "x86-64").code == 0
    engine.client.images.remove(name)
    kept_file(cache_folder(), ran.json["digest"]).unlink()
    refused = harness("targets", "build", "testlinux-kept", "--cpu", "x86-64")
    assert refused.code == 3
    assert "import the same again" in refused.err
    assert harness("targets", "import", "root", made.root, "--name", "testlinux-kept").code == 0
    assert harness("targets", "build", "testlinux-kept", "--cpu", "x86-64").code == 0


def imported_disk(harness: Run, folder: Path, vms: Path, *, loader: bool) -> tuple[Path, str, Ran]:
    """A disk that was imported as testlinux-disk, the release of its kernel, and what the import printed. It is the
    harness's own disk of Debian 12, booted by a loader on it, or with the kernel beside it."""
    maker, wanted = virtual_machines(vms), role("debian-12", "x86-64")
    environment = maker.environment(wanted, Notes())
    assert environment is not None
    own = maker.disks.ensure(environment.image, wanted.os, "x86_64", Notes())
    disk = disk_of(own, folder, loader=loader)
    booting: tuple[str | Path, ...] = ("--memory", "768", "--accelerator", "tcg")
    if not loader:
        beside = ("--kernel", own.boot.kernel, "--initrd", own.boot.initrd, "--append", command_line(own))
        booting = (*booting, *beside)
    refused = harness("targets", "import", "disk", disk, *booting, "--password", "env:LAB", LAB="no word")
    assert refused.code == 3
    assert "check --user, and --key or --password" in refused.err
    assert not (folder / "targets").exists()
    before = disk.read_bytes()[:4096], disk.stat().st_mtime_ns
    login = ("--key", f"file:{maker.disks.identity}")
    named = ("--as", "debian-12", "--name", "testlinux-disk", "--format", "json")
    ran = harness("targets", "import", "disk", disk, *booting, *login, *named)
    assert ran.code == 0, ran.err
    assert (disk.read_bytes()[:4096], disk.stat().st_mtime_ns) == before
    return disk, own.kernel, ran


def cell_on(harness: Run, folder: Path, kind: str) -> dict[str, Any]:
    ran = harness("run", product(folder, WEB, os="testlinux-disk", prefer=[kind]), "--format", "json")
    assert ran.code == 0, ran.out + ran.err
    cell: dict[str, Any]
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    return cell


def kernel_in(cell: dict[str, Any]) -> str:
    return str(next(fact for fact in cell["attestation"] if fact["name"] == "kernel")["observed"])


def test_a_disk_is_booted_and_asked_what_it_is(
    harness: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk, kernel, ran = imported_disk(harness, tmp_path, tmp_path_factory.mktemp("vm"), loader=False)
    assert ran.json["identity"]["ID"] == "debian"
    imported = entry(tmp_path, "testlinux-disk")["imported"]["x86_64"]
    assert imported["kernel"] == kernel
    assert imported["origin_sha256"] == digest_of_file(disk)
    assert "booted by QEMU (tcg)" in imported["origin"]


@pytest.mark.full
def test_cells_on_a_disk_with_a_loader_and_the_kernel_of_each(
    harness: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, kernel, _ = imported_disk(harness, tmp_path, tmp_path_factory.mktemp("vm"), loader=True)
    cell = cell_on(harness, tmp_path / "c", "container")
    assert (cell["fidelity"], kernel_in(cell)) == ("container", platform.release())
    cell = cell_on(harness, tmp_path / "v", "vm")
    assert cell["fidelity"] in ("kvm", "system-emulated")
    assert kernel_in(cell) == kernel
