"""Packages that a product only needs are installed beneath it, and are nothing of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import DefinitionError
from harness.execution.contexts import own_packages
from harness.execution.making import roles_of, serve
from harness.machines.placing import place
from harness.model.recipe import PackageFact
from harness.planning import expand
from harness.provision.provisioner import APPLICATION
from harness.reading.read import read


def placed(folder: Any, **keys: Any) -> tuple[Any, Any]:
    folder.change("application", **keys)
    definitions = read(folder.root)
    cell = expand(definitions).cells[0]
    return definitions, place(definitions, cell)


def test_needed_packages_are_beneath_the_product(folder: Any) -> None:
    definitions, cell = placed(folder, packages=["busybox"], needs=["libnss3", "libaio1"])
    attempt: Any = SimpleNamespace(placed=cell, lab=SimpleNamespace(definitions=definitions))
    recipe = roles_of(attempt)[0].recipe
    assert {"libnss3", "libaio1"} <= set(recipe.beneath)
    assert set(recipe.packages) >= {"busybox", "libnss3", "libaio1"}
    assert "busybox" not in recipe.beneath
    facts = tuple(
        PackageFact(name=name, version="1", architecture="amd64") for name in ("busybox", "libnss3", "libaio1")
    )
    environment: Any = SimpleNamespace(packages=facts)
    assert own_packages(cell, environment) == ("busybox",)


def test_a_variant_may_need_others(folder: Any) -> None:
    variants = [{"when": {"cpu": "x86-64"}, "set": {"needs": ["libfoo"]}}]
    _, cell = placed(folder, needs=["libbar"], variants=variants)
    assert cell.application.needed == ("libfoo",)
    assert "libfoo" in cell.beneath


def test_a_package_is_the_products_or_needed_and_not_both(folder: Any) -> None:
    path = folder.change("application", packages=["busybox"], needs=["busybox"])
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    (fault,) = caught.value.faults
    assert "both in packages and in needs: busybox" in fault.message
    assert "needs" in path.read_text().splitlines()[fault.line - 2]


@pytest.mark.parametrize("emulated", [True, False])
def test_what_is_emulated_is_installed_with_patience(folder: Any, emulated: bool) -> None:
    """Before anything is measured, so what is declared counts."""
    definitions, cell = placed(folder, packages=["busybox"])
    provisioner = SimpleNamespace(emulator=lambda _: None)
    attempt: Any = SimpleNamespace(
        placed=cell,
        cell=SimpleNamespace(timeout_factor=7.0),
        emulated=emulated,
        lab=SimpleNamespace(definitions=definitions, provisioners={cell.placement.kind: provisioner}),
        state=lambda *_: None,
        learn=lambda **_: None,
    )
    serving = serve(attempt)
    expected = {role.name: role.cpu.timeout_factor if emulated else 1.0 for role in serving.roles}
    assert {role.name: role.recipe.patience for role in serving.roles} == {
        **expected,
        APPLICATION: 7.0 if emulated else 1.0,
    }
