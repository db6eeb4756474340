"""What tools that do not work do not find is not absent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.control.exposure import Exposure
from harness.control.installation import Installation
from harness.control.listening import Listener
from harness.errors import InfrastructureError
from harness.system.process import Completed
from tests.here import run_here


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
    context = SimpleNamespace(factor=1.0, hidden=lambda: ["a secret of the cell"])
    deployment: Any = SimpleNamespace(context=context, machine=Bare(), control=None)
    files: Any = SimpleNamespace(
        files=lambda: ["/opt/x"],
        made_files=list,
        each=lambda *_words: [],
        own_processes=lambda processes, _control: processes,
    )
    with pytest.raises(InfrastructureError):
        getattr(Exposure(deployment, files), look)()


class Here:
    """This machine."""

    name = "here"

    def put(self, path: str, data: bytes, *, mode: str = "0644") -> None:
        Path(path).write_bytes(data)
        Path(path).chmod(int(mode, 8))

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        return run_here(command, stdin=stdin, timeout=timeout)


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


ROW = "   {}: 00000000:{:04X} 00000000:0000 {} 0:0 00:0 0     0        0 {} 1 0 100 0 0 10 0\n"
HEAD = "  sl  local_address rem_address   st\n"


def sockets(lines: str, tcp: dict[int, int], udp: dict[int, int] | None = None) -> Any:
    """What is said of a product that declares port 8080. ``lines``: of its processes; ``tcp`` and ``udp``: port by
    inode of the sockets of its machine."""
    table = HEAD + "".join(ROW.format(n, port, "0A", inode) for n, (inode, port) in enumerate(tcp.items()))
    udp_table = HEAD + "".join(ROW.format(n, port, "07", inode) for n, (inode, port) in enumerate((udp or {}).items()))
    machine = SimpleNamespace(name="m", run=lambda *_words, **_more: Completed(rc=0, out=udp_table))
    context = SimpleNamespace(factor=1.0, application=SimpleNamespace(ports={"http": 8080}))
    control = SimpleNamespace(listening=lambda: f"{lines}\n{table}")
    deployment: Any = SimpleNamespace(context=context, machine=machine, control=control)
    files: Any = None
    return Exposure(deployment, files).open_sockets()


def test_sockets_are_those_of_the_products_processes() -> None:
    assert sockets("member 7\nsocket 1", {1: 8080, 2: 22}) == ([Listener(8080, "*")], [])
    assert sockets("member 7\nsocket 1\nsocket 3", {1: 8080, 2: 22}, {3: 53, 4: 68}) == (
        [Listener(8080, "*")],
        [Listener(53, "*")],
    )
    assert sockets("member 7", {2: 22}) == ([], []), "it was looked at, and it has none"


def test_sockets_of_processes_that_nobody_knows_are_not_none() -> None:
    assert sockets("", {1: 8080}) is None
    assert sockets("", {}) is None


def test_sockets_of_a_process_that_may_not_be_looked_into_are_not_none() -> None:
    hidden = "member 7\nhidden 8"
    assert sockets(hidden, {1: 8080, 2: 9999}) is None, "9999 may be that one's, or another program's"
    assert sockets(hidden, {}, {2: 9999}) is None
    assert sockets(hidden, {1: 8080}) == ([Listener(8080, "*")], []), "whose it is does not matter"
    assert sockets(f"{hidden}\nsocket 1", {1: 8080}) == ([Listener(8080, "*")], [])
    # What is seen of the others is not lost.
    assert sockets(f"{hidden}\nsocket 1", {1: 9000, 2: 9999}) == ([Listener(9000, "*")], [])
