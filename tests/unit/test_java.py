"""WARs in the servlet container that a cell names, and what a Java product is told of its database and runtime."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from harness.deploy import application_recipe
from harness.errors import DefinitionError
from harness.execution.contexts import Secrets, context_of
from harness.execution.making import roles_of
from harness.machines.placing import place
from harness.model.context import Access, RanBefore
from harness.model.definitions import Database, Middleware, Runtime
from harness.model.machine import MachineReference
from harness.model.recipe import Recipe
from harness.model.templating import render
from harness.planning import expand
from harness.reading.entries import entries
from harness.reading.read import read
from tests.unit.conftest import MatrixFolder

DATABASES = ["postgresql", "mariadb"]
FORKY = {"cpu": "loongson-3a5000", "os": "debian-forky", "middleware": "tomcat-11", "runtime": "openjdk-25"}
KUNPENG = {"cpu": "kunpeng-920", "os": "debian-12", "middleware": "tomcat-10", "runtime": "openjdk-17"}
NATIVE = {**KUNPENG, "cpu": "x86-64"}


@pytest.fixture
def product(folder: MatrixFolder) -> MatrixFolder:
    """Two WARs, on cells that a matrix includes one by one."""
    for name in ("shop.war", "admin.war"):
        (folder.root / name).write_bytes(name.encode())
    folder.write(
        "application",
        {
            "application": "shop",
            "name": "Shop",
            "vendor": "V",
            "version": "1",
            "wars": [{"path": "shop.war"}, {"path": "admin.war", "context": "/admin"}],
            "environment": {"CATALINA_OPTS": "-Xmx64m", "JDBC": "{{ db.jdbc }} {{ db.driver_class }}"},
            "ready": {"path": "/"},
            "ports": {"admin": 9000, "web": 8080},
            "http": {"port": "web"},
            "uninstall": ["rm -f /own"],
        },
    )
    cells = [{**cell, "database": name} for cell in (NATIVE, KUNPENG, FORKY) for name in DATABASES]
    axes = {axis: [value] for axis, value in NATIVE.items()} | {"database": DATABASES}
    folder.write("matrix", {"matrix": "shop", "axes": axes, "include": cells[2:], "suites": ["compat/lifecycle"]})
    return folder


def cell_of(product: MatrixFolder, **axes: str) -> tuple[Any, Any]:
    definitions = read(product.root)
    (cell,) = [cell for cell in expand(definitions).cells if axes.items() <= cell.axes.items()]
    return definitions, place(definitions, cell)


def context(product: MatrixFolder, *, emulated: bool, **axes: str) -> Any:
    definitions, cell = cell_of(product, **axes)
    machine = SimpleNamespace(reference=MachineReference(kind="container", name="m"), address=lambda port: ("h", port))
    attempt: Any = SimpleNamespace(
        placed=cell,
        cell=cell.cell,
        emulated=emulated,
        judges_performance=not emulated,
        lab=SimpleNamespace(campaign="c", definitions=definitions, trusts_code=False, reference_of=lambda _cell: None),
        record=SimpleNamespace(number=1),
    )
    machines = SimpleNamespace(application=machine, on=lambda role: machine, address=lambda role: "db.host")
    factors = SimpleNamespace(used=1.0, declared=1.0)
    product_environment = SimpleNamespace(packages=())
    emulators = {"application": None}
    target: Any = SimpleNamespace(
        machines=machines,
        factors=factors,
        product=product_environment,
        ran_before=RanBefore(),
        serving=SimpleNamespace(emulators=emulators),
        place=None,
    )
    secrets = Secrets(passwords=dict.fromkeys(cell.servers, SecretStr("pw")), named={})
    return context_of(attempt, target, secrets)


def test_wars_are_files_of_the_container_which_is_what_is_started(product: MatrixFolder) -> None:
    definitions, cell = cell_of(product, **NATIVE, database="postgresql")
    application = cell.application
    recipe = application_recipe(application, os="debian-12", cpu=cell.cpu, folder=definitions.application_folder)
    assert [(file.path, file.mode) for file in recipe.copies] == [
        ("/srv/tomcat/webapps/ROOT.war", "0644"),
        ("/srv/tomcat/webapps/admin.war", "0644"),
    ]
    assert (application.user, application.stop, application.wars) == ("tomcat", "TERM", ())
    assert application.environment["CATALINA_BASE"] == "/srv/tomcat"
    assert application.environment["CATALINA_OPTS"] == "-Xmx64m"
    removal, own = application.uninstall
    assert own == "rm -f /own"
    for path in ("webapps/ROOT.war", "webapps/ROOT", "webapps/admin.war", "work/Catalina/localhost/admin"):
        assert f"/srv/tomcat/{path}" in removal.split()


def test_what_a_container_and_a_driver_need_is_beneath_the_product(product: MatrixFolder) -> None:
    for database, driver in (("postgresql", "libpostgresql-jdbc-java"), ("mariadb", "libmariadb-java")):
        definitions, cell = cell_of(product, **FORKY, database=database)
        attempt: Any = SimpleNamespace(placed=cell, lab=SimpleNamespace(definitions=definitions))
        recipe: Recipe = roles_of(attempt)[0].recipe
        assert (
            {"tomcat11", "openjdk-25-jre-headless", driver}
            == set(recipe.beneath)
            == set(cell.beneath) - {*cell.database.packages}
        )
        assert any("/srv/tomcat/webapps" in command for command in recipe.beneath_commands)
        assert recipe.key("base") != roles_of(attempt)[1].recipe.key("base")


def test_a_product_that_is_not_java_gets_no_driver(folder: MatrixFolder) -> None:
    folder.change("matrix", axes={"os": ["debian-12"], "cpu": ["x86-64"], "database": ["postgresql"]})
    definitions = read(folder.root)
    cell = place(definitions, expand(definitions).cells[0])
    assert cell.drivers == ()


@pytest.mark.parametrize(
    ("axes", "database", "emulated", "told"),
    [
        (
            NATIVE,
            "postgresql",
            False,
            "jdbc:postgresql://db.host:5432/app org.postgresql.Driver /usr/share/java/postgresql.jar "
            "/usr/lib/jvm/java-17-openjdk-amd64/bin/java  8080",
        ),
        (
            KUNPENG,
            "mariadb",
            True,
            "jdbc:mariadb://db.host:3306/app org.mariadb.jdbc.Driver /usr/share/java/mariadb-java-client.jar "
            "/usr/lib/jvm/java-17-openjdk-arm64/bin/java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC 8080",
        ),
        (
            FORKY,
            "mariadb",
            True,
            "jdbc:mariadb://db.host:3306/app org.mariadb.jdbc.Driver /usr/share/java/mariadb-java-client.jar "
            "/usr/lib/jvm/java-25-openjdk-loong64/bin/java  8080",
        ),
    ],
)
def test_templates_see_driver_runtime_and_container(
    product: MatrixFolder, axes: dict[str, str], database: str, emulated: bool, told: str
) -> None:
    values = context(product, emulated=emulated, **axes, database=database).values()
    words = "db.jdbc db.driver_class db.driver_jar runtime.java runtime.options servlet.port".split()
    template = " ".join(f"{{{{ {word} }}}}" for word in words)
    assert render(template, values, where="test") == told
    started = context(product, emulated=emulated, **axes, database=database).application.start
    command = render(started, values, where="test")
    assert "-Dharness.port=8080" in command
    assert values["runtime"]["home"] in command


def test_a_cell_that_interprets_waits_longer(product: MatrixFolder) -> None:
    definitions = read(product.root)
    factors = {cell.axes["cpu"]: cell.timeout_factor for cell in expand(definitions).cells}
    assert factors == {"x86-64": 1.0, "kunpeng-920": 6.0, "loongson-3a5000": 24.0}


@pytest.mark.parametrize(
    ("middleware", "message"),
    [
        ([], "the application has WARs, and no axis names what runs them"),
        (["redis"], "the application has WARs, and middleware redis is no servlet container"),
    ],
)
def test_wars_that_nothing_runs_are_a_fault(product: MatrixFolder, middleware: list[str], message: str) -> None:
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["postgresql"]}
    product.change("matrix", axes={**axes, **({"middleware": middleware} if middleware else {})}, include=[])
    definitions = read(product.root)
    with pytest.raises(DefinitionError) as caught:
        expand(definitions)
    (fault,) = caught.value.faults
    assert fault.message == message
    assert "servlet container" in fault.expected
    assert Path(fault.file).name == "matrix.yaml"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": "java -jar x.jar"}, "`start` and `wars` are given"),
        ({"wars": [{"path": "shop.war"}, {"path": "admin.war"}]}, "two WARs have the context /"),
        ({"http": None, "ready": {"command": "true"}}, "WARs need an http section"),
        ({"wars": [{"path": "shop.war", "context": "/a/b"}]}, "/a/b"),
        ({"environment": {"A": "{{ servlet.prot }}"}}, "servlet has no prot"),
        ({"environment": {"A": "{{ runtime.jar }}"}}, "runtime has no jar"),
        ({"environment": {"A": "{{ db.driver }}"}}, "db has no driver"),
    ],
)
def test_faults_of_an_application_with_wars(product: MatrixFolder, change: dict[str, Any], message: str) -> None:
    path = product.root / "application.yaml"
    values = {**yaml.safe_load(path.read_text()), **change}
    product.write("application", {key: value for key, value in values.items() if value is not None})
    with pytest.raises(DefinitionError) as caught:
        read(product.root)
    assert any(message in f"{fault.message} {fault}" for fault in caught.value.faults), caught.value.faults


def test_a_file_that_has_to_be_built_says_how(product: MatrixFolder) -> None:
    product.change("application", wars=[{"path": "build/shop.war", "built_by": "sh build.sh"}])
    with pytest.raises(DefinitionError) as caught:
        read(product.root)
    (fault,) = caught.value.faults
    assert fault.message == "no such file"
    assert fault.hint == f"it is built and not shipped: run `sh build.sh` in {product.root}"


def test_a_former_version_is_in_the_container_too(product: MatrixFolder) -> None:
    (product.root / "old.war").write_bytes(b"old")
    product.change("application", former={"0.9": {"set": {"version": "0.9", "wars": [{"path": "old.war"}]}}})
    definitions, cell = cell_of(product, **NATIVE, database="postgresql")
    former = definitions.former_of(cell.cell.axes, "0.9")
    assert [(a.path, a.to) for a in former.artifacts] == [("old.war", "/srv/tomcat/webapps/ROOT.war")]
    assert former.start == cell.application.start


def test_every_database_that_java_reaches_says_how() -> None:
    access = Access(kind="k", host="fd00::5", port=1, password=SecretStr("p"), path="/f")
    for name, (_, database) in entries("database").items():
        assert isinstance(database, Database)
        assert bool(database.jdbc) == bool(database.driver_class) == (name != "none"), name
        url = render(database.jdbc, {"db": access.values()}, where=name)
        assert not url or (url.startswith("jdbc:") and ("//[fd00::5]:1" in url or "/f" in url)), (name, url)


def test_a_driver_that_no_repository_has_comes_with_the_product(product: MatrixFolder) -> None:
    """Of its own database alone; and a name that no database has is told."""
    (product.root / "dm.jar").write_bytes(b"jar")
    artifact = {"path": "dm.jar", "install": "copy", "to": "/opt/drivers/dm.jar", "beneath": True}
    product.change("application", artifacts=[artifact], driver_jars={"mariadb": "/opt/drivers/dm.jar"})
    jars = [
        context(product, emulated=False, **NATIVE, database=name).values()["db"]["driver_jar"] for name in DATABASES
    ]
    assert jars == ["/usr/share/java/postgresql.jar", "/opt/drivers/dm.jar"]
    product.change("application", driver_jars={"dameng-dm9": "/opt/drivers/dm.jar"})
    with pytest.raises(DefinitionError, match="dameng-dm8"):
        read(product.root)


def test_every_servlet_container_of_the_catalogue_is_whole() -> None:
    containers = {name: value for name, (_, value) in entries("middleware").items() if getattr(value, "servlet", None)}
    assert {"tomcat-10", "tomcat-11"} <= containers.keys()
    for name, value in containers.items():
        assert isinstance(value, Middleware)
        assert value.servlet is not None
        assert value.servlet.wars.startswith(value.servlet.base), name
    javas = [value for _, value in entries("runtime").values() if isinstance(value, Runtime) and value.java_home]
    assert len(javas) >= 3


@pytest.mark.parametrize("context", ["/", "/shop"])
def test_a_container_that_the_product_brings_is_no_part_of_the_product(product: MatrixFolder, context: str) -> None:
    """TongWeb as an archive of its vendor: installed as what the product stands on, and / is none of its contexts."""
    (product.root / "tongweb.tar").write_bytes(b"")
    product.change(
        "application",
        wars=[{"path": "shop.war", "context": context}],
        artifacts=[{"path": "tongweb.tar", "install": "archive", "to": "/opt/tongweb", "beneath": True}],
    )
    axes = {axis: [value] for axis, value in {**NATIVE, "middleware": "tongweb", "database": "postgresql"}.items()}
    product.change("matrix", axes=axes, include=[])
    if context == "/":
        with pytest.raises(DefinitionError) as caught:
            expand(read(product.root))
        (fault,) = caught.value.faults
        assert fault.message == "tongweb deploys no WAR as the context /"
        return
    definitions, cell = cell_of(product)
    recipe = application_recipe(cell.application, os="debian-12", cpu=cell.cpu, folder=definitions.application_folder)
    assert [(file.path, file.beneath) for file in (*recipe.archives, *recipe.copies)] == [
        ("/opt/tongweb", True),
        ("/opt/tongweb/autodeploy/shop.war", False),
    ]
    assert cell.servlet is not None
    assert cell.drivers == ("libpostgresql-jdbc-java",)


@pytest.mark.parametrize(
    ("artifact", "message"),
    [
        ({"path": "shop.war", "beneath": True}, "`beneath` belongs to"),
        ({"path": "shop.war", "beneath": True, "install": "image"}, "`beneath` belongs to"),
    ],
)
def test_only_files_can_be_beneath(product: MatrixFolder, artifact: dict[str, Any], message: str) -> None:
    product.change("application", artifacts=[artifact])
    with pytest.raises(DefinitionError, match=message):
        read(product.root)


def test_a_system_that_lacks_a_runtime_or_container_has_to_be_excluded(product: MatrixFolder) -> None:
    axes = {axis: [value] for axis, value in {**NATIVE, "database": "postgresql"}.items()}
    axes |= {"os": ["debian-12", "debian-forky"], "runtime": ["openjdk-17", "openjdk-25"]}
    lacking = [
        {"os": "debian-forky", "runtime": "openjdk-17"},
        {"os": "debian-12", "runtime": "openjdk-25"},
        {"os": "debian-forky", "middleware": "tomcat-10"},
    ]
    product.change("matrix", axes=axes, include=[])
    with pytest.raises(DefinitionError) as caught:
        expand(read(product.root))
    wanted = {
        f"an exclude for os: {pair['os']}, " + f"{axis}: {pair[axis]}"
        for pair in lacking
        for axis in pair
        if axis != "os"
    }
    assert {fault.expected for fault in caught.value.faults} == wanted
    axes |= {"middleware": ["tomcat-10", "tomcat-11"]}
    lacking.append({"os": "debian-12", "middleware": "tomcat-11"})
    product.change("matrix", axes=axes, exclude=[{**pair, "because": "it has none"} for pair in lacking])
    cells = expand(read(product.root)).cells
    assert {(cell.axes["runtime"], cell.axes["middleware"]) for cell in cells} == {
        ("openjdk-17", "tomcat-10"),
        ("openjdk-25", "tomcat-11"),
    }
