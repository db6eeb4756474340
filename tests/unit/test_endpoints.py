"""Database servers of a laboratory: what the inventory may say, what serves a cell, what drivers give."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.campaigns.options import RunOptions, databases_at
from harness.cli import doctor
from harness.cli.entry import cli
from harness.control.servers import CellDatabase, NotOffered
from harness.endpoints.drivers import DRIVERS, text_of
from harness.endpoints.inventory import Server, fitting, resolved
from harness.endpoints.machine import EndpointMachine
from harness.endpoints.statements import statements_of
from harness.errors import DefinitionError, InfrastructureError, UsageError
from harness.execution.contexts import draw_secrets
from harness.execution.endpoints import way_to
from harness.execution.making import roles_of
from harness.machines.placing import place
from harness.model.context import Access
from harness.model.definitions import Database, Databases
from harness.model.machine import MachineReference
from harness.planning import expand
from harness.reading.catalogue import Catalogue
from harness.reading.endpoints import read_databases
from harness.reading.entries import entries
from harness.reading.read import read
from harness.system.process import Completed

PG = {"endpoint": "pg-1", "database": "postgresql", "address": "192.0.2.7", "user": "lab"}
DM = {"endpoint": "dm-1", "database": "dameng-dm8", "address": "dm.lab.example", "user": "SYSDBA"}


def databases(*rows: dict[str, Any]) -> Databases:
    return Databases.model_validate({"databases": list(rows)})


def server(**keys: Any) -> Server:
    (endpoint,) = databases({**PG, **keys}).databases
    (_, entry) = entries("database")[endpoint.database]
    assert isinstance(entry, Database)
    return resolved(endpoint, entry)


def cell_of(folder: Any, *rows: dict[str, Any], database: str = "postgresql", **matrix: Any) -> Any:
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": [database], **matrix.pop("axes", {})}
    folder.change("matrix", axes=axes, **matrix)
    definitions = read(folder.root)
    return place(definitions, expand(definitions).cells[0], None, databases(*rows) if rows else None)


# --- what serves ---


def test_a_server_of_the_laboratory_serves_a_cell_before_a_machine_of_its_own(folder: Any) -> None:
    cell = cell_of(folder, PG, {**PG, "endpoint": "pg-2", "address": "192.0.2.8"}, DM)
    assert [each.endpoint.endpoint for each in cell.endpoints] == ["pg-1", "pg-2"]
    assert "database: endpoint pg-1 (192.0.2.7:5432), endpoint pg-2 (192.0.2.8:5432)" in cell.placement.by
    assert "database" not in cell.servers
    assert (cell.database.external, cell.database.packages) == (True, ())
    attempt: Any = SimpleNamespace(placed=cell, lab=SimpleNamespace(definitions=read(folder.root)))
    assert [role.name for role in roles_of(attempt)] == ["application"]
    assert draw_secrets(attempt).passwords["database"].get_secret_value().startswith("Xc1_")


def test_a_matrix_may_want_a_machine_of_the_cell(folder: Any) -> None:
    cell = cell_of(folder, PG, prefer_database="machine")
    assert cell.endpoints == ()
    assert "database" in cell.servers


def test_without_an_inventory_nothing_changes(folder: Any) -> None:
    cell = cell_of(folder)
    assert (cell.endpoints, cell.placement.by) == ((), "this machine")


def test_a_matrix_may_demand_one(folder: Any) -> None:
    assert cell_of(folder, PG, prefer_database=["endpoint"]).endpoints
    cell = cell_of(folder, DM, prefer_database=["endpoint"])
    assert cell.placement.kind is None
    assert "no server of the laboratory is postgresql, and no image of it is there: name one in" in cell.placement.by


def test_what_only_a_server_of_the_laboratory_serves(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    cell = cell_of(folder, PG, DM, database="dameng-dm8")
    assert [each.where for each in cell.endpoints] == ["endpoint dm-1 (dm.lab.example:5236)"]
    alone = cell_of(folder, PG, database="dameng-dm8")
    assert alone.placement.kind is None
    assert "no server of the laboratory is dameng-dm8" in alone.placement.by


def test_a_driver_that_is_missing_is_named_with_the_command_that_installs_it(
    folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    cell = cell_of(folder, DM, database="dameng-dm8")
    assert cell.placement.kind is None
    assert "dmPython is not installed on this machine: pip install 'xinchuang-harness[dameng]'" in cell.placement.by
    fallen = cell_of(folder, PG)
    assert fallen.endpoints == ()
    assert "; not by endpoint pg-1 (192.0.2.7:5432): the driver psycopg is not installed" in fallen.placement.by


def test_every_driver_has_an_extra_and_every_recipe_a_driver() -> None:
    import tomllib

    shipped = Catalogue.shipped()
    if (shipped / "pyproject.toml").is_file():
        extras = tomllib.loads((shipped / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for driver in DRIVERS.values():
            assert any(driver.module.lower() in wanted.lower() for wanted in extras[driver.extra]), driver.name
    for name, (_, entry) in entries("database").items():
        assert isinstance(entry, Database)
        if entry.endpoint is not None:
            assert entry.endpoint.driver in DRIVERS
            assert entry.driver == entry.endpoint.driver, name
            assert entry.certainty == "measured" or entry.certainty_of("endpoint") in ("likely", "general"), name


def test_a_machine_for_the_database_is_a_label_of_the_server(folder: Any) -> None:
    axes = {"database_os": ["debian-12"], "database_cpu": ["kunpeng-920"]}
    assert cell_of(folder, PG, axes=axes).endpoints == ()
    cell = cell_of(folder, {**PG, "labels": {"os": "debian-12", "cpu": "kunpeng-920"}}, axes=axes)
    assert len(cell.endpoints) == 1
    assert cell.machines == ((cell.os, cell.cpu),)


def test_a_virtual_machine_reaches_none(folder: Any) -> None:
    cell = cell_of(folder, PG, prefer=["vm"], prefer_database=["endpoint"])
    assert cell.placement.kind is None
    assert "take a container or a lab host" in cell.placement.by


@pytest.mark.parametrize("name", ["sqlite", "none"])
def test_no_server_serves_what_is_none(folder: Any, name: str) -> None:
    assert cell_of(folder, PG, database=name).endpoints == ()


# --- the inventory ---


@pytest.mark.parametrize(
    ("rows", "message", "line"),
    [
        ([{**PG, "database": "postgres"}], "no such database", 3),
        ([{**PG, "database": "gbase-8a"}], "how a server of gbase-8a is asked is not known", 3),
        ([PG, {**PG, "user": "other"}], "endpoint named twice: pg-1", 6),
        ([{**PG, "at_once": 2, "restart": "true"}], "it needs at_once: 1", 7),
        ([{**PG, "password": "hunter2"}], "as env:NAME or file:PATH", 6),
        ([{**PG, "adress": "x"}], "unknown key 'adress'", 6),
        ([{**PG, "address": "a b"}], "the name of a host, or an IP address", 4),
        ([{**PG, "port": 0}], "greater than or equal to 1", 6),
    ],
)
def test_what_is_wrong_in_it_is_said_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], message: str, line: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "databases.yaml"
    path.write_text(yaml.safe_dump({"databases": rows}, sort_keys=False))
    with pytest.raises(DefinitionError) as caught:
        read_databases(path, Catalogue.standard())
    (fault,) = caught.value.faults
    assert message in str(fault)
    assert (fault.file, fault.line) == (str(path), line)
    for command in (["lint", "databases.yaml"], ["databases", "list"]):
        ran = CliRunner().invoke(cli, command)
        assert isinstance(ran.exception, DefinitionError), ran.output
    (found,) = doctor._databases()
    assert not found.ok
    assert f"databases.yaml:{line}:" in found.found
    assert "hunter2" not in found.found + str(fault)


def test_a_good_one_is_listed_and_looked_at_by_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor._databases() == []
    (tmp_path / "databases.yaml").write_text(yaml.safe_dump({"databases": [PG, DM]}))
    ran = CliRunner().invoke(cli, ["databases", "list", "--format", "json"])
    rows = {row["endpoint"]: row for row in __import__("json").loads(ran.output)["databases"]}
    assert (rows["pg-1"]["address"], rows["pg-1"]["missing"]) == ("192.0.2.7:5432", "")
    assert rows["dm-1"]["driver"] == "dmPython"
    (found,) = doctor._databases()
    assert found.ok == (not DRIVERS["dmPython"].missing)
    assert CliRunner().invoke(cli, ["lint", "databases.yaml"]).exit_code == 0
    other = CliRunner().invoke(cli, ["databases", "check", "nothing"])
    assert isinstance(other.exception, UsageError)


def test_the_option_is_kept_with_the_campaign(tmp_path: Path) -> None:
    options = RunOptions(databases="databases.yaml")
    assert RunOptions.kept(options.plain()).databases == str(Path("databases.yaml").absolute())
    assert RunOptions.kept({"mirror": ""}).databases == ""
    with pytest.raises(UsageError, match="no inventory of database servers"):
        databases_at(str(tmp_path / "nothing.yaml"))


# --- names ---


def test_names_are_told_apart_from_those_of_others() -> None:
    own = server()
    name = own.name_of(3, "0123abcd")
    assert own.slot_of(name) == 3
    for other in ("postgres", f"{name}x", name.replace("_3_", "_x_"), f"xch_3_{'0' * 8}"):
        assert own.slot_of(other) is None
    assert server(maintenance="elsewhere").slot_of(name) is None, "those who lock elsewhere do not count together"
    damned = server(**DM)
    assert damned.name_of(0, "0123abcd").isupper()
    assert damned.slot_of(damned.name_of(0, "0123abcd")) == 0


@pytest.mark.parametrize(
    ("address", "host", "named"),
    [
        ("192.0.2.7", "database", "192.0.2.7"),
        ("127.0.0.1", "database", "127.0.0.1"),
        ("localhost", "database", "127.0.0.1"),
        ("DB1.Lab.Example", "db1.lab.example", None),
        ("db_1", "database", None),
        ("2001:db8::7", "database", "2001:db8::7"),
    ],
)
def test_by_what_name_the_product_knows_it(address: str, host: str, named: str | None) -> None:
    (way,) = way_to(SimpleNamespace(server=server(address=address)))  # type: ignore[arg-type]
    assert (way.host, way.port, str(way.address) if way.address else None) == (host, 5432, named)


# --- drivers and the machine ---


@pytest.mark.parametrize(
    ("value", "driver", "text"),
    [
        (None, "psycopg2", ""),
        (None, "PyMySQL", "NULL"),
        (True, "psycopg2", "t"),
        ("a\tb\\c\nd", "PyMySQL", "a\\tb\\\\c\\nd"),
        (b"\xe9\x80\x82", "PyMySQL", "适"),
        (b"\x01\xff", "psycopg2", "\\x01ff"),
        (1.5, "dmPython", "1.5"),
    ],
)
def test_values_are_written_as_the_databases_own_client_does(value: object, driver: str, text: str) -> None:
    assert text_of(value, driver) == text


def test_a_script_is_cut_at_the_ends_of_its_statements() -> None:
    text = "CREATE TABLE a (b VARCHAR(9) DEFAULT ';x');\nBEGIN x; y; END;\n\nSELECT 1"
    assert statements_of(text) == ["CREATE TABLE a (b VARCHAR(9) DEFAULT ';x')", "BEGIN x; y; END", "SELECT 1"]


TRIGGER = """CREATE OR REPLACE {} stamp BEFORE INSERT ON a FOR EACH ROW
BEGIN
  :new.b := 'x;
