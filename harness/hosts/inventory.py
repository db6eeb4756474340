"""The hosts of a lab: who they are, how to log in, which keys of theirs are trusted.

Host keys are strict: the harness connects to no host with an unknown key, and to no host whose key has changed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys

from harness.errors import InfrastructureError, UsageError
from harness.model.definitions import Host, Hosts
from harness.system.process import connected

CONNECT_SECONDS = 20.0
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
WINDOW = 16 << 20
#: What paramiko's AuthenticationException says where nothing was refused: it has no class of its own for that.
LOST_IN_LOGIN = ("transport shut down", "Authentication timeout")
KEEPALIVE_SECONDS = 15
#: Commands are small, and wait for answers; a network that went away without a word is found within half a minute.
TCP = (
    (socket.TCP_NODELAY, 1),
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 4),
    (socket.TCP_USER_TIMEOUT, 30_000),
)

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what matters is raised; it would print tracebacks


def resolve_secret(reference: str, owner: str) -> str:
    """The text behind ``env:NAME`` or ``file:PATH``; an inventory names secrets and never holds them.

    Raises:
        UsageError: there is none.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if value is None:
            raise UsageError(f"{owner}: the environment variable {name} is not set", advice=f"set {name}, and repeat")
        return value
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{owner}: {name} cannot be read: {error.strerror}", advice="correct the inventory") from error


def fingerprint(key: paramiko.PKey) -> str:
    """As ``ssh-keygen -l`` prints it: ``SHA256:…``."""
    return str(key.fingerprint)


class HostUnreachable(InfrastructureError):
    """Nothing answers there as SSH servers do; it may come back."""


@dataclass(frozen=True)
class Connection:
    """A login, and the way to it through other hosts."""

    transport: paramiko.Transport
    way: contextlib.ExitStack

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.way.close()


@dataclass(frozen=True)
class Inventory:
    """The hosts of a lab, and the file of host keys that were confirmed (format of OpenSSH's known_hosts)."""

    hosts: Hosts
    known_hosts: Path

    def host(self, name: str) -> Host:
        """Raises:
        UsageError: there is none.
        """
        for host in self.hosts.hosts:
            if host.host == name:
                return host
        known = ", ".join(host.host for host in self.hosts.hosts)
        raise UsageError(f"no host {name!r} in the inventory; there is: {known}", advice="see: harness hosts list")

    def known(self, host: Host) -> HostKeys:
        """Host keys that are trusted for a host: the one in the inventory, else those that were confirmed.

        Raises:
            UsageError: a line is no key.
        """
        keys = HostKeys()
        if host.host_key is not None:
            try:
                entry = HostKeyEntry.from_line(f"{self.name_of(host)} {host.host_key}")
            except paramiko.SSHException:
                entry = None
            if entry is None or entry.key is None:
                raise UsageError(
                    f"{host.host}: host_key is no line of known_hosts without the name",
                    advice="take it from: ssh-keyscan, after comparing the fingerprint",
                )
            keys.add(self.name_of(host), entry.key.get_name(), entry.key)
        elif self.known_hosts.is_file():
            keys.load(str(self.known_hosts))
        return keys

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables that hold secrets of its hosts."""
        references = [ref for host in self.hosts.hosts for ref in (host.key, host.password, host.passphrase) if ref]
        return tuple(ref.removeprefix("env:") for ref in references if ref.startswith("env:"))

    @staticmethod
    def name_of(host: Host) -> str:
        """Of a host in a file of known hosts."""
        return host.address if host.port == 22 else f"[{host.address}]:{host.port}"

    def is_known(self, host: Host) -> bool:
        """Whether a key of it is trusted. Raises as ``known``."""
        return self.known(host).lookup(self.name_of(host)) is not None

    def trust(self, name: str, key: paramiko.PKey) -> None:
        """Remember a key that was confirmed, in place of any other of that host."""
        host = self.host(name)
        keys = HostKeys()
        if self.known_hosts.is_file():
            keys.load(str(self.known_hosts))
        with contextlib.suppress(KeyError):
            del keys[self.name_of(host)]
        keys.add(self.name_of(host), key.get_name(), key)
        part = self.known_hosts.with_name(f".{self.known_hosts.name}.part")
        keys.save(str(part))
        part.replace(self.known_hosts)

    def offered_key(self, name: str) -> paramiko.PKey:
        """The key that a host shows now, trusted or not; nothing is logged into.

        Raises:
            InfrastructureError: the host does not answer.
        """
        host = self.host(name)
        with self._through(host) as sock, _errors(host):
            transport = paramiko.Transport(sock)
            try:
                transport.start_client(timeout=CONNECT_SECONDS)
                return transport.get_remote_server_key()
            finally:
                transport.close()

    def connect(self, name: str) -> Connection:
        """Log in.

        Raises:
            InfrastructureError: the host does not answer, is not known, shows another key, or refuses the login.
            UsageError: a secret is missing.
        """
        host = self.host(name)
        keys = self.known(host)
        if not self.is_known(host):
            raise InfrastructureError(
                f"{host.host}: its host key is not known, so it is not talked to",
                advice=f"compare the fingerprint with the host's own console, then: harness hosts trust {host.host}",
            )
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        host_keys = client.get_host_keys()
        for word, key in (keys.lookup(self.name_of(host)) or {}).items():
            host_keys.add(self.name_of(host), word, key)
        password = resolve_secret(host.password, host.host).rstrip("\n") if host.password is not None else None
        private = _private_key(host) if host.key is not None else None
        with contextlib.ExitStack() as stack:
            stack.callback(client.close)
            sock = stack.enter_context(self._through(host))
            with _errors(host):
                client.connect(
                    host.address,
                    host.port,
                    host.user,
                    password=password,
                    pkey=private,
                    sock=sock,
                    look_for_keys=False,
                    allow_agent=password is None and private is None,
                    timeout=CONNECT_SECONDS,
                    banner_timeout=CONNECT_SECONDS,
                    auth_timeout=CONNECT_SECONDS,
                    transport_factory=_transport,
                )
                transport = client.get_transport()
                if transport is None:
                    raise paramiko.SSHException("the connection ended at once")
                transport.set_keepalive(KEEPALIVE_SECONDS)
            # The way through other hosts must live as long as what goes through it, and no longer.
            return Connection(transport, stack.pop_all())

    @contextlib.contextmanager
    def _through(self, host: Host) -> Iterator[socket.socket | paramiko.Channel]:
        """A connection to the host's port: direct, through a program, or through the hosts before it."""
        if host.proxy_command:
            words = shlex.split(host.proxy_command)
            with connected(
                [word.replace("%h", host.address).replace("%p", str(host.port)) for word in words]
            ) as through:
                yield through
            return
        if host.jump is None:
            with _errors(host):
                direct = socket.create_connection((host.address, host.port), timeout=CONNECT_SECONDS)
            for option, value in TCP:
                direct.setsockopt(socket.IPPROTO_TCP, option, value)
            direct.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            with direct:
                yield direct
            return
        before = self.connect(host.jump)
        try:
            with _errors(host):
                channel = before.transport.open_channel(
                    "direct-tcpip", (host.address, host.port), ("127.0.0.1", 0), timeout=CONNECT_SECONDS
                )
            yield channel
        finally:
            before.close()


