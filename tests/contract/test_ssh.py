"""A lab host over SSH: who is talked to, who is not, and what a broken connection does to a command."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import psutil
import pytest

from harness.containers.engine import Engine
from harness.errors import InfrastructureError, UsageError
from harness.hosts.inventory import HostUnreachable, fingerprint, resolve_secret
from harness.hosts.ssh import SshMachine
from harness.system.bounded import MAX_FILE, MAX_OUTPUT
from harness.system.wait import wait_until
from tests.labs import LabHost, inventory, lab_host


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHost]:
    with lab_host("debian-12", "x86_64", packages=("busybox",)) as made:
        made.inside.run(
            "useradd -m alice; useradd -m bob; echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice; "
            "echo 'bob:only-for-this-test' | chpasswd; mkdir -p /home/alice/.ssh; "
            "cp /root/.ssh/authorized_keys /home/alice/.ssh/; chown -R alice /home/alice/.ssh"
        )
        yield made


@pytest.fixture
def known(tmp_path: Path, lab: LabHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_KEY", lab.key)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "known_hosts"


def open_(lab: LabHost, known: Path, **change: object) -> SshMachine:
    return SshMachine(inventory(known, lab.plain(**change)), "lab")


# --- who is talked to ---


def test_a_host_whose_key_is_not_known_is_not_talked_to(lab: LabHost, known: Path) -> None:
    with pytest.raises(InfrastructureError, match="its host key is not known") as error:
        open_(lab, known, host_key=None).run("true")
    assert "harness hosts trust lab" in error.value.advice


def test_a_key_that_was_confirmed_is_trusted(lab: LabHost, known: Path) -> None:
    hosts = inventory(known, lab.plain(host_key=None))
    key = hosts.offered_key("lab")
    kind = key.get_name().removeprefix("ssh-").partition("-")[0]
    printed = lab.inside.run(f"ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub")
    assert printed.ok, printed.text
    assert printed.out.split()[1] == fingerprint(key)
    hosts.trust("lab", key)
    machine = SshMachine(hosts, "lab")
    assert machine.run("echo here").out == "here\n"
    machine.close()


def test_another_key_than_the_trusted_one_ends_it(lab: LabHost, known: Path) -> None:
    other = paramiko.ECDSAKey.generate()
    with pytest.raises(InfrastructureError, match="another one than was trusted: expected SHA256:") as error:
        open_(lab, known, host_key=f"{other.get_name()} {other.get_base64()}").run("true")
    assert not isinstance(error.value, HostUnreachable)
    assert "someone may be in between" in error.value.message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user": "nobody-here"}, "it refuses the login"),
        ({"key": None, "password": "env:LAB_PASSWORD", "user": "bob"}, "it refuses the login"),
        ({"port": 1}, "Connection refused"),
    ],
)
def test_a_login_that_fails_says_who_acts(
    lab: LabHost, known: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], told: str
) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "wrong")
    with pytest.raises(InfrastructureError, match=told) as error:
        open_(lab, known, **change).run("true", user=str(change.get("user", "root")))
    assert error.value.advice


def test_a_password_works_where_it_is_right(lab: LabHost, known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "only-for-this-test\n")
    machine = open_(lab, known, user="bob", key=None, password="env:LAB_PASSWORD")
    assert machine.run("id -un", user="bob").out == "bob\n"
    with pytest.raises(InfrastructureError, match="bob may not act as root"):
        machine.run("true")
    with pytest.raises(InfrastructureError, match="bob may not act as root"):
        machine.put("/etc/x", b"")
    machine.close()


def test_sudo_makes_a_login_root_or_another(lab: LabHost, known: Path) -> None:
    machine = open_(lab, known, user="alice", sudo=True)
    assert machine.run("id -un").out == "root\n"
    assert machine.run("id -un; cat", user="daemon", stdin="words").out == "daemon\nwords"
    assert machine.run("id -un", user="alice").out == "alice\n"
    assert machine.run("sleep 30", timeout=1).rc == 124
    machine.put("/etc/by-sudo", b"x", mode="0600")
    assert machine.get("/etc/by-sudo") == b"x"
    assert machine.run("stat -c '%U %a' /etc/by-sudo").out == "root 600\n"
    machine.close()


def test_keys_with_a_passphrase(lab: LabHost, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    paramiko.ECDSAKey.from_private_key_file(_write(tmp_path / "plain", lab.key)).write_private_key_file(
        str(path), password="open sesame"
    )
    with pytest.raises(UsageError, match="is encrypted, and the inventory names no passphrase"):
        open_(lab, known, key=f"file:{path}").run("true")
    monkeypatch.setenv("LAB_PHRASE", "open sesame")
    machine = open_(lab, known, key=f"file:{path}", passphrase="env:LAB_PHRASE")
    assert machine.run("true").ok
    machine.close()


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:NOT_SET_ANYWHERE", "environment variable NOT_SET_ANYWHERE is not set"),
        ("file:/no/such", "cannot be read"),
    ],
)
def test_a_secret_that_is_missing(reference: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        resolve_secret(reference, "lab")


def test_a_key_that_is_none(lab: LabHost, known: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no private key that can be read"):
        open_(lab, known, key=f"file:{_write(tmp_path / 'key', 'words')}").run("true")


def test_a_host_behind_another(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("contract")
    network = f"harness-contract-{secrets.token_hex(4)}"
    engine.create_network(network, engine.labels("contract", "1", ""))
    try:
        with (
            lab_host("debian-12", "x86_64", network=network, alias="outer") as outer,
            lab_host("debian-12", "x86_64", network=network, alias="inner") as inner,
        ):
            monkeypatch.setenv("OUTER", outer.key)
            monkeypatch.setenv("INNER", inner.key)
            hosts = inventory(
                known,
                outer.plain(key="env:OUTER"),
                inner.plain(address="inner", port=22, key="env:INNER", jump="outer"),
            )
            machine = SshMachine(hosts, "inner")
            assert machine.run("hostname").out == "inner\n"
            machine.close()
            assert hosts.offered_key("inner").get_name()
            monkeypatch.setenv("OUTER", inner.key)
            with pytest.raises(InfrastructureError, match=r"outer .* refuses the login"):
                SshMachine(hosts, "inner").run("true")
    finally:
        engine.remove_network(network)


RELAY = """\
import os, socket, sys, threading
far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := far.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    far.sendall(data)
"""


def test_a_host_behind_a_proxy(lab: LabHost, known: Path, tmp_path: Path) -> None:
    """Through a program, as OpenSSH's ProxyCommand; it ends with the connection."""
    (tmp_path / "relay.py").write_text(RELAY)
    word = f"{sys.executable} {tmp_path}/relay.py %h %p"
    hosts = inventory(known, lab.plain(proxy_command=word))
    machine = SshMachine(hosts, "lab")
    assert machine.run("echo through").out == "through\n"
    data = secrets.token_bytes(3 << 20)
    machine.put("/opt/through", data)
    assert machine.get("/opt/through") == data
    machine.close()
    left = [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or ())]
    assert left == []
    for wrong, told in (("no-such-program %h", "program not found: no-such-program"), ("false %h %p", "lab")):
        with pytest.raises(InfrastructureError, match=told):
            SshMachine(inventory(known, lab.plain(proxy_command=wrong)), "lab").run("true")