';  -- a text over two lines;
  :new.c := 8 / 2;
END;"""


@pytest.mark.parametrize("end", ["\n/\n", "\r\n  /  \r\n", "\n/"])
@pytest.mark.parametrize("kind", ["TRIGGER", "EDITIONABLE PROCEDURE", "FUNCTION", "PACKAGE BODY", "TYPE BODY"])
def test_a_block_ends_at_a_slash_alone_and_not_at_its_semicolons(kind: str, end: str) -> None:
    block, loose = TRIGGER.format(kind), "DECLARE\n  x INT;\nBEGIN\n  x := 1;\nEND;"
    text = f"-- tables;\nCREATE TABLE a (b INT);\n{block}{end}\nINSERT INTO a VALUES (1);\n{loose}{end}"
    assert statements_of(text) == ["CREATE TABLE a (b INT)", block, "INSERT INTO a VALUES (1)", loose]
    assert statements_of(f"{block}{end}\n{block}{end}\n/* all; */\n") == [block, block]


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1;  -- first;\nSELECT 2; /* second\n */\n-- end of file\n", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';\n', q'[it's;\n]', \"a;\n\" FROM dual;\n", ["SELECT ';\n', q'[it's;\n]', \"a;\n\" FROM dual"]),
        ("/* a;\nb; */ SELECT 1\n/\nSELECT 2;\n/\n", ["SELECT 1", "SELECT 2"]),
        ("SELECT 4\n/ 2 FROM dual;\n", ["SELECT 4\n/ 2 FROM dual"]),
        ("CALL p('a;\nb');\nSHOW 'c;\nd';", ["CALL p('a;\nb')", "SHOW 'c;\nd'"]),
        (";\n;\n-- nothing\n/\n", []),
        ("", []),
        ("INSERT INTO 表 VALUES ('适；配;');\r\nSELECT 1;\r\n", ["INSERT INTO 表 VALUES ('适；配;')", "SELECT 1"]),
        ("SELECT 'open;\nSELECT 1;\n", ["SELECT 'open", "SELECT 1"]),
    ],
)
def test_texts_and_comments_end_no_statement_and_are_none(text: str, statements: list[str]) -> None:
    assert statements_of(text) == statements


class Answering:
    """A machine that stands for an endpoint, and answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def run(self, command: str, *, stdin: str = "", **_: Any) -> Completed:
        self.asked.append((command, stdin))
        return Completed(rc=0, out="1\n")


