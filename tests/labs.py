"""Real machines of every kind and architecture: containers, hosts with a real sshd, virtual machines."""

from __future__ import annotations

import contextlib
import io
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.containers.machine import ContainerMachine
from harness.containers.provisioner import Containers
from harness.hosts.inventory import Inventory
from harness.hosts.ssh import SshMachine
from harness.model.definitions import Cpu, Hosts, Os, Reached
from harness.model.ledger import Ledger
from harness.model.recipe import Environment, Recipe
from harness.provision.provisioner import Machines, Owner, Role
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.system.wait import wait_until
from harness.virtual.disks import Disks
from harness.virtual.machine import VirtualMachine
from harness.virtual.provisioner import VirtualMachines


class Notes:
    """A ledger that nobody reads."""

    def intent(self, kind: str, name: str) -> None: ...
    def created(self, kind: str, name: str, engine_id: str) -> None: ...
    def removed(self, kind: str, name: str) -> None: ...
    def event(self, kind: str, **data: object) -> None: ...
    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        return ""


def cpu(name: str) -> Cpu:
    path = Catalogue.standard().find("targets", "cpu", f"{name}.yaml")
    assert path is not None
    return parse(path, Cpu)


def system(name: str) -> Os:
    path = Catalogue.standard().find("targets", "os", f"{name}.yaml")
    assert path is not None
    return parse(path, Os)


@contextlib.contextmanager
def container(
    os: str, architecture: str, environment: dict[str, str] | None = None, engine: Engine | None = None
) -> Iterator[ContainerMachine]:
    """A bare container, gone afterwards."""
    engine = engine or Engine("contract")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    base = images.ensure(system(os), architecture, Notes())
    name = f"harness-contract-{secrets.token_hex(4)}"
    network = engine.create_network(name, engine.labels("contract", "1", ""))
    try:
        identity = engine.create_container(
            name,
            base.id,
            labels=engine.labels("contract", "1", "application"),
            memory=256 * 2**20,
            cpus=1,
            processes=64,
            network=network,
            alias="application",
            environment=environment or {},
            ports=(8080,),
        )
        yield ContainerMachine(engine, identity, name)
    finally:
        engine.remove_container(name)
        engine.remove_network(name)


SSHD = "mkdir -p /run/sshd && ssh-keygen -A >/dev/null && /usr/sbin/sshd -o MaxStartups=100"
DROP = r"""
n=0
for p in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)" in
    *listener*) ;;
    *'sshd: '*|*sshd-session*) kill -9 ${p#/proc/} && n=$((n+1)) ;;
  esac
done
echo $n
"""


@dataclass
class LabHost:
    """A container with a real sshd, which stands for a host of a lab; ``inside`` is the way in without SSH."""

    inside: ContainerMachine
    key: str  #: private key that root accepts, OpenSSH's format
    port: int
    alias: str = "lab"

    @property
    def address(self) -> str:
        """Its own address, where all its ports are reached from this machine."""
        settings = self.inside.engine.client.api.inspect_container(self.inside.container)["NetworkSettings"]
        return str(next(iter(settings["Networks"].values()))["IPAddress"])

    def host_key(self) -> str:
        return " ".join(self.inside.get("/etc/ssh/ssh_host_ed25519_key.pub").decode().split()[:2])

    def start_sshd(self) -> None:
        done = self.inside.run(SSHD)
        assert done.ok, done.text

    def drop_connections(self) -> int:
        """End what serves logins, as a broken network would; the listener stays."""
        done = self.inside.run(DROP)
        return int(done.out)

    def plain(self, **change: Any) -> dict[str, Any]:
        """This host as an inventory has it; its key comes from the environment."""
        return {
            "host": self.alias,
            "address": "127.0.0.1",
            "port": self.port,
            "key": "env:LAB_KEY",
            "host_key": self.host_key(),
            "labels": {},
            "fidelity": "container",
            **change,
        }


def inventory(known_hosts: Path, *hosts: dict[str, Any]) -> Inventory:
    return Inventory(Hosts.model_validate({"hosts": list(hosts)}), known_hosts)


def new_key() -> tuple[str, str]:
    """Private key and line for authorized_keys."""
    key, text = paramiko.ECDSAKey.generate(), io.StringIO()
    key.write_private_key(text)
    return text.getvalue(), f"{key.get_name()} {key.get_base64()}"


@contextlib.contextmanager
def lab_host(
    os: str, architecture: str, *, network: str = "", alias: str = "lab", packages: tuple[str, ...] = (), **options: Any
) -> Iterator[LabHost]:
    """A lab host, gone afterwards. Not as the harness makes containers: a host is less restricted."""
    engine = Engine("contract")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    recipe = Recipe(name="lab host", os=os, architecture=architecture, packages=("openssh-server", "sudo", *packages))
    image = Environments(engine, images).ensure(recipe, system(os), Notes()).image
    name = f"harness-contract-{secrets.token_hex(4)}"
    container = engine.client.containers.create(
        image,
        ["sleep", "infinity"],
        name=name,
        hostname=alias,
        init=True,
        labels=engine.labels("contract", "1", "host"),
        ports={"22/tcp": ("127.0.0.1", 0)},
        **{"mem_limit": 256 * 2**20, **options},
    )
    try:
        if network:
            engine.client.networks.get(network).connect(container, aliases=[alias])
        container.start()
        inside = ContainerMachine(engine, str(container.id), alias)
        private, line = new_key()
        inside.put("/root/.ssh/authorized_keys", line.encode(), mode="0600")
        found = LabHost(inside, private, 0, alias)
        found.start_sshd()
        found.port = inside.address(22)[1]
        yield found
    finally:
        engine.remove_container(name)