def _transport(sock: Any, **more: Any) -> paramiko.Transport:
    """Ciphers that need no second pass over the data go first, for bulk copies; a window that rarely has to be opened.

    Those of 3DES and CBC, which paramiko still offers, are left out.
    """
    transport = paramiko.Transport(sock, default_window_size=WINDOW, **more)
    options = transport.get_security_options()
    options.ciphers = tuple(cipher for cipher in CIPHERS if cipher in options.ciphers)
    return transport


def _private_key(host: Host) -> paramiko.PKey:
    text = resolve_secret(str(host.key), host.host)
    phrase = resolve_secret(host.passphrase, host.host).rstrip("\n") if host.passphrase is not None else None
    fault = "is no private key that can be read"
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password=phrase)
        except paramiko.PasswordRequiredException:
            fault = "is encrypted, and the inventory names no passphrase"
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise UsageError(f"{host.host}: the key behind {host.key} {fault}", advice="correct the inventory or the key")


@contextlib.contextmanager
def _errors(host: Host) -> Iterator[None]:
    """Turn what paramiko and sockets raise into who has to act."""
    where = f"{host.host} ({host.user}@{host.address}:{host.port})"
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise InfrastructureError(
            f"{where}: its host key is another one than was trusted: expected {fingerprint(error.expected_key)}, "
            f"got {fingerprint(error.key)}: someone may be in between",
            advice=f"find out why; if it was installed anew: harness hosts trust {host.host} --replace",
        ) from error
    except paramiko.AuthenticationException as error:
        if any(words in str(error) for words in LOST_IN_LOGIN):
            raise HostUnreachable(
                f"{where}: the connection ended in the middle of a login: {error}",
                advice="check the network, and how busy the host is",
            ) from error
        raise InfrastructureError(
            f"{where}: it refuses the login: {error}", advice="check user, key or password of the inventory"
        ) from error
    except (paramiko.SSHException, EOFError) as error:
        raise HostUnreachable(
            f"{where}: {error or 'the connection was closed'}", advice="check that an SSH server answers there"
        ) from error
    except OSError as error:
        raise HostUnreachable(
            f"{where}: {error.strerror or error}", advice="check address, port and network, and that it is up"
        ) from error
