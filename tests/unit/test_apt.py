"""Packages of the Debian family: what a word of a definition stands for, and whose trouble it is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.model.recipe import PackageFact, Recipe, RecipeFile
from harness.provision.apt import rows_for, rows_in, selected_in
from harness.provision.installing import SECONDS, Installer, InstallFailed, explained
from harness.system.process import Completed

THERE = (
    "ii \tnginx\t1.22.1-9\tamd64\thttpd, httpd-cgi, nginx-abi-1.22.1-7\n"
    "hi \tlibfoo\t1:2.0-1\tamd64\t\n"
    "ii \tlibfoo\t1:2.0-1\ti386\t\n"
    "ii \texim4-daemon-light\t4.96\tamd64\tmail-transport-agent, default-mta (= 4.96)\n"
    "ii \ttzdata\t2024a\tall\ttzdata-trixie\n"
    "ii \tlua5.4\t5.4\tamd64\tlua-interpreter:any\n"
    "rc \tapache2\t2.4\tamd64\thttpd\n"
    "un \tawk\t\t\t\n"
)


class Machine:
    """A machine whose apt-get answers as given."""

    name = "machine"

    def __init__(self, answer: Callable[[str], Completed | None]) -> None:
        self.answer, self.commands = answer, list[str]()

    def put(self, *_: Any, **__: Any) -> None: ...

    def run(self, command: str, **_: Any) -> Completed:
        self.commands.append(command)
        if (answer := self.answer(command)) is not None:
            return answer
        return Completed(rc=0, out=THERE if "dpkg-query" in command else "")


def installed(
    *packages: str, answer: Callable[[str], Completed | None] = lambda _: None, beneath: tuple[str, ...] = ()
) -> list[PackageFact]:
    recipe = Recipe(name="x", os="debian-12", architecture="x86_64", packages=packages, beneath=beneath)
    machine: Any = Machine(answer)
    return Installer(machine, recipe).install()


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("nginx", ["nginx"]),
        ("nginx=1.22.1-9", ["nginx"]),
        ("nginx/bookworm-backports", ["nginx"]),
        ("libfoo", ["libfoo", "libfoo"]),
        ("libfoo:i386", ["libfoo"]),
        ("libfoo:i386=1:2.0-1", ["libfoo"]),
        ("tzdata:amd64", ["tzdata"]),
        ("mail-transport-agent", ["exim4-daemon-light"]),
        ("default-mta", ["exim4-daemon-light"]),
        ("lua-interpreter", ["lua5.4"]),
        ("httpd", ["nginx"]),
        ("web-server^", ["nginx", "tzdata"]),
        ("ngin*", ["nginx"]),
    ],
)
def test_what_was_asked_for_names_the_packages_that_came(word: str, names: list[str]) -> None:
    """The word stays with the fact: by it the product's own are known."""
    chosen = (("nginx", "glob 'ngin*'"), ("nginx-doc", "glob 'ngin*'"), ("nginx", "task 'web-server'"))
    notes = "\n".join(f"Note, selecting '{name}' for {what}" for name, what in (*chosen, ("tzdata", chosen[2][1])))
    selecting = lambda command: Completed(rc=0, out=notes) if "--download-only" in command else None  # noqa: E731
    facts = installed(word, answer=selecting)
    assert [fact.name for fact in facts] == names
    assert all(fact.version and fact.architecture and fact.came_for({word}) for fact in facts)
    assert {fact.asked for fact in facts} == {"" if word == names[0] else word}


def test_a_word_that_gives_no_package_is_a_matter_of_the_definition() -> None:
    for word in ("apache2", "awk", "nginx-", "not-there"):
        with pytest.raises(InstallFailed) as failed:
            installed("nginx", word)
        assert (failed.value.cause, f"no package for {word}" in failed.value.message) == ("config", True)


def test_a_list_that_cannot_be_had_is_not_an_empty_one() -> None:
    broken = Completed(rc=2, err="dpkg-query: error: parsing file '/var/lib/dpkg/status'")
    with pytest.raises(InstallFailed) as failed:
        installed("nginx", answer=lambda command: broken if "dpkg-query" in command else None)
    assert failed.value.cause == "infra"


