"""Java for real: the shipped web application in Tomcat with two databases, and a JAR that the runtime starts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ran, Run, command
from tests.products import product

ROOT = Path(__file__).parents[2]
SERVER = """\
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Server {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(words[0])), 0);
        server.createContext("/", exchange -> {
            byte[] text = ("好 " + System.getProperty("java.vm.name")).getBytes("UTF-8");
            exchange.sendResponseHeaders(200, text.length);
            exchange.getResponseBody().write(text);
            exchange.close();
        });
        server.start();
    }
}
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped example with its WAR, built as its user builds it."""
    folder = tmp_path_factory.mktemp("java") / "java-web"
    shutil.copytree(ROOT / "matrices" / "java-web", folder, ignore=shutil.ignore_patterns("build"))
    digests = []
    for _ in range(2):
        subprocess.run(["sh", str(folder / "build.sh")], check=True, capture_output=True)
        digests.append(hashlib.sha256((folder / "build" / "workshop.war").read_bytes()).hexdigest())
    assert digests[0] == digests[1], "two builds of the same sources differ"
    return folder


def run_on(example: Path, cpu: str) -> tuple[Ran, list[Any]]:
    """Run the cells of one CPU class; gives the cells that were run."""
    place = example.parent / cpu
    place.mkdir()
    done = subprocess.run(
        command("run", str(example), "--only", f"cpu={cpu}", "--format", "json"),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=4 * 3600,
        check=False,
    )
    print(done.stderr)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    return ran, [cell for cell in record["cells"] if cell["axes"]["cpu"] == cpu]


def demand_conformant(ran: Ran, cells: list[Any]) -> None:
    assert ran.code == 3, ran.err  # the other cells are not tested
    assert {cell["axes"]["database"] for cell in cells} == {"postgresql", "mariadb"}
    for cell in cells:
        assert cell["verdict"] == "conformant", cell["message"]
        assert cell["version"] == "workshop 1.0"
        results = {case["id"]: case["result"] for case in cell["cases"]}
        for case in (
            "DEP-6",
            "LC-03",
            "LC-06",
            "LC-07",
            "HTTP-06",
            "HTTP-08",
            "DB-01",
            "DB-03",
            "DB-04",
            "PAGE-03",
            "PAGE-05",
        ):
            assert results[case] == "pass", (cell["axes"], case)
        names = {package["name"] for package in cell["foundation_packages"]}
        driver = {"postgresql": "libpostgresql-jdbc-java", "mariadb": "libmariadb-java"}[cell["axes"]["database"]]
        assert {driver, f"{cell['axes']['runtime']}-jre-headless"} <= names, "what the product only needs"
        assert [package["name"] for package in cell["packages"]] == ["ROOT.war"], "what is the product's own"
        seen = {fact["name"] for fact in cell["attestation"] if fact["holds"]}
        assert {"runtime version", "middleware version", "database version"} <= seen


@pytest.mark.load
def test_the_web_application_is_conformant_on_this_machine(example: Path) -> None:
    demand_conformant(*run_on(example, "x86-64"))


@pytest.mark.full
@pytest.mark.parametrize("cpu", ["kunpeng-920", "loongson-3a5000"])
def test_the_web_application_is_conformant_on_an_emulated_class(example: Path, cpu: str) -> None:
    ran, cells = run_on(example, cpu)
    demand_conformant(ran, cells)
    for cell in cells:
        loads = {case["result"] for case in cell["cases"] if case["suite"] == "load/http"}
        assert loads == {"skip"}, "an emulated machine shows no performance"


def test_a_war_that_is_not_built_says_how(harness: Run, example: Path, tmp_path: Path) -> None:
    folder = tmp_path / "not-built"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("build"))
    ran = harness("lint", folder)
    assert ran.code == 2
    assert "no such file" in ran.err
    assert "run `sh build.sh` in" in ran.err


def test_a_jar_is_started_by_the_runtime_that_its_axis_names(harness: Run, tmp_path: Path) -> None:
    application = {
        "application": "jar",
        "name": "Jar",
        "vendor": "V",
        "version": "1.0",
        "artifacts": [{"path": "server.jar", "install": "copy", "to": "/opt/jar/server.jar", "mode": "0644"}],
        "start": "{{ runtime.java }} {{ runtime.options }} -Xmx32m -jar /opt/jar/server.jar {{ ports.web }}",
        "ready": {"path": "/", "seconds": 20},
        "ports": {"web": 8080},
        "http": {"port": "web"},
        "uninstall": ["rm -rf /opt/jar"],
    }
    folder = product(
        tmp_path / "p", application, database=["none"], axes={"runtime": ["openjdk-17"]}, suites=["compat/lifecycle"]
    )
    classes = tmp_path / "classes"
    (tmp_path / "Server.java").write_text(SERVER)
    javac = ["javac", "--release", "17", "-encoding", "UTF-8", "-d", str(classes), str(tmp_path / "Server.java")]
    subprocess.run(javac, check=True, capture_output=True)
    jar = ["jar", "--create", "--file", str(folder / "server.jar"), "--main-class", "Server", "-C", str(classes), "."]
    subprocess.run(jar, check=True, capture_output=True, env={**os.environ, "TZ": "UTC"})
    ran = harness("run", folder, "--format", "json")
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    assert cell["verdict"] == "conformant", cell["message"]
    assert [package["name"] for package in cell["packages"]] == ["server.jar"]
