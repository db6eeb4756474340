"""The Docker engine: one connection, its errors as the harness's own, labels on everything that the harness makes."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import docker
import docker.errors

from harness.containers.engine_errors import engine_errors, steadily
from harness.containers.loading import holds, loaded_names, names_in, without_names
from harness.containers.ulimits import ulimits
from harness.errors import AttestationMismatch, InfrastructureError, ProvisionError, StepTimeout, UsageError
from harness.system.makers import own_name
from harness.system.wait import wait_until

F = TypeVar("F", bound=Callable[..., Any])

#: Every container, network and temporary image of ours carries these labels.
LABEL = "harness"
LABEL_WORKSPACE = "harness.workspace"
LABEL_CAMPAIGN = "harness.campaign"
LABEL_ATTEMPT = "harness.attempt"
LABEL_ROLE = "harness.role"
#: Name of the process that made it (``harness.system.makers``).
LABEL_MAKER = "harness.maker"
LABEL_MEMORY = "harness.memory"  #: of a container: its limit in bytes, as it was made
LABEL_PORTS = "harness.ports"  #: of a container: its ports, where they are reached at its own address

#: Names of images that the harness makes; no archive of others gives them.
OWN_IMAGES = ("harness-base:", "harness-env:")
#: Name of a vendor's image, by its id.
VENDOR_IMAGE = "harness-vendor:"

#: The capabilities of root in a product's container: none of them reaches out of the container.
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"]
#: Connections that are kept for each address of the engine's interface; its library makes a pool of so many places for
#: every address. More at once are opened and not kept.
POOL = 16
#: The engine's name server asks this address for names that it does not know; it leads nowhere (RFC 5737).
NOWHERE = "192.0.2.1"
#: Programs that every machine must have: a container waits in ``sleep``, and commands are run by ``sh``.
NEEDED = ("sh", "sleep")
#: First command in a closed network: nothing listens there, so a foreign name fails at once; the engine's is silent.
ASKS_NOBODY = "printf 'nameserver 127.0.0.1\\noptions timeout:1 attempts:1\\n' >/etc/resolv.conf"
#: While packages are installed, SETFCAP too: rpm unpacks files with capabilities, and scripts of packages call setcap.
#: Such a file gives no more than its container has, and none under no-new-privileges.
BUILD_CAPABILITIES = [*CAPABILITIES, "SETFCAP"]


def _maker() -> str:
    """Name of this process; empty where the cache cannot be written: then the campaign alone says who owns it."""
    try:
        return own_name()
    except OSError:
        return ""


class Engine:
    """A connection to the Docker engine, or to Podman in its place, good for several threads.

    ``address``: of its socket, where it is not the one that ``DOCKER_HOST`` names or the standard one.

    Raises:
        InfrastructureError: no engine answers.
    """

    def __init__(self, workspace: str = "none", address: str = "") -> None:
        self.workspace = workspace
        self.reached: bool | None = None  #: whether this machine reaches containers by their own addresses, once known
        with engine_errors("connecting to the Docker engine"):  # each asks for the version of its interface
            self.client = (
                docker.DockerClient(base_url=address, timeout=900, max_pool_size=POOL, version="auto")
                if address
                else docker.from_env(timeout=900, max_pool_size=POOL)
            )
        if self.client.api.base_url.startswith("http+docker:"):
            # A socket of this machine has no proxy; looking for one takes a quarter of each call's time.
            self.client.api.trust_env = False
        else:
            self.reached = False

    @functools.cached_property
    def version(self) -> dict[str, Any]:
        """What the engine says of its version, with the keys of the engine's own interface (``GET /version``).

        Raises:
            InfrastructureError: the engine does not answer.
        """
        with engine_errors("asking the Docker engine for its version"):
            return dict(self.client.version())

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        """What the engine says of itself, with the keys of the engine's own interface (``GET /info``).

        Raises:
            InfrastructureError: the engine does not answer.
        """
        with engine_errors("asking the Docker engine what it is"):
            return dict(self.client.info())

    @functools.cached_property
    def is_podman(self) -> bool:
        """Whether Podman answers in Docker's place."""
        return any("podman" in str(part.get("Name", "")).lower() for part in self.version.get("Components") or [])

    @property
    def memory(self) -> int:
        """Bytes of memory of the engine's machine."""
        return int(self.info.get("MemTotal", 0))

    @property
    def cpus(self) -> int:
        """The number of processors of the engine's machine."""
        return int(self.info.get("NCPU", 1))

    def image_id(self, name: str) -> str | None:
        """The image's id (``sha256:…``), or None."""
        try:
            with engine_errors(f"looking for image {name}"):
                return str(self.client.images.get(name).id)
        except InfrastructureError as error:
            if isinstance(error.__cause__, docker.errors.NotFound):
                return None
            raise

    def save_image(self, wanted: str, path: Path) -> None:
        """Write an image (name or id) with its names.

        Raises:
            InfrastructureError: it is missing, or the disk refuses.
        """
        with engine_errors(f"saving image {wanted}"):
            names = self.client.images.get(wanted).tags or [wanted]
            with path.open("wb") as file:
                for chunk in self.client.api.get_image(names[0]):
                    file.write(chunk)

    def load_image(self, path: Path, before_naming: Callable[[str, str], None] = lambda _name, _id: None) -> None:
        """Read an archive that ``save_image`` wrote. An image gets its name where that name is free: an image that
        already has the name is never replaced. ``before_naming`` gets name and id of what is about to be named.

        Raises:
            InfrastructureError: the engine refuses it.
            UsageError: it is no archive of images.
        """
        names = [name for name in names_in(path) if name.startswith(OWN_IMAGES)]
        (identity, *more) = self._load(path)
        if more and names:
            raise UsageError(f"{path.name} holds several images, expected one", advice="make the bundle again")
        for name in names:
            if self.image_id(name) is None:
                before_naming(name, identity)
                with engine_errors(f"naming {name}"):
                    self.client.images.get(identity).tag(name)

    def vendor_images(self, path: Path) -> list[tuple[str, str, str]]:
        """Read a vendor's archive of images; gives each image's id, its architecture, and the program that it lacks.

        The names in the archive are left out. Each image gets one of ours, by its content.

        Raises:
            InfrastructureError: the engine refuses it.
            UsageError: it is no archive of images.
        """
        images = []
        for identity in self._load(path):
            with engine_errors(f"looking at an image of {path.name}"):
                image = self.client.images.get(identity)
                image.tag(f"{VENDOR_IMAGE}{identity.removeprefix('sha256:')[:24]}")
            images.append((identity, str(image.attrs.get("Architecture", "")), self._lacks(identity)))
        return images

    def _load(self, path: Path) -> list[str]:
        """Give an archive to the engine without the names in it; the ids of its images."""
        with engine_errors(f"loading {path.name}"):
            # The SDK's own load() reads one image of an answer that names several.
            names = loaded_names(cast(Any, self.client.api).load_image(without_names(path)))
            identities = [str(self.client.images.get(name).id) for name in names]
        if not identities:
            raise UsageError(f"{path.name} holds no image", advice="write it with: docker save NAME -o FILE")
        return list(dict.fromkeys(identities))

    def _lacks(self, image: str) -> str:
        """A program that every machine must have and an image has not; empty where it has all."""
        name = f"harness-look-{secrets.token_hex(6)}"
        try:
            with engine_errors("looking into an image"):
                container = self.client.containers.create(
                    image, ["true"], name=name, labels=self.labels("build", name, "look")
                )
                for program in NEEDED:
                    if not any(holds(container, f"{folder}/{program}") for folder in ("/bin", "/usr/bin")):
                        return program
        finally:
            self.remove_container(name)
        return ""

    def pull(self, reference: str, architecture: str, tag: str) -> str:
        """Pull ``NAME@sha256:…`` (the engine compares what comes with the digest), and name it ``tag``; gives its id.

        Logins are those that ``docker login`` has kept.

        Raises:
            ProvisionError: the registry does not answer, refuses, or has no such image.
            AttestationMismatch: the image has another architecture (the engine's name), or has no shell.
        """
        name, _, digest = reference.partition("@")
        try:
            with engine_errors(f"pulling {reference}"):
                image = self.client.images.pull(name, tag=digest, platform=f"linux/{architecture}")
        except InfrastructureError as error:
            raise ProvisionError(
                error.message,
                advice="check the registry (docker pull says more), the login (docker login), and the reference in the "
                "definition (pulled, reference); then: harness resume",
            ) from error
        image_architecture = str(image.attrs.get("Architecture", ""))
        if image_architecture != architecture:
            raise AttestationMismatch(
                f"{reference} is an image for {image_architecture}, declared is {architecture}",
                advice="correct the reference in the definition (pulled, reference)",
            )
        if lacking := self._lacks(str(image.id)):
            raise AttestationMismatch(
                f"{reference} has no {lacking}: no machine can be made of it",
                advice="name an image with a shell and coreutils",
            )
        with engine_errors(f"naming {reference}"):
            image.tag(tag)
        return str(image.id)

    def labels(self, campaign: str, attempt: str, role: str) -> dict[str, str]:
        """The labels by which an object of this workspace is known again."""
        return {
            LABEL: "1",
            LABEL_WORKSPACE: self.workspace,
            LABEL_CAMPAIGN: campaign,
            LABEL_ATTEMPT: attempt,
            LABEL_ROLE: role,
            LABEL_MAKER: _maker(),
        }

    def create_network(self, name: str, labels: dict[str, str], *, internal: bool = False) -> str:
        """A network; gives its id.

        Raises:
            InfrastructureError: see ``engine_errors``.
        """
        with engine_errors(f"creating network {name}"):
            make = functools.partial(
                self.client.networks.create, name, driver="bridge", labels=labels, internal=internal
            )
            return str(steadily(make).id)

    def create_container(
        self,
        name: str,
        image: str,
        *,
        labels: dict[str, str],
        memory: int,
        cpus: float,
        processes: int,
        network: str,
        alias: str,
        environment: dict[str, str],
        ports: tuple[int, ...] = (),
        closed: bool = False,
        shared: int = 0,
        limits: Mapping[str, int] | None = None,
    ) -> str:
        """A container that only waits, limited in memory, CPU and processes; gives its id. ``shared``: bytes of its
        /dev/shm, 0 for the engine's own; ``limits``: by the names of ulimit.

        Ports are published on 127.0.0.1 alone, at numbers the engine chooses; not at all in a ``closed`` network.

        Raises:
            ProvisionError: the image is missing.
            InfrastructureError: see ``engine_errors``.
        """
        if self.image_id(image) is None:  # never pulled: what runs is what was built
            raise ProvisionError(f"image {image} is missing", advice="repeat the run: it is built again")
        with engine_errors(f"creating container {name}"):
            container = self.client.containers.create(
                image,
                name=name,
                hostname=alias,
                **self.waiting(image, first=ASKS_NOBODY if closed else ""),
                labels={**labels, LABEL_MEMORY: str(memory), **_reached_ports(ports if closed else ())},
                init=True,
                detach=True,
                network=network,
                environment=environment,
                mem_limit=memory,
                memswap_limit=memory,
                nano_cpus=int(cpus * 1e9),
                pids_limit=processes,
                cap_drop=["ALL"],
                cap_add=CAPABILITIES,
                security_opt=["no-new-privileges"],
                log_config=docker.types.LogConfig(type="none"),
                ports={} if closed else {f"{port}/tcp": ("127.0.0.1", 0) for port in ports},
                dns=[NOWHERE] if closed else None,
                ulimits=self.ulimits(limits or {}),
                shm_size=shared or None,
                # The alias: other machines of the cell find it by its role.
                networking_config={network: self.client.api.create_endpoint_config(aliases=[alias])},
            )
            container.start()
            return str(container.id)

    def waiting(self, image: str, *, first: str = "") -> dict[str, Any]:
        """Options of a container that only waits, and before that runs the shell's command ``first``; the entry point
        and the user of a vendor's image are left out.

        Raises:
            InfrastructureError: there is no such image.
        """
        with engine_errors(f"looking at image {image}"):
            config = self.client.images.get(image).attrs.get("Config") or {}
        words = ["sh", "-c", f"{first} && exec sleep infinity"] if first else ["sleep", "infinity"]
        if not config.get("Entrypoint") and not config.get("User"):
            return {"command": words}
        return {"command": words[1:], "entrypoint": words[:1], "user": "0:0"}

    def first_process(self, container: str) -> int:
        """Id of a container's first program, as the engine's machine numbers it; 0 where it does not run.

        Raises:
            InfrastructureError: there is no such container.
        """
        with engine_errors("looking at a container"):
            return int(self.client.api.inspect_container(container)["State"].get("Pid") or 0)

    def ulimits(self, asked: Mapping[str, int] | None = None) -> list[docker.types.Ulimit] | None:
        """As ``containers.ulimits.ulimits``, for this engine."""
        return ulimits(asked or {}, podman=self.is_podman)

    def remove_container(self, name: str) -> bool:
        """Remove it with everything that runs in it, paused or not; False where there was none."""
        return self._remove(lambda: self.client.containers.get(name).remove(force=True, v=True), f"container {name}")

    def remove_network(self, name: str) -> bool:
        """Remove it; False where there was none."""
        return self._remove(lambda: self.client.networks.get(name).remove(), f"network {name}")

    def _remove(self, work: Callable[[], Any], what: str, patience: float = 30.0) -> bool:
        """Remove something; gives whether it was there."""
        trouble: list[InfrastructureError] = []

        def removed() -> str | None:
            try:
                with engine_errors(f"removing {what}"):
                    work()
            except InfrastructureError as error:
                cause = error.__cause__
                if isinstance(cause, docker.errors.NotFound):
                    return "removed" if trouble else "absent"
                # Two may remove the same thing, when a campaign is stopped: whoever comes second waits for the first.
                busy = ("already in progress", "has active endpoints")
                if isinstance(cause, docker.errors.APIError) and any(word in str(cause) for word in busy):
                    trouble[:] = [error]
                    return None
                raise
            return "removed"

        try:
            return wait_until(removed, seconds=patience, what=what, interval=0.2, longest=0.2) == "removed"
        except StepTimeout:
            raise trouble[0] from trouble[0].__cause__

    def ours(self, *, everywhere: bool = False) -> list[tuple[str, str, dict[str, str]]]:
        """Containers and networks that the harness made: ``(kind, name, labels)``, containers before networks."""
        label = LABEL if everywhere else f"{LABEL_WORKSPACE}={self.workspace}"
        with engine_errors("listing containers and networks"):
            containers = self.client.api.containers(all=True, filters={"label": label})
            networks = self.client.api.networks(filters={"label": label})
        objects = [("container", c["Names"][0].lstrip("/"), dict(c["Labels"])) for c in containers]
        return [*objects, *(("network", n["Name"], dict(n["Labels"])) for n in networks)]


def _reached_ports(ports: tuple[int, ...]) -> dict[str, str]:
    return {LABEL_PORTS: " ".join(map(str, ports))} if ports else {}


@functools.cache
def shared_engine() -> Engine:
    """One connection for a runner's own process."""
    return Engine()
