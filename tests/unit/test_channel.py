"""Records of a suite travel whole, and what was forged, copied, cut or changed is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.testnames import TestName, select
from harness.runners.pytest.channel import Message, Reader, Writer

KEY = b"k" * 32


def written(path: Path, *frames: tuple[str, bytes]) -> list[Message]:
    path.write_bytes(b"")
    writer = Writer(path, KEY)
    for text, data in frames:
        writer.write("note", data, text=text)
    with Reader(path, KEY) as reader:
        return list(reader.messages())


@given(st.lists(st.tuples(st.text(st.characters()), st.binary(max_size=2000)), max_size=5))
def test_any_text_and_bytes_travel(tmp_path_factory: pytest.TempPathFactory, frames: list[tuple[str, bytes]]) -> None:
    path = tmp_path_factory.mktemp("channel") / "records"
    messages = written(path, *frames)
    assert [(m.header["text"], m.data) for m in messages] == frames
    assert {m.kind for m in messages} <= {"note"}


def test_lone_surrogates_and_megabytes_travel(tmp_path: Path) -> None:
    text, data = "\udcd6\u2028\u0085" + "x" * 3_000_000, b"\x00" * 10_000_000
    (message,) = written(tmp_path / "records", (text, data))
    assert (message.header["text"], message.data) == (text, data)


def test_what_is_no_frame_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "records"
    written(path, ("first", b""), ("second", b"data"))
    frames = path.read_bytes()
    path.write_bytes(b"{}\n" + frames[:-40] + b"junk" + frames + frames + b'{"message": "note"}\n' * 100_000)
    with Reader(path, KEY) as reader:
        assert [m.header["text"] for m in reader.messages()] == ["first", "second"]
        assert reader.damaged > 0


def test_every_changed_byte_of_a_frame_loses_it(tmp_path: Path) -> None:
    path = tmp_path / "records"
    written(path, ("only", b"data"))
    frame = path.read_bytes()
    for index in range(len(frame)):
        path.write_bytes(frame[:index] + bytes([frame[index] ^ 1]) + frame[index + 1 :])
        with Reader(path, KEY) as reader:
            assert list(reader.messages()) == []


def test_frames_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.touch()
    writer = Writer(path, KEY)
    with Reader(path, KEY) as reader:
        assert list(reader.messages()) == []
        writer.write("note", text="a")
        assert [m.header["text"] for m in reader.messages()] == ["a"]
        writer.write("note", text="b")
        assert [m.header["text"] for m in reader.messages()] == ["b"]


def name(path: str, *names: str, parameters: str = "") -> TestName:
    return TestName(path=path, names=names, nodeid="::".join((path, *names)) + parameters)


ITEMS = [
    name("test_stop.py", "test_stop"),
    name("test_stop.py", "test_stop_hard"),
    name("test_stop.py", "TestStop", "test_now", parameters="[a::b/c]"),
    name("test_stop.py", "TestStop", "test_now", parameters="[d]"),
    name("deep/test_stop.py", "TestOther", "test_now"),
]


def test_a_case_means_the_exact_names_it_gives() -> None:
    chosen = select(ITEMS, ["test_stop", "TestStop::test_now", "deep/test_stop.py::TestOther::test_now", "stop"])
    assert chosen.items == {
        "test_stop": [0],
        "TestStop::test_now": [2, 3],
        "deep/test_stop.py::TestOther::test_now": [4],
        "stop": [],
    }
    assert chosen.unlisted == [1]
    assert chosen.ambiguous == {}


def test_a_case_may_mean_one_parameter() -> None:
    assert select(ITEMS, ["test_now[a::b/c]"]).items == {"test_now[a::b/c]": [2]}


def test_a_name_that_means_two_functions_is_ambiguous() -> None:
    assert select(ITEMS, ["test_now"]).ambiguous == {
        "test_now": ["deep/test_stop.py::TestOther::test_now", "test_stop.py::TestStop::test_now"]
    }
