"""What an engine does wrong is told from what a command did."""

from __future__ import annotations

import io
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.containers.frames import frames_of
from harness.containers.machine import ContainerMachine
from harness.errors import InfrastructureError


def frame(stream: int, data: bytes) -> bytes:
    """As the engine sends it (Docker Engine API, stream format)."""
    return struct.pack(">BxxxL", stream, len(data)) + data


class Answer:
    """What the engine's library gives for the start of a command, with ``sent`` behind its head."""

    def __init__(self, sent: bytes) -> None:
        self.closed = False
        self.raw = SimpleNamespace(_fp=SimpleNamespace(fp=io.BytesIO(sent)))
        self._response = self

    def close(self) -> None:
        self.closed = True


def machine(out: bytes | None, err: bytes | None, rc: int | None) -> ContainerMachine:
    sent = (frame(1, out) if out is not None else b"") + (frame(2, err) if err is not None else b"")
    api = SimpleNamespace(
        exec_create=lambda *_, **__: {"Id": "x"},
        exec_start=lambda *_, **__: Answer(sent),
        exec_inspect=lambda _: {"ExitCode": rc},
        _disable_socket_timeout=lambda _: None,
    )
    engine: Any = SimpleNamespace(client=SimpleNamespace(api=api))
    return ContainerMachine(engine, "0123456789abcdef")


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300_000)), max_size=5), st.integers(0, 8))
def test_frames_are_read_as_they_were_sent_and_a_cut_gives_what_came(frames: list[tuple[int, bytes]], cut: int) -> None:
    sent = b"".join(frame(*each) for each in frames)
    api = SimpleNamespace(_disable_socket_timeout=lambda _: None)
    whole, short = list(frames_of(api, Answer(sent))), list(frames_of(api, Answer(sent[: len(sent) - cut])))
    for stream in (1, 2):
        expected = b"".join(data for kind, data in frames if kind == stream)
        assert b"".join(data for kind, data in whole if kind == stream) == expected
        assert expected.startswith(b"".join(data for kind, data in short if kind == stream))


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
