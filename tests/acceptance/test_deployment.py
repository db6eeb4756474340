"""Every way in which a product may come and be started: services, upgrades, images, compose files, playbooks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.model.recipe import Recipe, RecipeFile
from tests.conftest import Run
from tests.labs import Notes, lab_host, system
from tests.products import FORMER, NOTES, notes, product


def cell(ran: Any) -> dict[str, Any]:
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (one,) = record["cells"]
    return dict(one)


def results(found: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["result"] for one in found["cases"] if one["suite"] == "deployment"}


def upgrading(root: Path, **former: Any) -> Path:
    """The product as version 2.0, which keeps its data elsewhere than 1.0 did."""
    folder = product(
        root,
        {**NOTES, "former": {"1.0": {**FORMER, **former}}},
        axes={"upgrade_from": ["1.0"]},
        suites=["compat/lifecycle", "compat/http"],
    )
    notes(folder, "1.0")
    notes(folder, "2.0", data="/var/lib/notes2")
    return folder


@pytest.mark.full
def test_a_way_back_without_a_command_is_gone_all_the_same(harness: Run, tmp_path: Path) -> None:
    """`rollback: []` says that the product goes back when its former files are there again."""
    folder = upgrading(tmp_path / "p", upgrade=[], rollback=[])
    notes(folder, "2.0")
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    assert results(cell(ran))["DEP-9"] == "pass"


def test_an_upgrade_keeps_data_and_the_way_back_too(harness: Run, tmp_path: Path) -> None:
    ran = harness("run", upgrading(tmp_path / "p"), "--format", "json")
    assert ran.code == 0, ran.err
    found = cell(ran)
    assert found["version"].endswith("2.0")
    assert {(one["name"], one["version"]) for one in found["packages"] if one["name"] == "notes"} == {("notes", "2.0")}
    assert {one["name"] for one in found["packages"]} == {"busybox", "notes"}
    assert results(found) == {
        "DEP-0": "pass",
        "DEP-1": "pass",
        "DEP-2": "pass",
        "DEP-3": "skip",
        "DEP-4": "skip",
        **{f"DEP-{n}": "pass" for n in range(5, 12)},
    }


@pytest.mark.parametrize(
    ("change", "code", "case", "told"),
    [
        ({"upgrade": []}, 1, "DEP-8", "gives status 404|read gave status 404"),
        pytest.param(
            {"rollback": ["exit 3"]}, 1, "DEP-9", "a step to version 1.0 failed (exit 3)", marks=pytest.mark.full
        ),
        ({"set": {"version": "1.0", "artifacts": [], "start": "/opt/none"}}, 3, "", "the former version 1.0 does not"),
    ],
    ids=["data lost", "no way back", "former version fails"],
)
def test_what_goes_wrong_with_an_upgrade_is_told(
    harness: Run, tmp_path: Path, change: dict[str, Any], code: int, case: str, told: str
) -> None:
    ran = harness("run", upgrading(tmp_path / "p", **change), "--format", "json")
    assert ran.code == code, ran.err
    found = cell(ran)
    assert any(one in found["message"] for one in told.split("|")), found["message"]
    if case:
        assert results(found)[case] == "fail"
    else:
        assert found["cause"] == "config"


@pytest.mark.parametrize(
    ("cpu", "suites"),
    [
        ("hygon-c86", ["compat/lifecycle", "checks"]),
        ("kunpeng-920", ["checks"]),
        ("loongson-3a5000", ["checks"]),
    ],
)
@pytest.mark.full
def test_a_service_is_started_by_systemd_in_a_virtual_machine(
    harness: Run, tmp_path: Path, cpu: str, suites: list[str]
) -> None:
    """The unit restarts by itself; every end of the product is seen all the same."""
    application = {key: value for key, value in NOTES.items() if key != "start"} | {"service": "notes.service"}
    system = "debian-forky" if cpu == "loongson-3a5000" else "debian-12"
    folder = product(
        tmp_path / "p",
        {**application, "environment": {"NOTES_WORD": 'a "b" $c'}},
        cpu=[cpu],
        os=system,
        suites=suites,
        check=SYSTEMD,
        accept=[{"expired_release": "debian-forky", "because": "tests"}],
    )
    notes(folder, "2.0")
    ran = harness("run", folder, "--format", "json", timeout=3600)  # LoongArch took 15 minutes on a busy machine
    assert ran.code == 0, ran.err
    found = cell(ran)
    assert (found["verdict"], found["fidelity"]) == ("conformant", "system-emulated")


SYSTEMD = """\
def test_systemd_started_it(host, application, keep):
    assert host.check_output("cat /proc/1/comm") == "systemd"
    pid = application.pid()
    assert "notes.service" in host.check_output(f"cat /proc/{pid}/cgroup")
    keep("unit.txt", host.check_output("systemctl cat notes.service; systemctl --failed"))
    words = host.check_output(f"tr '\\\\000' '\\\\n' </proc/{pid}/environ").splitlines()
    assert 'NOTES_WORD=a "b" $c' in words
