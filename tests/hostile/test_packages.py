"""Scripts of a vendor's packages run as root while an environment is built, and get no further than its container."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.door import PORT
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.forwarding import Forwarding
from harness.containers.images import BaseImages
from harness.containers.sources import Source
from harness.model.recipe import Recipe, RecipeFile
from harness.provision.installing import InstallFailed
from tests.labs import Notes, system

PERL = "timeout 5 perl -MSocket -e"
#: What only the rights of the container's root could refuse: a name, and a command that succeeds if it took something.
RIGHTS = {
    "make a device": "mknod /tmp/disk b 254 0",
    "mount": "mount -t tmpfs none /mnt",
    "open a raw socket": f"{PERL} 'socket(S, AF_INET, SOCK_RAW, 1) or exit 1'",
    "capture packets": f"{PERL} 'socket(S, 17, SOCK_RAW, 3) or exit 1'",
    "name the machine anew": "hostname planted",
    "be root in a namespace": "timeout 5 unshare -Ur true",
    "change a setting of the kernel": "echo planted >/proc/sys/kernel/domainname",
    "run before others": "timeout 5 nice -n -5 sh -c '[ $(nice) = -5 ]'",
    "change the root folder": "timeout 5 chroot / true",
    "gain rights by a program": "grep -q '^NoNewPrivs:.0' /proc/self/status",
}
#: Of the control: what the engine gives, and what it keeps from containers.
ALL_RIGHTS = (
    "--network=none",
    "--cap-add=SYS_ADMIN",
    "--cap-add=SYS_NICE",
    *(f"--security-opt={w}=unconfined" for w in ("seccomp", "systempaths")),
)


def network(prey: Prey, proxy: int) -> dict[str, str]:
    """What only the build's network and file system could refuse; ``proxy`` is the port of the way to the mirror."""

    def asked(line: str) -> str:
        request = f"exec 3<>/dev/tcp/127.0.0.1/{proxy}; printf '{line} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3"
        return f"{request}; read -t 9 -u 3 version code phrase; [ $code = 200 ]"

    def at(path: str) -> str:
        return f"{PERL} 'socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, pack_sockaddr_un({path})) or exit 1'"

    return {
        "reach a service on the loopback of the controller": f"exec 3<>/dev/tcp/127.0.0.1/{prey.port}",
        "reach a service by the address of the controller": f"exec 3<>/dev/tcp/{prey.address}/{prey.port}",
        "reach a service by the gateway of containers": f"exec 3<>/dev/tcp/{prey.gateway}/{prey.port}",
        "reach another container": f"exec 3<>/dev/tcp/{prey.outside}/80",
        "send a datagram to it": f"echo x >/dev/udp/{prey.outside}/53",
        "call an abstract socket": at(f'"\\0{prey.abstract}"'),
        "call the engine": at('"/var/run/docker.sock"'),
        "read the cache": f"ls {prey.folder}/cache",
        "see processes of the controller": f"grep -qsz [/]{prey.folder.relative_to('/')} /proc/[0-9]*/cmdline",
        "ask the proxy for the loopback": asked(f"GET http://127.0.0.1:{prey.port}/"),
        "ask the proxy for another name of the loopback": asked(f"GET http://localhost:{prey.port}/debian/"),
        "ask the proxy for the address of the controller": asked(f"GET http://{prey.address}:{prey.port}/"),
        "ask the proxy for the outside": asked(f"GET http://{prey.outside}/"),
        "ask the proxy for a tunnel": asked(f"CONNECT {prey.address}:{prey.port}"),
    }


@dataclass
class Prey:
    """What listens and lies about: ``outside`` is the address of a container that answers."""

    folder: Path
    port: int
    address: str
    gateway: str
    outside: str
    abstract: str


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def prey(tmp_path: Path) -> Iterator[Prey]:
    engine = Engine("hostile")
    base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "base.tar").touch()
    abstract = f"hostile-{secrets.token_hex(6)}"
    with contextlib.ExitStack() as stack:
        end = stack.enter_context(socket.socket(socket.AF_UNIX))
        end.bind(f"\0{abstract}")
        end.listen()
        server = stack.enter_context(ThreadingHTTPServer(("0.0.0.0", 0), Answer))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        other = subprocess.Popen(["sh", "-c", f"sleep 3600; : {tmp_path}"], start_new_session=True)
        stack.callback(lambda: (os.killpg(other.pid, signal.SIGKILL), other.wait()))
        outside = engine.client.containers.run(base.id, ["perl", "-e", LISTENS], detach=True, network_mode="bridge")
        stack.callback(lambda: outside.remove(force=True))
        outside.reload()
        settings = outside.attrs["NetworkSettings"]["Networks"]["bridge"]
        yield Prey(tmp_path, server.server_port, own_address(), settings["Gateway"], settings["IPAddress"], abstract)


