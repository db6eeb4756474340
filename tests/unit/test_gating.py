"""Gates, differences, waivers, annotations, the summary."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.errors import DefinitionError, UsageError
from harness.gating import CampaignRecord, compare, decide
from harness.judging import judge
from harness.model.definitions import Case, Policy, Waiver
from harness.model.results import Cause, Observation, Result, SkipReason, Verdict
from harness.presentation import Presentation
from harness.reading.read import read
from harness.report import full_record, render_markdown
from harness.report.annotations import Annotation, github, gitlab
from tests.unit.test_report import view

TODAY = datetime.date(2026, 11, 21)


def case(result: str = "pass", identity: str = "C-1", **more: Any) -> dict[str, Any]:
    cause = "infra" if result in ("error", "miss") else None
    return {
        "suite": "s",
        "id": identity,
        "title": {"zh": "例", "en": "Case"},
        "decides": True,
        "result": result,
        "cause": cause,
        "detail": f"told of {result}",
        "measurements": [],
        **more,
    }


def cell(verdict: str = "conformant", name: str = "a", **more: Any) -> dict[str, Any]:
    cause = "infra" if verdict == "inconclusive" else None
    return {
        "id": f"n={name}#0",
        "short": name * 8,
        "axes": {"cpu": "x86-64", "n": name},
        "verdict": verdict,
        "cause": cause,
        "message": "",
        "attempts": [{"number": 1, "verdict": verdict}],
        "cases": [case()],
        "packages": [],
        "database_packages": [],
        "attestation": [],
        "images": ["sha256:0"],
        "version": "1",
        "seconds": {},
        **more,
    }


def campaign(*cells: dict[str, Any], **more: Any) -> CampaignRecord:
    return CampaignRecord.model_validate(
        {
            "id": "c",
            "matrix": "m",
            "created": "2026",
            "verdict": "conformant",
            "plan_digest": "0",
            "cells": list(cells),
            "suites": [{"suite": "s", "version": "1", "digest": "d"}],
            "conditions": {"harness": "1", "tools": {"x": "1"}},
            **more,
        }
    )


def word(record: CampaignRecord, policy: dict[str, Any] | None = None, **more: Any) -> str:
    return decide(record, Policy.model_validate({"policy": "p", **(policy or {})}), today=TODAY, **more).word


def waiver(**more: Any) -> Waiver:
    known = {"case": "C-1", "because": "known", "approved_by": "QA", "evidence": "ticket 1"}
    return Waiver.model_validate({**known, "expires": TODAY.isoformat(), **more})


FAILS = cell("nonconformant", cases=[case("fail")])
UNSTEADY = [{"number": 1, "verdict": "nonconformant"}, {"number": 2, "verdict": "conformant"}]


@pytest.mark.parametrize(
    ("one", "policy", "expected"),
    [
        (cell(), {}, "open"),
        (FAILS, {}, "closed"),
        (cell("inconclusive"), {}, "undecided"),
        (cell("not-tested", attempts=[], cases=[]), {}, "undecided"),
        (cell("not-tested", attempts=[], cases=[]), {"untested": "pass"}, "open"),
        (cell("conditional"), {}, "open"),
        (cell("conditional"), {"verdicts": ["conformant"]}, "closed"),
        (cell(attempts=UNSTEADY), {}, "open"),
        (cell(attempts=UNSTEADY), {"unsteady": "fail"}, "closed"),
        (cell("nonconformant", cases=[]), {}, "closed"),
        (cell("nonconformant", cases=[case("fail", decides=False)], message="why"), {}, "closed"),
    ],
)
def test_a_cell_opens_closes_or_leaves_undecided(one: dict[str, Any], policy: dict[str, Any], expected: str) -> None:
    assert word(campaign(one), policy) == expected


def test_a_product_fault_wins_over_a_broken_lab() -> None:
    assert word(campaign(cell("inconclusive", "b"), FAILS)) == "closed"


def test_only_the_cells_of_the_policy_decide() -> None:
    record = campaign(cell(name="b"), FAILS)
    assert word(record, {"cells": ["n=b"]}) == "open"
    assert word(record, {"cells": ["n=b", "n=a"]}) == "closed"
    assert word(record, {"cells": ["n=b", "cpu=x86-64"]}) == "open"
    with pytest.raises(UsageError, match="no cell"):
        word(record, {"cells": ["n=z"]})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "open"),
        ({"case": "*"}, "open"),
        ({"when": {"n": "a"}}, "open"),
        ({"suite": "s"}, "open"),
        ({"when": {"n": "b"}}, "closed"),
        ({"suite": "t"}, "closed"),
        ({"case": "C-2"}, "closed"),
        ({"expires": (TODAY - datetime.timedelta(days=1)).isoformat()}, "closed"),
    ],
)
def test_a_waiver_holds_in_its_scope_until_its_day(more: dict[str, Any], expected: str) -> None:
    decision = decide(campaign(FAILS), Policy(policy="p"), waivers=[waiver(**more)], today=TODAY)
    assert decision.word == expected
    told = " ".join(map(str, decision.findings))
    assert ("waived" in told) == (expected == "open")
    assert ("expired on" in told) == ("expires" in more)


def test_a_failure_of_the_baseline_is_no_new_one() -> None:
    policy = {"not_worse_than_baseline": True}
    assert word(campaign(FAILS), policy, baseline=campaign(FAILS)) == "open"
    assert word(campaign(FAILS), policy, baseline=campaign(cell())) == "closed"
    worse = cell("nonconformant", cases=[case("fail"), case("fail", "C-2")])
    assert word(campaign(worse), policy, baseline=campaign(FAILS)) == "closed"
    with pytest.raises(UsageError, match="baseline"):
        word(campaign(FAILS), policy)


def took(value: float, unit: str = "s") -> dict[str, Any]:
    return cell(cases=[case(measurements=[{"name": "ready", "value": value, "unit": unit}])])


@pytest.mark.parametrize(
    ("before", "after", "unit", "expected"),
    [
        (2.0, 2.3, "s", "open"),
        (2.0, 4.0, "s", "closed"),
        (4.0, 2.0, "s", "open"),
        (0.01, 0.04, "s", "open"),
        (2000.0, 4000.0, "ms", "closed"),
        (2.0, 4.0, "MiB", "open"),
    ],
)
def test_slower_than_the_baseline_beyond_noise(before: float, after: float, unit: str, expected: str) -> None:
    policy = {"slower_percent": 20.0}
    assert word(campaign(took(after, unit)), policy, baseline=campaign(took(before, unit))) == expected


def test_the_same_has_no_difference() -> None:
    assert compare(campaign(cell()), campaign(cell())).changes == ()


def test_a_difference_names_what_changed_and_whom_to_suspect() -> None:
    package = {"name": "app", "version": "1", "architecture": "amd64"}
    before = campaign(cell(packages=[package]), cell(name="b"), cell(name="c"))
    after = campaign(
        cell(
            "nonconformant",
            cases=[case("fail")],
            packages=[{**package, "version": "2"}],
            attestation=[{"machine": "application", "name": "kernel", "observed": "6.1"}],
        ),
        cell("inconclusive", "b", message="no engine"),
        cell(name="d"),
        conditions={"harness": "2", "tools": {"x": "1"}},
    )
    found = compare(before, after)
    assert not found.same_verdicts
    assert [str(change) for change in found.of("cell")] == [
        "x86-64 · c: planned: yes → —",
        "x86-64 · d: planned: — → yes",
    ]
    assert len(found.of("verdict")) == 2
    suspects = found.suspects["x86-64 · a"]
    assert suspects[0] == "x86-64 · a: product package app: 1 → 2"
    assert any("kernel" in one for one in suspects)
    assert suspects[-1] == "harness: 1 → 2"
    assert found.suspects["x86-64 · b"][0] == "the lab or the definitions (infra): no engine"


def test_figures_of_the_moment_are_no_difference() -> None:
    fact = {"machine": "application", "name": "loop", "measured": True}
    before, after = (campaign(cell(attestation=[{**fact, "observed": seen}])) for seen in ("24 ms", "33 ms"))
    assert compare(before, after).changes == ()


def test_a_verdict_that_turned_for_no_reason_is_called_unsteady() -> None:
    found = compare(campaign(cell()), campaign(FAILS))
    assert "nothing else changed" in found.suspects["x86-64 · a"][0]


def test_a_waiver_that_was_added_is_what_changed() -> None:
    applied = {"suite": "s", "case": "C-1", "because": "b", "approved_by": "QA", "expires": "2027-01-01"}
    before, after = FAILS, cell("conditional", cases=[case("fail")], waived=[applied], notes=["a release is expired"])
    changes = compare(campaign(before), campaign(after))
    assert [change.what for change in changes.of("decision")] == ["waiver for C-1", "note"]
    first, second = changes.suspects["x86-64 · a"]
    assert first == "x86-64 · a: waiver for C-1: — → until 2027-01-01 by QA: b"
    assert second.endswith("a release is expired")
    back = compare(campaign(after), campaign(before))
    assert back.suspects["x86-64 · a"][0].endswith("→ —")


def test_what_appears_because_a_cell_got_further_is_no_suspect() -> None:
    package = {"name": "app", "version": "1", "architecture": "amd64"}
    fact = {"machine": "application", "name": "kernel", "observed": "6.1"}
    stopped = cell("inconclusive", images=[], message="the release file is expired")
    ran = cell(packages=[package], attestation=[fact])
    (suspect,) = compare(campaign(stopped), campaign(ran)).suspects["x86-64 · a"]
    assert suspect == "earlier it was not deployed: the release file is expired"
    suspects = compare(campaign(ran), campaign(stopped)).suspects["x86-64 · a"]
    assert len(suspects) == 2
    assert all("expired" in text for text in suspects)


def judged(*results: tuple[Result, Any], **more: Any) -> Any:
    cases = [
        Case.model_validate(
            {
                "id": f"C-{n}",
                "test": f"t{n}",
                "title": "T",
                "characteristic": "reliability",
                "clause": "5.3.5",
                "blocker": True,
            }
        )
        for n, _ in enumerate(results, 1)
    ]
    seen = {
        ("s", f"C-{n}"): Observation(case=f"C-{n}", suite="s", result=result, **extra)
        for n, (result, extra) in enumerate(results, 1)
    }
    return judge([("s", one) for one in cases], seen, emulated=False, axes={"n": "a"}, **more)


def test_a_waived_failure_is_conditional_and_stays_a_failure_to_see() -> None:
    judgement = judged((Result.FAIL, {}), (Result.PASS, {}), waivers=[waiver()])
    assert judgement.verdict is Verdict.CONDITIONAL
    assert [(suite, one) for suite, one, _ in judgement.waived] == [("s", "C-1")]
    assert judged((Result.FAIL, {}), waivers=[]).verdict is Verdict.NONCONFORMANT
    assert judged((Result.FAIL, {}), (Result.FAIL, {}), waivers=[waiver()]).verdict is Verdict.NONCONFORMANT
    skip = (Result.SKIP, {"skip_reason": SkipReason.CAPABILITY})
    assert judged(skip, (Result.PASS, {}), waivers=[waiver()]).verdict is Verdict.CONDITIONAL


@pytest.mark.parametrize("result", [Result.ERROR, Result.MISS])
def test_no_waiver_accepts_what_is_not_known(result: Result) -> None:
    judgement = judged((result, {"cause": Cause.INFRA}), waivers=[waiver(case="*")])
    assert (judgement.verdict, judgement.waived) == (Verdict.INCONCLUSIVE, ())


def write(path: Path, record: CampaignRecord) -> Path:
    path.write_text(record.model_dump_json(), encoding="utf-8")
    return path


def test_the_command_decides_by_its_exit_code(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.json", campaign(cell())), write(tmp_path / "bad.json", campaign(FAILS))
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: p\nnot_worse_than_baseline: true\n")
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("waivers:\n- {case: C-1, because: b, approved_by: a, evidence: e, expires: 2099-01-01}\n")
    run = CliRunner().invoke
    assert run(cli, ["gate", str(good)]).exit_code == 0
    assert run(cli, ["gate", str(bad)]).exit_code == 1
    assert run(cli, ["gate", str(bad), "--waivers", str(waivers)]).exit_code == 0
    assert run(cli, ["gate", str(bad), "--policy", str(policy), "--baseline", str(bad)]).exit_code == 0
    assert run(cli, ["diff", str(good), str(bad)]).exit_code == 1
    assert run(cli, ["diff", str(good), str(good)]).exit_code == 0
    shown = json.loads(run(cli, ["diff", str(good), str(bad), "--format", "json"]).stdout)
    assert shown["same_verdicts"] is False
    annotated = run(cli, ["gate", str(bad), "--annotate", "github"]).stdout
    assert annotated == "::error file=matrix.yaml,title=x86-64 · a C-1::fails: told of fail\n"


@pytest.mark.parametrize("text", ["{}", "[1]", "nonsense", '{"id": 1}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "campaign.json"
    path.write_text(text)
    result = CliRunner().invoke(cli, ["gate", str(path)])
    assert isinstance(result.exception, UsageError)


def test_annotations_cannot_be_broken_by_what_a_product_prints() -> None:
    nasty = Annotation(level="error", title="a,b:c", message="100%\n::error::x", path="m.yaml")
    assert github([nasty]) == "::error file=m.yaml,title=a%2Cb%3Ac::100%25%0A::error::x\n"
    (one,) = json.loads(gitlab([nasty]))
    assert one["severity"] == "critical"
    assert one["location"] == {"path": "m.yaml", "lines": {"begin": 1}}


def test_the_record_of_a_view_is_read_back() -> None:
    record = CampaignRecord.model_validate(json.loads(json.dumps(full_record(view()), ensure_ascii=False)))
    assert len(record.cells) == 12


def test_the_summary_names_every_cell_and_takes_no_markup() -> None:
    shown = view()
    first = dataclasses.replace(shown.cells[0], message="<img src=x> | [a](b)\nnext")
    shown = dataclasses.replace(shown, cells=(first, *shown.cells[1:]))
    text = render_markdown(shown, Presentation.standard().wording())
    assert text.count("\n| ") >= 12
    assert "\\<img src=x\\> \\| \\[a\\]\\(b\\) next" in text


def test_the_waivers_of_a_matrix_are_read_or_told(folder: Any) -> None:
    folder.change("matrix", waivers="waivers.yaml")
    with pytest.raises(DefinitionError, match="no such file"):
        read(folder.root)
    folder.write(
        "waivers",
        {"waivers": [{"case": "LC-01", "because": "b", "approved_by": "a", "evidence": "e", "expires": TODAY}]},
    )
    assert [one.expires for one in read(folder.root).waivers] == [TODAY]
