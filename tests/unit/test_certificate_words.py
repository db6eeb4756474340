"""What a certificate says of limits and dates: by platforms, in both languages, of no kind that there is not."""

from __future__ import annotations

import dataclasses

import pytest

from harness.certify.certificate import ShownSignature, conclusion, face, limits, platform
from harness.certify.policy import Kind, decide, uncertified
from harness.model.definitions import Commission, Text
from harness.model.results import Fidelity, Result, SkipReason
from tests.unit.test_report import DIGESTS, ISSUE, SELF_TEST, TEMPLATES, view

KIND = Kind(zh="x", en="x", pre=True, conditional=False)
WORDS = TEMPLATES.wording()


@pytest.mark.parametrize(
    ("kinds", "there", "missing"),
    [
        (("user-emulated", "user-emulated"), "其中 2 个为仿真目标，故", "容器"),
        (("container", "container"), "其中 2 个为容器，故", "仿真目标"),
        (("container", "user-emulated"), "其中 1 个为仿真目标、1 个为容器，故", "其中 0"),
        (("kvm", "kvm"), "保真度不足", "其中 0"),
    ],
)
def test_no_kind_of_target_is_named_of_which_there_is_none(kinds: tuple[str, str], there: str, missing: str) -> None:
    shown = view()
    cells = tuple(dataclasses.replace(c, fidelity=Fidelity(k)) for c, k in zip(shown.cells, kinds, strict=False))
    told = conclusion(dataclasses.replace(shown, cells=cells), WORDS, SELF_TEST, KIND, Commission())
    assert there in told["zh"]
    assert missing not in told["zh"]
    assert " 0 " not in told["en"]


def test_limits_name_the_platforms_that_they_are_of() -> None:
    shown = view(fidelity="container")
    one, every = Text(zh="甲限制", en="limit A"), Text(zh="乙限制", en="limit B")
    note = "release file of forky expired, accepted: 测试版每周重签 (expired (invalid since 19d 9h 26min 37s).)"
    cells = tuple(
        dataclasses.replace(c, limits=(every, one) if n in (3, 4, 7) else (every,), notes=(note,) if n > 9 else ())
        for n, c in enumerate(shown.cells)
    )
    texts = limits(dataclasses.replace(shown, cells=cells, accepted=(note,)), SELF_TEST, Commission())
    assert {"zh": "平台 4–5、8：甲限制", "en": "Platforms 4–5, 8: limit A"} in texts
    assert every.model_dump() in texts
    (expired,) = [text for text in texts if "forky" in text["zh"]]
    assert expired["zh"] == "平台 11–12：forky 的软件源发布文件过期 19 天，按定义予以接受（理由：测试版每周重签）。"
    assert expired["en"].endswith("expired 19 days ago and was accepted by definition.")
    odd = dataclasses.replace(shown, accepted=("expired, of another form",))
    cells = (dataclasses.replace(shown.cells[0], notes=odd.accepted), *shown.cells[1:])
    assert "平台 1：expired, of another form" in [
        text["zh"] for text in limits(dataclasses.replace(odd, cells=cells), SELF_TEST, Commission())
    ]


def test_what_was_only_recorded_is_named_as_not_certified() -> None:
    """On an emulated target loads are skipped: a dash would read as if performance were certified there."""
    cell = view(fidelity="user-emulated").cells[0]
    cases = tuple(
        dataclasses.replace(c, result=Result.SKIP, skip_reason=SkipReason.CAPABILITY)
        if c.characteristic.startswith("performance")
        else c
        for c in cell.cases
    )
    assert uncertified(dataclasses.replace(cell, cases=cases), SELF_TEST) == ("performance_efficiency",)
    recorded = dataclasses.replace(
        cell, cases=tuple(dataclasses.replace(c, result=Result.RECORDED, skip_reason=None) for c in cell.ran[:2])
    )
    assert platform(recorded, WORDS, SELF_TEST)["recorded"] == 2


def test_the_face_has_the_issuers_dates_and_whose_kernel_it_is() -> None:
    shown = dataclasses.replace(view(), created="2026-11-24T23:30:00+00:00", finished="2026-11-25T16:30:00+00:00")
    issue = dataclasses.replace(ISSUE, issued="2026-11-25T23:30:00+00:00", valid_until="2027-11-26")
    kind = decide(shown, SELF_TEST).kind
    assert kind is not None
    data = face(shown, WORDS, SELF_TEST, kind, issue, DIGESTS, Commission(), ShownSignature())
    assert data["issued"] == {"zh": "2026年11月26日", "en": "2026-11-26"}
    assert data["tested"]["zh"] == "2026年11月25日至2026年11月26日"
    assert data["valid_until"]["zh"] == "2027年11月26日"
    assert {platform["shared"] for platform in data["platforms"]} == {True}
    refused = decide(view({3: Result.FAIL}), SELF_TEST).refusals[0]
    assert "DEP-0" in refused.zh or "kunpeng" in refused.zh
