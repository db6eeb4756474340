"""A container as a machine: every command carries its own limit inside the container."""

from __future__ import annotations

import contextlib
import io
import math
import posixpath
import secrets
import tarfile
import time
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, cast

import docker.errors
import psutil

from harness.containers.engine import LABEL_PORTS, Engine
from harness.containers.engine_errors import engine_errors
from harness.containers.frames import STDERR, frames_of
from harness.containers.limit import GUARD, Limit, without_number
from harness.containers.networks import address_of
from harness.containers.verbs import ContainerVerbs
from harness.errors import InfrastructureError, LostOutput
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import Verb, Verbs, deeds, in_effect
from harness.provision import posix
from harness.system import shell
from harness.system.bounded import MAX_FILE, Bounded
from harness.system.process import Completed

#: Longest text given with the command itself; the kernel takes 128 KiB in one argument.
INLINE = 60_000
#: How long a list of a container's processes is good for: making it costs the engine a tenth of a second.
LISTED_SECONDS = 2.0
#: Symbolic links that are followed to a file, as many as Linux follows.
MAX_LINKS = 40

#: Status 0 and none of the output must not be taken for a command that printed nothing, wherever that was lost: so the
#: last thing that is printed is a mark.
_END = "\n\x04end\n"


class ContainerMachine:
    """Implements ``harness.model.machine.Machine`` over the engine's exec."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        name: str = "",
        began: str = "",
        deeds: Path = Path(),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.engine = engine
        self.container = container
        self._name = name or container[:12]
        self._began = began  #: when the engine started it, and its networks
        self._deeds = deeds  #: where its verbs are noted
        self.variables = dict(variables or {})  #: of every command, and not of the container
        self._listed = -math.inf
        self._processes: dict[int, psutil.Process] = {}
        self._spent: dict[int, float] = {}
        self._moved: dict[int, float] = {}  #: MiB to and from disks, likewise

    @property
    def name(self) -> str:
        return self._name

    @property
    def reference(self) -> MachineReference:
        if not self._began:
            self._began = self._state()[0]
        return MachineReference(
            kind="container",
            name=self.name,
            container=self.container,
            began=self._began,
            deeds=self._deeds,
            variables=self.variables,
        )

    def disturbance(self) -> str:
        """What was done to the container since it was made: restarted, paused, ended, cut off from its network; empty
        for nothing, and for what a suite did by a verb.

        Raises:
            InfrastructureError: the engine does not answer.
        """
        now, status = self._state()
        if status == "paused" and Verb.PAUSE in in_effect(deeds(self._deeds), self.name):
            return ""  # a suite did that
        if status != "running":
            return f"the container {self.name} is {status}: something outside of the harness did that"
        if not self._began or now == self._began:
            return ""
        started, _, networks = now.partition(" ")
        before, _, had = self._began.partition(" ")
        if started != before:
            return f"the container {self.name} was restarted at {started}, by something outside of the harness"
        return f"the container {self.name} is in the networks {networks or 'none'}, and was made in {had}"

    def _state(self) -> tuple[str, str]:
        """When it was started with the ids of its networks, and its status."""
        with engine_errors(f"looking at {self.name}"):
            known = self.engine.client.api.inspect_container(self.container)
        networks = known["NetworkSettings"]["Networks"] or {}
        ids = ",".join(sorted(str(network["NetworkID"])[:12] for network in networks.values()))
        return f"{known['State']['StartedAt']} {ids}", str(known["State"]["Status"])

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        started = time.monotonic()
        if stdin:
            quoted = shell.quote(stdin)
            if len(quoted.encode()) > INLINE or "\0" in stdin:
                path = f"/tmp/.stdin-{secrets.token_hex(6)}"  # noqa: S108  # in the target, random name
                self.put(path, stdin.encode(), mode="0644")
                command = f"( {command}\n) <{path}; rc=$?; rm -f {path}; exit $rc"
            else:  # a here-document would end it with a newline
                command = f"printf %s {quoted} | {{ {command}\n}}"
        argv = ["sh", "-c", GUARD, "sh", command]
        with engine_errors(f"running a command in {self.name}"):
            api = self.engine.client.api
            handle = api.exec_create(self.container, argv, user=user, environment=self.variables)["Id"]
            out, err = Bounded(), Bounded()
            with Limit(self.engine, self.container, timeout) as limit:
                stream = cast(Any, api.exec_start(handle, stream=True, demux=True))
                for kind, piece in frames_of(api, stream._response):
                    (err if kind == STDERR else out).add(piece)
                    if kind == STDERR:
                        limit.listen(piece)
            stream._response.close()  # its own close() leaves the file over the socket open
            rc = limit.status or api.exec_inspect(handle)["ExitCode"]
        if rc is None:
            raise InfrastructureError(f"{self.name}: the engine lost a command", advice="see the engine's log")
        errors = without_number(err.text)
        if errors.endswith(_END):
            errors = errors.removesuffix(_END)
        elif rc == 0:
            raise LostOutput(
                f"{self.name}: the engine lost what a command printed", advice="try again; see the engine's log"
            )
        return Completed(rc=rc, out=out.text, err=errors, seconds=time.monotonic() - started)

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        folder, name = posixpath.split(path)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), int(mode, 8), int(time.time())
            tar.addfile(entry, io.BytesIO(data))
        with engine_errors(f"writing {path} in {self.name}"):
            try:
                self.engine.client.api.put_archive(self.container, folder, archive.getvalue())
            except docker.errors.NotFound:
                result = self.run(f"mkdir -p {shell.quote(folder)}")
                if not result.ok:
                    raise InfrastructureError(f"{self.name}: {folder} cannot be made: {result.text}") from None
                self.engine.client.api.put_archive(self.container, folder, archive.getvalue())
        if owner != "root:root":
            answer = self.run(f"chown {shell.quote(owner)} {shell.quote(path)}")
            if not answer.ok:
                raise InfrastructureError(f"{self.name}: chown {owner} {path} failed: {answer.text}")

    def get(self, path: str) -> bytes:
        for _ in range(MAX_LINKS):
            content = self._fetch(path)
            if isinstance(content, bytes):
                return content
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), content))
        raise FileNotFoundError(f"{self.name}: {path} leads through more than {MAX_LINKS} links")

    def _fetch(self, path: str) -> bytes | str:
        """The content of a file, or what a symbolic link points to. Only that is read of the engine's archive."""
        with engine_errors(f"reading {path} in {self.name}"):
            try:
                stream, _ = self.engine.client.api.get_archive(self.container, path)
            except docker.errors.NotFound:
                stream = None
            except docker.errors.APIError as error:
                if not any(words in str(error.explanation) for words in ("too many links", "too many levels")):
                    raise
                return posixpath.basename(path)  # to itself, which ends at the limit
            content = _first_of(stream) if stream is not None else None
        if stream is None and not self.run("true").ok:  # the container itself may be what is not there
            raise InfrastructureError(f"reading {path}: {self.name} does not run", advice="see the engine's log")
        if content is None:
            raise FileNotFoundError(f"{self.name}: {path} is no file" if stream else f"{self.name} has no {path}")
        if isinstance(content, int):
            raise InfrastructureError(
                f"{self.name}: {path} has {content} bytes; the harness reads files of up to {MAX_FILE}",
                advice="let the suite ask for a part of it by a command",
            )
        return content

    def address(self, port: int) -> tuple[str, int]:
        with engine_errors(f"asking for the address of port {port} of {self.name}"):
            known = self.engine.client.api.inspect_container(self.container)
        if str(port) in (known["Config"].get("Labels") or {}).get(LABEL_PORTS, "").split():
            return address_of(self.engine, self.container), port
        bound = (known["NetworkSettings"].get("Ports") or {}).get(f"{port}/tcp")
        if not bound:
            raise InfrastructureError(
                f"{self.name} does not publish port {port}", advice="declare it under ports in application.yaml"
            )
        return str(bound[0]["HostIp"]), int(bound[0]["HostPort"])

    def processes(self) -> dict[int, str]:
        """Ids are those of the engine's machine."""
        if self.engine.is_podman:  # its interface has no such list for containers without a terminal
            listed = posix.processes(self)
            return {pid: args for pid, args in listed.items() if not waits(args)}
        with engine_errors(f"listing the processes of {self.name}"):
            table = self.engine.client.api.top(self.container, ps_args="-eo pid,args")
        return {int(pid): args for pid, args in table["Processes"] or [] if not waits(args)}

    def resources(self) -> Resources | None:
        """Of all its processes, seen from this machine; on emulated targets these are the emulator's.

        None where the engine runs on another machine: its process ids mean nothing here.
        """
        now = time.monotonic()
        if now - self._listed > LISTED_SECONDS:
            pids = set() if self.engine.is_podman else set(self.processes())
            self._listed = now
            for pid in pids - self._processes.keys():
                with contextlib.suppress(psutil.Error):
                    self._processes[pid] = psutil.Process(pid)
        memory, alive, network = 0.0, False, None
        for pid, process in list(self._processes.items()):  # two samplers may ask at once
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self._spent[pid] = times.user + times.system  # of one that ended since, the last that was seen
                memory += process.memory_info().rss / 2**20
                alive = True
                network = network if network is not None else _traffic(pid)
                moved = process.io_counters()
                self._moved[pid] = (moved.read_bytes + moved.write_bytes) / 2**20
        if not alive:
            return None
        disk = sum(self._moved.values()) if self._moved else None
        return Resources(cpu=sum(self._spent.values()), memory=memory, disk=disk, network=network)

    @property
    def verbs(self) -> Verbs:
        return ContainerVerbs(self.engine, self.container, self.name, self._deeds)

    def close(self) -> None:
        """Nothing is open: the engine's connection is shared."""