LISTENS = """
use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die;
while (my $c = $s->accept) { sysread $c, my $x, 999; print $c "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"; close $c }
"""


def own_address() -> str:
    """An address of this machine that is not its loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.connect(("192.0.2.1", 9))
        return str(end.getsockname()[0])


def attempts(folder: dict[str, str]) -> str:
    """A script that makes each attempt, and writes the names of those that took something to /loot."""
    lines = [f"( {command} ) >/dev/null 2>&1 && echo '{name}' >>/loot" for name, command in folder.items()]
    return "\n".join(["#!/bin/bash", ": >/loot", *lines, "true\n"])


def built(folder: Path, script: str) -> str:
    """What is in /loot of an environment with a package whose script before its installation is ``script``."""
    tree, file = folder / "tree" / "DEBIAN", folder / "planted.deb"
    tree.mkdir(parents=True)
    (tree / "control").write_text("Package: planted\nVersion: 1\nArchitecture: all\nMaintainer: T\nDescription: t\n")
    (tree / "preinst").write_text(script)
    (tree / "preinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree.parent, file], check=True, capture_output=True)
    recipe = Recipe(
        name="hostile",
        os="debian-12",
        architecture="x86_64",
        package_files=(RecipeFile(path=file.name, source=file, sha256=secrets.token_hex(32)),),
    )
    engine = Engine("hostile")
    made = Environments(engine, BaseImages(engine, cache_folder())).ensure(recipe, system("debian-12"), Notes())
    try:
        return bare(made.image, "cat /loot")
    finally:
        engine.client.images.remove(made.image, force=True)


def bare(image: str, script: str, *more: str) -> str:
    """What a script prints in a new container."""
    argv = ["docker", "run", "--rm", "-i", *(more or ["--network=none"]), image, "bash"]
    return subprocess.run(argv, input=script, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_package_reaches_nothing_but_the_mirror(prey: Prey, tmp_path: Path) -> None:
    assert built(tmp_path, attempts(network(prey, PORT))) == ""


def test_a_package_of_a_build_on_the_machines_network_reaches_all_of_it(prey: Prey) -> None:
    """So the test above is able to fail. The proxy of this one may lead to what the attempts ask for."""
    base = BaseImages(Engine("hostile"), cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    ports = {f"127.0.0.1:{prey.port}", f"localhost:{prey.port}", f"{prey.address}:{prey.port}", prey.outside}
    sources = [Source.of(f"http://{place}") for place in ports] + [Source.of(f"https://{prey.address}:{prey.port}")]
    shared = [f"-v={place}:{place}" for place in (prey.folder, "/var/run/docker.sock")]
    with Forwarding(listener := socket.create_server(("127.0.0.1", 0)), [s for s in sources if s]):
        script = attempts(network(prey, listener.getsockname()[1]))
        assert bare(base.id, script + "cat /loot", "--network=host", "--pid=host", *shared).splitlines() == list(
            network(prey, 0)
        )


def test_what_a_build_asks_for_in_vain_is_named() -> None:
    """It is not the product's fault that the mirror alone is reached, so its definitions are to be mended."""
    fetches = "/usr/lib/apt/apt-helper download-file http://203.0.113.1/tool /tmp/tool"
    recipe = Recipe(name="fetches", os="debian-12", architecture="x86_64", commands=(fetches,))
    engine = Engine("hostile")
    with pytest.raises(InstallFailed, match="was refused: GET http:") as caught:
        Environments(engine, BaseImages(engine, cache_folder())).ensure(recipe, system("debian-12"), Notes())
    assert caught.value.cause == "config"
    assert "artifacts" in caught.value.advice


def test_a_package_has_no_rights_over_the_machine(tmp_path: Path) -> None:
    assert built(tmp_path, attempts(RIGHTS)) == ""


def test_a_root_with_all_rights_takes_all_of_it() -> None:
    """So the test above is able to fail."""
    base = BaseImages(Engine("hostile"), cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    assert bare(base.id, attempts(RIGHTS) + "cat /loot", *ALL_RIGHTS).splitlines() == list(RIGHTS)
