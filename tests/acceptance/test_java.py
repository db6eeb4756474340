"""Java for real: the shipped web application in Tomcat with two databases, and a JAR that the runtime starts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Ran, Run, command
from tests.labs import lab_host
from tests.products import product

ROOT = Path(__file__).parents[2]


#: A stand-in for a container of a vendor, and no servlet container: it gives the files of each WAR in a folder.
CONTAINER = """\
import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.ZipFile;

public class Container {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(words[1])), 0);
        Files.writeString(Path.of(words[0], "container.log"), "made at run time");
        for (File war : new File(words[0], "autodeploy").listFiles()) {
            String name = war.getName().replace(".war", "");
            server.createContext("/" + name, exchange -> {
                try (ZipFile zip = new ZipFile(war)) {
                    byte[] text = zip.getInputStream(zip.getEntry("index.html")).readAllBytes();
                    exchange.sendResponseHeaders(200, text.length);
                    exchange.getResponseBody().write(text);
                }
                exchange.close();
            });
        }
        server.start();
    }
}
"""
#: What a user writes of a container that the catalogue does not have.
BOXED = {
    "middleware": "boxed",
    "name": "A stand-in",
    "vendor": "V",
    "brought": True,
    "version": "cat /opt/boxed/version",
    "declared": "Boxed 9.",
    "certainty": "measured",
    "source": "this test",
    "servlet": {
        "namespace": "jakarta",
        "base": "/opt/boxed",
        "wars": "/opt/boxed/autodeploy",
        "root": "",
        "start": "exec {{ runtime.java }} -cp /opt/boxed/lib Container {{ servlet.base }} {{ servlet.port }}",
    },
}


def compiled(folder: Path, name: str, source: str) -> Path:
    """The folder of the classes of one source."""
    (folder / f"{name}.java").write_text(source)
    classes = folder / "classes"
    javac = ["javac", "--release", "17", "-encoding", "UTF-8", "-d", str(classes), str(folder / f"{name}.java")]
    subprocess.run(javac, check=True, capture_output=True)
    return classes


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
    ran = Ran.of(done)
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    return ran, [cell for cell in record["cells"] if cell["axes"]["cpu"] == cpu]


def demand_conformant(ran: Ran, cells: list[Any], *databases: str) -> None:
    assert ran.code == 3, ran.err  # the other cells are not tested
    assert {cell["axes"]["database"] for cell in cells} == {*databases}
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


def test_the_web_application_is_conformant_on_this_machine(example: Path, tmp_path: Path) -> None:
    """With all suites but the load, for which nothing else may run on the machine; on MariaDB in the full ring."""
    folder = shutil.copytree(example, tmp_path / "java-web")
    matrix = yaml.safe_load((folder / "matrix.yaml").read_text())
    matrix["suites"].remove("load/http")
    matrix["axes"]["database"] = ["postgresql"]
    (folder / "matrix.yaml").write_text(yaml.safe_dump(matrix, allow_unicode=True))
    demand_conformant(*run_on(folder, "x86-64"), "postgresql")


@pytest.mark.full
@pytest.mark.parametrize("cpu", ["x86-64", "kunpeng-920", "loongson-3a5000"])
def test_the_web_application_is_conformant_as_it_is_shipped(example: Path, cpu: str) -> None:
    ran, cells = run_on(example, cpu)
    demand_conformant(ran, cells, "postgresql", "mariadb")
    for cell in cells:
        loads = {case["id"]: case for case in cell["cases"] if case["suite"] == "load/http"}
        assert loads.pop("LOAD-02")["result"] == "pass"
        assert {case["result"] for case in loads.values()} == {"recorded"}


def test_a_war_that_is_not_built_says_how(harness: Run, example: Path, tmp_path: Path) -> None:
    folder = tmp_path / "not-built"
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("build"))
    ran = harness("lint", folder)
    assert ran.code == 2
    assert "no such file" in ran.err
    assert "run `sh build.sh` in" in ran.err


#: Counts its requests in the database that its cell gives it, by the driver that is there.
ROWS = """
import java.net.InetSocketAddress;
import java.sql.*;
import com.sun.net.httpserver.HttpServer;

