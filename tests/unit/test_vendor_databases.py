"""Databases in images of their vendors: what may be declared, what serves a cell, what is started in a container."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.control.imaged import ImagedServer, demand_running
from harness.control.servers import CellDatabase
from harness.endpoints.images import PlacedImage, licence_of
from harness.errors import AttestationMismatch, DefinitionError, HarnessError, InfrastructureError, UsageError
from harness.execution.contexts import draw_secrets
from harness.execution.making import roles_of
from harness.machines.placing import place
from harness.model.context import Access
from harness.model.definitions import Database, Databases
from harness.model.definitions.image import FOLDER
from harness.model.recipe import ImageStart
from harness.planning import expand
from harness.reading.catalogue import Catalogue
from harness.reading.endpoints import read_databases
from harness.reading.entries import entries
from harness.reading.read import read
from harness.system.process import Completed

DIGEST = "a" * 64
ARCHIVE = {"image": "og", "database": "opengauss", "architecture": "x86_64", "archive": "og.tar", "sha256": DIGEST}
REFERENCE = {
    "image": "og-reference",
    "database": "opengauss",
    "architecture": "x86_64",
    "reference": f"lab.example/opengauss@sha256:{DIGEST}",
}


def entry(name: str) -> Database:
    _, value = entries("database")[name]
    assert isinstance(value, Database)
    return value


def inventory(folder: Path, *images: dict[str, Any]) -> Databases:
    path = folder / "databases.yaml"
    path.write_text(yaml.safe_dump({"images": list(images)}), encoding="utf-8")
    return read_databases(path, Catalogue.standard())


def cell_of(folder: Any, databases: Databases | None, database: str = "opengauss", **matrix: Any) -> Any:
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": [database], **matrix.pop("axes", {})}
    folder.change("matrix", axes=axes, **matrix)
    definitions = read(folder.root, Catalogue.standard(folder.root))
    return place(definitions, expand(definitions).cells[0], None, databases)


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())


# --- what serves ---


@pytest.mark.usefixtures("drivers")
def test_an_image_serves_a_cell_in_a_container_beside_the_products(folder: Any, tmp_path: Path) -> None:
    (tmp_path / "og.tar").touch()
    cell = cell_of(folder, inventory(tmp_path, ARCHIVE, REFERENCE))
    assert cell.placement.kind == "container"
    assert cell.placement.by.endswith("database: image og (og.tar)")
    assert cell.image.image.archive == str(tmp_path / "og.tar")
    assert (cell.database.external, cell.database.imaged, cell.database.by_driver) == (False, True, True)
    attempt: Any = SimpleNamespace(placed=cell, lab=SimpleNamespace(definitions=read(folder.root)))
    product, database = roles_of(attempt)
    assert product.image is None
    assert database.image is not None
    assert (database.image.sha256, database.image.shared, database.ports) == (DIGEST, 256 << 20, (5432,))
    secrets = draw_secrets(attempt)
    passwords = {secrets.administrator.get_secret_value(), secrets.passwords["database"].get_secret_value()}
    assert len(passwords) == 2


@pytest.mark.usefixtures("drivers")
def test_of_two_images_the_one_that_can_serve_does(folder: Any, tmp_path: Path) -> None:
    cell = cell_of(folder, inventory(tmp_path, ARCHIVE, REFERENCE))  # there is no og.tar
    assert cell.image.image.image == "og-reference"


@pytest.mark.usefixtures("drivers")
@pytest.mark.parametrize(
    ("image", "matrix", "words"),
    [
        (ARCHIVE, {}, "no archive of an image at "),
        ({**REFERENCE, "architecture": "aarch64"}, {}, "and no image of it is there"),
        (REFERENCE, {"prefer": ["vm"]}, "in a container beside the product's, and the cell prefers none"),
        (REFERENCE, {"prefer_database": ["endpoint"]}, "and no image of it is there"),
        (REFERENCE, {"axes": {"database_os": ["debian-forky"]}}, "an image brings a system of its own"),
    ],
)
def test_what_no_image_can_serve_is_said(
    folder: Any, tmp_path: Path, image: dict[str, Any], matrix: dict[str, Any], words: str
) -> None:
    cell = cell_of(folder, inventory(tmp_path, image), **matrix)
    assert (cell.placement.kind, cell.image) == (None, None)
    assert words in cell.placement.by


@pytest.mark.usefixtures("drivers")
def test_an_image_takes_no_better_machine_from_the_product_but_where_it_must(
    folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell prefers another kind of machine: a database that can be installed there is, one that cannot takes a
    container, and the plan says so."""
    monkeypatch.setattr("harness.machines.placing.shutil.which", lambda program: program)
    cell = cell_of(folder, inventory(tmp_path, REFERENCE), prefer=["vm", "container"])
    assert (cell.placement.kind, cell.image is None) == ("container", False)
    assert "takes the product's container before the vm that the cell prefers" in cell.placement.by
    recipe = {"pulled": {"x86_64": REFERENCE["reference"]}, "admin": "postgres"}
    value = entry("postgresql").model_dump(mode="json", exclude_defaults=True)
    (folder.root / "targets" / "database").mkdir(parents=True)
    folder.write("targets/database/postgresql", {**value, "image": recipe})
    cell = cell_of(folder, None, "postgresql", prefer=["container", "vm"])
    assert cell.image is not None
    cell = cell_of(folder, None, "postgresql", prefer=["vm", "container"])
    assert (cell.placement.kind, cell.image) == ("vm", None)
    assert "the cell prefers a vm" in cell.placement.by