@contextlib.contextmanager
def over_ssh(os: str, architecture: str, known_hosts: Path, monkey: Any) -> Iterator[SshMachine]:
    with lab_host(os, architecture) as lab:
        monkey.setenv("LAB_KEY", lab.key)
        machine = SshMachine(inventory(known_hosts, lab.plain()), lab.alias)
        yield machine
        machine.close()
        assert lab.inside.run("ls -d /tmp/.harness-* 2>/dev/null").out == "", "something was left on the host"


def virtual_machines(folder: Path) -> VirtualMachines:
    engine = Engine("contract")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    return VirtualMachines(Disks(engine, Environments(engine, images), cache_folder() / "vms"), folder)


def role(os: str, model: str, *, name: str = "application", **more: Any) -> Role:
    """A machine with nothing on it but what its kind needs."""
    value = cpu(model)
    return Role(
        name=name, os=system(os), cpu=value, **more, recipe=Recipe(name="bare", os=os, architecture=value.architecture)
    )


@contextlib.contextmanager
def virtual(os: str, model: str, folder: Path) -> Iterator[VirtualMachine]:
    """A virtual machine, gone afterwards."""
    maker, wanted = virtual_machines(folder), role(os, model, ports=(8080,))
    names = Owner(campaign="contract", cell=secrets.token_hex(4), attempt="1")
    with maker.machines((wanted,), {wanted.name: maker.environment(wanted, Notes())}, names, Notes()) as made:
        assert isinstance(made.application, VirtualMachine)
        yield made.application


#: For a machine with Perl: says a word to whoever connects to a port.
SAY = (
    "setsid perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 9, LocalPort => {port}, ReuseAddr => 1);"
    ' while ($c = $s->accept) {{ print $c "{word}\\n"; close $c }}\' >/dev/null 2>&1 &'
)


@contextlib.contextmanager
def cell_of_containers(
    engine: Engine,
    *ports: int,
    reach: tuple[Reached, ...] = (),
    ledger: Ledger | None = None,
    model: str = "hygon-c86",
) -> Iterator[Machines]:
    """The bare machines of a product, which has ``ports``, and of its database; gone afterwards."""
    images = BaseImages(engine, cache_folder())
    base = images.ensure(system("debian-12"), cpu(model).architecture, Notes())
    bare = Environment(image=base.id, key="", cached=True, seconds=0)
    roles = (role("debian-12", model, ports=ports, reach=reach), role("debian-12", model, name="database"))
    owner = Owner(campaign="contract", cell=secrets.token_hex(4), attempt="1")
    maker = Containers(engine, Environments(engine, images))
    with maker.machines(roles, {each.name: bare for each in roles}, owner, ledger or Notes()) as machines:
        yield machines


_ELSEWHERE = """
import contextlib, socket, sys, threading
def serve(end):
    while True:
        near, _ = end.accept()
        with near, contextlib.suppress(OSError):
            near.sendall(b"elsewhere " + str(end.getsockname()[1]).encode() + b"\\n")
            near.sendall(near.recv(100))
for port in sys.argv[1:]:
    threading.Thread(target=serve, args=(socket.create_server(("0.0.0.0", int(port))),)).start()
print(flush=True)
"""


@contextlib.contextmanager
def elsewhere(*ports: int) -> Iterator[str]:
    """The address of another machine of this network, which says on each port where it is, and then what it was sent:
    a namespace behind a cable."""
    number = secrets.randbelow(2**14) * 4
    here, there = (f"198.18.{(number + each) >> 8}.{(number + each) & 255}" for each in (1, 2))
    cable = f"hv{secrets.token_hex(4)}"
    argv = ["unshare", "-n", sys.executable, "-c", _ELSEWHERE, *map(str, ports)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            inside = f"nsenter -t {process.pid} -n ip"
            for line in (
                f"ip link add {cable} type veth peer name eth0 netns {process.pid}",
                f"ip address add {here}/30 dev {cable}",
                f"ip link set {cable} up",
                f"{inside} address add {there}/30 dev eth0",
                f"{inside} link set eth0 up",
                f"{inside} route add default via {here}",
            ):
                subprocess.run(line.split(), check=True, capture_output=True)
            yield there
        finally:
            process.kill()


@contextlib.contextmanager
def podman(folder: Path) -> Iterator[Engine]:
    """Podman behind its own socket, with images and containers of its own; ended afterwards."""
    socket = folder / "podman.sock"
    kept = cache_folder()
    argv = [
        "podman",
        "--root",
        str(kept / "podman"),
        "--runroot",
        str(kept / "podman-run"),
        "--runtime",
        "runc",
        "--cgroup-manager",
        "cgroupfs",
        "--events-backend",
        "file",
        "system",
        "service",
        "--time=0",
        f"unix://{socket}",
    ]
    with (folder / "podman.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=log)
    try:
        wait_until(socket.exists, seconds=30, what="Podman's socket")
        yield Engine("contract", address=f"unix://{socket}")
    finally:
        process.terminate()
        process.wait()
