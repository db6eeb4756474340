"""What a command prints is whole on a busy machine: the engine's answer and its output may come in one piece."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.labs import container


def test_output_that_comes_with_the_answers_head_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands at once, each of which has ended before this process looks at the answer to its start."""
    begin = http.client.HTTPResponse.begin

    def late(response: Any) -> None:
        time.sleep(0.3)
        begin(response)

    with container("debian-12", "x86_64") as machine:
        assert machine.run("true").ok
        monkeypatch.setattr(http.client.HTTPResponse, "begin", late)
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(machine.run, ["echo first; echo 中文 >&2", "head -c 200000 /dev/zero | tr '\\0' x"])
            )
        monkeypatch.undo()
    assert (answers[0].out, answers[0].err, answers[0].rc) == ("first\n", "中文\n", 0)
    assert answers[1].out == "x" * 200_000
