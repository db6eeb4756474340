"""Whose an error of the engine is."""

from __future__ import annotations

import docker.errors
import pytest

from harness.containers.engine_errors import engine_errors
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
