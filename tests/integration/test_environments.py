"""Environments are real, cached by content, and hold nothing of the machine that made them."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.containers.machine import ContainerMachine
from harness.control.servers import CellDatabase, QueryFailed
from harness.deploy import server_recipe
from harness.evidence import Journal, Recorder, Workspace
from harness.model.context import Access
from harness.model.definitions import Database, Os
from harness.model.recipe import Recipe, RecipeFile
from harness.provision.installing import InstallFailed
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.system.wait import wait_until

RARE = "𠀀𠮷𪚥𫓧𬱖𬺰𰻝"


def definition(kind: str, name: str, model: Any) -> Any:
    path = Catalogue.standard().find("targets", kind, f"{name}.yaml")
    assert path is not None
    return parse(path, model)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture
def recorder(workspace: Workspace) -> Recorder:
    return Recorder(workspace.journal, workspace.store, "integration", "", 0)


def environments(**more: Any) -> Environments:
    engine = Engine("integration")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    return Environments(engine, images, campaign="integration", **more)


def inside(image: str, command: str) -> str:
    client = Engine("integration").client
    text: bytes = client.containers.run(image, ["sh", "-c", command], remove=True, network_mode="none")
    return text.decode()


def kinds(journal: Journal) -> list[str]:
    return [event.kind for event in journal.events()]


@pytest.mark.parametrize(
    ("system", "architecture", "machine"),
    [
        ("debian-12", "aarch64", 183),
        ("debian-forky", "loongarch64", 258),
    ],
)
@pytest.mark.full
def test_native_tools_give_the_same_environment_and_leave_no_trace(
    recorder: Recorder, system: str, architecture: str, machine: int
) -> None:
    os = definition("os", system, Os)
    recipe = Recipe(name="hello", os=system, architecture=architecture, packages=("hello",), commands=("hello >/made",))
    quick = environments(no_cache=True).ensure(recipe, os, recorder)
    slow = environments(no_cache=True, native=False).ensure(recipe, os, recorder)
    assert quick.packages == slow.packages
    assert len(quick.packages[0].sha256) == 64
    listing = "dpkg-query -W; cat /made; ls -d /usr/lib/x86_64-linux-gnu /lib64/ld-linux-x86-64.so.2 2>/dev/null; true"
    assert inside(quick.image, listing) == inside(slow.image, listing)
    assert "x86_64" not in inside(quick.image, listing)
    # Bytes 18 and 19 of every ELF file name its machine; all must be the target's.
    elf = (
        'for f in /usr/bin/* /usr/sbin/*; do [ -f $f ] && [ "$(head -c4 $f | tail -c3)" = ELF ] && '
        "od -An -tu2 -j18 -N2 $f; done | sort -u"
    )
    assert inside(quick.image, elf).split() == [str(machine)]


def test_a_second_time_nothing_is_installed(recorder: Recorder, workspace: Workspace) -> None:
    os = definition("os", "debian-12", Os)
    recipe = Recipe(name="hello", os="debian-12", architecture="x86_64", packages=("hello",))
    first = environments(no_cache=True).ensure(recipe, os, recorder)
    before = len(kinds(workspace.journal))
    again = environments().ensure(recipe, os, recorder)
    assert (first.cached, again.cached) == (False, True)
    assert first.image == again.image
    assert len(kinds(workspace.journal)) == before
    other = Recipe(**{**vars(recipe), "commands": ("true",)})
    assert environments().ensure(other, os, recorder).image != first.image


@pytest.mark.parametrize(
    ("packages", "commands", "cause", "told"),
    [
        (("no-such-package-anywhere",), (), "config", "has no package no-such-package-anywhere"),
        ((), ("echo broken >&2; exit 9",), "product", "failed (exit 9): broken"),
    ],
)
def test_what_does_not_install_says_whose_it_is(
    recorder: Recorder,
    workspace: Workspace,
    packages: tuple[str, ...],
    commands: tuple[str, ...],
    cause: str,
    told: str,
) -> None:
    recipe = Recipe(name="bad", os="debian-12", architecture="x86_64", packages=packages, commands=commands)
    with pytest.raises(InstallFailed) as caught:
        environments().ensure(recipe, definition("os", "debian-12", Os), recorder)
    assert caught.value.cause == cause
    assert told in caught.value.message
    assert Engine("integration").ours() == []
    assert any(f.name.startswith("install-bad") for f in workspace.journal.files("integration"))


SWEEPER = """
import sys
from pathlib import Path
from harness.campaigns.sweeping import sweep
from harness.containers.engine import Engine
from harness.evidence import Workspace
print(sweep(Engine("integration"), Workspace(Path(sys.argv[1]))))
"""


def test_a_sweep_by_another_process_leaves_two_builds_under_way(
    recorder: Recorder, workspace: Workspace, tmp_path: Path
) -> None:
    def build(name: str) -> str:
        commands = (f": {name}; n=0; until [ -e /tmp/go ] || [ $n -gt 400 ]; do sleep 0.1; n=$((n+1)); done",)
        recipe = Recipe(name=name, os="debian-12", architecture="x86_64", commands=commands)
        return environments(no_cache=True).ensure(recipe, definition("os", "debian-12", Os), recorder).image

    engine = Engine("integration")
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(build, name) for name in ("first", "second")]
        try:
            wait_until(lambda: len(engine.ours()) == len(builds), seconds=60, what="both builds")
            swept = subprocess.run(
                [sys.executable, "-c", SWEEPER, str(workspace.root)], capture_output=True, text=True, check=True
            )
            assert swept.stdout.strip() == "[]"
            assert len(engine.ours()) == len(builds)
        finally:
            for _, name, _ in engine.ours():
                engine.client.containers.get(name).exec_run(["touch", "/tmp/go"])
        assert len({future.result(60) for future in builds}) == len(builds)


def test_intent_comes_before_making(recorder: Recorder, workspace: Workspace) -> None:
    recipe = Recipe(name="hello", os="debian-12", architecture="x86_64", packages=("hello",), commands=("true", "true"))
    environments(no_cache=True).ensure(recipe, definition("os", "debian-12", Os), recorder)
    found = [(e.kind, json.loads(e.data).get("kind")) for e in workspace.journal.events()]
    assert found.index(("resource-intent", "container")) < found.index(("resource-created", "container"))
    assert {r.kind for r in workspace.journal.resources("created")} == {"image"}
    kept = found.index(("resource-created", "image"))
    assert found.index(("resource-intent", "image")) < found.index(("resource-created", "container")) < kept


@pytest.mark.parametrize("name", ["postgresql", "mariadb", "sqlite"])
def test_every_database_starts_keeps_and_tells(recorder: Recorder, name: str) -> None:
    declared: Database = definition("database", name, Database)
    maker = environments()
    recipe = server_recipe(declared, os="debian-12", architecture="x86_64")
    made = maker.ensure(recipe, definition("os", "debian-12", Os), recorder)
    engine = maker.engine
    network = f"harness-integration-{name}"
    engine.create_network(network, engine.labels("integration", "1", ""))
    try:
        identity = engine.create_container(
            network,
            made.image,
            labels=engine.labels("integration", "1", "database"),
            memory=2**30,
            cpus=2,
            processes=256,
            network=network,
            alias="database",
            environment={},
        )
        machine = ContainerMachine(engine, identity, name)
        path = declared.path or ""
        if path:
            machine.run(f"mkdir -p $(dirname {path})")
        database = CellDatabase(machine, declared, Access(kind=name, password=SecretStr("s3cretpassword"), path=path))
        database.start()
        if not database.embedded:
            database.create()
        database.query(f"CREATE TABLE t (a VARCHAR(100)); INSERT INTO t VALUES ('{RARE}');")
        assert database.query("SELECT a FROM t;") == [[RARE]]
        assert database.version()
        assert {k: v.lower() for k, v in database.settings().items()} == {
            k: v.lower() for k, v in declared.settings.items()
        }
        with pytest.raises(QueryFailed):
            database.query("SELECT nothing FROM nowhere;")
        if not database.embedded:
            database.stop()
            assert not database.ready()
            database.start()
        assert database.query("SELECT a FROM t;") == [[RARE]]
    finally:
        engine.remove_container(network)
        engine.remove_network(network)


def test_what_the_catalogue_asks_for_and_does_not_install_is_its_own_fault(recorder: Recorder) -> None:
    system = definition("os", "debian-12", Os)
    for beneath, cause in ((False, "product"), (True, "config")):
        recipe = Recipe(
            name="broken",
            os="debian-12",
            architecture="x86_64",
            # A script that dpkg runs before it unpacks anything, and that fails.
            before=(
                RecipeFile(
                    path="/etc/apt/apt.conf.d/99broken",
                    content='DPkg::Pre-Invoke { "echo the end of the log; exit 7"; };\n',
                ),
            ),
            packages=("figlet",),
            beneath=("figlet",) if beneath else (),
        )
        with pytest.raises(InstallFailed, match="the end of the log") as failed:
            environments().ensure(recipe, system, recorder)
        assert failed.value.cause == cause


@pytest.mark.parametrize("beneath", [False, True])
def test_a_broken_archive_is_the_fault_of_who_asks_for_it(recorder: Recorder, tmp_path: Path, beneath: bool) -> None:
    """A container of its vendor that a product brings to stand on is not the product."""
    (tmp_path / "container.tar.gz").write_bytes(b"no archive")
    archive = RecipeFile(path="/opt/c", source=tmp_path / "container.tar.gz", sha256="0", beneath=beneath)
    recipe = Recipe(name="broken", os="debian-12", architecture="x86_64", archives=(archive,))
    with pytest.raises(InstallFailed) as failed:
        environments().ensure(recipe, definition("os", "debian-12", Os), recorder)
    assert failed.value.cause == ("config" if beneath else "product")


def test_a_command_of_the_catalogue_that_fails_is_its_own_fault(recorder: Recorder) -> None:
    for commands, cause in (({"commands": ("exit 7",)}, "product"), ({"beneath_commands": ("exit 7",)}, "config")):
        recipe = Recipe(name="broken", os="debian-12", architecture="x86_64", **commands)
        with pytest.raises(InstallFailed) as failed:
            environments().ensure(recipe, definition("os", "debian-12", Os), recorder)
        assert failed.value.cause == cause


#: The lent shell starts the emulated dpkg over and over: its process is the one program and then the other.
LENT_AND_EMULATED = "i=0; while [ $i -lt 300 ]; do dpkg --validate-version 1.0-1; i=$((i + 1)); done; sleep 1"


@pytest.mark.parametrize(
    ("os", "architecture"),
    [("debian-12", "aarch64"), pytest.param("debian-forky", "loongarch64", marks=pytest.mark.full)],
)
def test_programs_that_the_lab_lends_to_an_installation_are_not_counted(
    recorder: Recorder, os: str, architecture: str
) -> None:
    """A foreign environment is installed with programs of this machine: they are no programs of a product."""
    recipe = Recipe(name="lent", os=os, architecture=architecture, packages=("figlet",), commands=(LENT_AND_EMULATED,))
    made = environments(no_cache=True).ensure(recipe, definition("os", os, Os), recorder)
    assert any("programs of" in note for note in made.notes)
    assert made.executions is not None
    assert made.executions.foreign == ()
    assert made.executions.limit == ""
