"""A lab host over SSH, with nothing but ``sh`` and coreutils on it.

A command runs under a small supervisor of its own session and leaves its output and status in a folder on the host, so
that a connection that is lost in the middle is picked up again instead of the command being lost, or run twice.
"""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import shlex
import threading
import time
from dataclasses import dataclass

import paramiko

from harness.errors import InfrastructureError
from harness.hosts.forwarding import Forward
from harness.hosts.inventory import CONNECT_SECONDS, Connection, HostUnreachable, Inventory
from harness.hosts.keeping import note
from harness.model.definitions import Hosts
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import UnsupportedVerbs, Verbs
from harness.provision import posix
from harness.system.bounded import MAX_FILE, MAX_OUTPUT, Bounded
from harness.system.process import Completed

#: A lost connection is looked for so long beyond the limit of the command that was under way.
GRACE_SECONDS = 60.0
KILL_AFTER = 5
PIECE = 1 << 16
BULK, MOUTHFUL = 1 << 15, 1 << 22
INLINE = 60_000

# Statuses of our own scripts; that of the command itself comes in the last line of the error output.
_TWICE, _CUT, _UNBEGUN, _MISSING = 199, 198, 197, 196


class SshMachine:
    """Implements ``harness.model.machine.Machine`` over one connection, made when it is needed and made again."""

    def __init__(self, inventory: Inventory, host: str, mark: str = "") -> None:
        self.inventory = inventory
        self.mark = mark  #: in the environment of every command
        self.host = inventory.host(host)
        self._connection: Connection | None = None
        self._boot = ""  #: id of the host's boot when it was first seen
        self._lock = threading.Lock()  #: of the connection; commands go side by side
        self._forwards: dict[int, Forward] = {}  #: ports of a host that is not reached directly
        self._spent: list[str] = []  #: folders of commands that are over

    @property
    def name(self) -> str:
        return self.host.host

    @property
    def reference(self) -> MachineReference:
        way, at = [self.host], self.host
        while at.jump is not None:
            at = self.inventory.host(at.jump)
            way.append(at)
        return MachineReference(
            kind="ssh",
            name=self.name,
            hosts=Hosts(hosts=tuple(way)),
            known_hosts=self.inventory.known_hosts.absolute(),
            mark=self.mark,
        )

    def reboot(self, seconds: float = 600) -> float:
        """Restart the host, and wait until it can be logged into again; gives the seconds that it took.

        Raises:
            InfrastructureError: it did not go down, or did not come back in time.
        """
        started = time.monotonic()
        before = self._boot_id()
        with contextlib.suppress(InfrastructureError):  # the connection ends with it
            self._repeated(
                "sync; (sleep 0.2; systemctl reboot || reboot || echo b >/proc/sysrq-trigger) "
                "</dev/null >/dev/null 2>&1 &",
                b"",
            )
        while time.monotonic() < started + seconds:
            time.sleep(0.5)
            with self._lock:
                if self._connection is not None:
                    self._connection.close()
                self._connection, self._boot, self._spent = None, "", []
            with contextlib.suppress(InfrastructureError):
                if self._boot_id() != before:
                    return time.monotonic() - started
        raise HostUnreachable(
            f"{self.name}: it was told to restart and did not come back within {seconds:.0f} s",
            advice="look at its console",
        )

    def _boot_id(self) -> str:
        done = self._repeated("cat /proc/sys/kernel/random/boot_id", b"")
        return done.out.strip()

    def processes(self) -> dict[int, str]:
        return posix.processes(self)

    def resources(self) -> Resources | None:
        """Of the whole host, which a cell has for itself."""
        return posix.resources(self)

    @property
    def verbs(self) -> Verbs:
        return UnsupportedVerbs()

    def close(self) -> None:
        """Leave nothing behind, and end the connection."""
        if self._spent and self._connection is not None:
            with contextlib.suppress(InfrastructureError):
                self._try(f"rm -rf {' '.join(self._spent)}", b"", GRACE_SECONDS)
        with self._lock:
            for forward in self._forwards.values():
                forward.close()
            self._forwards.clear()
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        """As promised by ``Machine``; a connection that is lost meanwhile is made again and the command picked up.

        Raises:
            InfrastructureError: the host does not answer, was restarted meanwhile, or its login may not act as
                ``user``.
        """
        started = time.monotonic()
        folder = f"/tmp/.harness-{secrets.token_hex(8)}"  # noqa: S108  # on the host, random name, mode 0700
        spent, data = list(self._spent), stdin.encode()
        begin = self._begin(folder, command, timeout, user, len(data))
        if spent:
            begin = f"rm -rf {' '.join(spent)}; {begin}"
        patience = timeout + KILL_AFTER + GRACE_SECONDS
        try:
            done = self._try(begin, data, patience)
            while done is None or done.rc != 0:
                if time.monotonic() > started + patience:
                    raise HostUnreachable(
                        f"{self.name}: the connection was lost in the middle of a command and could not be made again",
                        advice="check the host, then repeat",
                    )
                if done is None or done.rc == _TWICE:
                    time.sleep(0.2)
                    done = self._try(_pick_up(folder), b"", patience)
                elif done.rc == _UNBEGUN:
                    done = self._try(begin, data, patience)
                else:
                    raise self._refused(done)
        finally:
            self._spent.append(folder)
        self._spent = [one for one in self._spent if one not in spent]
        err, _, status = done.err.rpartition("\n")
        return Completed(rc=int(status), out=done.out, err=err, seconds=time.monotonic() - started)

    def _refused(self, done: _Answer) -> InfrastructureError:
        if done.rc == _CUT:
            return InfrastructureError(
                f"{self.name}: a command's process is gone without a result: the disk is full, "
                "something ended it, or the host was restarted",
                advice="find out why, then repeat",
            )
        return InfrastructureError(
            f"{self.name}: no command can be begun there: {done.text.strip()[-300:]}",
            advice="check /tmp and the disk of the host",
        )

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        part = f"{posixpath.join(posixpath.dirname(path), '.')}harness-{secrets.token_hex(6)}"
        q = shlex.quote
        script = (
            f"{note(path) if self.mark else ''}\n"
            f"mkdir -p {q(posixpath.dirname(path) or '/')} && cat >{q(part)} "
            f"&& [ $(wc -c <{q(part)}) -eq {len(data)} ] && chmod {mode} {q(part)} "
            f"&& chown {q(owner)} {q(part)} && mv -f {q(part)} {q(path)} "
            f"|| {{ r=$?; rm -f {q(part)}; exit $r; }}"
        )
        done = self._repeated(script, data)
        if done.rc != 0:
            raise InfrastructureError(
                f"{self.name}: {path} cannot be written: {done.text.strip()[-300:]}",
                advice="check the host's disk and permissions",
            )

    def get(self, path: str) -> bytes:
        q = shlex.quote(path)
        done = self._repeated(
            f"[ -f {q} ] || exit {_MISSING}; s=$(wc -c <{q}); echo $s >&2; [ $s -gt {MAX_FILE} ] || cat {q}",
            b"",
            limit=2 * MAX_FILE,
        )
        if done.rc == _MISSING:
            raise FileNotFoundError(f"{self.name} has no {path}")
        if done.rc == 0 and not done.raw and int(done.err.split()[-1]) > MAX_FILE:
            raise InfrastructureError(
                f"{self.name}: {path} has {done.err.split()[-1]} bytes; the harness reads files of up to {MAX_FILE}",
                advice="let the suite ask for a part of it by a command",
            )
        if done.rc != 0 or len(done.raw) != int(done.err.split()[0]):
            raise InfrastructureError(
                f"{self.name}: {path} cannot be read: {done.text.strip()[-300:]}", advice="check the host's permissions"
            )
        return done.raw

    def address(self, port: int) -> tuple[str, int]:
        """The host's own address where it is reached directly; else a port of this machine that leads there over the
        connection to it."""
        if self.host.jump is None and not self.host.proxy_command:
            return self.host.address, port
        with self._lock:
            if port not in self._forwards:
                self._forwards[port] = Forward(lambda: self._channel_to(port), f"forward-{self.name}-{port}")
            return self._forwards[port].address

    def _channel_to(self, port: int) -> paramiko.Channel:
        """A channel to a port of the host, from the host itself."""
        with self._lock:
            if self._connection is not None and not self._connection.transport.is_active():
                self._connection.close()
                self._connection = None
            connection = self._connection = self._connection or self._login()
        return connection.transport.open_channel(
            "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=CONNECT_SECONDS
        )

    # --- the script on the host ---

    def _begin(self, folder: str, command: str, timeout: float, user: str, size: int) -> str:
        """Shell text: note the command, run it in a session of its own, wait for it, give what it left."""
        q = shlex.quote
        if self.mark:
            command = f"export HARNESS_MARK={self.mark}\n{command}"
        limit = f"timeout -k {KILL_AFTER} {timeout:.1f}"
        if len(command.encode()) > INLINE:
            raise InfrastructureError(
                f"{self.name}: a command of {len(command)} characters is too long for one call",
                advice="put it into a file first",
            )
        text = f'"$(cat {folder}/cmd)"'
        if self.host.user == user:
            run = f"{limit} sh {folder}/cmd"
        elif self.host.user == "root":
            run = f"{limit} su -s /bin/sh {q(user)} -c {text}"
        elif self.host.sudo:
            run = f"sudo -n {'' if user == 'root' else f'-u {q(user)} '}{limit} sh -c {text}"
        else:
            raise InfrastructureError(
                f"{self.name}: {self.host.user} may not act as {user}",
                advice="log in as root, or set sudo: true in the inventory",
            )
        watch = (
            f"trap '' HUP; umask 022; echo $$ >{folder}/pid; {run} <{folder}/in >{folder}/out 2>{folder}/err; "
            f"echo $? >{folder}/rc.part; mv {folder}/rc.part {folder}/rc"
        )
        # An input that was cut off with the connection must not be taken for the whole.
        begun = (
            f"printf %s {q(command)} >{folder}/cmd && cat >{folder}/in && [ $(wc -c <{folder}/in) -eq {size} ] "
            "|| exit 1"
        )
        launched = f"setsid sh -c {q(watch)} </dev/null >/dev/null 2>&1 & wait $!"
        return (
            f"umask 077; if [ -d {folder} ]; then exit {_TWICE}; fi; mkdir {folder} || exit 1; "
            f"{begun}; {launched}; {_collect(folder)}"
        )

    # --- the connection ---

    def _repeated(self, script: str, stdin: bytes, *, limit: int = MAX_OUTPUT) -> _Answer:
        """What a script that may safely be repeated gives, as root; up to ``limit`` bytes of it."""
        if self.host.user != "root":
            if not self.host.sudo:
                raise InfrastructureError(
                    f"{self.name}: {self.host.user} may not act as root",
                    advice="log in as root, or set sudo: true in the inventory",
                )
            script = f"sudo -n sh -c {shlex.quote(script)}"
        started = time.monotonic()
        while (done := self._try(script, stdin, GRACE_SECONDS, limit)) is None:
            if time.monotonic() > started + GRACE_SECONDS:
                raise HostUnreachable(
                    f"{self.name}: the connection was lost, and could not be made again",
                    advice="check the host, then repeat",
                )
            time.sleep(0.2)
        return done

    def _try(self, script: str, stdin: bytes, silence: float, limit: int = MAX_OUTPUT) -> _Answer | None:
        """None where the connection was lost, or could not be made again.

        Raises:
            InfrastructureError: as ``Inventory.connect``, where there was none before, or waiting will not help; the
                host was restarted since the first connection.
        """
        try:
            with self._lock:
                connection = self._connection = self._connection or self._login()
        except HostUnreachable:
            if not self._boot:
                raise
            return None
        try:
            return _ask(connection, script, stdin, silence, limit)
        except _Lost:
            with self._lock:
                if self._connection is connection:
                    self._connection = None
            connection.close()
            return None

    def _login(self) -> Connection:
        connection = self.inventory.connect(self.host.host)
        try:
            boot = _ask(
                connection, "cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown", b"", CONNECT_SECONDS
            ).out.strip()
        except _Lost:
            connection.close()
            raise HostUnreachable(f"{self.name}: the connection ended at once", advice="check its SSH server") from None
        known, self._boot = self._boot, boot
        if known not in ("", boot):
            connection.close()
            raise InfrastructureError(f"{self.name}: the host was restarted", advice="find out why, then repeat")
        return connection