public final class Rows {
    public static void main(String[] words) throws Exception {
        Class.forName(System.getenv("DRIVER"));
        try (Connection db = DriverManager.getConnection(System.getenv("URL")); Statement say = db.createStatement()) {
            say.execute("CREATE TABLE IF NOT EXISTS seen (text TEXT)");
            HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(words[0])), 8);
            server.createContext("/", exchange -> {
                byte[] out;
                try {
                    say.execute("INSERT INTO seen VALUES ('\u538b\u529b')");
                    try (ResultSet rows = say.executeQuery("SELECT count(*), max(text) FROM seen")) {
                        rows.next();
                        out = (rows.getInt(1) + " " + rows.getString(2)).getBytes("UTF-8");
                    }
                    exchange.sendResponseHeaders(200, out.length);
                } catch (SQLException error) {
                    out = error.toString().getBytes("UTF-8");
                    exchange.sendResponseHeaders(500, out.length);
                }
                exchange.getResponseBody().write(out);
                exchange.close();
            });
            server.start();
            Thread.currentThread().join();
        }
    }
}
"""
COUNTED = """\
def test_rows_are_in_the_file_of_the_cell(http, host):
    first, second = (int(http.send("GET", "/").text.split()[0]) for _ in range(2))
    assert second == first + 1
    assert http.send("GET", "/").text.endswith(" 压力")
    kept = host.check_output("sqlite3 /var/lib/harness-data/app.sqlite3 'SELECT count(*) FROM seen'")
    assert int(kept) == second + 1
"""


def test_a_jar_reaches_its_database_by_the_driver_of_the_catalogue(harness: Run, tmp_path: Path) -> None:
    application = {
        "application": "jar",
        "name": "Jar",
        "vendor": "V",
        "version": "1.0",
        "artifacts": [{"path": "server.jar", "install": "copy", "to": "/opt/jar/server.jar", "mode": "0644"}],
        "environment": {"URL": "{{ db.jdbc }}", "DRIVER": "{{ db.driver_class }}"},
        "start": "{{ runtime.java }} {{ runtime.options }} -Xmx32m -cp /opt/jar/server.jar:{{ db.driver_jar }} Rows "
        "{{ ports.web }}",
        "ready": {"path": "/", "seconds": 20},
        "ports": {"web": 8080},
        "http": {"port": "web"},
        "uninstall": ["rm -rf /opt/jar"],
    }
    folder = product(tmp_path / "p", application, database=["sqlite"], axes={"runtime": ["openjdk-17"]}, check=COUNTED)
    classes = compiled(tmp_path, "Rows", ROWS)
    jar = ["jar", "--create", "--file", str(folder / "server.jar"), "-C", str(classes), "."]
    subprocess.run(jar, check=True, capture_output=True, env={**os.environ, "TZ": "UTC"})
    ran = harness("run", folder, "--format", "json")
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    assert cell["verdict"] == "conformant", cell["message"]
    assert [package["name"] for package in cell["packages"]] == ["server.jar"]


def test_wars_run_in_a_container_that_the_product_brings(harness: Run, tmp_path: Path) -> None:
    """As 东方通 and its like are brought: an archive, an entry in the user's own targets, WARs with contexts."""
    application = {
        "application": "boxed-shop",
        "name": "Shop",
        "vendor": "V",
        "version": "1.0",
        "artifacts": [{"path": "boxed.tar", "install": "archive", "to": "/opt/boxed", "beneath": True}],
        "wars": [{"path": "shop.war", "context": "/shop"}, {"path": "admin.war", "context": "/admin"}],
        "ready": {"path": "/shop", "seconds": 20},
        "ports": {"web": 8080},
        "http": {"port": "web"},
    }
    check = (
        "import pytest\n\n\n@pytest.mark.parametrize('name', ['shop', 'admin'])\n"
        "def test_each_war_has_its_context(http, name):\n    assert http.send('GET', f'/{name}').text == name\n"
    )
    folder = product(
        tmp_path / "p",
        application,
        database=["none"],
        axes={"runtime": ["openjdk-17"], "middleware": ["boxed"]},
        suites=["compat/lifecycle", "checks"],
        check=check,
    )
    for name in ("shop", "admin"):
        with zipfile.ZipFile(folder / f"{name}.war", "w") as war:
            war.writestr("index.html", name)
    classes = compiled(tmp_path, "Container", CONTAINER)
    (tmp_path / "version").write_text("Boxed 9.1\n")
    with tarfile.open(folder / "boxed.tar", "w") as archive:
        archive.add(classes, "lib")
        archive.add(tmp_path / "version", "version")
    targets = tmp_path / "targets" / "middleware"
    targets.mkdir(parents=True)
    (targets / "boxed.yaml").write_text(yaml.safe_dump(BOXED))
    ran = harness("run", folder, "--format", "json")
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    assert cell["verdict"] == "conformant", cell["message"]
    facts = {fact["name"]: fact["observed"] for fact in cell["attestation"]}
    assert facts["middleware version"] == "Boxed 9.1"
    results = {case["id"]: case["result"] for case in cell["cases"]}
    assert results["LC-06"] == results["LC-07"] == "pass"