def fetched(where: tuple[str, int]) -> bytes:
    with urllib.request.urlopen(f"http://{where[0]}:{where[1]}/passwd", timeout=20) as answer:
        return bytes(answer.read())


def again(where: tuple[str, int], body: bytes) -> bool:
    with contextlib.suppress(OSError):
        return fetched(where) == body
    return False


def test_a_product_on_a_host_that_is_not_reached_directly(lab: LabHost, known: Path, tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text(RELAY)
    hosts = inventory(known, lab.plain(proxy_command=f"{sys.executable} {tmp_path}/relay.py %h %p"))
    machine = SshMachine(hosts, "lab")
    where = machine.address(8080)
    assert where[0] == "127.0.0.1"
    assert machine.address(8080) == where
    assert machine.address(8081) != where
    with contextlib.suppress(ConnectionResetError), socket.create_connection(where, 10) as nothing:
        nothing.settimeout(10)
        assert nothing.recv(1) == b"", "nothing listens there yet"
    assert lab.inside.run("busybox httpd -p 127.0.0.1:8080 -h /etc").ok
    body = fetched(where)
    assert body == machine.get("/etc/passwd")
    assert lab.drop_connections() >= 1
    wait_until(lambda: again(where, body), seconds=20, what="the way that is made anew")
    assert machine.run("echo again").out == "again\n"
    machine.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(where, 5)


# --- what is an answer, and what only stands beside it ---


@pytest.fixture
def noisy(lab: LabHost) -> Iterator[None]:
    """A login whose shell prints before each command, on a host whose sudo warns."""
    hosts = lab.inside.get("/etc/hosts").decode()
    lab.inside.run(
        "id carol 2>/dev/null || useradd -m -s /bin/bash carol; mkdir -p /home/carol/.ssh; "
        "cp /root/.ssh/authorized_keys /home/carol/.ssh/; "
        "echo 'carol ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/carol; "
        "printf 'echo welcome; echo 3 warnings >&2\n' >/home/carol/.bashrc; chown -R carol /home/carol; "
        "echo 127.0.0.1 localhost >/etc/hosts"
    )
    assert "unable to resolve host" in lab.inside.run("su carol -c 'sudo -n true'").err
    yield
    lab.inside.run("cat >/etc/hosts", stdin=hosts)


@pytest.mark.usefixtures("noisy")
def test_what_login_and_sudo_print_is_no_part_of_an_answer(lab: LabHost, known: Path) -> None:
    machine = open_(lab, known, user="carol", sudo=True)
    for user in ("root", "carol", "daemon"):
        done = machine.run("echo out; echo err >&2; exit 7", user=user)
        assert (done.rc, done.out, done.err) == (7, "out\n", "err\n")
    data = secrets.token_bytes(200_000)
    machine.put("/srv/data", data)
    assert machine.get("/srv/data") == data
    machine.put("/srv/empty", b"")
    assert machine.get("/srv/empty") == b""
    assert machine.processes()
    with pytest.raises(FileNotFoundError):
        machine.get("/srv/nothing")
    machine.close()


def test_commands_side_by_side_leave_nothing_behind(lab: LabHost, known: Path) -> None:
    machine = open_(lab, known)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: machine.run(f"echo {n}").out, range(60)))
    assert answers == [f"{n}\n" for n in range(60)]
    machine.close()
    # What supervised the last commands ends a moment after them.
    left = "ls -d /tmp/.harness-* 2>/dev/null"
    wait_until(lambda: lab.inside.run(left).out == "", seconds=30, what="an empty temporary folder")


