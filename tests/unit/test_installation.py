"""What a product left on its machine: paths are bytes that may hold anything, and every look is proved."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import harness.control.installation as installing
from harness.control.installation import Installation, LinkedFile, is_program
from harness.errors import InfrastructureError
from harness.scan.exports import exported_symbols
from harness.system.process import Completed
from tests.suite_runs import context

ODD = ("plain", "with space", "it's", 'quo"te', "new\nline", "$(reboot)", "-n", "中文", "last")


class Machine:
    """This machine's own shell; ``broken`` is put before every command, ``without`` are programs that are not there."""

    name = "application"

    def __init__(self, tmp_path: Path, *, without: tuple[str, ...] = ()) -> None:
        self.programs = tmp_path / "programs"
        self.programs.mkdir()
        for program in ("sh", "base64", "xargs", "od", "tr", "ldd", "cat", "find", "bash", "head", "tail", "printf"):
            found = shutil.which(program)
            if program not in without and found is not None:
                (self.programs / program).symlink_to(found)

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=stdin.encode().rstrip(b"\n"),  # as machines do: no last newline
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"PATH": str(self.programs)},
        )
        return Completed(rc=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def installation(tmp_path: Path, machine: Any) -> Installation:
    return Installation(context(tmp_path), machine)


def test_every_odd_path_is_looked_at_the_last_too(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ODD]
    for path in paths:
        Path(path).touch()
    seen = installation(tmp_path, Machine(tmp_path)).existing([*paths, str(tmp_path / "absent")])
    assert seen == paths


@pytest.mark.parametrize("without", ["xargs", "sh", "base64"])
def test_a_look_that_could_not_be_carried_out_is_an_error(tmp_path: Path, without: str) -> None:
    machine = Machine(tmp_path, without=(without,))
    with pytest.raises(InfrastructureError, match="1 files could not all be looked at"):
        installation(tmp_path, machine).existing([str(tmp_path)])


def test_only_elf_files_are_linked_whatever_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, script = tmp_path / "it's a\nprogram", tmp_path / "run.sh"
    shutil.copy(os.path.realpath("/bin/true"), program)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    library = tmp_path / "lib 中.so"
    shutil.copy(os.path.realpath("/bin/true"), library)
    library.chmod(0o644)
    monkeypatch.setattr(Installation, "files", lambda _: [str(program), str(script), str(library)])
    linked = installation(tmp_path, Machine(tmp_path)).linked()
    assert [file.path for file in linked] == [str(program), str(library)]
    assert all(file.machine == 62 or os.uname().machine != "x86_64" for file in linked)
    assert "libc.so" in linked[0].text


def test_what_ldd_says_is_read() -> None:
    text = (
        "\tlibjvm.so => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n"
        "undefined symbol: floor\t(/opt/x.so)\nundefined symbol: PyBool_FromLong, version V1\t(/opt/x.so)\n"
    )
    file = LinkedFile("/opt/x.so", b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", 258), text)
    assert file.machine == 258
    assert file.missing == ["libjvm.so"]
    assert file.undefined == {"floor", "PyBool_FromLong"}
    big = dataclasses.replace(file, head=b"\x7fELF\x02\x02" + bytes(12) + struct.pack(">H", 8))
    assert big.machine == 8


@pytest.mark.parametrize(
    ("text", "examined", "missing", "versions"),
    [
        ("sh: 1: ldd: not found", False, [], []),
        ("ldd: exited with unknown exit code (139)", False, [], []),
        ("", False, [], []),
        ("\tstatically linked", True, [], []),
        ("\tlinux-vdso.so.1 (0x00007fff)\n\tlibc.so.6 => /lib/libc.so.6 (0x1)", True, [], []),
        (
            "/opt/x: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /opt/x)\n\tlibc.so.6 => /l (0x1)",
            True,
            [],
            ["GLIBC_2.38 of /lib/libc.so.6"],
        ),
        (
            "/lib/libc.so.6: version 'GLIBC_ABI_DT_RELR' not found (required by /opt/x)",
            True,
            [],
            ["GLIBC_ABI_DT_RELR of /lib/libc.so.6"],
        ),
        ("Error loading shared library libkv.so.1: No such file or directory (needed by /x)", True, ["libkv.so.1"], []),
    ],
)
def test_what_ldd_does_not_say_is_no_answer(text: str, examined: bool, missing: list[str], versions: list[str]) -> None:
    file = LinkedFile("/opt/x", b"\x7fELF\x02\x01" + bytes(14), text)
    assert (file.examined, file.missing, file.versions) == (examined, missing, versions)


def test_data_beside_programs_is_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "_MIXED", f"{tmp_path}/")
    data, program, library, script = (tmp_path / name for name in ("data 库.db", "run", "lib 中.so", "tool.py"))
    data.write_bytes(b"SQLite format 3")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shutil.copy(os.path.realpath("/bin/true"), tmp_path / "engine")
    (tmp_path / "engine").chmod(0o644)
    library.touch()
    script.touch()
    paths = [str(path) for path in (data, program, library, script, tmp_path / "engine")]
    given = installation(tmp_path, Machine(tmp_path)).programs([*paths, "/usr/bin/kv", "/etc/kv.conf"])
    assert given == [*paths[1:], "/usr/bin/kv"]


def test_a_process_that_has_overwritten_its_arguments_breaks_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told:
        def run(self, *_: Any, **__: Any) -> Completed:
            return Completed(rc=0, out="10 1\n11 10 1\n")

    monkeypatch.setattr(installing, "owners", lambda *_: {"/usr/sbin/mariadbd": {"mariadb-server"}})
    processes = {10: "", 11: "/usr/sbin/mariadbd", 12: "/opt/kv/kv"}
    assert installation(tmp_path, Told())._of_others(processes, set()) == {11}


@pytest.mark.parametrize(
    ("path", "program"),
    [
        ("/usr/local/bin/kvctl", True),
        ("/usr/local/lib/kv/plugin.so", True),
        ("/opt/kv/x", True),
        ("/usr/lib64/x", True),
        ("/lib", False),
        ("/usr/lib64", False),
        ("/opt/", False),
        ("/etc/kv.conf", False),
        ("/var/lib/kv/data", False),
        ("/usr/share/doc/kv", False),
    ],
)
def test_where_programs_lie(path: str, program: bool) -> None:
    assert is_program(path) is program


def test_exported_symbols_of_this_python_and_of_what_is_no_elf_file() -> None:
    data = Path(os.path.realpath(sys.executable)).read_bytes()
    assert {"PyBool_FromLong", "Py_Main"} <= exported_symbols(data) or b"libpython" in data
    libm = exported_symbols(Path("/lib/x86_64-linux-gnu/libm.so.6").read_bytes())
    assert {"floor", "round"} <= libm
    for broken in (b"", b"MZ", data[:100], data[:4] + b"\xff" * 200):
        assert exported_symbols(broken) == set()
