"""What an engine does wrong is told from what a command did."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.containers.machine import ContainerMachine
from harness.errors import InfrastructureError


class Stream:
    """What the engine's library gives for the output of a command."""

    def __init__(self, *pairs: tuple[bytes | None, bytes | None]) -> None:
        self.pairs, self._response = pairs, SimpleNamespace(close=lambda: None)

    def __iter__(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        return iter(self.pairs)


def machine(out: bytes | None, err: bytes | None, rc: int | None) -> ContainerMachine:
    api = SimpleNamespace(
        exec_create=lambda *_, **__: {"Id": "x"},
        exec_start=lambda *_, **__: Stream((out, err)),
        exec_inspect=lambda _: {"ExitCode": rc},
    )
    engine: Any = SimpleNamespace(client=SimpleNamespace(api=api))
    return ContainerMachine(engine, "0123456789abcdef")


def test_output_that_the_engine_lost_is_no_empty_output() -> None:
    with pytest.raises(InfrastructureError, match="the engine lost what a command printed"):
        machine(None, None, 0).run("true")
    with pytest.raises(InfrastructureError, match="the engine lost a command"):
        machine(None, None, None).run("true")


def test_the_mark_is_not_shown() -> None:
    done = machine(b"out\n", b"warning\n\n\x04end\n", 0).run("true")
    assert (done.rc, done.out, done.err) == (0, "out\n", "warning\n")


def test_a_command_that_was_killed_prints_no_mark() -> None:
    done = machine(b"half", None, 137).run("true")
    assert (done.rc, done.out, done.err) == (137, "half", "")
