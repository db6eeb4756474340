"""A way into the network of a container that has none, or a closed one: listeners on its loopback, held here.

A container without a network cannot reach this machine, other containers or the internet. A second one shares its
network for a moment, opens listeners there, and hands them to this process over a socket. It holds nothing but the
programs of this machine, to be read; where this process is in a container itself, those of its image, which
``HARNESS_IMAGE`` names: the engine mounts paths of its own machine. Nothing of the first container runs in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import docker.types
from docker.models.containers import Container

from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import InfrastructureError
from harness.system.canonical import read_json

#: Names the image of the container that this process is in; empty where it is in none.
OWN_IMAGE = "HARNESS_IMAGE"
#: Where the listener is, in the container's own network.
PORT = 3128
SECONDS = 60
WAY = "/door"
PROGRAM = f"""
import socket, sys
ends = [socket.create_server((a, int(p)), backlog=64) for a, _, p in (w.partition(":") for w in sys.argv[1:])]
with socket.socket(socket.AF_UNIX) as way:
    way.connect("{WAY}/way")
    socket.send_fds(way, [b"x"], [end.fileno() for end in ends])
    way.recv(1)
"""
#: So many descriptors go over a socket at once (SCM_MAX_FD of Linux is 253).
MOST = 250
_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def listener_in(engine: Engine, container: str, name: str, labels: dict[str, str]) -> socket.socket:
    """A listener on 127.0.0.1:PORT in the network of a container that runs. Otherwise as ``listeners_in``."""
    return listeners_in(engine, container, name, labels, [("127.0.0.1", PORT)])[0]


def listeners_in(
    engine: Engine, container: str, name: str, labels: dict[str, str], places: Sequence[tuple[str, int]]
) -> list[socket.socket]:
    """Listeners at ``places`` (address, port; at most MOST) in the network of a container that runs, in that order.
    They are good as long as that one runs.

    ``name`` and ``labels``: of the container that opens them, which is gone afterwards.

    Raises:
        InfrastructureError: the engine does not make that container, or it cannot open the listeners.
    """
    words = [f"{address}:{port}" for address, port in places]
    # Its path is short whatever TMPDIR is: the name of such a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="door-", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as way:
        way.bind(f"{folder}/way")
        way.listen()
        way.settimeout(1)
        try:
            with engine_errors(f"creating {name}"):
                door = engine.client.containers.create(
                    _image(engine),
                    ["-I", "-S", "-c", PROGRAM, *words],
                    entrypoint=[os.path.realpath(sys.executable)],
                    name=name,
                    labels=labels,
                    network_mode=f"container:{container}",
                    mounts=_mounts(folder),
                    user="0:0" if engine.is_podman else f"{os.geteuid()}:{os.getegid()}",
                    cap_drop=["ALL"],
                    cap_add=["NET_BIND_SERVICE"],
                    security_opt=["no-new-privileges", "label=disable"],
                    read_only=True,
                    mem_limit=128 * 2**20,
                    pids_limit=16,
                    ulimits=engine.ulimits(),
                )
                door.start()
            listeners = _received(way, door)
            with engine_errors(f"waiting for {name}"):  # Podman removes none that is about to end
                door.wait(timeout=SECONDS)
            return listeners
        finally:
            engine.remove_container(name)


def _received(way: socket.socket, door: Container) -> list[socket.socket]:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            peer, _ = way.accept()
            with peer:
                _, descriptors, _, _ = socket.recv_fds(peer, 1, MOST)
            if descriptors:
                return [socket.socket(fileno=descriptor) for descriptor in descriptors]
        with engine_errors("looking at a container"):
            door.reload()
            if door.status not in ("created", "running"):
                words = door.logs(tail=3).decode(errors="replace").strip()
                raise InfrastructureError(
                    f"no listener could be opened in a container's network: {words[-300:]}",
                    advice="see the engine's log",
                )
    raise InfrastructureError(
        f"no listener was opened in a container's network within {SECONDS} s", advice="see the engine's log"
    )


def _mounts(folder: str) -> list[docker.types.Mount]:
    """This machine's programs and this Python, to be read, and the folder of the socket."""
    way = docker.types.Mount(WAY, folder, type="bind")
    if os.environ.get(OWN_IMAGE):
        return [way]
    shown = [Path("/usr"), *(path for path in (Path("/", name) for name in _FOLDERS) if _is_folder(path))]
    python = Path(sys.base_prefix)
    if not python.is_relative_to("/usr"):
        shown.append(python)
    return [
        way,
        *(docker.types.Mount(str(path), str(path), type="bind", read_only=True) for path in shown),
    ]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _image(engine: Engine) -> str:
    """An image without programs: the places of mounts, and this machine's links to /usr. Or that of this process.

    Raises:
        InfrastructureError: the engine has no image of the name that this process was given.
    """
    if own := os.environ.get(OWN_IMAGE, ""):
        known = engine.image_id(own)
        if known is None:
            raise InfrastructureError(
                f"the engine has no image {own}, which {OWN_IMAGE} names as that of this container",
                advice="name the image that this container was made of; empty, where the harness is in no container",
            )
        return known
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in (Path("/", name) for name in _FOLDERS):
            if path.is_symlink():
                entry = tarfile.TarInfo(path.name)
                entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                tar.addfile(entry)
        for name in ("usr", WAY[1:]):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    data = archive.getvalue()
    name = (
        f"harness-door-{hashlib.sha256(data).hexdigest()[:24]}:latest"  # Podman gives no other tag to what it imports
    )
    if (known := engine.image_id(name)) is not None:
        return known
    with engine_errors(f"making {name}"):
        repository, _, tag = name.partition(":")
        reply = engine.client.api.import_image_from_data(data, repository=repository, tag=tag)
    return str(read_json(reply.splitlines()[-1])["status"])
