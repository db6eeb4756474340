"""Packages of the Debian family: what a word of a definition stands for, and whose trouble it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.model.recipe import PackageFact, Recipe
from harness.provision.apt import rows_for, rows_in, selected_in
from harness.provision.installing import Installer, InstallFailed
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
