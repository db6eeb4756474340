"""This machine itself, for products that are tested where they are."""

from __future__ import annotations

import base64
import grp
import os
import posixpath
import pwd
import secrets
import threading
from pathlib import Path

from harness.errors import InfrastructureError
from harness.hosts.keeping import note
from harness.hosts.verbs import HostVerbs
from harness.model.machine import MachineReference, Resources
from harness.model.verbs import Verbs
from harness.provision import posix
from harness.system import process, shell
from harness.system.bounded import MAX_FILE
from harness.system.process import Completed

KILL_AFTER = 5
_MISSING = 196
#: Beyond its limit a command has so long to end by itself.
GRACE_SECONDS = 30


class LocalMachine:
    """Implements ``harness.model.machine.Machine``.

    It acts as root, so it must be root or have sudo without a password.
    """

    def __init__(
        self, name: str = "local", mark: str = "", *, deeds: Path = Path(), cancel: threading.Event | None = None
    ) -> None:
        """``cancel``: once it is set, commands end at once."""
        self._name = name
        self.peers: dict[str, str] = {}  #: role -> address of the other machines of the cell
        self.deeds = deeds  #: where uses of verbs are noted
        self.mark = mark  #: in the environment of every command
        self.cancel = cancel

    @property
    def name(self) -> str:
        return self._name

    @property
    def reference(self) -> MachineReference:
        return MachineReference(kind="local", name=self.name, mark=self.mark, peers=self.peers, deeds=self.deeds)

    def run(self, command: str, *, timeout: float = 60, stdin: str = "", user: str = "root") -> Completed:
        text = f"export HARNESS_MARK={self.mark}\n{command}\n" if self.mark else f"{command}\n"
        marked = ["env", f"HARNESS_MARK={self.mark}"] if self.mark else []
        argv = [*marked, "timeout", "-k", str(KILL_AFTER), f"{timeout:.1f}", "sh", "-c", text]
        own = pwd.getpwuid(os.geteuid()).pw_name
        if own != user:
            try:
                pwd.getpwnam(user)
            except KeyError:
                raise InfrastructureError(
                    f"{self.name}: there is no user {user}", advice="let a step of the product make it"
                ) from None
            argv = (
                ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups", *argv]
                if os.geteuid() == 0
                else ["sudo", "-n", "-u", user, *argv]
            )
        return process.run(
            argv,
            timeout=timeout + KILL_AFTER + GRACE_SECONDS,
            stdin=stdin.encode(),
            cwd=Path("/"),
            cancel=self.cancel,
        )

    def put(self, path: str, data: bytes, *, mode: str = "0644", owner: str = "root:root") -> None:
        q = shell.quote
        if self.mark:
            self._note(path)
        part = posixpath.join(posixpath.dirname(path), f".harness-{secrets.token_hex(6)}")
        if os.geteuid() == 0:
            user, _, group = owner.partition(":")
            try:
                file = Path(part)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch(mode=0o600)
                file.write_bytes(data)
                os.chown(file, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid if group else -1)
                file.chmod(int(mode, 8))
                file.replace(path)
            except (OSError, KeyError) as error:
                Path(part).unlink(missing_ok=True)
                raise InfrastructureError(
                    f"{self.name}: {path} cannot be written: {error}", advice="check disk and permissions"
                ) from error
            return
        script = (
            f"mkdir -p {q(posixpath.dirname(path))} && cat >{q(part)} && chmod {mode} {q(part)} && "
            f"chown {q(owner)} {q(part)} && mv -f {q(part)} {q(path)}"
        )
        answer = process.run(["sudo", "-n", "sh", "-c", script], timeout=120, stdin=data)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.name}: {path} cannot be written: {answer.text.strip()[-300:]}",
                advice="check disk, permissions and sudo",
            )

    def _note(self, path: str) -> None:
        """Note what was there, for a cell that is undone later."""
        answer = self.run(note(path) or "true", timeout=120)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.name}: {path} cannot be kept before it is written: {answer.text.strip()[-300:]}",
                advice="check disk and permissions",
            )

    def get(self, path: str) -> bytes:
        file = Path(path)
        if not file.is_file():  # a pipe or a device would be read without an end
            raise FileNotFoundError(f"{self.name} has no {path}")
        try:
            if (size := file.stat().st_size) > MAX_FILE:
                raise InfrastructureError(
                    f"{self.name}: {path} has {size} bytes; the harness reads files of up to {MAX_FILE}",
                    advice="let the suite ask for a part of it by a command",
                )
            with file.open("rb") as stream:
                return stream.read(MAX_FILE)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.name} has no {path}") from None
        except PermissionError:
            return self._get_as_root(path)
        except OSError as error:
            raise InfrastructureError(
                f"{self.name}: {path} cannot be read: {error.strerror}", advice="check the disk"
            ) from error

    def _get_as_root(self, path: str) -> bytes:
        q = shell.quote(path)
        answer = self.run(f"[ -f {q} ] || exit {_MISSING}; base64 -w 0 <{q}", timeout=120)
        if answer.rc == _MISSING:
            raise FileNotFoundError(f"{self.name} has no {path}")
        if not answer.ok:
            raise InfrastructureError(
                f"{self.name}: {path} cannot be read: {answer.err.strip()[-300:]}",
                advice="run the harness as root, or allow sudo without a password",
            )
        return base64.b64decode(answer.out)

    def address(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", port

    def processes(self) -> dict[int, str]:
        return posix.processes(self)

    def resources(self) -> Resources | None:
        return posix.resources(self)

    @property
    def verbs(self) -> Verbs:
        return HostVerbs(self, mark=self.mark, peers=self.peers, deeds=self.deeds)

    def close(self) -> None:
        """Nothing is open."""