def at(machine: Any, seconds: float = 0.0) -> CellDatabase:
    access = Access(kind="postgresql", name="xch", user="xch", password="s3cret-word")  # type: ignore[arg-type]
    return CellDatabase(machine, server().database.at_endpoint(), access, restart_seconds=seconds)


def test_the_cells_own_user_asks_and_nobody_starts_or_stops_it() -> None:
    machine = Answering()
    database = at(machine)
    database.start()
    assert database.query("select 1") == [["1"]]
    assert [command for command, _ in machine.asked] == ["ready", "query"]
    assert all('"user": "xch"' in stdin for _, stdin in machine.asked)
    assert not database.embedded
    for refused in (database.stop, database.restart):
        with pytest.raises(NotOffered, match="a server of the laboratory"):
            refused()
    at(machine, 5).restart()
    assert [command for command, _ in machine.asked[2:]] == ["restart", "ready"]


def test_a_restart_is_a_command_of_the_inventory_and_is_noted(tmp_path: Path) -> None:
    deeds, done = tmp_path / "deeds", tmp_path / "done"
    own = server(restart=f"echo restarted >{done}").endpoint
    machine = EndpointMachine(MachineReference(kind="endpoint", name="database", endpoint=own, deeds=deeds))
    assert machine.run("restart").ok
    assert done.read_text() == "restarted\n"
    assert deeds.read_text().count('"reboot"') == 2


