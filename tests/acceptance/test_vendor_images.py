"""Databases that come as their vendors' container images. What is run here are stand-ins: Debian's PostgreSQL and
MariaDB in images that the tests make, with entry points as such images have."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Run
from tests.products import WEB, product
from tests.vendors import (
    GOOD_LICENCE,
    MARIADB_ENTRY,
    POSTGRESQL_ENTRY,
    image_of,
    stand_in,
    write_entry,
    write_inventory,
)

POWERDNS = Path(__file__).parents[2] / "matrices" / "powerdns"

CHECK = """
def test_the_product_knows_it(target, host):
    access = target.access
    assert (access.host, access.user, access.name) == ("database", "app", "app")
    assert host.run("getent hosts database").rc == 0

def test_it_is_asked_and_restarted(database):
    database.query("create table t (x varchar(20)); insert into t values ('适配')")
    assert database.query("select x from t") == [["适配"]]
    assert database.version()
    database.restart()
    database.start()  # it runs: nothing happens
    assert database.ready()
    assert database.query("select x from t") == [["适配"]]

def test_it_is_stopped(database):
    database.stop()
    try:
        ready = database.ready()
    except Exception:
        ready = False
    assert not ready
    database.start()
    assert database.query("select x from t") == [["适配"]]
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("archives")
    with (
        stand_in(folder / "standin_postgresql.tar", "postgresql"),
        stand_in(folder / "standin_mariadb.tar", "mariadb", licensed=True),
    ):
        yield folder


def beside(folder: Path, archives: Path, name: str) -> Path:
    """The archive, as a user has it beside databases.yaml."""
    path = folder / name
    path.hardlink_to(archives / name)
    return path


def cells_of(ran: Any) -> dict[str, Any]:
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    return {cell["axes"]["database"]: cell for cell in record["cells"]}


def facts_of(cell: Any) -> dict[str, str]:
    return {fact["name"]: fact["observed"] for fact in cell["attestation"] if fact["machine"] == "database"}


def test_powerdns_runs_on_two_images_at_once(harness: Run, tmp_path: Path, archives: Path) -> None:
    """PostgreSQL is asked from here by its driver, MariaDB with the client in its image, which wants a licence file."""
    postgresql = beside(tmp_path, archives, "standin_postgresql.tar")
    mariadb = beside(tmp_path, archives, "standin_mariadb.tar")
    (tmp_path / "licence.key").write_text(GOOD_LICENCE)
    write_entry(tmp_path, POSTGRESQL_ENTRY)
    write_entry(tmp_path, MARIADB_ENTRY)
    write_inventory(
        tmp_path,
        image_of(postgresql, "standin-postgresql", declared="PostgreSQL 15", settings={"server_encoding": "UTF8"}),
        image_of(mariadb, "standin-mariadb", licence="file:licence.key"),
    )
    root = tmp_path / "p"
    shutil.copytree(POWERDNS, root)
    application = yaml.safe_load((root / "application.yaml").read_text())
    as_named = {"standin-postgresql": "postgresql", "standin-mariadb": "mariadb"}
    _like(application, as_named, root)
    (root / "application.yaml").write_text(yaml.safe_dump(application, allow_unicode=True))
    matrix = {
        "matrix": "images",
        "axes": {"os": ["debian-12"], "cpu": ["x86-64"], "database": sorted(as_named)},
        "suites": ["compat/database"],
    }
    (root / "matrix.yaml").write_text(yaml.safe_dump(matrix))
    ran = harness("run", root, "--format", "json")
    cells = cells_of(ran)
    for cell in cells.values():
        bad = [case for case in cell["cases"] if case["result"] not in ("pass", "skip")]
        assert cell["verdict"] == "conformant", (cell["message"], bad)
    facts = {database: facts_of(cell) for database, cell in cells.items()}
    assert "PostgreSQL 15" in facts["standin-postgresql"]["database version by inventory"]
    assert facts["standin-postgresql"]["database server_encoding by inventory"] == "UTF8"
    assert "standin_postgresql.tar, sha256" in facts["standin-postgresql"]["database image"]
    assert "MariaDB" in facts["standin-mariadb"]["database version"]
    digest = hashlib.sha256(GOOD_LICENCE.encode()).hexdigest()
    assert facts["standin-mariadb"]["database licence"] == f"sha256 {digest}"
    stored = b"".join(path.read_bytes() for path in (tmp_path / ".harness").rglob("*") if path.is_file())
    assert b"7b1e-stand-in" not in stored
    assert harness("bundle", "--out", tmp_path / "all.tar").code == 0
    assert b"7b1e-stand-in" not in (tmp_path / "all.tar").read_bytes()