def test_digests_are_those_of_the_versions_that_came() -> None:
    listed = (
        "a  /var/cache/apt/archives/libfoo_1%3a1.0-1_amd64.deb\nb  /var/cache/apt/archives/libfoo_1%3a2.0-1_amd64.deb\n"
    )
    facts = installed(
        "libfoo=1:2.0-1", answer=lambda command: Completed(rc=0, out=listed) if "sha256sum" in command else None
    )
    assert [(fact.architecture, fact.sha256) for fact in facts] == [("amd64", "b"), ("i386", "")]


def test_what_apt_prints_of_its_choice() -> None:
    text = "Reading package lists...\nNote, selecting 'exim4-daemon-light' instead of 'mail-transport-agent'\n"
    assert selected_in(text) == {"mail-transport-agent": {"exim4-daemon-light"}}
    (row,) = rows_for("mail-transport-agent", rows_in("ii \texim4-daemon-light\t1\tall\t\n"), selected_in(text))
    assert row.name == "exim4-daemon-light"


def failure(
    text: str, title: str = "install packages", *, cause: str = "product", rc: int = 100, seconds: float = 1.0
) -> InstallFailed:
    recipe = Recipe(
        name="x", os="debian-12", architecture="x86_64", packages=("nginx",), commands=("curl",), patience=2
    )
    machine: Any = Machine(lambda _: None)
    error = Installer(machine, recipe).failure(title, Completed(rc=rc, err=text, seconds=seconds), cause)
    assert isinstance(error, InstallFailed)
    return error


@pytest.mark.parametrize(
    "text",
    [
        "E: Failed to fetch http://mirror.example/debian/pool/n.deb  Connection timed out [IP: 1.2.3.4 80]",
        "E: Failed to fetch http://mirror.example/debian/pool/n.deb  404  Not Found",
        "Err:1 http://mirror.example/debian bookworm InRelease\n  Temporary failure resolving 'mirror.example'",
        "   Hash Sum mismatch\n   Hashes of expected file:",
        "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?",
        "tar: /opt/x: Cannot write: No space left on device",
        "sed: couldn't write: no space left on device",
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "Error: Transaction test error:\n  installing package a needs 12MB more space on the / filesystem",
    ],
)
@pytest.mark.parametrize("title", ["install what it depends on", "install packages"])
def test_trouble_of_the_laboratory_is_not_the_products(text: str, title: str) -> None:
    assert failure(text, title).cause == "infra"


@pytest.mark.parametrize("title", ["curl", "dpkg -i product.deb", "dpkg -i product.deb (again)"])
def test_what_the_products_own_commands_and_scripts_fetch_is_their_affair(title: str) -> None:
    assert failure("E: Failed to fetch https://vendor.example/x  Could not connect", title).cause == "product"


@pytest.mark.parametrize(
    "text",
    [
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the daemon is running",
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "Error: unable to connect to Podman socket: dial unix /run/podman.sock: connect: no such file",
        "write /var/lib/docker/tmp/x: no space left on device",
    ],
)
def test_an_engine_that_does_not_answer_is_the_laboratorys(text: str) -> None:
    assert failure(text, "load app.tar", rc=1).cause == "infra"
    assert failure("open /x/manifest.json: no such file or directory", "load app.tar", rc=1).cause == "product"
    assert failure(text.replace("no space", "nothing"), "curl", rc=1).cause == "product"


def test_a_limit_that_ran_out_is_a_matter_of_time() -> None:
    """A command that ends with 124 by itself, long before, is a failure as any other."""
    late = failure("still going", "curl", rc=124, seconds=3600)
    assert (late.cause, "did not end within 3600 s: still going" in late.message) == ("timeout", True)
    assert failure("", "curl", rc=137, seconds=3605).cause == "timeout"
    assert failure("", "curl", cause="config", rc=124, seconds=3600).cause == "timeout"
    assert failure("", "download packages", cause="infra", rc=124, seconds=3600).cause == "infra"
    assert failure("", "curl", rc=124, seconds=1800).cause == "product"
    assert failure("", "curl", rc=1, seconds=4000).cause == "product"


def test_the_limit_of_a_step_is_as_long_as_the_target_is_slow() -> None:
    limits: list[float] = []
    machine: Any = Machine(lambda _: None)
    machine.run = lambda _, *, timeout, **__: limits.append(timeout) or Completed(rc=0)
    recipe = Recipe(name="x", os="debian-12", architecture="x86_64", commands=("a",))
    slow = dataclasses.replace(recipe, patience=7.5)
    for each in (recipe, slow):
        Installer(machine, each).install()
    assert set(limits) == {SECONDS, 7.5 * SECONDS}
    assert slow.key("base") == recipe.key("base")