"""


def test_a_product_without_systemd_here_is_told_where_it_could_run(harness: Run, tmp_path: Path) -> None:
    application = {key: value for key, value in NOTES.items() if key != "start"} | {"service": "notes.service"}
    folder = product(tmp_path / "p", application, prefer="container")
    notes(folder, "2.0")
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 3
    assert "started by systemd alone" in cell(ran)["message"]


def vendor_image(folder: Path, architecture: str = "x86_64") -> tuple[Path, str]:
    """The product as its vendor's container image, written as ``docker save`` writes it; the file and the image."""
    engine = Engine("acceptance")
    deb = notes(folder, "2.0")
    file = RecipeFile(path=deb.name, source=deb, sha256=hashlib.sha256(deb.read_bytes()).hexdigest())
    recipe = Recipe(
        name="vendor", os="debian-12", architecture=architecture, packages=("busybox",), package_files=(file,)
    )
    made = Environments(engine, BaseImages(engine, cache_folder())).ensure(recipe, system("debian-12"), Notes())
    path = folder / f"notes-{architecture}.tar"
    engine.save_image(made.image, path)
    return path, engine.client.images.get(made.image).tags[0]


def imaged(root: Path, cpu: str, artifact: Path, **more: Any) -> Path:
    application = {
        **NOTES,
        "packages": [],
        "artifacts": [{"path": artifact.name, "install": "image"}],
        "uninstall": [],
        **more,
    }
    folder = product(root, application, cpu=[cpu], suites=["compat/http", "checks"])
    (folder / artifact.name).write_bytes(artifact.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("cpu", "fidelity"),
    [("x86-64", "container"), pytest.param("hygon-c86", "system-emulated", marks=pytest.mark.full)],
)
def test_a_container_image_of_the_vendor_is_what_the_cell_is_made_of(
    harness: Run, tmp_path: Path, cpu: str, fidelity: str
) -> None:
    image, _ = vendor_image(tmp_path)
    ran = harness("run", imaged(tmp_path / "p", cpu, image), "--format", "json")
    assert ran.code == 0, ran.err
    found = cell(ran)
    assert (found["verdict"], found["fidelity"]) == ("conformant", fidelity)
    assert "made of the vendor's image notes-x86_64.tar" in found["notes"]


def test_an_image_of_another_architecture_is_the_products_fault(harness: Run, tmp_path: Path) -> None:
    image, _ = vendor_image(tmp_path)
    ran = harness("run", imaged(tmp_path / "p", "kunpeng-920", image), "--format", "json")
    assert ran.code == 1, ran.err
    assert "wrong architecture: the image is built for amd64, the target is arm64" in cell(ran)["message"]


COMPOSE = """\
services:
  web:
    image: {image}
    entrypoint: [busybox, httpd, -f, -p, "8080", -h, /opt/notes/www]
    network_mode: "container:{network}"
"""


