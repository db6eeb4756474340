"""A case of a suite for people: what it is for, what is done, what is expected, what can show it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.definitions import PROFILES, Case, Suite, Text
from harness.model.definitions.runners import RUNNER_KINDS
from harness.presentation import Wording


def described(suite: Suite, case: Case, words: Wording) -> list[str]:
    """The lines of a case, in both languages; without those of texts that its suite leaves out."""
    heading = f"{case.id}  {case.title.zh} / {case.title.en}"
    return [heading, *(f"  {label}: {text}" for label, text in _rows(suite, case, words))]


def amounts_of(suite: Suite) -> list[str]:
    """The lines of what a suite does how much of, in both profiles; on emulated targets where that is another."""
    lines = []
    for name, amount in suite.amounts.items():
        unit = "" if amount.unit == "1" else f" {amount.unit}"
        values = [f"{profile} {amount.words(profile).en}{unit}" for profile in PROFILES]
        lines.append(f"  {name}: {amount.title.zh} / {amount.title.en}: {', '.join(values)}")
    return ["数量 amounts", *lines] if lines else []


def _rows(suite: Suite, case: Case, words: Wording) -> Iterator[tuple[str, str]]:
    kind = RUNNER_KINDS[suite.runner]
    for label, text in (
        ("目的 purpose", case.purpose),
        ("预置条件 preconditions", case.preconditions or kind.before),
        ("步骤 steps", case.steps),
        ("预期 expected", case.expected),
        ("证据 evidence", case.evidence),
    ):
        if text is not None:
            yield label, _both(text)
    yield "失败时的严重程度 severity of a failure", words.both("severity", case.defect)
    parts = [words.pair("characteristic", part) for part in case.characteristic.split("/")]
    characteristic = f"{'/'.join(part['zh'] for part in parts)} {'/'.join(part['en'] for part in parts)}"
    yield "质量特性 characteristic", f"{characteristic} (GB/T 25000.10-2016)"
    yield "条款 clause", f"GB/T 25000.51-2016 {case.clause}"
    yield "否决项 blocker", "是 yes" if case.blocker else "否 no"
    certifies = case.certifies_on(reads_files=kind.reads_files)
    yield "可证明 certifies on", "、".join(words.both("fidelity", fidelity) for fidelity in certifies)
    if not case.certifies_emulated:
        yield "仅记录 recorded only", "模拟目标 emulated targets"


def _both(text: Text) -> str:
    return f"{text.zh} / {text.en}"
