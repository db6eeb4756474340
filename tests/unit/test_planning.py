"""Axes, exclude, include, adjust, in that order; nothing vanishes silently."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import DefinitionError
from harness.planning import expand
from harness.reading.read import read

WIDE = {"os": ["debian-12", "debian-forky"], "cpu": ["x86-64", "kunpeng-920"], "database": ["sqlite", "mariadb"]}


def messages(folder: Any) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        expand(read(folder.root))
    return [fault.message for fault in caught.value.faults]


def test_product_of_axes_less_excludes_plus_includes(folder: Any) -> None:
    folder.change(
        "matrix",
        axes=WIDE,
        exclude=[{"os": "debian-forky", "because": "later"}],
        include=[{"os": "debian-forky", "cpu": "loongson-3a5000", "database": "sqlite"}],
    )
    plan = expand(read(folder.root))
    assert len(plan.cells) == 5
    assert [rule.count for rule in plan.excluded] == [4]
    assert plan.valid == 5
    assert plan.cells[-1].reason == "include"


def test_cell_id_is_its_sorted_pairs_and_a_hash(folder: Any) -> None:
    first = expand(read(folder.root)).cells[0]
    assert first.id.startswith("cpu=x86-64,database=sqlite,os=debian-12#")
    assert first.id.endswith(first.short)


def test_ids_do_not_depend_on_the_order_of_axes(folder: Any) -> None:
    before = {cell.id for cell in expand(read(folder.root)).cells}
    folder.change("matrix", axes={"database": ["sqlite"], "cpu": ["kunpeng-920", "x86-64"], "os": ["debian-12"]})
    assert {cell.id for cell in expand(read(folder.root)).cells} == before


def test_exclude_that_matches_nothing(folder: Any) -> None:
    folder.change(
        "matrix",
        exclude=[{"cpu": "x86-64", "because": "no"}, {"cpu": "x86-64", "os": "debian-12", "because": "said before"}],
    )
    assert messages(folder) == ["this exclude matches nothing"]


def test_exclude_with_an_unknown_value(folder: Any) -> None:
    folder.change("matrix", exclude=[{"database": "mariadb", "because": "no"}])
    assert messages(folder) == ["axis database has no value 'mariadb'"]


def test_exclude_needs_a_reason(folder: Any) -> None:
    folder.change("matrix", exclude=[{"cpu": "x86-64"}])
    assert any("because" in message for message in messages(folder))


def test_exclude_with_an_unknown_axis(folder: Any) -> None:
    folder.change("matrix", exclude=[{"cpuu": "x86-64", "because": "no"}])
    assert "unknown axis 'cpuu'" in messages(folder)


def test_include_must_be_a_whole_new_cell(folder: Any) -> None:
    folder.change(
        "matrix",
        include=[{"os": "debian-12", "cpu": "x86-64"}, {"os": "debian-12", "cpu": "x86-64", "database": "sqlite"}],
    )
    assert messages(folder) == ["an include adds whole cells", "this combination is in the matrix already"]


def test_a_system_without_that_architecture(folder: Any) -> None:
    folder.change("matrix", axes={"os": ["debian-12"], "cpu": ["loongson-3a5000"], "database": ["sqlite"]})
    assert messages(folder) == ["debian-12 has no loongarch64 release, which loongson-3a5000 needs"]


def test_adjust_changes_factor_and_suites_and_says_why(folder: Any) -> None:
    folder.change(
        "matrix",
        adjust=[{"when": {"cpu": "kunpeng-920"}, "set": {"timeout_factor": 9, "suites": []}, "because": "slow lab"}],
    )
    adjusted = next(c for c in expand(read(folder.root)).cells if c.axes["cpu"] == "kunpeng-920")
    assert adjusted.timeout_factor == 9
    assert adjusted.suites == ()
    assert adjusted.notes == ("slow lab",)


def test_adjust_that_matches_nothing(folder: Any) -> None:
    folder.change("matrix", adjust=[{"when": {"cpu": "phytium-ft2000plus"}, "set": {}, "because": "x"}])
    assert messages(folder) == ["this adjust matches no cell"]


def test_further_axes_are_part_of_the_cell(folder: Any) -> None:
    folder.change(
        "matrix", axes={"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "locale": ["zh_CN", "en_US"]}
    )
    assert {cell.axes["locale"] for cell in expand(read(folder.root)).cells} == {"zh_CN", "en_US"}


def test_digest_changes_with_a_template_of_the_product(folder: Any) -> None:
    (folder.root / "a.conf").write_text("one")
    folder.change("application", templates=[{"template": "a.conf", "path": "/etc/a.conf"}])
    before = expand(read(folder.root)).digest
    assert expand(read(folder.root)).digest == before
    (folder.root / "a.conf").write_text("two")
    assert expand(read(folder.root)).digest != before


def test_a_variant_that_makes_no_valid_application(folder: Any) -> None:
    folder.change("application", variants=[{"when": {"cpu": "kunpeng-920"}, "set": {"portz": {"web": 1}}}])
    (told,) = messages(folder)
    assert told == "the variants make no valid application on debian-12, kunpeng-920, sqlite"


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        (
            {"database_cpu": ["same", "kunpeng-920"]},
            "sqlite is part of the product's machine and can have none of its own",
        ),
        (
            {"database_cpu": ["same", "loongson-3a5000"], "database": ["postgresql"]},
            "debian-12 has no loongarch64 release for a database on loongson-3a5000",
        ),
        ({"database_cpu": ["sunway-3231"], "database": ["postgresql"]}, "nothing can serve cpu sunway-3231"),
        ({"database_os": ["nowhere"], "database": ["postgresql"]}, "no such os"),
    ],
)
def test_a_database_machine_that_cannot_be(folder: Any, axes: dict[str, list[str]], told: str) -> None:
    folder.change("matrix", axes={"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], **axes})
    with pytest.raises(DefinitionError) as error:
        expand(read(folder.root))
    assert told in error.value.faults[0].message
    assert error.value.faults[0].line > 1


def test_a_database_machine_is_that_of_its_axes(folder: Any) -> None:
    folder.change(
        "matrix",
        axes={
            "os": ["debian-12"],
            "cpu": ["x86-64"],
            "database": ["postgresql"],
            "database_os": ["debian-forky"],
            "database_cpu": ["same", "loongson-3a5000"],
        },
    )
    definitions = read(folder.root)
    machines = {cell.axes["database_cpu"]: definitions.machines(cell.axes) for cell in expand(definitions).cells}
    named = {key: [(os.os, cpu.cpu) for os, cpu in value.values()] for key, value in machines.items()}
    assert named == {
        "same": [("debian-12", "x86-64"), ("debian-forky", "x86-64")],
        "loongson-3a5000": [("debian-12", "x86-64"), ("debian-forky", "loongson-3a5000")],
    }
