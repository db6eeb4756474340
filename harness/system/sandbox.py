"""Runs programs that others wrote: as nobody, with the system and this harness to read, and nothing else of it all.

bubblewrap makes the namespaces: of files, processes, network, shared memory and host name. Root is needed for none of
it; where this process is root, the program gets a user id that no other has.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import harness
from harness.errors import HarnessError, InfrastructureError
from harness.system import filter as seccomp
from harness.system import shell
from harness.system.canonical import read_json
from harness.system.entering import close_all, open_namespaces
from harness.system.polling import readable
from harness.system.process import run
from harness.system.scratch import temporary_folder
from harness.system.surroundings import surroundings

#: User ids of which each sandbox takes one where this is root: systemd's for services (systemd.exec, DynamicUser).
IDS = range(61184, 65520)
#: Bytes of the sandbox's own /tmp; programs, and bytes of one file, that it may have.
TEMPORARY, PROGRAMS, FILE = 2**30, 1024, 4 * 2**30
#: Bytes of memory that each of its programs may write to for itself (getrlimit(2), RLIMIT_DATA).
MEMORY = 4 * 2**30
#: Of /etc, what libraries look into. Neither users, nor hosts, nor any key.
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "localtime", "mime.types", "fonts")
#: Opens the filter of system calls, which is ``$0``, as a descriptor that the program was not given: one of those that
#: every shell can open by number.
_WITH_FILTER = (
    "n=9; while [ -e /proc/self/fd/$n ]; do n=$((n - 1)); done; "
    '[ $n -gt 2 ] || {{ echo "no descriptor below 10 is free" >&2; exit 125; }}; '
    'eval "exec $n<\\"\\$0\\"" && exec {} --seccomp $n "$@"'
)
#: Within these, a machine under load makes a sandbox.
START_SECONDS = 60.0
_PASSED = ("LANG", "LANGUAGE", "TZ", "LC_ALL", "LC_CTYPE", "NO_COLOR")


class Sandbox:
    """Where one program runs; ``folder`` is what it may read of its own, at the path that it has here.

    ``place`` is a folder that it may write, and that this process may read with ``read_untrusted``; it goes with
    ``close``.
    """

    def __init__(self, folder: Path, *more: Path) -> None:
        self._held = temporary_folder("sandbox")
        self._root = Path(self._held.name)
        self.place = self._root / "place"
        self.place.mkdir(mode=0o700)
        self._id = IDS[secrets.randbelow(len(IDS))] if os.geteuid() == 0 else os.geteuid()
        self._readable = {path: self._copied(path, number) for number, path in enumerate((folder, *more))}
        self._folder = folder
        (self._root / "filter").write_bytes(seccomp.program())
        (self._root / "passwd").write_text(f"suite:x:{self._id}:{self._id}::/tmp:/bin/sh\n")
        (self._root / "group").write_text(f"suite:x:{self._id}:\n")
        self.give(self.place)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what it has written; nothing may run in it any more."""
        self._held.cleanup()

    def give(self, path: Path) -> None:
        """Make a file of ``place`` the program's own."""
        if os.geteuid() == 0:
            os.chown(path, self._id, self._id, follow_symlinks=False)

    def command(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        cwd: Path | None = None,
        options: Sequence[str] = (),
    ) -> list[str]:
        """What runs ``argv`` inside, with ``env`` (without secrets) and little else of this environment.

        Descriptors pass into it. ``options`` are bubblewrap's own.
        """
        words = [*options, "--die-with-parent", "--new-session", "--hostname", "suite"]
        words += [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts")] + ["--unshare-cgroup-try"]
        within: list[str] = ["choom", "-n", "1000", "--", "prlimit", "--core=0", f"--fsize={FILE}", f"--data={MEMORY}"]
        if os.geteuid() == 0:
            words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
            own = str(self._id)
            within += [f"--nproc={PROGRAMS}", "setpriv", "--reuid", own, "--regid", own, "--clear-groups"]
            within += ["--inh-caps=-all", "--"]
        else:
            words += ["--unshare-user", "--disable-userns"]
        words += self._mounts()
        start = [
            *words,
            "--clearenv",
            *(word for name, value in variables(env).items() for word in ("--setenv", name, value)),
            "--chdir",
            str(cwd or self._folder),
        ]
        program = shell.join([*_without_powers(), "bwrap"])
        with_filter = _WITH_FILTER.format(program) if seccomp.program() else f'exec {program} "$@"'
        return ["sh", "-c", with_filter, str(self._root / "filter"), *start, "--", *within, *argv]

    def rights(self) -> dict[str, Any]:
        """Arguments of ``entering.give_up_rights`` for a process that enters; the filter in hexadecimal, for JSON."""
        return {
            "user": self._id,
            "filter_program": seccomp.program().hex(),
            "programs": PROGRAMS,
            "file_bytes": FILE,
            "memory_bytes": MEMORY,
        }

    def _mounts(self) -> list[str]:
        shown = [*environment_of_python(), *self._readable, self.place]
        above = dict.fromkeys(parent for each in shown for parent in reversed(each.parents))
        words = []
        for path in (Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
            if path.is_symlink():
                words += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                words += ["--ro-bind", str(path), str(path)]
        for parent in ("/etc", "/etc/ssl"):
            words += ["--perms", "0755", "--dir", parent]
        for name in _ETC:
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for name in ("passwd", "group"):
            words += ["--ro-bind", str(self._root / name), f"/etc/{name}"]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for path in (Path("/tmp"), Path("/dev/shm"), Path("/run")):  # noqa: S108  # its own
            words += ["--perms", "1777", "--size", str(TEMPORARY), "--tmpfs", str(path)]
        for path in above:
            if path not in (Path("/"), Path("/tmp"), Path("/run"), Path("/usr")):  # noqa: S108
                words += ["--perms", "0755", "--dir", str(path)]
        for path in environment_of_python():
            words += ["--ro-bind", str(path), str(path)]
        for path, source in self._readable.items():
            words += ["--ro-bind", str(source), str(path)]
        return [*words, "--bind", str(self.place), str(self.place), "--remount-ro", "/"]

    def _copied(self, path: Path, number: int) -> Path:
        """``path``, or a copy of it where the program's user could not read all of it."""
        if os.geteuid() != 0 or _is_open(path):
            return path
        copy = self._root / str(number)
        if path.is_file():
            shutil.copyfile(path, copy)
        else:
            shutil.copytree(path, copy, symlinks=True)
        for each in (copy, *(copy.rglob("*") if copy.is_dir() else ())):
            if not each.is_symlink():
                each.chmod(each.stat().st_mode | (0o755 if each.is_dir() else 0o444))
        return copy


class WaitingSandbox:
    """A sandbox in which nothing runs but what keeps it there, until a process enters it; see ``forking.Inside``.

    It belongs to the thread that makes it, and ends with it. What has entered ends with ``close``.

    Raises:
        InfrastructureError: it cannot be made.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.variables, self.rights = variables(), sandbox.rights()
        self.namespaces: list[int] = []
        answer, end = os.pipe()
        argv = sandbox.command(["sh", "-c", "echo; exec cat"], options=["--info-fd", str(end)])
        with os.fdopen(answer, "rb") as information:
            try:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,  # and it ends where that does
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=[end],
                    start_new_session=True,
                    env=surroundings(),
                )
            finally:
                os.close(end)
            try:
                self._enterable(information)
            except BaseException:
                self.close()
                raise

    def _enterable(self, information: IO[bytes]) -> None:
        """Wait until all of it is there, and open the way into it; ``information`` is where bubblewrap's JSON comes."""
        stdout = self._process.stdout
        assert stdout is not None
        words = b""
        try:
            if readable([stdout], START_SECONDS):
                words = os.read(stdout.fileno(), 4096)
            if words == b"\n":
                self.namespaces = open_namespaces(int(read_json(information.read(10_000))["child-pid"]))
                return
        except (OSError, ValueError, KeyError, TypeError) as error:
            words += str(error).encode()
        why = words.decode(errors="replace").strip() or f"it is not there after {START_SECONDS:.0f} s"
        raise InfrastructureError(f"bubblewrap made no sandbox: {why}", advice="harness doctor")

    def close(self) -> None:
        """End all that runs in it; may be called again."""
        close_all(self.namespaces)
        self.namespaces = []
        self._process.kill()  # its first process inside dies with it, and with that one all others
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def _without_powers() -> tuple[str, ...]:
    """bubblewrap starts for root, and for a user without capabilities (capabilities(7)): others have theirs taken."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    if os.geteuid() == 0 or "CapAmb:\t0000000000000000\n" in status:
        return ()
    return ("setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--")


def variables(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """All variables of a program inside; the list of processes shows them, so none may be secret."""
    return {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108  # its own
        "USER": "suite",
        "PYTHONPATH": str(_package().parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(more or {}),
    }


def environment_of_python() -> list[Path]:
    """The folders that this harness runs from, outside of /usr: this Python, its packages, and the harness's own."""
    known = [Path(sys.base_prefix), Path(sys.prefix), *(Path(sysconfig.get_path(n)) for n in ("purelib", "platlib"))]
    folders: list[Path] = []
    for path in (*known, _package()):
        inside = any(path.is_relative_to(other) for other in (*folders, Path("/usr")))
        if path.is_dir() and not inside and path not in (Path("/"), Path.home()):
            folders.append(path)
    return folders


@functools.cache
def obstacle() -> str:
    """Why this machine has no sandbox; empty where it has."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder)) as sandbox:
        try:
            completed = run(sandbox.command(["true"]), timeout=60)
        except HarnessError as error:
            return error.message
        return "" if completed.ok else f"bubblewrap cannot make one: {completed.text.strip()[-300:]}"


def remedy(why: str) -> str:
    """What helps where there is the obstacle ``why``."""
    if "not installed" in why:
        return "install bubblewrap (make setup)"
    if any(word in why for word in ("namespace", "uid map", "not permitted")):
        return (
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0; in a container, its seccomp profile), or run it as root"
        )
    return "run bwrap by hand (bwrap --ro-bind / / true) and mend what it says"


def demanded(folder: Path, *more: Path) -> Sandbox:
    """A sandbox for code of ``folder``.

    Raises:
        InfrastructureError: this machine has none.
    """
    if why := obstacle():
        raise InfrastructureError(
            f"this machine has no sandbox for code that is not the harness's own: {why}",
            advice=f"{remedy(why)}, or trust the code: --trust-code",
        )
    return Sandbox(folder, *more)


def read_untrusted(path: Path, limit: int) -> bytes | None:
    """A file that a sandboxed program wrote, ``limit`` bytes of its end; None where it is no plain file, or none."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    state = os.fstat(opened)
    if not stat.S_ISREG(state.st_mode):
        os.close(opened)
        return None
    with os.fdopen(opened, "rb") as file:
        file.seek(max(0, state.st_size - limit))
        return file.read(limit)


def _package() -> Path:
    return Path(harness.__file__).resolve().parent


def _is_open(path: Path) -> bool:
    """Whether anybody may read it and all that is in it."""
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        if each.is_symlink():
            continue
        wanted = 0o005 if each.is_dir() else 0o004
        if each.stat().st_mode & wanted != wanted:
            return False
    return True
