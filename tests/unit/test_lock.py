"""matrix.lock: written, checked, run, and refused when it is not what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.campaigns.choosing import plan_of
from harness.cli.entry import cli
from harness.errors import DefinitionError, UsageError
from harness.planning.lockfile import write_lock

AXES = {
    "os": ["debian-12"],
    "cpu": ["x86-64", "kunpeng-920", "phytium-ft2000plus"],
    "database": ["sqlite", "mariadb"],
    "locale": ["zh_CN", "en_US", "C"],
}


@pytest.fixture
def sampled(folder: Any) -> Any:
    folder.change(
        "matrix",
        axes=AXES,
        strategy={"kind": "pairwise", "must": [{"cpu": "x86-64", "locale": "C"}]},
        exclude=[{"cpu": "kunpeng-920", "unless": {"locale": ["zh_CN", "en_US"]}, "because": "no C there"}],
    )
    return folder


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments), standalone_mode=False)
    if isinstance(result.exception, UsageError | DefinitionError):
        return 2, str(result.exception)
    assert result.exception is None, result.exception
    return result.exit_code, result.output


def test_a_sample_covers_its_pairs_and_says_what_cannot_be(sampled: Any) -> None:
    _, output = told("plan", str(sampled.root), "--format", "json")
    plan = json.loads(output)
    assert len(plan["cells"]) < plan["coverage"]["valid"] == 16
    assert plan["coverage"]["covered"] + plan["coverage"]["impossible"] == plan["coverage"]["tuples"]
    assert plan["coverage"]["because"] == [
        {"axes": {"cpu": "kunpeng-920", "locale": "C"}, "because": ["no C there"], "one_rule": True}
    ]
    assert any(cell["reason"] == "must, pairwise" for cell in plan["cells"])


def test_the_text_names_all_of_it(sampled: Any) -> None:
    _, output = told("plan", str(sampled.root))
    assert "cpu=kunpeng-920, locale=C: excluded: no C there" in output
    assert "qemu-user" in output
    assert "of 16 valid cells" in output


def test_a_run_takes_the_cells_of_the_lock(sampled: Any) -> None:
    definitions, plan = plan_of(sampled.root)
    path = write_lock(definitions, plan)
    again = plan_of(sampled.root)[1]
    assert [cell.id for cell in again.cells] == [cell.id for cell in plan.cells]
    assert again.digest == plan.digest
    assert {cell.reason for cell in again.cells} == {"lock"}
    assert told("plan", str(sampled.root), "--check")[0] == 0
    assert path.read_text(encoding="utf-8").count("\n") == len(plan.cells) + 10


def test_check_without_a_lock(sampled: Any) -> None:
    code, output = told("plan", str(sampled.root), "--check")
    assert code == 2
    assert "--lock" in output


def test_a_lock_of_other_definitions_is_stale(sampled: Any) -> None:
    told("plan", str(sampled.root), "--lock")
    sampled.change("matrix", axes={**AXES, "locale": ["zh_CN", "en_US", "C", "bo_CN"]})
    code, output = told("plan", str(sampled.root), "--check")
    assert code == 2
    assert "+ cpu=" in output
    assert "locale=bo_CN" in output
    with pytest.raises(UsageError, match="stale"):
        plan_of(sampled.root)


def change(path: Path, work: Any) -> None:
    lock = json.loads(path.read_text(encoding="utf-8"))
    work(lock)
    path.write_text(json.dumps(lock), encoding="utf-8")


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda lock: lock["cells"].pop(), "no plan of this matrix: not covered"),
        (lambda lock: lock["cells"].append(lock["cells"][0]), "twice"),
        (lambda lock: lock["cells"].reverse(), "changed by hand"),
        (lambda lock: lock["cells"][0].update(cpu="kunpeng-920", locale="C"), "excluded, and planned"),
    ],
)
def test_a_lock_that_was_changed_is_refused(sampled: Any, work: Any, words: str) -> None:
    told("plan", str(sampled.root), "--lock")
    change(sampled.root / "matrix.lock", work)
    with pytest.raises(UsageError, match=words):
        plan_of(sampled.root)


def test_a_damaged_lock_is_told_with_its_place(sampled: Any) -> None:
    (sampled.root / "matrix.lock").write_text("{\n 'cells': 3\n}\n")
    with pytest.raises(DefinitionError, match=r"matrix\.lock:"):
        plan_of(sampled.root)


def test_a_must_that_no_cell_can_have(folder: Any) -> None:
    folder.change(
        "matrix",
        axes=AXES,
        strategy={"kind": "pairwise", "must": [{"cpu": "x86-64", "locale": "C"}]},
        exclude=[{"cpu": "x86-64", "locale": "C", "because": "no"}],
    )
    with pytest.raises(DefinitionError, match="this must is excluded") as caught:
        plan_of(folder.root)
    assert caught.value.faults[0].line > 1


@pytest.mark.parametrize(
    "strategy", [{"kind": "pairwise", "strength": 2}, {"kind": "t-way"}, {"kind": "t-way", "strength": 5}]
)
def test_strength_belongs_to_t_way(folder: Any, strategy: Any) -> None:
    folder.change("matrix", strategy=strategy)
    with pytest.raises(DefinitionError):
        plan_of(folder.root)
