"""A machine with something to take: files that anybody may read, ports and sockets that anybody may use."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import harness

CANARY = "what-a-vendor-must-not-see"


@dataclass
class Prey:
    """What lies about, and who came for it."""

    values: dict[str, Any]
    callers: list[str] = field(default_factory=list)

    def into(self, folder: Path) -> None:
        """Lay the attempts, and what they are to find, into a vendor's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).with_name("attempts.py"), folder)
        (folder / "prey.json").write_text(json.dumps(self.values))

    def untouched(self) -> bool:
        return not self.callers and all(Path(path).read_text() == CANARY for path in self.values["files"].values())


@pytest.fixture
def prey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prey]:
    """Two campaigns, a key, a cache and a home, open to everybody: only the sandbox keeps a suite from them."""
    places = {
        "in a home": "home/notes.txt",
        "with a key": "home/.config/xinchuang-harness/keys/center.pem",
        "of this campaign": "work/.harness/journal.sqlite",
        "of another campaign": "work/.harness/campaigns/other/campaign.json",
        "of the cache": "home/.cache/xinchuang-harness/base.tar",
    }
    files = {}
    for what, place in places.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANARY)
        path.chmod(0o666)
        files[what] = str(path)
    for folder in (tmp_path, *(each for each in tmp_path.rglob("*") if each.is_dir())):
        folder.chmod(0o777)
    monkeypatch.setenv("HARNESS_PASSPHRASE", CANARY)
    marker = f"3600.{tmp_path.stat().st_ino}"
    other = subprocess.Popen(["sleep", marker])
    with (
        socket.create_server(("0.0.0.0", 0)) as port,  # a port of another cell
        socket.socket(socket.AF_UNIX) as engine,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        engine.bind(str(tmp_path / "engine.sock"))
        (tmp_path / "engine.sock").chmod(0o666)
        abstract.bind(f"\0{tmp_path.name}-{os.getpid()}")
        values = {
            "files": files,
            "home": str(tmp_path / "home"),
            "passphrase": CANARY,
            "process": other.pid,
            "marker": marker,
            "engine": str(tmp_path / "engine.sock"),
            "abstract": f"\0{tmp_path.name}-{os.getpid()}",
            "port": port.getsockname()[1],
            "address": _own_address(),
            "keyctl": 250 if platform.machine() == "x86_64" else 219,
            "code": str(Path(harness.__file__).with_name("planted.py")),
        }
        laid = Prey(values)
        for name, end in (("port", port), ("engine", engine), ("abstract", abstract)):
            end.listen()
            threading.Thread(target=_watch, args=(end, name, laid.callers), daemon=True).start()
        yield laid
        assert other.poll() is None, "a process of the machine was ended"
        other.kill()
        other.wait()
        for end in (port, engine, abstract):
            end.shutdown(socket.SHUT_RDWR)


def _watch(end: socket.socket, name: str, callers: list[str]) -> None:
    while True:
        try:
            caller, _ = end.accept()
        except OSError:
            return
        callers.append(name)
        caller.close()


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        try:
            end.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(end.getsockname()[0])
