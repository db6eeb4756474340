"""Whose an error of the engine is."""

from __future__ import annotations

import docker.errors
import pytest

from harness.containers import engine_errors as module
from harness.containers.engine_errors import engine_errors, steadily
from harness.errors import HarnessError, InfrastructureError, UsageError


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("OCI runtime: error setting rlimit type 7: operation not permitted", UsageError, "lower `ulimits` below"),
        ("write /x: no space left on device", InfrastructureError, "free space"),
        ("conflict", InfrastructureError, "see the engine's log"),
    ],
)
def test_a_limit_that_a_definition_asks_for_is_the_definitions(text: str, kind: type[HarnessError], words: str) -> None:
    with pytest.raises(kind) as trouble, engine_errors("creating container c"):
        raise docker.errors.APIError(text)
    assert type(trouble.value) is kind
    assert words in trouble.value.advice


@pytest.mark.parametrize(
    ("refusals", "text", "good"),
    [
        (3, "route ip+net: no such network interface", True),
        (9, "route ip+net: no such network interface", False),
        (1, "exists", False),
    ],
)
def test_what_passes_by_itself_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, refusals: int, text: str, good: bool
) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0)
    tried: list[int] = []

    def work() -> str:
        tried.append(1)
        if len(tried) <= refusals:
            raise docker.errors.APIError(text)
        return "made"

    if good:
        assert steadily(work) == "made"
        assert len(tried) == refusals + 1
    else:
        with pytest.raises(docker.errors.APIError, match=text.split()[-1]):
            steadily(work)
        assert len(tried) == (1 if text == "exists" else 6)
