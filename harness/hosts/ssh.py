"""A lab host over SSH, with nothing but ``sh`` and coreutils on it.

A command runs under a small supervisor of its own session and leaves its output and status in a folder on the host, so
that a connection that is lost in the middle is picked up again instead of the command being lost, or run twice.
"""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paramiko

from harness.errors import HarnessError, InfrastructureError, StepTimeout
from harness.hosts.channel import Answer, ConnectionLost, after_mark, ask, marked, new_mark
from harness.hosts.forwarding import Forward
from harness.hosts.inventory import CONNECT_SECONDS, Connection, HostUnreachable, Inventory
from harness.hosts.keeping import note
from harness.hosts.supervising import (
    CUT,
    KILL_AFTER,
    MISSING,
    TOO_LARGE,
    TWICE,
    UNBEGUN,
    as_user,
    begin,
    new_folder,
    pick_up,
)
from harness.hosts.verbs import HostVerbs
from harness.model.definitions import Host, Hosts
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import Verb, Verbs, note_deed, restart_was_asked
from harness.provision import posix
from harness.system import shell
from harness.system.abandoning import abandonable
from harness.system.bounded import MAX_FILE
from harness.system.process import Completed
from harness.system.wait import wait_until

#: A lost connection is looked for so long beyond the limit of the command that was under way.
GRACE_SECONDS = 60.0
INLINE = 60_000