class Silent:
    """A driver's connection whose server falls silent at one point, until it is let go on."""

    def __init__(self, at: str, go_on: threading.Event) -> None:
        self.at, self.go_on, self.description, self.closed = at, go_on, None, threading.Event()

    def connected(self, *_: object) -> Silent:
        return self._reached("connect")

    def cursor(self) -> Silent:
        return self

    def execute(self, _: str) -> None:
        self._reached("execute")

    def fetchall(self) -> list[tuple[object, ...]]:
        return []

    def close(self) -> None:
        self.closed.set()

    def _reached(self, at: str) -> Silent:
        if at == self.at:
            assert self.go_on.wait(60)
        return self


@pytest.mark.parametrize("silent_at", ["connect", "execute"])
@pytest.mark.parametrize("command", ["query", "ready"])
@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_a_server_that_falls_silent_is_the_laboratorys_trouble(
    monkeypatch: pytest.MonkeyPatch, name: str, command: str, silent_at: str
) -> None:
    """By every driver; and the connection ends where the call comes back after all."""
    go_on = threading.Event()
    silent = Silent(silent_at, go_on)
    driver = dataclasses.replace(
        DRIVERS[name], module="json", connect=silent.connected, rows=lambda cursor: iter(cursor.fetchall())
    )
    monkeypatch.setitem(DRIVERS, name, driver)
    own = server().endpoint.model_copy(update={"driver": name})
    machine = EndpointMachine(MachineReference(kind="endpoint", name="database", endpoint=own))
    asked = json.dumps({"user": "u", "password": "p", "name": "n", "sql": "select 1"})
    try:
        with pytest.raises(InfrastructureError, match=r"pg-1 .*: no answer within 0 s"):
            machine.run(command, timeout=0.3, stdin=asked)
    finally:
        go_on.set()
    assert silent.closed.wait(60)
    assert machine.run(command, timeout=60, stdin=asked).ok


def test_a_reference_travels_without_a_secret() -> None:
    own = server(password="env:LAB_SECRET").endpoint
    text = MachineReference(kind="endpoint", name="database", endpoint=own).model_dump_json()
    assert MachineReference.model_validate_json(text).endpoint == own


def test_only_entries_with_a_recipe_fit() -> None:
    (_, gbase) = entries("database")["gbase-8a"]
    assert isinstance(gbase, Database)
    assert fitting(databases({**PG, "database": "gbase-8a"}), gbase, {}) == []