class _Lost(Exception):
    """The connection ended before the answer came."""


@dataclass(frozen=True)
class _Answer:
    rc: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode(errors="replace")

    @property
    def text(self) -> str:
        return self.out + self.err


def _collect(folder: str) -> str:
    """Shell text: give both outputs, then the status in a line of its own."""
    return (
        f"[ -s {folder}/rc ] || exit {_CUT}; {_part_of(f'{folder}/out')}; {_part_of(f'{folder}/err')} >&2; "
        f"printf '\\n%s' \"$(cat {folder}/rc)\" >&2"
    )


def _part_of(path: str) -> str:
    """Shell text: print a file, or its beginning and end where it is too long to be kept; it is not sent then."""
    half = MAX_OUTPUT // 2
    return (
        f"{{ s=$(wc -c <{path}); if [ $s -le {MAX_OUTPUT} ]; then cat {path}; else head -c {half} {path}; "
        f"printf '\\n[... %s bytes cut by the harness ...]\\n' $((s-{2 * half})); tail -c {half} {path}; fi; }}"
    )


def _pick_up(folder: str) -> str:
    """Shell text: wait for a command that was begun on an earlier connection."""
    return (
        f"[ -d {folder} ] || exit {_UNBEGUN}; n=0; while [ ! -e {folder}/rc ]; do "
        f"if [ -s {folder}/pid ]; then grep -q {folder} /proc/$(cat {folder}/pid)/cmdline 2>/dev/null || "
        f"{{ sleep 0.5; [ -e {folder}/rc ] || exit {_CUT}; }}; "
        f"else n=$((n+1)); [ $n -lt 25 ] || {{ rm -rf {folder}; exit {_UNBEGUN}; }}; fi; "
        f"sleep 0.2; done; {_collect(folder)}"
    )