def test_a_driver_that_is_missing_is_named(folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    cell = cell_of(folder, inventory(tmp_path, REFERENCE))
    assert "psycopg2 is not installed on this machine" in cell.placement.by


@pytest.mark.usefixtures("drivers")
def test_a_licence_that_is_needed_is_asked_for() -> None:
    image = entry("kingbase-v8").image
    assert image is not None
    assert image.licence is not None
    licence = image.licence.model_copy(update={"required": True})
    database = entry("kingbase-v8").model_copy(update={"image": image.model_copy(update={"licence": licence})})
    (named,) = Databases.model_validate({"images": [{**REFERENCE, "database": "kingbase-v8"}]}).images
    assert "without a licence file" in PlacedImage(named, database).obstacle


# --- what may be declared ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reference": "lab.example/opengauss:5.0.1"}, "a tag is another image tomorrow"),
        ({"reference": ""}, "give one of archive and reference"),
        ({"archive": "x.tar", "sha256": DIGEST}, "give one of archive and reference"),
        ({"reference": "", "archive": "x.tar"}, "an archive and its sha256 belong together"),
        ({"database": "sqlite"}, "how an image of sqlite is run is not known"),
        ({"database": "opengaus"}, "no such database"),
        ({"licence": "the licence itself"}, "licence"),
    ],
)
def test_a_fault_of_the_inventory_has_its_place(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        inventory(tmp_path, {**REFERENCE, **change})
    (fault,) = raised.value.faults
    assert words in str(fault)
    assert fault.line > 1


def test_two_images_of_one_name_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="image named twice: og-reference"):
        inventory(tmp_path, REFERENCE, REFERENCE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"privileged": True}, "a privileged container is root on this machine"),
        ({"query": "client"}, "asked with the client in its image needs ready, create, version"),
        ({"environment": {"A B": "1"}}, "A B"),
    ],
)
def test_a_fault_of_a_recipe_is_refused(change: dict[str, Any], words: str) -> None:
    value = entry("opengauss").model_dump(mode="json", exclude_defaults=True)
    with pytest.raises(ValueError, match=words):
        Database.model_validate({**value, "image": {**value["image"], **change}})


def test_paths_beside_the_inventory_hold_from_anywhere(tmp_path: Path) -> None:
    named = {**ARCHIVE, "licence": "file:keys/dm.key"}
    (image,) = inventory(tmp_path, named).images
    assert (image.archive, image.licence) == (str(tmp_path / "og.tar"), f"file:{tmp_path}/keys/dm.key")


def test_a_list_says_what_images_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory(tmp_path, ARCHIVE)
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(cli, ["databases", "list", "--format", "json"])
    assert shown.exit_code == 0, shown.output
    assert '"image": "og"' in shown.output
    checked = CliRunner().invoke(cli, ["databases", "check"])
    assert isinstance(checked.exception, UsageError)
    assert "names no server that stands" in checked.exception.message


# --- the licence ---


def test_a_licence_is_read_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dm.key").write_bytes(b"\x00\xffbinary")
    monkeypatch.setenv("THE_LICENCE", "text of it")
    for reference, content in (("file:dm.key", b"\x00\xffbinary"), ("env:THE_LICENCE", b"text of it")):
        (image,) = inventory(tmp_path, {**REFERENCE, "licence": reference}).images
        assert licence_of(PlacedImage(image, entry("opengauss"))) == content
    (image,) = inventory(tmp_path, REFERENCE).images
    assert licence_of(PlacedImage(image, entry("opengauss"))) is None


@pytest.mark.parametrize("reference", ["file:not-there.key", "env:NOT_SET_ANYWHERE"])
def test_a_licence_that_is_not_there_is_the_laboratorys(tmp_path: Path, reference: str) -> None:
    (image,) = inventory(tmp_path, {**REFERENCE, "licence": reference}).images
    with pytest.raises(UsageError, match="licence"):
        licence_of(PlacedImage(image, entry("opengauss")))


@pytest.mark.parametrize("reference", ["file:not-there.key", "env:NOT_SET_ANYWHERE", "file:."])
def test_everything_that_an_image_lacks_is_named_before_a_run(tmp_path: Path, reference: str) -> None:
    (image,) = inventory(tmp_path, {**ARCHIVE, "licence": reference}).images
    obstacle = PlacedImage(image, entry("dameng-dm8")).obstacle
    for words in ("licence", "no archive of an image at", "dmPython"):
        assert words in obstacle


# --- what is started ---


