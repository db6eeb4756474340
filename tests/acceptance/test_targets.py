"""Cells on containers, virtual machines and lab hosts in one campaign; what goes wrong on each is the lab's."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.containers.engine import Engine
from harness.hosts.leases import PLACE, Lease
from harness.system.wait import wait_until
from tests.conftest import Run, command
from tests.labs import LabHost, lab_host
from tests.products import WEB, product

CHECK = """\
def test_where_it_runs(host, keep):
    keep("kernel.txt", host.check_output("uname -srm"))


def test_the_database_is_there(database):
    assert database.query("select 6*7") == [["42"]]
"""
LABELS = {"cpu": "x86-64", "os": "debian-12"}


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHost]:
    with lab_host("debian-12", "x86_64", mem_limit=1 << 30) as made:
        yield made


@pytest.fixture
def hosts(tmp_path: Path, lab: LabHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inventory with the one host, at its own address."""
    monkeypatch.setenv("LAB_KEY", lab.key)
    path = tmp_path / "hosts.yaml"
    path.write_text(yaml.safe_dump({"hosts": [entry(lab)]}))
    return path


def entry(lab: LabHost, **change: Any) -> dict[str, Any]:
    return lab.plain(**{"address": lab.address, "port": 22, "labels": LABELS, **change})


def cells(ran: Any) -> dict[str, Any]:
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    return {cell["axes"]["cpu"]: cell for cell in record["cells"]}


def state(lab: LabHost) -> str:
    places = "/etc /opt /srv /usr/local /var/lib/postgresql"
    files = f"find {places} -xdev \\( -name '*-' -o -name ld.so.cache \\) -prune -o -printf '%p %m\\n' 2>/dev/null"
    return lab.inside.run(f"dpkg-query -W; getent passwd; getent group; {files} | sort").out


def test_one_campaign_on_containers_virtual_machines_and_hosts(
    harness: Run, tmp_path: Path, hosts: Path, lab: LabHost
) -> None:
    """The same application.yaml on all; a database server beside it on each."""
    site = {
        **WEB,
        "artifacts": [{"path": "site.tgz", "install": "archive", "to": "/opt/site", "strip": 1}],
        "setup": [],
        "start": "busybox httpd -f -p 8080 -h /opt/site/www",
    }
    folder = product(
        tmp_path / "p",
        site,
        cpu=["x86-64", "hygon-c86", "phytium-ft2000plus"],
        database=["postgresql"],
        check=CHECK,
    )
    with tarfile.open(folder / "site.tgz", "w:gz") as tar:
        entry_of = tarfile.TarInfo("site-1.0/www/health")
        entry_of.size = 5
        tar.addfile(entry_of, io.BytesIO(b"good\n"))
    before = state(lab)
    plan = harness("plan", folder, "--format", "json")
    shown = {cell["axes"]["cpu"]: (cell["fidelity"], cell["target"]) for cell in plan.json["cells"]}
    assert shown == {
        "x86-64": ("container", "host lab"),
        "hygon-c86": ("system-emulated", "qemu-system Dhyana"),
        "phytium-ft2000plus": ("user-emulated", "qemu-user cortex-a72"),
    }
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    found = cells(ran)
    assert {cpu: cell["verdict"] for cpu, cell in found.items()} == dict.fromkeys(shown, "conformant")
    facts = {cpu: {(f["machine"], f["name"]): f for f in cell["attestation"]} for cpu, cell in found.items()}
    assert facts["hygon-c86"]["application", "CPU vendor_id"]["observed"] == "HygonGenuine"
    assert facts["hygon-c86"]["application", "feature avx512f"]["observed"] == "absent"
    assert "qemu-system" in facts["hygon-c86"]["application", "emulator"]["observed"]
    assert "qemu-user" in facts["phytium-ft2000plus"]["application", "emulator"]["observed"]
    assert facts["x86-64"]["application", "virtualization"]["declared"] == "container"
    assert facts["hygon-c86"]["database", "database version"]["holds"]
    assert "installed on lab" in found["x86-64"]["notes"]
    assert {package["name"] for package in found["x86-64"]["packages"]} == {"busybox", "site.tgz"}
    assert state(lab) == before, "the host is as it was"
    assert lab.inside.run(f"ls {PLACE}").out.split() == [], "and holds no lease"
    assert not list((tmp_path / ".harness" / "machines").glob("*")), "no virtual machine is left"


def test_a_host_that_is_not_what_it_is_labelled_blocks_the_cell(
    harness: Run, tmp_path: Path, hosts: Path, lab: LabHost
) -> None:
    """A Debian host that passes for Kylin, and a container that passes for hardware."""
    folder = product(tmp_path / "p", WEB, os="kylin-v10-sp3", prefer=["host"])
    hosts.write_text(
        yaml.safe_dump({"hosts": [entry(lab, labels={"cpu": "x86-64", "os": "kylin-v10-sp3"}, fidelity="physical")]})
    )
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 3, ran.err
    (cell,) = cells(ran).values()
    assert (cell["verdict"], cell["cause"]) == ("inconclusive", "config")
    assert "os-release ID: declared kylin, observed debian" in cell["message"]
    facts = {fact["name"]: fact for fact in cell["attestation"]}
    assert (facts["virtualization"]["observed"], facts["virtualization"]["holds"]) == ("container", False)