def test_output_without_end_is_cut_on_the_host(lab: LabHost, known: Path) -> None:
    machine = open_(lab, known)
    done = machine.run("head -c 30000000 /dev/zero | tr '\\0' x; echo end; echo error >&2")
    assert len(done.out) < MAX_OUTPUT + 100
    assert done.out.endswith("xend\n")
    assert "[... 22000004 bytes cut by the harness ...]" in done.out
    assert done.err == "error\n"
    machine.run(f"truncate -s {MAX_FILE + 1} /srv/large")
    with pytest.raises(InfrastructureError, match=f"/srv/large has {MAX_FILE + 1} bytes"):
        machine.get("/srv/large")
    machine.run("rm /srv/large")
    machine.close()


# --- what a broken connection does ---


def test_a_command_survives_its_connection_and_runs_once(lab: LabHost, known: Path) -> None:
    machine = open_(lab, known)
    machine.run("rm -f /srv/ran")
    cut = threading.Timer(1.0, lab.drop_connections)
    cut.start()
    done = machine.run("echo x >>/srv/ran; sleep 3; echo out; echo err >&2; exit 5", timeout=30)
    cut.join()
    assert (done.rc, done.out, done.err) == (5, "out\n", "err\n")
    assert lab.inside.get("/srv/ran") == b"x\n"
    assert machine.run("echo on").out == "on\n"
    machine.close()


def test_connections_that_break_at_any_moment(lab: LabHost, known: Path) -> None:
    machine = open_(lab, known)
    machine.run("rm -f /root/count")
    stop = threading.Event()
    cuts, pause = 0, 0.35

    def cut() -> None:
        nonlocal cuts, pause
        while not stop.wait(pause):
            cuts += lab.drop_connections()
            pause = min(pause * 1.3, 20.0)  # on a busy machine a connection takes longer than that to be made

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        for number in range(12):
            done = machine.run(
                f"echo {number} >>/root/count; sleep 0.{number}; cat", stdin=f"{number}\n" * 100, timeout=30
            )
            assert (done.rc, done.out) == (0, f"{number}\n" * 100)
            machine.put("/root/file", bytes([number]) * 50_000)
            assert machine.get("/root/file") == bytes([number]) * 50_000
            pause = 0.35
    finally:
        stop.set()
        thread.join()
    assert cuts > 5, "the connection was hardly ever cut"
    assert lab.inside.get("/root/count").decode().split() == [str(number) for number in range(12)]
    machine.close()


def test_a_host_that_was_restarted_in_the_middle(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab_host("debian-12", "x86_64") as own:
        monkeypatch.setenv("LAB_KEY", own.key)
        # A container's published port changes when it is started again; its own address does not.
        networks = own.inside.engine.client.api.inspect_container(own.inside.container)["NetworkSettings"]
        machine = open_(own, known, address=networks["IPAddress"], port=22)
        machine.run("true")

        def restart() -> None:
            time.sleep(1)
            container = own.inside.engine.client.containers.get(own.inside.container)
            container.restart(timeout=0)
            own.start_sshd()

        thread = threading.Thread(target=restart)
        thread.start()
        try:
            with pytest.raises(InfrastructureError, match="a command's process is gone without a result"):
                machine.run("sleep 60", timeout=60)
        finally:
            thread.join()
        machine.close()


def test_a_host_that_is_full(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lab_host("debian-12", "x86_64", tmpfs={"/tmp": "size=256k"}) as own:
        monkeypatch.setenv("LAB_KEY", own.key)
        machine = open_(own, known)
        with pytest.raises(InfrastructureError, match=r"/tmp/large cannot be written: .*No space left"):
            machine.put("/tmp/large", bytes(1_000_000))
        assert machine.run("ls -A /tmp | grep -v '^.harness' | wc -l").out == "0\n", "half a file was left"
        with pytest.raises(InfrastructureError, match=r"no command can be begun there: .*No space left"):
            machine.run("cat", stdin="x" * 1_000_000)
        with pytest.raises(InfrastructureError, match="gone without a result: the disk is full"):
            machine.run("head -c 1000000 /dev/zero >/tmp/all; echo told")
        with pytest.raises(InfrastructureError, match=r"no command can be begun|gone without a result"):
            machine.run("echo hello")
        machine.close()