#: Stands for a container that a laboratory has, in a layout of its own. It says so; it is no servlet container.
FOUND = """#!/bin/sh
cd /opt/found-container || exit 1
for war in drop/*.war; do
  [ -e "$war" ] || continue
  mkdir -p "run/$(basename "$war" .war)" && busybox unzip -o -q "$war" -d "run/$(basename "$war" .war)"
done
exec busybox httpd -f -p "$1" -h run
"""


def test_wars_run_in_a_container_that_is_found_on_a_host(
    harness: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As BES or InforSuite on a machine of a center: an entry by that name in the user's own targets, no artifact. A
    host that has another version, or none, blocks the cell."""
    entry = {
        **BOXED,
        "middleware": "bes",
        "name": "A stand-in for a container that a host has",
        "version": "cat /opt/found-container/VERSION.txt",
        "declared": "9.5",
        "servlet": {
            "namespace": "javax",
            "base": "/opt/found-container",
            "wars": "/opt/found-container/drop",
            "root": "",
            "traces": ["/opt/found-container/run/{name}"],
            "start": "exec sh {{ servlet.base }}/serve.sh {{ servlet.port }}",
        },
    }
    application = {
        "application": "found-shop",
        "name": "Shop",
        "vendor": "V",
        "version": "1.0",
        "wars": [{"path": "shop.war", "context": "/shop"}],
        "ready": {"path": "/shop/index.html", "seconds": 20},
        "ports": {"web": 8080},
        "http": {"port": "web"},
    }
    check = "def test_it_answers(http):\n    assert http.send('GET', '/shop/index.html').text == 'shop'\n"
    folder = product(
        tmp_path / "p", application, database=["none"], axes={"middleware": ["bes"]}, check=check, prefer=["host"]
    )
    with zipfile.ZipFile(folder / "shop.war", "w") as war:
        war.writestr("index.html", "shop")
    targets = tmp_path / "targets" / "middleware"
    targets.mkdir(parents=True)
    (targets / "bes.yaml").write_text(yaml.safe_dump(entry))
    with lab_host("debian-12", "x86_64", packages=("busybox",)) as lab:
        monkeypatch.setenv("LAB_KEY", lab.key)
        host = lab.plain(address=lab.address, port=22, labels={"cpu": "x86-64", "os": "debian-12"})
        (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [host]}))
        lab.inside.put("/opt/found-container/serve.sh", FOUND.encode())
        for shown, code, verdict in (("stand-in 9.5.2", 0, "conformant"), ("stand-in 9.4", 3, "inconclusive")):
            lab.inside.put("/opt/found-container/VERSION.txt", shown.encode())
            ran = harness("run", folder, "--format", "json")
            (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
            assert (ran.code, cell["verdict"]) == (code, verdict), cell["message"]
            if code == 0:
                facts = {fact["name"]: fact["observed"] for fact in cell["attestation"]}
                assert facts["cgroup of the product"].startswith("none")
                assert any("no cgroup of its own" in note for note in cell["notes"])
        assert "middleware version: declared 9.5, observed stand-in 9.4" in cell["message"]
        assert lab.inside.run("ls /opt/found-container/drop /opt/found-container/run 2>/dev/null").out.strip() in (
            "",
            "/opt/found-container/drop:\n\n/opt/found-container/run:",
        )
