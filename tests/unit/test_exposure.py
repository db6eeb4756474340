"""What tools that do not work do not find is not absent."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.control.exposure import Exposure
from harness.control.installation import Installation
from harness.errors import InfrastructureError
from harness.system.process import Completed


class Bare:
    """A machine on which every command fails, as where neither find nor grep is there."""

    name = "bare"

    def put(self, *_words: Any, **_more: Any) -> None:
        return None

    def run(self, command: str, **_more: Any) -> Completed:
        if command.startswith("\necho $$"):  # its processes are listed by the shell alone
            return Completed(rc=0, out="7\n7 1 sh\n9 1 product\n")
        return Completed(rc=127, out="", err="sh: 1: not found")


@pytest.mark.parametrize("look", ["loose_files", "secrets_in_files", "processes", "secrets_in_processes"])
def test_a_machine_without_tools_is_no_proof(look: str) -> None:
    context = SimpleNamespace(factor=1.0, ran_before=(), hidden=lambda: ["a secret of the cell"])
    deployment: Any = SimpleNamespace(context=context, machine=Bare())
    files: Any = SimpleNamespace(files=lambda: ["/opt/x"], made_files=list, each=lambda *_words: [])
    with pytest.raises(InfrastructureError):
        getattr(Exposure(deployment, files), look)()


class Here:
    """This machine."""

    name = "here"

    def put(self, path: str, data: bytes, *, mode: str = "0644") -> None:
        Path(path).write_bytes(data)
        Path(path).chmod(int(mode, 8))

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        ran = subprocess.run(["sh", "-c", command], input=stdin.encode(), capture_output=True, timeout=60, check=False)
        return Completed(rc=ran.returncode, out=ran.stdout.decode(), err=ran.stderr.decode())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody comes to; pytest's own is its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="open 开-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_what_others_do_not_come_to_is_open_to_nobody(open_folder: Path) -> None:
    """A link has the mode 0777 itself, and a folder that is kept from others keeps what is in it."""
    private, secret = open_folder / "private", "a secret of the cell"
    private.mkdir(mode=0o750)
    modes = {"open.conf": 0o666, "kept.conf": 0o600, "private/open.conf": 0o666}
    for name, mode in modes.items():
        (open_folder / name).write_text(secret)
        (open_folder / name).chmod(mode)
    for name, to in (("to kept", "kept.conf"), ("to open", "open.conf"), ("to private", "private/open.conf")):
        (open_folder / name).symlink_to(open_folder / to)
    paths = sorted(str(path) for path in open_folder.rglob("*") if path.is_symlink() or path.is_file())
    context = SimpleNamespace(factor=1.0, ran_before=(), hidden=lambda: [secret])
    machine: Any = Here()
    deployment: Any = SimpleNamespace(context=context, machine=machine)
    real = Installation(context, machine)  # type: ignore[arg-type]
    files: Any = SimpleNamespace(files=lambda: paths, made_files=list, each=real.each)
    look = Exposure(deployment, files)
    assert look.secrets_in_files() == [str(open_folder / "open.conf"), str(open_folder / "to open")]
    assert [mode.path for mode in look.loose_files()[0]] == [str(open_folder / "open.conf")]