def _first_of(stream: Generator[bytes]) -> bytes | str | int | None:
    """Of the first entry in an archive: the content of a file, its size where that is too much to be read, the target
    of a link; None for anything else."""
    with contextlib.closing(stream), tarfile.open(fileobj=cast(IO[bytes], _Stream(stream)), mode="r|") as tar:
        member = tar.next()
        if member is not None and member.issym():
            return member.linkname
        if member is None or not member.isreg():
            return None
        if member.size > MAX_FILE:
            return member.size
        file = tar.extractfile(member)
        return file.read() if file is not None else None


class _Stream:
    """Pieces of bytes as a file that is read once, from its beginning."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._piece = iter(pieces), io.BytesIO()

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._piece.read(size - len(data))
            if not part:
                following = next(self._pieces, None)
                if following is None:
                    break
                self._piece = io.BytesIO(following)
            data += part
        return data


def waits(args: str) -> bool:
    """Whether it is the container's own waiting, or what reaps its orphans."""
    words = args.split()
    return args.rstrip().endswith("sleep infinity") or words[:1] in (["/sbin/docker-init"], ["/run/podman-init"])


def _traffic(pid: int) -> float | None:
    """MiB that went over the network that a process is in."""
    try:
        return posix.traffic(Path(f"/proc/{pid}/net/dev").read_text().splitlines())
    except OSError:  # it ended meanwhile
        return None