@pytest.mark.parametrize(
    "away", [Completed(rc=100, err="E: x"), Completed(rc=0, err="W: Failed to fetch http://m/x  404")]
)
@pytest.mark.parametrize("own", [True, False], ids=["own file", "package"])
def test_what_lacks_because_a_repository_is_away_is_the_laboratorys(away: Completed, own: bool, tmp_path: Path) -> None:
    """apt-get update takes a repository that does not answer for no failure, and what it lacks is not there then."""
    (tmp_path / "a.deb").write_bytes(b"x")
    files = (RecipeFile(path="a.deb", source=tmp_path / "a.deb", sha256="0"),)
    recipe = Recipe(
        name="x",
        os="debian-12",
        architecture="x86_64",
        packages=() if own else ("nginx",),
        package_files=files if own else (),
    )

    def answer(command: str, update: Completed) -> Completed | None:
        if "Error-Mode" in command:
            return update
        if "dpkg -i" in command:
            return Completed(rc=1, err="dpkg: dependency problems prevent configuration of a")
        if "--download-only" in command:
            return Completed(rc=100, err="E: Unable to locate package nginx")
        return None

    causes = []
    for update in (away, Completed(rc=0)):
        machine: Any = Machine(functools.partial(answer, update=update))
        with pytest.raises(InstallFailed) as failed:
            Installer(machine, recipe).install()
        causes.append(failed.value.cause)
    assert causes == ["infra", "product" if own else "config"]


def test_what_was_refused_is_a_matter_of_the_definitions_and_the_rest_is_not() -> None:
    away = failure("E: Failed to fetch https://vendor.example/deb/x  Received HTTP code 403 from proxy")
    assert explained(away, ["CONNECT vendor.example:443"]).cause == "config"
    assert explained(away, ["GET http://vendor.example/y"]).cause == "config"
    assert explained(away, ["GET http://other.example/y"]).cause == "infra"


@pytest.mark.parametrize(
    "text",
    [
        "The following packages have unmet dependencies:\n nginx : Conflicts: apache2 but 2.4 is to be installed\n"
        "E: Unable to correct problems, you have held broken packages.",
        "E: Version '1.99' for 'nginx' was not found",
        "E: Release 'bookworm-backports' for 'nginx' was not found",
        "E: Unable to satisfy dependencies. Reached two conflicting assignments:\n   1. a:amd64 is selected",
        "Error: \n Problem: problem with installed package a-1\n  - package b-1.noarch conflicts with a provided by c",
        "Problem: conflicting requests\n  - nothing provides libx.so.1 needed by b-1.noarch from os",
        "No match for argument: b-1.99\nError: Unable to find a match: b-1.99",
        "Failed to resolve the transaction:\nProblem: cannot install both b-1 and b-2",
        "Error: Package: b-1.noarch (os)\n           Requires: libx.so.1",
        "  - package b-1 requires libx, but none of the providers can be installed",
    ],
)
def test_packages_that_do_not_go_together_are_a_matter_of_the_definition(text: str) -> None:
    """Of whatever step it is that finds out: nothing is tried again. Of the product's own file the same words are its
    own failure."""
    for title, cause in (
        ("download packages", "infra"),
        ("install packages", "product"),
        ("install packages", "config"),
    ):
        apart = failure(text, title, cause=cause)
        assert (apart.cause, "`packages`" in apart.advice) == ("config", True), apart.message
    for title in ("install what it depends on", "dpkg -i a.deb (again)", "install a.rpm"):
        assert failure(text.replace("No match", "no match").replace("Unable to find", ""), title).cause == "product"


def test_what_is_no_matter_of_a_choice_keeps_its_cause() -> None:
    files = "file /usr/bin/x from install of a-1.noarch conflicts with file from package b-1.noarch"
    assert failure(files).cause == "product"
    assert failure(files, "download packages", cause="infra").cause == "infra"
    host = "You might want to run 'apt --fix-broken install'.\nE: Unmet dependencies. Try 'apt --fix-broken install'"
    assert failure(f"The following packages have unmet dependencies:\n x : Depends: y\n{host}").cause == "infra"
