"""The database on a machine of another architecture than the product's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.products import WEB, product

CHECK = """\
def test_the_database_answers_over_there(database):
    assert database.query("select 6*7") == [["42"]]


def test_the_product_is_here(host):
    assert host.check_output("uname -m") == "x86_64"


def test_both_are_on_one_network(host):
    assert host.run("getent hosts database").rc == 0
"""


def test_an_x86_product_with_its_database_on_arm(harness: Run, tmp_path: Path) -> None:
    folder = product(tmp_path / "p", WEB, database=["postgresql"], check=CHECK)
    matrix = (folder / "matrix.yaml").read_text()
    (folder / "matrix.yaml").write_text(matrix.replace("axes:\n", "axes:\n  database_cpu: [same, kunpeng-920]\n"))
    plan = harness("plan", folder, "--format", "json")
    shown = {cell["axes"]["database_cpu"]: cell for cell in plan.json["cells"]}
    assert {name: cell["fidelity"] for name, cell in shown.items()} == {
        "same": "container",
        "kunpeng-920": "user-emulated",
    }
    assert shown["kunpeng-920"]["target"] == "this machine; database: qemu-user neoverse-n1"
    ran = harness("run", folder, "--only", "database_cpu=kunpeng-920", "--format", "json")
    assert ran.code in (0, 3), ran.err  # one of the two cells was not asked for
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (cell,) = (one for one in record["cells"] if one["axes"]["database_cpu"] == "kunpeng-920")
    assert (cell["verdict"], cell["fidelity"]) == ("conformant", "user-emulated"), cell["message"]
    facts = {(fact["machine"], fact["name"]): fact["observed"] for fact in cell["attestation"]}
    assert facts["application", "architecture"] == "x86_64"
    assert facts["database", "architecture"] == "aarch64"
    assert facts["database", "feature atomics"] == "present"
    assert ("application", "emulator") not in facts
    assert "neoverse-n1" in facts["database", "emulator"]
    assert {package["architecture"] for package in cell["database_packages"]} <= {"arm64", "all"}
    assert any("64K" in limit["en"] for limit in cell["limits"]), "what the emulated machine cannot show is told"


CACHE = """\
def test_each_has_a_machine_of_its_own(host, target):
    assert host.run("getent hosts database middleware").rc == 0
    assert host.run("command -v redis-server").rc != 0, "the product's machine has no server of it"


def test_the_product_reaches_it(host):
    word = host.check_output("sed -n 's/^redis //p' /etc/tiny-web.conf")
    address, port, password = word.split()
    said = "\\\\r\\\\n".join([f"AUTH {password}", "SET k 适配", "GET k", "QUIT", ""])
    assert "适配" in host.check_output(f"printf '{said}' | busybox nc -w 10 {address} {port}")
"""


@pytest.mark.parametrize(("cpu", "others"), [("x86-64", "kunpeng-920"), ("hygon-c86", "same")])
@pytest.mark.full
def test_database_and_middleware_on_machines_of_their_own(harness: Run, tmp_path: Path, cpu: str, others: str) -> None:
    """Three machines: containers of two architectures, and virtual machines with a cable to each server."""
    web = {**WEB, "templates": [{"template": "web.conf", "path": "/etc/tiny-web.conf", "mode": "0600"}]}
    axes = {"middleware": ["redis"], "middleware_cpu": [others], "database_cpu": [others]}
    folder = product(tmp_path / "p", web, cpu=[cpu], database=["postgresql"], axes=axes, check=CACHE)
    (folder / "web.conf").write_text("redis {{ middleware.host }} {{ middleware.port }} {{ middleware.password }}\n")
    ran = harness("run", folder, "--format", "json")
    assert ran.code == 0, ran.err
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (cell,) = record["cells"]
    facts = {(fact["machine"], fact["name"]): fact["observed"] for fact in cell["attestation"]}
    assert facts["middleware", "middleware version"].startswith("Redis server v=")
    assert facts["middleware", "architecture"] == ("aarch64" if others == "kunpeng-920" else "x86_64")
    stored = "".join(path.read_text(errors="replace") for path in (tmp_path / ".harness").rglob("*") if path.is_file())
    # The catalogue's entry is kept with its template; what was rendered of it is not.
    words = set(re.findall(r"requirepass ([^\n']{0,30})", stored))
    assert words == {"{{ middleware.password }}"}, "no secret of the middleware is kept"
