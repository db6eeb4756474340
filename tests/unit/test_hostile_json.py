"""JSON of anybody that is nested without end, or cut off, is damaged JSON to every reader: none lets a crash out."""

from __future__ import annotations

import io
import re
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import harness
from harness.clients.texts import texts_of
from harness.containers.loading import names_in, without_names
from harness.errors import UsageError
from harness.evidence.checking import _value
from harness.gating.record import read_record
from harness.register.status import StatusList
from harness.runners.locust.driving import _outcome
from harness.scan.images import image_architecture
from harness.scan.packages import component_of
from harness.signing.dsse import Envelope, NoEnvelope
from harness.signing.succession import read_succession
from harness.system import frames
from harness.system.canonical import canonical, read_json
from harness.verification.logs import _entry

TEXTS = {
    "lists": "[" * 200_000,
    "whole lists": "[" * 200_000 + "]" * 200_000,
    "objects": '{"a":' * 200_000,
    "cut off": '{"a": [1, 2, "x',
    "nothing": "",
}
#: Read JSON that this same harness wrote for a process of its own, or that a program of its own printed.
OWN = {
    "model/templating.py",
    "presentation/typesetting.py",
    "runners/locust/driver.py",
    "runners/locust/support.py",
    "runners/pytest/suite_process.py",
}


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_damaged_json(name: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deep|Expecting|Unterminated"):
        read_json(TEXTS[name])


def test_a_value_that_is_too_deep_has_no_canonical_form() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deep"):
        canonical(value)


def _succession(path: Path) -> object:
    envelope = Envelope(payload=path.read_bytes(), payload_type="x", signatures=())
    path.write_text(envelope.text(), encoding="utf-8")
    return read_succession(path, [])


def _image_archive(path: Path, member: str) -> Path:
    data = path.read_bytes()
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return path


def _message(path: Path) -> object:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        data = path.read_bytes()[:60_000]
        ours.sendall(frames._HEAD.pack(len(data), 0) + data)
        ours.close()
        return frames.receive(theirs)


#: Whatever opens a file of others -> the errors that it may end with.
READERS: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "a record": (read_record, UsageError),
    "an envelope": (lambda path: Envelope.read(path.read_text()), NoEnvelope),
    "a succession": (_succession, UsageError),
    "a status list": (lambda path: StatusList.read(path.read_bytes()), ValueError),
    "an entry": (lambda path: _entry(path.read_bytes()), ValueError),
    "names of images": (lambda path: names_in(_image_archive(path, "manifest.json")), UsageError),
    "images": (lambda path: list(without_names(_image_archive(path, "index.json"))), UsageError),
    "a message": (_message, frames.BrokenFrame),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_ends_with_its_own_error(tmp_path: Path, reader: str, name: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(TEXTS[name])
    read, error = READERS[reader]
    with pytest.raises(error):
        read(path)


@pytest.mark.parametrize("name", TEXTS)
def test_a_reader_that_looks_for_something_finds_nothing(name: str) -> None:
    text = TEXTS[name]
    assert component_of("package.json", text) is None
    assert image_architecture('{"rootfs": {}, "architecture": ' + text) is None
    assert _outcome(text.encode()) is None
    assert str(_value(text)).startswith("no JSON")
    answer = httpx.Response(200, content=text.encode())
    assert texts_of(answer) == [text]


def test_json_of_others_has_one_reader() -> None:
    """Whoever calls ``json.loads`` must know of ``RecursionError``; so nobody does."""
    package = Path(harness.__file__).parent
    callers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bjson\.loads?\(|from json import", path.read_text(encoding="utf-8"))
    }
    assert callers - OWN == {"system/canonical.py"}
    assert callers >= OWN
