"""Architectures of programs, and what a cell makes of programs that are of another one."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.attest.programs import read_header, read_program
from harness.execution.programs import notes_of_writing, observe_programs
from harness.model.attestation import Executions, ForeignProgram
from harness.provision.provisioner import Machines


def elf(code: int, *, bits: int = 64, order: str = "<", loader: bytes = b"") -> bytes:
    """A header with one program header; enough to be asked what it is."""
    wide = bits == 64
    head = (
        b"\x7fELF"
        + bytes([2 if wide else 1, 1 if order == "<" else 2, 1])
        + bytes(9)
        + struct.pack(f"{order}HHI", 2, code, 1)
    )
    start = 64 if wide else 52
    shape = f"{order}QQQIHHHHHH" if wide else f"{order}IIIIHHHHHH"
    head += struct.pack(shape, 0, start, 0, 0, start, 56 if wide else 32, 1, 0, 0, 0)
    place = start + (56 if wide else 32)
    entry = (
        struct.pack(f"{order}IIQQQQQQ", 3 if loader else 1, 4, place, 0, 0, len(loader), len(loader), 1)
        if wide
        else struct.pack(f"{order}IIIIIIII", 3 if loader else 1, place, 0, 0, len(loader), len(loader), 4, 1)
    )
    return head + entry + loader


@pytest.mark.parametrize(
    ("code", "bits", "order", "machine", "runs_on"),
    [
        (62, 64, "<", "x86_64", {"x86_64"}),
        (3, 32, "<", "i386", {"x86_64"}),
        (183, 64, "<", "aarch64", {"aarch64"}),
        (40, 32, "<", "arm", set()),
        (258, 64, "<", "loongarch", {"loongarch64"}),
        (22, 64, ">", "s390x", set()),
        (4711, 64, "<", "ELF machine 4711", set()),
    ],
)
def test_what_a_program_is_built_for(
    tmp_path: Path, code: int, bits: int, order: str, machine: str, runs_on: set[str]
) -> None:
    (tmp_path / "program").write_bytes(elf(code, bits=bits, order=order, loader=b"/lib/ld.so\0"))
    with (tmp_path / "program").open("rb") as file:
        program = read_program(file.fileno())
    assert program is not None
    assert (program.machine, program.loader) == (machine, "/lib/ld.so")
    assert {name for name in ("x86_64", "aarch64", "loongarch64") if program.belongs(name)} == runs_on


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF", elf(62)[:20], b"\x7fELF" + b"\xff" * 60])
def test_what_is_no_program(data: bytes) -> None:
    assert read_header(data) is None


def test_damaged_headers_are_read_without_harm(tmp_path: Path) -> None:
    whole = elf(62, loader=b"/lib/ld.so\0")
    for length in range(52, len(whole)):
        (tmp_path / "program").write_bytes(whole[:length])
        with (tmp_path / "program").open("rb") as file:
            program = read_program(file.fileno())
        assert program is not None
        assert program.machine == "x86_64"


FOREIGN = ForeignProgram(path="/opt/kv/srv", architecture="x86_64", process=7, command="/opt/kv/srv -p 1")


def observed(known: Mapping[str, Executions] | None, carried: tuple[str, ...] = ()) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []

    def observe(test: str, result: Any, **more: Any) -> None:
        seen.append({"test": test, "result": result.value, **more})

    machines = Machines(of={}, executions=None if known is None else lambda: known, carried=lambda _role: carried)
    observe_programs(machines, "aarch64", observe)
    assert len(seen) == 1
    assert seen[0]["test"] == "programs"
    return seen[0]


def test_a_foreign_program_fails_its_cell_with_path_architecture_and_process() -> None:
    seen = observed({"application": Executions(foreign=(FOREIGN,)), "database": Executions()})
    assert seen["result"] == "fail"
    for word in ("/opt/kv/srv", "x86_64", "process 7", "-p 1", "aarch64"):
        assert word in seen["detail"]


def test_a_foreign_server_is_the_definitions() -> None:
    seen = observed({"application": Executions(), "database": Executions(foreign=(FOREIGN,))})
    assert (seen["result"], seen["cause"].value) == ("error", "config")


def test_what_could_not_be_watched_is_never_passed_where_a_foreign_file_lies() -> None:
    limit = Executions(limit="events need root")
    assert observed({"application": limit})["result"] == "pass"
    assert "events need root" in observed({"application": limit})["detail"]
    seen = observed({"application": limit}, carried=("/opt/tool (x86_64)",))
    assert (seen["result"], seen["cause"].value) == ("error", "infra")
    assert "/opt/tool" in seen["detail"]


def test_what_could_not_start_is_told_and_passes() -> None:
    seen = observed({"application": Executions(tried=(FOREIGN,))})
    assert seen["result"] == "pass"
    assert "could not start: /opt/kv/srv" in seen["detail"]


def test_a_machine_of_its_own_has_no_such_question() -> None:
    seen = observed(None)
    assert (seen["result"], seen["skip_reason"].value) == ("skip", "not-applicable")


def test_much_writing_to_a_shared_disk_is_noted_for_its_machine_alone() -> None:
    machines = Machines(of={}, written=lambda: {"application": 3 << 30, "database": 5 << 20})
    (note,) = notes_of_writing(machines)
    assert "application wrote 3.0 GiB" in note
    assert notes_of_writing(Machines(of={})) == []
