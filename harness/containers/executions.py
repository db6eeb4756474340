"""Every program that is executed in a container, and whether it is built for the target's architecture.

An emulated container is a container of this machine: the kernel gives programs of another architecture to the emulator
and silently runs programs of its own architecture itself. So the mounts of the container are watched:
each file that is opened to be executed is looked at, however shortly its process lives (``system.fanotify``). What no
mount holds (memfd_create(2)) is looked for in the list of the container's processes, twice a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from harness.attest.architecture import BINFMT, host_architecture
from harness.attest.programs import Program, read_program
from harness.errors import StepTimeout
from harness.model.attestation import Executions, ForeignProgram
from harness.system.fanotify import ExecutionEvents
from harness.system.polling import readable
from harness.system.roots import open_in_root
from harness.system.wait import wait_until

LOOK_SECONDS = 0.5
START_SECONDS = 20.0
#: The most programs that are remembered: a product must not fill the controller's memory.
MOST = 200
#: Nothing is executed from these.
_IDLE = {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"}
_RUNTIMES = ("runc", "crun")
#: Names of the first program that an engine puts before a container's own.
_INITS = ("docker-init", "podman-init", "catatonit")


class ExecutionWatch:
    """Watches one container from its start until ``close``.

    ``process``: of its first program, by this machine's numbers; ``architecture`` of the target, by our name;
    ``lent``: files of this machine by the place in the container where they are mounted: programs of the lab.
    """

    def __init__(self, container: str, process: int, architecture: str, lent: Mapping[str, Path] | None = None) -> None:
        self.container, self.process, self.architecture = container, process, architecture
        self._lent = _places(lent or {})
        self._foreign: dict[tuple[str, str], ForeignProgram] = {}
        self._tried: dict[tuple[str, str], ForeignProgram] = {}
        #: Files by device and number that need no second look; the emulator is the first of them.
        self._known: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._stopping = os.eventfd(0, os.EFD_CLOEXEC)  #: readable from ``close`` on, so that nobody waits for a look
        self._events: ExecutionEvents | None = None
        self._closed = False
        #: Whether the emulator is known by its file; without that the list of processes shows nothing.
        self._knows_emulator = architecture == host_architecture()
        self._limit = self._begin()
        self._thread = threading.Thread(target=self._work, name=f"executions {container[:12]}", daemon=True)
        self._thread.start()

    def _begin(self) -> str:
        """Mark the container's mounts; gives why they cannot be marked."""
        try:
            mounts = Path(f"/proc/{self.process}/mountinfo").read_text(errors="replace").splitlines()
            if not self.process or self.container[:32] not in _cgroup(self.process):
                return "the engine runs on another machine, where no process can be watched from here"
            self._events = ExecutionEvents()
            for line in mounts:
                place = _unescaped(line.split()[4])
                if line.partition(" - ")[2].split()[0] not in _IDLE and place not in self._lent:
                    self._events.add_mount(f"/proc/{self.process}/root{place}")
        except OSError as error:
            if self._events is not None:
                self._events.close()
                self._events = None
            self._know_emulator()
            return (
                f"only programs that ran for half a second or longer were seen ({error.strerror or error}): "
                "events of the kernel need root and Linux 5.0 or newer"
            )
        if not self._know_emulator():
            return "programs that were run out of memory alone were not looked for: the emulator was not recognized"
        return ""

    def _know_emulator(self) -> bool:
        """The emulator is what runs the container's own waiting, before anything of a product is there.

        Its path alone does not tell: the kernel keeps the file that was there when it was registered, which may have
        been replaced since. Nor does the waiting alone: it is a program of the lab where that is lent.
        """
        if self._knows_emulator:
            return True
        registered = _registered_emulator(self.architecture)
        if registered is not None:
            self._known.add(registered)
        with contextlib.suppress(StepTimeout):
            waits = wait_until(
                self._waiting, seconds=START_SECONDS, what="its own waiting", interval=0.02, longest=0.02
            )
            self._knows_emulator = waits == "emulated" or registered is not None
        return self._knows_emulator

    def _waiting(self) -> str | None:
        """Whether the container's own waiting runs by now, ``emulated`` or ``lent`` by the lab; None where not."""
        for process in _processes(self.process):
            with contextlib.suppress(OSError, IndexError):
                words = Path(f"/proc/{process}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                # What begins it has the same words at their end, and `--` before them.
                if words[-1] == b"infinity" and words[-2].endswith(b"sleep") and b"--" not in words:
                    if self._is_lent(str(Path(f"/proc/{process}/exe").readlink())):
                        return "lent"
                    state = Path(f"/proc/{process}/exe").stat()
                    self._known.add((state.st_dev, state.st_ino))
                    return "emulated"
        return None

    def _work(self) -> None:
        while not self._wait():
            self._look()

    def _wait(self) -> bool:
        """Until an event, a look that is due, or ``close``; gives whether it was ``close``."""
        awaited = [self._stopping, *([self._events.descriptor] if self._events is not None else [])]
        return self._stopping in readable(awaited, LOOK_SECONDS)

    def _look(self) -> None:
        with self._lock:
            self._read_events()
            self._read_processes()
            self._read_commands()

    def _read_commands(self) -> None:
        """The command lines that were empty: an event comes before the new program has its own."""
        for known in (self._foreign, self._tried):
            for key, program in known.items():
                if not program.command and (command := _command(program.process)):
                    known[key] = dataclasses.replace(program, command=command)

    def _read_events(self) -> None:
        if self._events is None:
            return
        try:
            for opened in self._events.read():
                with contextlib.suppress(OSError):
                    program = read_program(opened.file)
                    state = os.fstat(opened.file)
                    if self._is_init(opened.path, (state.st_dev, state.st_ino)):
                        continue  # the supervision starts it, so that orphans of the product come to it
                    if program is not None and not program.belongs(self.architecture):
                        self._add(program, opened.path, opened.process, starts=self._starts(program))
        except OSError as error:
            self._limit = f"the kernel's events of executions ended: {error.strerror}"
        if self._events.lost:
            self._limit = "the kernel dropped some of its events of executions"

    def _starts(self, program: Program) -> bool:
        """Whether the kernel can start it: a program that is linked dynamically needs its loader there."""
        if not program.loader:
            return True
        try:
            os.close(open_in_root(Path(f"/proc/{self.process}/root"), program.loader, os.O_PATH))
        except OSError:
            return False
        return True

    def _read_processes(self) -> None:
        """What runs now. Its first program and what the engine starts commands with are the lab's."""
        if not self._knows_emulator:
            return
        for process in _processes(self.process):
            if process == self.process:
                continue
            with contextlib.suppress(OSError):
                file = os.open(f"/proc/{process}/exe", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    self._read_process(process, file)
                finally:
                    os.close(file)

    def _read_process(self, process: int, file: int) -> None:
        state = os.fstat(file)
        identity = (state.st_dev, state.st_ino)
        if identity in self._known:
            return
        program = read_program(file)
        if program is None or program.belongs(self.architecture) or _is_runtime(file, state.st_size):
            self._known.add(identity)
            return
        # Of the open file, not of the process: that may have started another program since.
        path = str(Path(f"/proc/self/fd/{file}").readlink())
        if not self._is_lent(path) and not self._is_init(path, identity):
            self._add(program, path, process, starts=True)

    def _is_init(self, path: str, identity: tuple[int, int]) -> bool:
        """Whether it is the engine's own first program: what that has forked and has not yet become another program."""
        if Path(path).name not in _INITS:
            return False
        try:
            state = Path(f"/proc/{self.process}/exe").stat()
        except OSError:
            return False
        return identity == (state.st_dev, state.st_ino)

    def _is_lent(self, path: str) -> bool:
        return any(path == place or path.startswith(f"{place}/") for place in self._lent)

    def _add(self, program: Program, path: str, process: int, *, starts: bool) -> None:
        known = self._foreign if starts else self._tried
        key = (path, program.machine)
        if key not in known and len(known) < MOST:
            known[key] = ForeignProgram(
                path=path, architecture=program.machine, process=process, command=_command(process)
            )

    def executions(self) -> Executions:
        """The executions that were noticed so far."""
        self._look()
        with self._lock:
            return Executions(
                foreign=tuple(self._foreign.values()), tried=tuple(self._tried.values()), limit=self._limit
            )

    def close(self) -> None:
        """Stop watching."""
        if self._closed:
            return
        self._closed = True
        os.eventfd_write(self._stopping, 1)
        self._thread.join()
        os.close(self._stopping)
        with self._lock:
            if self._events is not None:
                self._events.close()
                self._events = None


def _places(lent: Mapping[str, Path]) -> frozenset[str]:
    """Where lent files lie in the container, also by the name that they have where /lib is merged into /usr."""
    merged = (f"/usr{place}" for place in lent if place.startswith(("/bin", "/sbin", "/lib")))
    return frozenset({*lent, *merged})


def _registered_emulator(architecture: str) -> tuple[int, int] | None:
    """Device and number of the file that the kernel's table of interpreters names for an architecture."""
    with contextlib.suppress(OSError):
        for line in (BINFMT / f"qemu-{architecture}").read_text().splitlines():
            if line.startswith("interpreter "):
                state = Path(line.removeprefix("interpreter ")).stat()
                return state.st_dev, state.st_ino
    return None


def _unescaped(path: str) -> str:
    """A path of mountinfo, in which blanks are octal (proc_pid_mountinfo(5))."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


def _cgroup(process: int) -> str:
    return Path(f"/proc/{process}/cgroup").read_text(errors="replace")


def _processes(first: int) -> list[int]:
    """Ids of all processes in the control group of a container's first one."""
    with contextlib.suppress(OSError, ValueError):
        for line in _cgroup(first).splitlines():
            _, controllers, path = line.split(":", 2)
            for folder in (f"/sys/fs/cgroup/{controllers}", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                file = Path(f"{folder}{path}/cgroup.procs")
                if path != "/" and file.is_file():
                    return [int(word) for word in file.read_text().split()]
    return []


def _command(process: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes()[:400].split(b"\0")
        return " ".join(word.decode(errors="replace") for word in words if word)
    return ""


@functools.cache
def _runtime_digests() -> dict[int, str]:
    """Size and digest of what an engine starts a command in a container with."""
    digests = {}
    for name in _RUNTIMES:
        path = shutil.which(name)
        if path is not None:
            data = Path(path).read_bytes()
            digests[len(data)] = hashlib.sha256(data).hexdigest()
    return digests


def _is_runtime(file: int, size: int) -> bool:
    digest = _runtime_digests().get(size)
    return digest is not None and digest == hashlib.sha256(os.pread(file, size, 0)).hexdigest()
