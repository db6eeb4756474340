"""The list of the system before the product: written once, and what else the laboratory adds joins it."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.containers.environments import Environments
from harness.containers.images import BaseImage
from harness.hosts.provisioner import LabHosts
from harness.model.recipe import REVISION, Recipe, RecipeFile
from harness.provision.installing import Installer
from harness.provision.provisioner import APPLICATION
from harness.provision.system_state import BEFORE, LIST, SystemState, joined
from harness.system.canonical import digest_of
from harness.system.process import Completed
from tests.labs import Notes


class System:
    """A machine on which each package brings a user of its name."""

    def __init__(self) -> None:
        self.name, self.users, self.files = "machine", ["root"], dict[str, bytes]()
        self.reference = SimpleNamespace(name="lab")

    def put(self, path: str, data: bytes, **_: Any) -> None:
        self.files[path] = data

    def get(self, path: str) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def run(self, command: str, **_: Any) -> Completed:
        if LIST in command:
            if "[ ! -e" not in command or BEFORE in self.files:
                self.files[command.rpartition(">")[2]] = self.listing()
        elif gone := re.match(r"rm -f (\S+)", command):
            self.files.pop(gone[1], None)
        elif "apt-get" in command and (names := re.search(r" install (?!--)(.+)$", command)):
            self.users += [name for name in names[1].split() if name not in self.users]
        elif "dpkg-query" in command:
            return Completed(rc=0, out="".join(f"ii \t{user}\t1\tamd64\t\n" for user in self.users))
        return Completed(rc=0)

    def listing(self) -> bytes:
        return "".join(f"user\t{user}\n" for user in self.users).encode() + b"end\tof list\n"

    def added(self) -> list[str]:
        before, now = SystemState.of(self.files[BEFORE].decode()), SystemState.of(self.listing().decode())
        assert before is not None
        assert now is not None
        return now.added(before, "user")


def recipe(*packages: str, beneath: tuple[str, ...] = ()) -> Recipe:
    return Recipe(name="x", os="debian-12", architecture="x86_64", packages=packages, beneath=beneath)


def installed(system: Any, *packages: str, beneath: tuple[str, ...] = (), **more: bool) -> None:
    Installer(system, recipe(*packages, beneath=beneath), **more).install()


@pytest.mark.parametrize("order", ["product first", "server first"])
def test_what_the_laboratory_adds_is_never_the_products(order: str) -> None:
    """A virtual machine's own packages come after the product; a server of a shared host before or after it."""
    system = System()
    steps = [lambda: installed(system, "webby", "libfoo", beneath=("libfoo",))]
    steps.insert(1 if order == "product first" else 0, lambda: installed(system, "postgres", "sshd", listed=False))
    for step in steps:
        step()
    assert system.added() == ["webby"]
    installed(system, "iproute", listed=False)
    assert system.added() == ["webby"]
    assert [path for path in system.files if path.startswith(f"{BEFORE}.")] == []


def test_another_version_leaves_the_list_as_it_is() -> None:
    system = System()
    installed(system, "webby")
    installed(system, "helper", over=True)
    assert system.added() == ["helper", "webby"]


def test_no_list_is_written_where_no_product_comes() -> None:
    system = System()
    installed(system, "postgres", listed=False)
    assert BEFORE not in system.files


def test_a_list_that_is_cut_off_is_not_made_whole() -> None:
    whole, cut = b"user\troot\nend\tof list\n", b"user\troot\n"
    assert joined(whole, whole, b"user\troot\nuser\tsshd\nend\tof list\n") == b"user\troot\nuser\tsshd\nend\tof list\n"
    for lists in ((cut, whole, whole), (whole, cut, whole), (whole, whole, cut), (b"", whole, whole)):
        assert SystemState.of(joined(*lists).decode()) is None
    changed = SystemState.of(
        joined(b"cron\t/c\t1\nend\tof list\n", b"cron\t/c\t1\nend\tof list\n", b"cron\t/c\t2\nend\tof list\n").decode()
    )
    assert changed is not None
    assert changed.things == {"cron": {"/c": "2"}}


@pytest.mark.parametrize(("role", "users"), [(APPLICATION, {"webby"}), ("database", set())])
def test_on_a_lab_host_only_the_application_is_listed(role: str, users: set[str]) -> None:
    system = System()
    inventory: Any = SimpleNamespace(host=lambda _: SimpleNamespace(watch=(), jump=None, proxy_command=""))
    installed(system, "earlier")
    wanted: Any = SimpleNamespace(name=role, os=SimpleNamespace(family="debian"), recipe=recipe("webby"))
    LabHosts(inventory).install(system, wanted, Notes())  # type: ignore[arg-type]
    assert set(system.added()) == (users or {"earlier"})


@pytest.mark.parametrize("on", [None, SimpleNamespace(image="sha256:1", notes=())])
def test_what_comes_on_an_environment_is_not_listed_as_the_products(on: Any) -> None:
    built: list[bool] = []
    environments = Environments(SimpleNamespace(image_id=lambda _: None), Images())  # type: ignore[arg-type]
    environments._outlet = SimpleNamespace(sources=lambda *_, **__: ())  # type: ignore[assignment]
    environments._build = lambda *_, listed, **__: built.append(listed)  # type: ignore[method-assign]
    environments._describe = lambda *_, **__: None  # type: ignore[method-assign,assignment,return-value]
    system: Any = SimpleNamespace(family="debian", repositories=())
    environments.ensure(recipe("sshd"), system, Notes(), on=on)
    assert built == [on is None]


class Images:
    """Base images that are there."""

    cache = Path("/nonexistent")

    def ensure(self, *_: Any) -> Any:
        return BaseImage(name="base", id="sha256:0", cached=True)

    def locked(self, _: str) -> Any:
        return contextlib.nullcontext()


def test_what_is_beneath_is_a_part_of_the_key() -> None:
    """It is installed first, and before the list: the same packages make another system."""
    keys = {recipe("a", "b", beneath=beneath).key("base") for beneath in ((), ("a",), ("b",), ("a", "b"))}
    assert len(keys) == 4
    assert recipe("a", beneath=("not-there",)).key("base") == recipe("a").key("base")
    commands = dataclasses.replace(recipe("a", beneath=("a",)), beneath_commands=("a",))
    assert len({commands.key("base"), recipe("a", beneath=("a",)).key("base")}) == 2
    file = RecipeFile(path="/x", content="y")
    # As it was before what is beneath counted: else every environment that is kept would be installed again.
    plain = dataclasses.replace(recipe("a"), before=(file,), commands=("true",))
    same = [REVISION, "base", plain.os, plain.architecture, [["/x", "0644", "y", "", "0"]], ["a"], [], [], [], ["true"]]
    assert plain.key("base") == digest_of([*same, None])
