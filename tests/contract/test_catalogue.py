"""What the catalogue offers beneath a product is installed for real: on each system and architecture that it claims."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from harness.attest.architecture import host_architecture
from harness.attest.versions import states
from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.model.definitions import Foundation, Os
from harness.model.recipe import Recipe
from harness.reading.entries import entries
from tests.labs import Notes, system

FOUNDATIONS: dict[str, Foundation] = {
    name: value
    for kind in ("runtime", "middleware")
    for name, (_, value) in entries(kind).items()
    if isinstance(value, Foundation) and value.packages
}
SYSTEMS = ("debian-12", "debian-13", "debian-forky")
#: Of these the gate installs all that fits on this machine's own architecture; debian-13 has what debian-forky has.
IN_THE_GATE = ("debian-12", "debian-forky")


def pairs() -> list[Any]:
    """Each system with each of its architectures; foreign ones take minutes, and are no part of the gate."""
    listed = []
    for name in SYSTEMS:
        value = entries("os")[name][1]
        assert isinstance(value, Os)
        for architecture in value.architectures:
            native = architecture == host_architecture()
            marks = () if native and name in IN_THE_GATE else (pytest.mark.full,)
            listed.append(pytest.param(name, architecture, marks=marks, id=f"{name}-{architecture}"))
    return listed


def fitting(os: str, architecture: str) -> dict[str, Foundation]:
    return {
        name: value
        for name, value in FOUNDATIONS.items()
        if os in value.systems and architecture in value.architectures
    }


def test_every_claim_is_a_part_of_these_tests() -> None:
    """An entry that says neither where it is had nor for what, or that claims what no release has, is not tested."""
    for name, value in FOUNDATIONS.items():
        assert value.systems, f"{name}: systems"
        tested = {a for os, a in product(SYSTEMS, value.architectures) if name in fitting(os, a)}
        released = {a for os in value.systems for a in system(os).architectures}
        assert {*value.architectures} == tested & released, f"{name} claims what is not tested"


@pytest.mark.parametrize(("os", "architecture"), pairs())
def test_what_is_offered_is_installed_and_states_its_version(os: str, architecture: str) -> None:
    """All of a system at once; each is asked for its own version. A JDK's alternatives have manual pages, whose
    folders base images leave out with the pages."""
    offered = fitting(os, architecture)
    assert offered
    packages = tuple(dict.fromkeys(package for value in offered.values() for package in value.packages))
    commands = tuple(command for value in offered.values() for command in getattr(value, "setup", ()))
    recipe = Recipe(
        name="foundation",
        os=os,
        architecture=architecture,
        packages=packages,
        beneath=packages,
        beneath_commands=commands,
    )
    engine = Engine("contract")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    made = Environments(engine, images).ensure(recipe, system(os), Notes())
    for name, value in offered.items():
        printed = engine.client.containers.run(
            made.image, ["sh", "-c", value.version], remove=True, network_mode="none"
        )
        assert states(printed.decode(), value.declared), f"{name}: {printed.decode()}"