@pytest.mark.load
def test_a_cell_on_a_host_that_is_reached_through_another(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is not known here at all: suites over HTTP and a load go through the SSH connection."""
    engine = Engine("acceptance")
    network = f"harness-acceptance-{secrets.token_hex(4)}"
    engine.create_network(network, engine.labels("acceptance", "1", ""))
    try:
        with (
            lab_host("debian-12", "x86_64", network=network, alias="outer") as outer,
            lab_host("debian-12", "x86_64", network=network, alias="inner", mem_limit=1 << 30) as inner,
        ):
            monkeypatch.setenv("OUTER", outer.key)
            monkeypatch.setenv("INNER", inner.key)
            (tmp_path / "hosts.yaml").write_text(
                yaml.safe_dump(
                    {
                        "hosts": [
                            entry(outer, key="env:OUTER", labels={}),
                            entry(inner, address="inner", key="env:INNER", jump="outer"),
                        ]
                    }
                )
            )
            suites = ["compat/lifecycle", "load/http"]
            ran = harness("run", product(tmp_path / "p", WEB, suites=suites), "--format", "json")
            assert ran.code == 0, ran.err
            (cell,) = cells(ran).values()
            assert cell["reason"] is not None
            results = {case["id"]: case["result"] for case in cell["cases"]}
            assert results["DEP-6"] == results["LOAD-02"] == results["LC-05"] == "pass"
            assert inner.inside.run("ls -d /srv/www").out == ""
    finally:
        engine.remove_network(network)


@pytest.mark.full
def test_what_cannot_be_undone_marks_the_host(harness: Run, tmp_path: Path, hosts: Path, lab: LabHost) -> None:
    """A file that the product left in a folder that was there before is nobody's to remove."""
    messy = {**WEB, "start": "sh -c 'echo left >/usr/local/lib/left-behind; exec busybox httpd -f -p 8080 -h /srv/www'"}
    folder = product(tmp_path / "p", messy)
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    assert "file new: /usr/local/lib/left-behind" in lab.inside.get(f"{PLACE}/dirty").decode()
    again = harness("run", folder, "--format", "json")
    assert again.code == 3
    (cell,) = cells(again).values()
    assert cell["cause"] == "infra"
    assert "marked dirty" in cell["message"]
    lab.inside.run("rm /usr/local/lib/left-behind")
    cleaned = harness("hosts", "clean", "lab")
    assert cleaned.code == 0
    assert "left-behind" in cleaned.out
    assert harness("run", folder, "--only", "cpu=x86-64", "--format", "json").code == 0
    lab.inside.run("rm -f /usr/local/lib/left-behind")
    harness("hosts", "clean", "lab")


def test_a_run_that_is_killed_leaves_no_host_that_passes_for_clean(
    tmp_path: Path, hosts: Path, lab: LabHost, harness: Run
) -> None:
    """kill -9 in the middle of a cell on a host: what it installed is still there, and nobody tests on top of it."""
    slow = "import time\n\n\ndef test_slow(application):\n    time.sleep(60)\n"
    folder = product(tmp_path / "p", WEB, check=slow)
    before = state(lab)
    process = subprocess.Popen(
        command("run", str(folder)), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: lab.inside.run("test -s /run/harness/app.pid").ok, seconds=300, what="a running product")
    finally:
        process.kill()
        process.wait()
    lab.inside.run(f"sed -i 's/ [0-9]* / 1 /' {PLACE}/lease")  # as if three minutes had passed
    again = harness("run", product(tmp_path / "q", WEB), "--format", "json")
    assert again.code == 3, again.err
    (cell,) = cells(again).values()
    assert "did not end in order" in cell["message"]
    cleaned = harness("hosts", "clean", "lab")
    assert cleaned.code == 0, cleaned.out
    assert state(lab) == before


def test_a_host_that_is_in_use_is_waited_for(harness: Run, tmp_path: Path, hosts: Path, lab: LabHost) -> None:
    lease = Lease(lab.inside, "another/campaign")
    lease.take()
    folder = product(tmp_path / "p", WEB)
    released: list[float] = []

    def release() -> None:
        time.sleep(6)
        released.append(time.monotonic())
        lease.release()

    thread = threading.Thread(target=release)
    thread.start()
    ran = harness("run", folder, "--format", "json")
    ended = time.monotonic()
    thread.join()
    assert ran.code == 0, ran.err
    assert released[0] < ended


def test_a_lease_that_is_lost_ends_the_cell(harness: Run, tmp_path: Path, hosts: Path, lab: LabHost) -> None:
    """Someone took the host over: nothing more is done on it, not even cleaning, and nothing is told of the product."""
    slow = "import time\n\n\ndef test_slow(application):\n    time.sleep(15)\n"
    folder = product(tmp_path / "p", WEB, check=slow, retries={"infra": 0})
    taken = threading.Event()

    def take_over() -> None:
        for _ in range(1500):
            if lab.inside.run(f"test -s /run/harness/app.pid -a -s {PLACE}/lease").ok:
                lab.inside.run(f"echo 'other 9999999999 somebody/else' >{PLACE}/lease")
                taken.set()
                return
            time.sleep(0.2)

    thread = threading.Thread(target=take_over)
    thread.start()
    try:
        ran = harness("run", folder, "--format", "json")
        thread.join()
        assert taken.is_set()
        assert ran.code == 3, ran.err
        (cell,) = cells(ran).values()
        assert (cell["verdict"], cell["cause"]) == ("inconclusive", "infra")
        assert "somebody/else" in cell["message"]
        assert "busybox" in lab.inside.run("dpkg-query -W busybox").out, "what is another's was not touched"
        assert lab.inside.run("kill -0 $(cat /run/harness/app.pid)").ok, "nor what runs there"
    finally:
        with contextlib.suppress(Exception):
            lab.inside.run(
                f"rm -f {PLACE}/lease {PLACE}/dirty {PLACE}/etc.tar; dpkg --purge busybox sqlite3; "
                "kill $(cat /run/harness/app.pid); rm -rf /srv/www /run/harness"
            )


@pytest.mark.full
def test_a_virtual_machine_that_is_killed_is_the_labs_trouble(harness: Run, tmp_path: Path) -> None:
    """QEMU ends in the middle of a test; the cell is tried again and passes."""
    mark = tmp_path / "killed"
    check = f"""\
import os, pathlib, signal, time


def test_it_answers(application, target):
    mark = pathlib.Path({str(mark)!r})
    if not mark.exists():
        mark.touch()
        os.kill(target.application_machine.process, signal.SIGKILL)
        time.sleep(0.5)
    assert application.running()
"""
    folder = product(tmp_path / "p", WEB, cpu=["hygon-c86"], check=check)
    ran = harness("run", folder, "--trust-code", "--format", "json")  # it kills a process of this machine
    assert ran.code == 0, ran.err
    (cell,) = cells(ran).values()
    assert [one["verdict"] for one in cell["attempts"]] == ["inconclusive", "conformant"]
    assert cell["attempts"][0]["cause"] == "infra"
    assert not list((tmp_path / ".harness" / "machines").glob("*"))


@pytest.mark.full
def test_the_powerdns_matrix_on_all_kinds_of_machines(harness: Run, tmp_path: Path, hosts: Path, lab: LabHost) -> None:
    """A lab host, a virtual machine, a container, and a cell whose database is on another architecture."""
    folder = tmp_path / "powerdns"
    shutil.copytree(Path(__file__).parents[2] / "matrices" / "powerdns", folder)
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    del matrix["exclude"]
    cells_of = [
        ("x86-64", "postgresql", "same"),
        ("hygon-c86", "sqlite", "same"),
        ("kunpeng-920", "sqlite", "same"),
        ("x86-64", "mariadb", "kunpeng-920"),
    ]
    matrix["axes"] = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["postgresql"], "database_cpu": ["same"]}
    matrix["include"] = [
        {"os": "debian-12", "cpu": cpu, "database": database, "database_cpu": other}
        for cpu, database, other in cells_of[1:]
    ]
    matrix["suites"] = ["compat/lifecycle", "compat/http", "compat/database"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix, allow_unicode=True))
    ran = harness("run", folder, "--format", "json", timeout=1500)
    assert ran.code == 0, ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    found = {(c["axes"]["cpu"], c["axes"]["database"], c["axes"]["database_cpu"]): c for c in record["cells"]}
    assert {key: cell["verdict"] for key, cell in found.items()} == dict.fromkeys(cells_of, "conformant")
    assert [found[key]["fidelity"] for key in cells_of] == [
        "container",
        "system-emulated",
        "user-emulated",
        "user-emulated",
    ]
    assert "installed on lab" in found[cells_of[0]]["notes"]
    assert {package["name"] for package in found[cells_of[0]]["packages"]} >= {"pdns-server", "pdns-backend-pgsql"}
    assert lab.inside.run(f"ls {PLACE}").out.split() == []


def test_a_killed_run_leaves_no_virtual_machine_running(tmp_path: Path) -> None:
    """kill -9 of the harness ends its emulators; what is left of them on the disk, `gc` removes."""
    slow = "import time\n\n\ndef test_slow(application):\n    time.sleep(60)\n"
    folder = product(tmp_path / "p", WEB, cpu=["hygon-c86"], check=slow)
    process = subprocess.Popen(
        command("run", str(folder)), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    machines = tmp_path / ".harness" / "machines"
    try:
        wait_until(lambda: any(machines.glob("harness-*/pid")), seconds=120, what="a virtual machine")
        (pid,) = (int(path.read_text()) for path in machines.glob("harness-*/pid"))
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), seconds=20, what="the emulator's end")
    done = subprocess.run(command("gc", "--format", "json"), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert any(name.startswith("vm harness-") for name in json.loads(done.stdout)["removed"])
    assert not list(machines.iterdir())