@pytest.mark.full
def test_a_compose_file_of_the_vendor_on_a_host_with_an_engine(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is a container that reaches this machine's engine; what compose starts has the host's network."""
    image, tag = vendor_image(tmp_path)
    socket = {"/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"}}
    with lab_host(
        "debian-12", "x86_64", mem_limit=1 << 30, packages=("docker-compose", "docker.io"), volumes=socket
    ) as lab:
        monkeypatch.setenv("LAB_KEY", lab.key)
        labels = {"cpu": "x86-64", "os": "debian-12"}
        host = lab.plain(address=lab.address, port=22, labels=labels)
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [host]}))
        application = {key: value for key, value in NOTES.items() if key not in ("start", "uninstall")}
        application |= {
            "packages": [],
            "artifacts": [{"path": image.name, "install": "image"}],
            "templates": [{"template": "compose.yaml", "path": "/opt/notes/compose.yaml"}],
            "version_command": "echo 2.0",
            "compose": {"file": "/opt/notes/compose.yaml", "service": "web"},
        }
        folder = product(tmp_path / "p", application, suites=["compat/http", "checks"])
        (folder / image.name).write_bytes(image.read_bytes())
        (folder / "compose.yaml").write_text(COMPOSE.format(image=tag, network=lab.inside.container))
        ran = harness("run", folder, "--format", "json")
        assert ran.code == 0, ran.err
        assert cell(ran)["verdict"] == "conformant"
        left = lab.inside.run("docker ps -aq --filter label=com.docker.compose.service=web; ls -d /opt/notes").out
        assert left == "", "containers and files are gone"
        (folder / "compose.yaml").write_text("services: {web: {image: none.invalid/none:1, entrypoint: [/bin/none]}}\n")
        ran = harness("run", folder, "--format", "json")
        assert ran.code == 1
        assert "compose does not start web" in cell(ran)["message"]
    without = harness("run", folder, "--format", "json", "--hosts", tmp_path / "none.yaml")
    assert without.code != 0


PLAYBOOK = """\
- hosts: all
  gather_facts: true
  tasks:
    - name: the site
      ansible.builtin.copy: {dest: /opt/notes/www/health, content: "{{ word }} on {{ ansible_facts.architecture }}\\n"}
    - name: what is there is left alone
      ansible.builtin.file: {path: /var/lib/notes, state: directory, mode: "0700"}
"""


@pytest.mark.parametrize(
    ("play", "code", "told"),
    [
        (PLAYBOOK, 0, ""),
        pytest.param(
            PLAYBOOK.replace("state: directory", "state: absent\n        nonsense: 1"),
            1,
            "playbook",
            marks=pytest.mark.full,
        ),
        pytest.param(
            PLAYBOOK.replace("hosts: all", "hosts: others"),
            1,
            "has no play for the host application",
            marks=pytest.mark.full,
        ),
        pytest.param(
            f"{PLAYBOOK}    - ansible.builtin.fail: {{msg: HARNESS-INFRASTRUCTURE it is gone}}\n",
            1,
            "playbook",
            marks=pytest.mark.full,
        ),
    ],
    ids=["configures", "fails", "other hosts", "blames the laboratory"],
)
def test_an_ansible_playbook_of_the_vendor(harness: Run, tmp_path: Path, play: str, code: int, told: str) -> None:
    play_in = {"playbook": "ansible/site.yml", "variables": {"word": "good {{ cell.os }}"}}
    check = (
        "def test_it_did(http, host):\n"
        "    assert http.send('GET', '/health').text == 'good debian-12 on x86_64\\n'\n"
        "    assert oct(host.file('/var/lib/notes').mode) == '0o700'\n"
    )
    folder = product(tmp_path / "p", {**NOTES, "packages": ["busybox", "python3"], "playbooks": [play_in]}, check=check)
    notes(folder, "2.0")
    (folder / "ansible").mkdir()
    (folder / "ansible" / "site.yml").write_text(play)
    ran = harness("run", folder, "--format", "json")
    assert ran.code == code, ran.err
    assert told in cell(ran)["message"]


@pytest.mark.parametrize(
    ("packages", "cause", "told"),
    [
        ((), "config", "has no container engine with compose"),
        pytest.param(
            ("docker-compose", "docker.io"),
            "infra",
            "its container engine does not say how the product is",
            marks=pytest.mark.full,
        ),
    ],
    ids=["no compose", "engine down"],
)
def test_a_host_that_cannot_run_compose_is_the_labs_trouble(
    harness: Run, tmp_path: Path, packages: tuple[str, ...], cause: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab_host("debian-12", "x86_64", mem_limit=1 << 30, packages=packages) as lab:
        monkeypatch.setenv("LAB_KEY", lab.key)
        host = lab.plain(address=lab.address, port=22, labels={"cpu": "x86-64", "os": "debian-12"})
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [host]}))
        application = {key: value for key, value in NOTES.items() if key not in ("start", "uninstall", "artifacts")}
        application |= {
            "packages": ["busybox"],
            "version_command": "echo 2.0",
            "templates": [{"template": "compose.yaml", "path": "/opt/notes/compose.yaml"}],
            "compose": {"file": "/opt/notes/compose.yaml", "service": "web"},
        }
        folder = product(tmp_path / "p", application)
        (folder / "compose.yaml").write_text("services: {web: {image: x}}\n")
        ran = harness("run", folder, "--format", "json")
        assert ran.code == 3, ran.err
        found = cell(ran)
        assert (found["verdict"], found["cause"]) == ("inconclusive", cause)
        assert told in found["message"]


LOST = PLAYBOOK + "    - name: the machine goes\n      ansible.builtin.shell: kill -TERM 1; sleep 20\n"


@pytest.mark.full
def test_a_machine_that_is_lost_under_a_playbook_is_the_labs_trouble(harness: Run, tmp_path: Path) -> None:
    folder = product(
        tmp_path / "p",
        {
            **NOTES,
            "packages": ["busybox", "python3"],
            "playbooks": [{"playbook": "site.yml", "variables": {"word": "x"}}],
        },
        retries={"infra": 0},
    )
    notes(folder, "2.0")
    (folder / "site.yml").write_text(LOST)
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 3, ran.err
    assert (cell(ran)["verdict"], cell(ran)["cause"]) == ("inconclusive", "infra")
