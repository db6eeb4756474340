"""A lab host belongs to one cell at a time: an exclusive lease with a heartbeat, kept on the host itself.

On the host, because several controllers may use it. All of it is done under flock(1) there, so that of two that come
at the same time one wins; the host's own clock decides when a lease is over, so controllers' clocks do not matter.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time

from harness.errors import InfrastructureError
from harness.model.machine import Machine
from harness.system import shell

#: Where the host keeps what is known of it between campaigns.
PLACE = "/var/lib/xinchuang-harness"
#: A lease that nobody renews is over after so many seconds.
LEASE_SECONDS = 180
#: A lease that was renewed so recently is taken for held without asking.
TRUSTED_SECONDS = 5.0
_HELD, _DIRTY, _OTHER = 11, 12, 13

_LOCKED = f"umask 022; mkdir -p {PLACE} && cd {PLACE} || exit 1; now=$(date +%s)\n"
_TAKE = (
    _LOCKED
    + """
if [ -s lease ]; then read -r token until owner <lease
  [ "$until" -lt "$now" ] || { echo "$owner, for $((until - now)) s more"; exit 11; }
  echo "expired: $owner" >&2
fi
[ DIRTY = too ] || [ ! -s dirty ] || { cat dirty; exit 12; }
printf '%s %s %s\\n' TOKEN $((now + SECONDS)) OWNER >.lease.new && mv -f .lease.new lease
"""
)
_RENEW = (
    _LOCKED
    + """
read -r token until owner <lease 2>/dev/null || { echo nobody; exit 13; }
[ "$token" = TOKEN ] || { echo "$owner"; exit 13; }
printf '%s %s %s\\n' TOKEN $((now + SECONDS)) "$owner" >.lease.new && mv -f .lease.new lease
"""
)
_DROP = (
    _LOCKED
    + """
read -r token until owner <lease 2>/dev/null || exit 0
[ "$token" != TOKEN ] || rm -f lease
"""
)


class HostBusy(InfrastructureError):
    """Another cell has the host now."""


class HostDirty(InfrastructureError):
    """What an earlier cell changed on the host could not be undone."""


class Lease:
    """Held from ``take`` to ``release``; ``check`` raises once it is lost. A thread of its own uses ``machine``."""

    def __init__(self, machine: Machine, owner: str, seconds: int = LEASE_SECONDS, *, dirty_too: bool = False) -> None:
        """``dirty_too``: for a host that is to be put back now, so its mark does not matter."""
        self.machine, self.owner, self.seconds = machine, owner, seconds
        self._take = _TAKE.replace("DIRTY", "too" if dirty_too else "not")
        self.token = secrets.token_hex(8)  #: fences: whoever took the host over has another one
        self._stop = threading.Event()
        self._lost = ""
        self._renewed = 0.0
        self._renewing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def take(self) -> None:
        """Raises:
        HostBusy: someone has it.
        HostDirty: it is marked as dirty.
        InfrastructureError: it does not answer.
        """
        answer = self._under_lock(self._take)
        if answer[0] == _HELD:
            raise HostBusy(
                f"{self.machine.name} is in use: {answer[1]}", advice="wait, or add a host with these labels"
            )
        if answer[0] == _DIRTY:
            raise HostDirty(
                f"{self.machine.name} is marked dirty, an earlier cell could not be undone on it: {answer[1][:600]}",
                advice=f"restore the host, then: harness hosts clean {self.machine.name}",
            )
        if answer[0] != 0:
            raise InfrastructureError(
                f"{self.machine.name} cannot be leased: {answer[1][-300:]}", advice=f"check {PLACE} and flock(1) there"
            )
        self._renewed = time.monotonic()
        self._thread.start()

    def _under_lock(self, script: str) -> tuple[int, str]:
        text = script.replace("TOKEN", self.token).replace("SECONDS", str(self.seconds))
        text = text.replace("OWNER", shell.quote(self.owner))
        quoted = shell.quote(text)
        answer = self.machine.run(f"mkdir -p {PLACE} && flock -w 20 {PLACE}/.lock sh -c {quoted}", timeout=60)
        return answer.rc, answer.text.strip()

    def _beat(self) -> None:
        while not self._stop.wait(self.seconds / 6) and not self._lost:
            self._renew()

    def _renew(self) -> None:
        with self._renewing:
            try:
                rc, answer = self._under_lock(_RENEW)
            except InfrastructureError as error:
                if time.monotonic() - self._renewed > self.seconds:  # another may have it by now
                    self._lost = f"it could not be renewed: {error.message}"
                return
            if rc == _OTHER:
                self._lost = f"the host is {answer}'s now"
            elif rc == 0:
                self._renewed = time.monotonic()

    def check(self) -> None:
        """Raises:
        InfrastructureError: the lease is lost: nothing more may be done on the host.
        """
        if time.monotonic() - self._renewed > TRUSTED_SECONDS and not self._lost:
            self._renew()
        if self._lost:
            raise InfrastructureError(
                f"{self.machine.name}: the lease of the host was lost: {self._lost}",
                advice="find out who uses it, then: harness resume",
            )

    def release(self) -> None:
        """Give it back; one that was lost is somebody else's and is left alone."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=90)
        with contextlib.suppress(InfrastructureError):
            self._under_lock(_DROP)


def mark_dirty(machine: Machine, why: str) -> None:
    """Nobody gets the host before a person looked at it. Raises as ``Machine.put``."""
    machine.put(f"{PLACE}/dirty", f"{why}\n".encode())


def reason_of(machine: Machine) -> str:
    """Why the host is marked dirty, empty where it is not. Raises as ``Machine.run``."""
    return machine.run(f"cat {PLACE}/dirty 2>/dev/null", timeout=60).out.strip()


def unmark(machine: Machine) -> str:
    """Take the mark away; gives what it said, empty where there was none. Raises as ``Machine.run``."""
    return machine.run(f"cat {PLACE}/dirty 2>/dev/null; rm -f {PLACE}/dirty", timeout=60).out.strip()