def _ask(connection: Connection, script: str, stdin: bytes, silence: float, limit: int = MAX_OUTPUT) -> _Answer:
    """What a script gives, up to ``limit`` bytes of each output. A connection that says nothing for ``silence`` seconds
    is taken for lost."""
    try:
        channel = connection.transport.open_session(timeout=CONNECT_SECONDS)
        channel.settimeout(silence)
        channel.exec_command(f"sh -c {shlex.quote(script)}")
        return _converse(channel, stdin, limit)
    except (paramiko.SSHException, EOFError, OSError) as error:  # a timeout is an OSError
        raise _Lost from error


def _converse(channel: paramiko.Channel, stdin: bytes, limit: int) -> _Answer:
    """Send all of ``stdin``, read all of both outputs; each is cut in the middle beyond ``limit`` bytes."""

    def send() -> None:
        with contextlib.suppress(OSError, paramiko.SSHException):
            for at in range(0, len(stdin), PIECE):  # paramiko copies what is left after each packet
                channel.sendall(stdin[at : at + PIECE])
            channel.shutdown_write()

    sender = threading.Thread(target=send, name="ssh-send", daemon=True)
    sender.start()
    errors, output = Bounded(), Bounded(limit)

    def read_errors() -> None:
        with contextlib.suppress(OSError, paramiko.SSHException):
            while chunk := channel.recv_stderr(65536):
                errors.add(chunk)

    reader = threading.Thread(target=read_errors, name="ssh-errors", daemon=True)
    reader.start()
    while chunk := channel.recv(MOUTHFUL):
        output.add(chunk)
        if len(chunk) >= BULK:  # more is on its way: the connection's thread reads it faster while nobody waits for it
            time.sleep(0.001)
    reader.join()
    sender.join()
    rc = channel.recv_exit_status()
    channel.close()
    if rc < 0:
        raise _Lost
    return _Answer(rc=rc, raw=output.value, err=errors.text)