def _like(application: dict[str, Any], names: dict[str, str], root: Path) -> None:
    """What the application does for a database of Debian, it does for the stand-in."""
    configuration = root / "templates" / "pdns.conf"
    text = configuration.read_text()
    text = text.replace('db.kind == "postgresql"', 'db.kind == "standin-postgresql"')
    configuration.write_text(text.replace('"mariadb", "seekdb"', '"standin-mariadb",'))
    application["schema"] = {own: application["schema"][like] for own, like in names.items()}


def test_a_suite_asks_restarts_and_stops_such_a_database(harness: Run, tmp_path: Path, archives: Path) -> None:
    """Two cells of one image side by side: each has a server of its own."""
    write_entry(tmp_path, POSTGRESQL_ENTRY)
    archive = beside(tmp_path, archives, "standin_postgresql.tar")
    write_inventory(tmp_path, image_of(archive, "standin-postgresql"))
    folder = product(
        tmp_path / "p", WEB, database=["standin-postgresql"], axes={"turn": ["first", "second"]}, check=CHECK
    )
    plan = harness("plan", folder, "--format", "json").json["cells"][0]
    assert plan["target"].endswith("database: image standin-postgresql-archive (standin_postgresql.tar)")
    ran = harness("run", folder, "--format", "json")
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    for cell in record["cells"]:
        assert cell["verdict"] == "conformant", (cell["message"], [c for c in cell["cases"] if c["result"] == "fail"])
    assert len(record["cells"]) == 2


@pytest.mark.parametrize(
    ("licence", "words"),
    [("", "no licence file /opt/standin/licence.key"), ("valid=no\n", "the license expired on 2020-01-01")],
)
def test_an_image_that_dies_for_its_licence_is_never_the_products_failure(
    harness: Run, tmp_path: Path, archives: Path, licence: str, words: str
) -> None:
    write_entry(tmp_path, MARIADB_ENTRY, licence={"path": "/opt/standin/licence.key", "required": False})
    archive = beside(tmp_path, archives, "standin_mariadb.tar")
    (tmp_path / "licence.key").write_text(licence)
    named = {"licence": "file:licence.key"} if licence else {}
    write_inventory(tmp_path, image_of(archive, "standin-mariadb", **named))
    folder = product(tmp_path / "p", WEB, database=["standin-mariadb"], retries={"infra": 0})
    ran = harness("run", folder, "--format", "json")
    (cell,) = cells_of(ran).values()
    assert (ran.code, cell["verdict"], cell["cause"]) == (3, "inconclusive", "config"), cell["message"]
    assert words in cell["message"]
    assert "licence" in cell["message"]


def test_an_image_that_ends_says_its_last_words(harness: Run, tmp_path: Path, archives: Path) -> None:
    """No licence is spoken of: it is the laboratory's, with the reason in the server's own words."""
    archive = beside(tmp_path, archives, "standin_postgresql.tar")
    entrypoint = ["sh", "-c", "echo 'PANIC: could not map the pool'; exit 7"]
    write_entry(tmp_path, POSTGRESQL_ENTRY, entrypoint=entrypoint)
    write_inventory(tmp_path, image_of(archive, "standin-postgresql"))
    folder = product(tmp_path / "p", WEB, database=["standin-postgresql"], retries={"infra": 0})
    ran = harness("run", folder, "--format", "json")
    (cell,) = cells_of(ran).values()
    assert (ran.code, cell["verdict"], cell["cause"]) == (3, "inconclusive", "infra"), cell["message"]
    assert "ended (exit 7)" in cell["message"]
    assert "PANIC: could not map the pool" in cell["message"]