class SshMachine:
    """Implements ``harness.model.machine.Machine`` over one connection, made when it is needed and made again."""

    def __init__(
        self,
        inventory: Inventory,
        host: str,
        mark: str = "",
        *,
        deeds: Path = Path(),
        cancel: threading.Event | None = None,
    ) -> None:
        """``cancel``: once it is set, whatever waits for the host raises Canceled at once. What was begun there goes
        on until it is ended by its mark."""
        self.inventory = inventory
        self.cancel = cancel
        self.peers: dict[str, str] = {}  #: role -> address of the other machines of the cell
        self.deeds = deeds  #: where uses of verbs are noted
        self.mark = mark  #: in the environment of every command
        self.host = inventory.host(host)
        self._connection: Connection | None = None
        self._boot = ""  #: id of the host's boot when it was first seen
        self._lock = threading.Lock()  #: of the connection; commands go side by side
        self._forwards: dict[int, Forward] = {}  #: ports of a host that is not reached directly
        self._spent: set[str] = set()  #: folders of commands that are over; changed under the lock

    @property
    def name(self) -> str:
        return self.host.host

    @property
    def reference(self) -> MachineReference:
        return MachineReference(
            kind="ssh",
            name=self.name,
            hosts=Hosts(hosts=self._way()),
            known_hosts=self.inventory.known_hosts.absolute(),
            mark=self.mark,
            peers=self.peers,
            deeds=self.deeds,
        )

    def _way(self) -> tuple[Host, ...]:
        """The host, and those that lead to it."""
        way = [self.host]
        while (jump := way[-1].jump) is not None:
            way.append(self.inventory.host(jump))
        return tuple(way)

    def reboot(self, seconds: float = 600) -> float:
        """Restart the host, and wait until it can be logged into again; gives the seconds that it took.

        Raises:
            InfrastructureError: it did not go down, or did not come back in time.
        """
        started = time.monotonic()
        before = self._boot_id()
        note_deed(self.reference.deeds, self.name, Verb.REBOOT)
        with contextlib.suppress(InfrastructureError):  # the connection ends with it
            self._repeated(
                "sync; (sleep 0.2; systemctl reboot || reboot || echo b >/proc/sysrq-trigger) "
                "</dev/null >/dev/null 2>&1 &",
                b"",
            )
        try:
            wait_until(lambda: self._boots_anew(before), seconds=seconds, what="the restart", interval=0.5)
        except StepTimeout:
            raise HostUnreachable(
                f"{self.name}: it was asked to restart and did not come back within {seconds:.0f} s",
                advice="look at its console",
            ) from None
        note_deed(self.reference.deeds, self.name, Verb.REBOOT, ends=True, boot=self._boot_id())
        return time.monotonic() - started

    def _boots_anew(self, before: str) -> bool:
        """Whether the host answers, and was started since the boot ``before``."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._boot = None, ""
            self._spent.clear()
        with contextlib.suppress(InfrastructureError):
            return self._boot_id() != before
        return False

    def _boot_id(self) -> str:
        answer = self._repeated("cat /proc/sys/kernel/random/boot_id", b"")
        return answer.out.strip()

    def processes(self) -> dict[int, str]:
        return posix.processes(self)

    def resources(self) -> Resources | None:
        """Of the whole host, which a cell has for itself."""
        return posix.resources(self)

    @property
    def verbs(self) -> Verbs:
        way = frozenset(host.address for host in self._way()[1:])
        return HostVerbs(self, mark=self.mark, peers=self.peers, controller=way, deeds=self.deeds)

    def close(self) -> None:
        """Leave nothing behind, and end the connection."""
        if self._spent and self._connection is not None:
            with contextlib.suppress(HarnessError):
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
        folder = new_folder()
        data = stdin.encode()
        start = self._begin(folder, command, timeout, user, len(data))
        with self._lock:
            spent = frozenset(self._spent)
        if spent:
            start = f"rm -rf {' '.join(sorted(spent))}; {start}"
        patience = timeout + KILL_AFTER + GRACE_SECONDS
        try:
            answer = self._carried_out(start, folder, data, patience)
        finally:
            with self._lock:
                self._spent.add(folder)
        with self._lock:
            self._spent -= spent
        err, _, status = answer.err.rpartition("\n")
        return Completed(
            rc=int(status),
            out=answer.out,
            err=after_mark(err.encode(), folder).decode(errors="replace"),
            seconds=time.monotonic() - started,
        )

    def _carried_out(self, start: str, folder: str, data: bytes, patience: float) -> Answer:
        """Begin a command and wait for it, over as many connections as it takes; in ``patience`` seconds.

        Raises:
            InfrastructureError: as ``run``.
            Canceled: as ``_try``.
        """
        script, stdin = start, data

        def ask_again() -> Answer | None:
            nonlocal script, stdin
            answer = self._try(script, stdin, patience)
            if answer is not None and answer.rc not in (0, TWICE, UNBEGUN):
                raise self._refused(answer)
            begun = answer is None or answer.rc != UNBEGUN
            script, stdin = (pick_up(folder), b"") if begun else (start, data)
            return answer if answer is not None and answer.rc == 0 else None

        return self._until(ask_again, patience, "the connection was lost in the middle of a command")

    def _until(self, ask_again: Callable[[], Answer | None], seconds: float, words: str) -> Answer:
        """Ask again after a lost connection, for ``seconds``.

        Raises:
            HostUnreachable: no connection came; ``words`` say what was lost.
            Canceled: as ``_try``.
        """
        try:
            return wait_until(ask_again, seconds=seconds, what=self.name, interval=0.2, longest=0.2, cancel=self.cancel)
        except StepTimeout:
            raise HostUnreachable(
                f"{self.name}: {words} and could not be made again", advice="check the host, then repeat"
            ) from None

    def _refused(self, answer: Answer) -> InfrastructureError:
        if answer.rc == CUT:
            return InfrastructureError(
                f"{self.name}: a command's process is gone without a result: the disk is full, "
                "something ended it, or the host was restarted",
                advice="find out why, then repeat",
            )
        return InfrastructureError(
            f"{self.name}: no command can be begun there: {answer.text.strip()[-300:]}",
            advice="check /tmp and the disk of the host",
        )

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        part = f"{posixpath.join(posixpath.dirname(path), '.')}harness-{secrets.token_hex(6)}"
        q = shell.quote
        script = (
            f"{note(path) if self.mark else ''}\n"
            f"mkdir -p {q(posixpath.dirname(path) or '/')} && cat >{q(part)} "
            f"&& [ $(wc -c <{q(part)}) -eq {len(data)} ] && chmod {mode} {q(part)} "
            f"&& chown {q(owner)} {q(part)} && mv -f {q(part)} {q(path)} "
            f"|| {{ r=$?; rm -f {q(part)}; exit $r; }}"
        )
        answer = self._repeated(script, data)
        if answer.rc != 0:
            raise InfrastructureError(
                f"{self.name}: {path} cannot be written: {answer.text.strip()[-300:]}",
                advice="check the host's disk and permissions",
            )

    def get(self, path: str) -> bytes:
        q = shell.quote(path)
        answer = self._repeated(
            f"[ -f {q} ] || exit {MISSING}; n=$(wc -c <{q}) || exit 1; echo $n >&2; "
            f"[ $n -le {MAX_FILE} ] || exit {TOO_LARGE}; cat {q}",
            b"",
        )
        size = answer.err.partition("\n")[0].strip()
        if answer.rc == MISSING:
            raise FileNotFoundError(f"{self.name} has no {path}")
        if answer.rc == TOO_LARGE:
            raise InfrastructureError(
                f"{self.name}: {path} has {size} bytes; the harness reads files of up to {MAX_FILE}",
                advice="let the suite ask for a part of it by a command",
            )
        if answer.rc != 0 or size != str(len(answer.raw)):
            raise InfrastructureError(
                f"{self.name}: {path} cannot be read: {answer.err.strip()[-300:]}",
                advice="check the host's permissions",
            )
        return answer.raw

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

    def _begin(self, folder: str, command: str, timeout: float, user: str, size: int) -> str:
        if self.mark:
            command = f"export HARNESS_MARK={self.mark}\n{command}"
        if len(command.encode()) > INLINE:
            raise InfrastructureError(
                f"{self.name}: a command of {len(command)} characters is too long for one call",
                advice="put it into a file first",
            )
        if self.host.user not in (user, "root") and not self.host.sudo:
            raise self._not_allowed(user)
        return begin(folder, command, as_user(folder, self.host.user, user, timeout), size, self.mark)

    def _not_allowed(self, user: str) -> InfrastructureError:
        return InfrastructureError(
            f"{self.name}: {self.host.user} may not act as {user}",
            advice="log in as root, or set sudo: true in the inventory",
        )

    # --- the connection ---

    def _repeated(self, script: str, stdin: bytes) -> Answer:
        """What a script that may safely be repeated gives, as root."""
        mark = new_mark()
        script = marked(script, mark)
        if self.host.user != "root":
            if not self.host.sudo:
                raise self._not_allowed("root")
            script = f"sudo -n sh -c {shell.quote(script)}"
        return self._until(
            lambda: self._try(script, stdin, GRACE_SECONDS, mark), GRACE_SECONDS, "the connection was lost"
        )

    def _try(self, script: str, stdin: bytes, silence: float, mark: str = "") -> Answer | None:
        """None where the connection was lost, or could not be made again.

        Raises:
            InfrastructureError: as ``Inventory.connect``, where there was none before, or waiting will not help; the
                host was restarted since the first connection.
            Canceled: the campaign was stopped; the script may go on on the host.
        """
        if self.cancel is None:
            return self._ask(script, stdin, silence, mark)
        return abandonable(
            lambda: self._ask(script, stdin, silence, mark), what=f"an answer of {self.name}", cancel=self.cancel
        )

    def _ask(self, script: str, stdin: bytes, silence: float, mark: str) -> Answer | None:
        """As ``_try``, without an end by a stop."""
        try:
            with self._lock:
                connection = self._connection = self._connection or self._login()
        except HostUnreachable:
            if not self._boot:
                raise
            return None
        try:
            return ask(connection, script, stdin, silence, mark)
        except ConnectionLost:
            with self._lock:
                if self._connection is connection:
                    self._connection = None
            connection.close()
            return None

    def _login(self) -> Connection:
        connection = self.inventory.connect(self.host.host)
        try:
            boot = ask(
                connection, "cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown", b"", CONNECT_SECONDS
            ).out.strip()
        except ConnectionLost:
            connection.close()
            raise HostUnreachable(f"{self.name}: the connection ended at once", advice="check its SSH server") from None
        known, self._boot = self._boot, boot
        if known not in ("", boot) and not restart_was_asked(self.reference.deeds, self.name, boot):
            connection.close()
            raise InfrastructureError(f"{self.name}: the host was restarted", advice="find out why, then repeat")
        return connection