class Noting:
    """A machine that keeps what it is given, and answers what it was made for."""

    name = "database"

    def __init__(self, **answers: str) -> None:
        self.files: dict[str, bytes] = {}
        self.answers = answers
        self.ran: list[str] = []

    def put(self, path: str, data: bytes, **_: Any) -> None:
        self.files[path] = data

    def run(self, command: str, **_: Any) -> Completed:
        self.ran.append(command)
        out = next((text for word, text in self.answers.items() if word in command), "")
        return Completed(rc=0, out=out)


def server(recipe: dict[str, Any], started: ImageStart, licence: bytes | None = None) -> ImagedServer:
    value = entry("opengauss").model_dump(mode="json", exclude_defaults=True)
    database = Database.model_validate({**value, "image": {"admin": "root", **recipe}})
    values = {"admin": {"user": "root", "password": "it's $HOME"}, "db": Access(kind="opengauss").values()}
    return ImagedServer(definition=database, started=started, values=values, licence=licence)


IMAGE = ImageStart(entrypoint=("/entry.sh",), command=("serve", "--all"), user="dba", folder="/srv", stop_signal="INT")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, ["/entry.sh", "serve", "--all"]),
        ({"command": ["other"]}, ["/entry.sh", "other"]),
        ({"entrypoint": ["/mine"]}, ["/mine"]),
        ({"entrypoint": ["/mine"], "command": ["x", "{{ admin.user }}"]}, ["/mine", "x", "root"]),
    ],
)
def test_the_first_program_is_the_one_that_an_engine_would_start(recipe: dict[str, Any], words: list[str]) -> None:
    assert server(recipe, IMAGE).words == words


def test_secrets_reach_the_server_quoted_and_no_command_line() -> None:
    machine: Any = Noting()
    imaged = server(
        {"environment": {"PW": "{{ admin.password }}"}, "data": ["/data"], "licence": {"path": "/l.key"}}, IMAGE, b"L"
    )
    imaged.install(machine)
    main = machine.files[f"{FOLDER}/main.sh"].decode()
    assert "export PW='it'\"'\"'s $HOME'" in main
    assert "cd /srv || exit 125" in main
    assert main.endswith("exec /entry.sh serve --all\n")
    assert machine.files["/l.key"] == b"L"
    assert machine.files[f"{FOLDER}/run.sh"].startswith(b"D=/var/lib/harness-image SIGNAL=INT TENTHS=600\n")
    assert "chown dba " in machine.ran[0]
    assert "/data /l.key" in machine.ran[0]
    assert "HOME" not in machine.ran[0]


def test_an_image_without_a_program_is_refused() -> None:
    with pytest.raises(AttestationMismatch, match="names no program"):
        server({}, ImageStart()).install(Noting())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "log", "kind", "words"),
    [
        ("ended 1", "LICENSE file is expired", AttestationMismatch, "speaks of its licence"),
        ("ended 1", "错误：许可证已过期", AttestationMismatch, "speaks of its licence"),
        ("ended 132", "", AttestationMismatch, "SIGILL"),
        ("ended 126", "exec /x: exec format error", AttestationMismatch, "another architecture"),
        ("ended 0", "done", InfrastructureError, "ended (exit 0)"),
        ("ended 1", "", InfrastructureError, "it printed nothing"),
    ],
)
def test_an_end_says_whose_it_is(state: str, log: str, kind: type[HarnessError], words: str) -> None:
    machine: Any = Noting(**{"run.sh state": f"{state}\n", "tail": log})
    with pytest.raises(HarnessError) as raised:
        demand_running(machine, "opengauss")
    assert type(raised.value) is kind
    assert words in raised.value.message


@pytest.mark.parametrize("state", ["running\n", ""])
def test_what_runs_or_cannot_be_asked_has_not_ended(state: str) -> None:
    machine: Any = Noting(**{"run.sh state": state})
    demand_running(machine, "opengauss")


@pytest.mark.parametrize(
    ("state", "words"),
    [("ended 137", "ended (exit 137)"), ("running", "opengauss does not answer")],
)
def test_a_server_that_is_away_says_why(state: str, words: str) -> None:
    """Whoever asks what is wrong with the laboratory hears its last words, and no address of a container."""
    machine: Any = Noting(**{"run.sh state": f"{state}\n", "tail": "PANIC: out of memory"})
    asked: Any = Away()
    database = entry("opengauss").from_image()
    server = CellDatabase(machine, database, Access(kind="opengauss"), asks=asked)
    assert words in server.trouble()
    assert ("PANIC" in server.trouble()) == (state != "running")


class Away(Noting):
    """What asks a server that takes no connection."""

    def run(self, command: str, **_: Any) -> Completed:
        raise InfrastructureError("takes no connection")


# --- tenants ---


@pytest.mark.parametrize(
    ("name", "administrator", "login"),
    [
        ("oceanbase", "root@test", "xch1@test"),
        ("oceanbase", "root@test#cluster", "xch1@test#cluster"),
        ("oceanbase", "root", "xch1"),
        ("mysql", "root@test", "xch1"),
    ],
)
def test_a_user_of_a_tenant_logs_in_with_its_name(name: str, administrator: str, login: str) -> None:
    recipe = entry(name).endpoint
    assert recipe is not None
    assert recipe.login_of("xch1", administrator) == login
