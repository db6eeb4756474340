"""Every machine keeps the promises of ``harness.model.machine.Machine``, on every architecture."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from harness.containers.engine import Engine
from harness.containers.machine import ContainerMachine
from harness.errors import InfrastructureError
from harness.hosts.local import LocalMachine
from harness.machines import opening
from harness.machines.opening import open_machine
from harness.model.machine import Machine, MachineReference, Resources
from harness.system.bounded import MAX_OUTPUT
from harness.system.wait import wait_until
from tests.labs import container, over_ssh, podman, virtual

ARCHITECTURES = {"x86_64": "debian-12", "aarch64": "debian-12", "loongarch64": "debian-forky"}
#: Models of the virtual machines; that of x86-64 is no CPU that this machine could be.
MODELS = {"x86_64": "hygon-c86", "aarch64": "phytium-ft2000plus", "loongarch64": "loongson-3a5000"}
#: Two architectures and each way are in the gate; what else they make together takes minutes.
LONG = {
    ("docker", "loongarch64"),
    ("ssh", "aarch64"),
    ("ssh", "loongarch64"),
    ("vm", "aarch64"),
    ("vm", "loongarch64"),
    ("podman", "aarch64"),
}
KINDS = [
    pytest.param(
        (way, architecture), id=f"{way} {architecture}", marks=[pytest.mark.full] * ((way, architecture) in LONG)
    )
    for way, architecture in (
        *((way, architecture) for way in ("docker", "ssh", "vm") for architecture in ARCHITECTURES),
        ("local", "x86_64"),
        ("podman", "x86_64"),
        ("podman", "aarch64"),
    )
]


@pytest.fixture(scope="module", params=KINDS)
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    way, architecture = request.param
    os, folder = ARCHITECTURES[architecture], tmp_path_factory.mktemp(way)
    with contextlib.ExitStack() as stack:
        if way == "docker":
            yield stack.enter_context(container(os, architecture))
        elif way == "podman":
            yield stack.enter_context(container(os, architecture, engine=stack.enter_context(podman(folder))))
        elif way == "vm":
            yield stack.enter_context(virtual(os, MODELS[architecture], folder))
        elif way == "local":
            yield LocalMachine()
        else:
            monkey = stack.enter_context(pytest.MonkeyPatch.context())
            yield stack.enter_context(over_ssh(os, architecture, folder / "known_hosts", monkey))


@pytest.fixture(scope="module")
def bare() -> Iterator[ContainerMachine]:
    with container("debian-12", "x86_64") as made:
        yield made


def test_run_gives_status_output_and_error(machine: Machine) -> None:
    done = machine.run("echo out; echo err >&2; exit 7")
    assert (done.rc, done.out, done.err) == (7, "out\n", "err\n")


def test_the_architecture_is_the_declared_one(machine: Machine, request: pytest.FixtureRequest) -> None:
    declared = request.node.callspec.params["machine"][1]
    assert machine.run("uname -m").out == f"{declared}\n"


@pytest.mark.parametrize("size", [10, 70_000, 400_000])
def test_input_of_any_size(machine: Machine, size: int) -> None:
    text = "生僻字𬱖'\"$`\\ \n" * (size // 20)
    assert machine.run("cat", stdin=text).out == text


@pytest.mark.parametrize("text", ["no newline", "one\n", "three\n\n\n", "\n", "  blanks  ", "\ttab\r\n", "EOF\n", "'"])
def test_input_comes_as_it_was_given_to_its_end(machine: Machine, text: str) -> None:
    assert machine.run("cat", stdin=text).out == text
    assert machine.run("wc -c", stdin=text).out.split() == [str(len(text.encode()))]


def test_a_command_ends_at_its_limit(machine: Machine) -> None:
    done = machine.run("echo begins; echo fails >&2; sleep 30", timeout=2)
    assert (done.rc, done.out, done.err) == (124, "begins\n", "fails\n")


def test_a_command_that_ignores_the_end_of_its_time_is_killed_with_what_it_started(machine: Machine) -> None:
    stubborn = "trap '' TERM; sleep 322 & while :; do sleep 0.2; done"
    done = machine.run(stubborn, timeout=2)
    assert done.rc == 137
    assert not [args for args in machine.processes().values() if "sleep 322" in args]


def test_commands_are_texts_of_a_shell_of_their_own(machine: Machine) -> None:
    """A status, a syntax error, arguments and an end of the shell itself are the command's, and nothing else's."""
    assert machine.run("exit 3").rc == 3
    assert machine.run("set -e; false; echo on").out == ""
    assert machine.run("echo $#").out == "0\n"
    assert machine.run("exec echo replaced").out == "replaced\n"
    assert machine.run("trap 'echo last' EXIT; echo first").out == "first\nlast\n"
    assert machine.run("# a comment\necho behind it").out == "behind it\n"
    for broken in ("echo )", "echo 'open", "if true", "echo ) ; exit 0; ("):
        done = machine.run(broken)
        assert done.rc == 2, (broken, done)
        assert done.err, broken


def test_files_come_back_as_they_went(machine: Machine) -> None:
    data = bytes(range(256)) * 100
    machine.put("/opt/new folder/file", data, mode="0640", owner="root:daemon")
    assert machine.get("/opt/new folder/file") == data
    assert machine.run("stat -c '%a %G' '/opt/new folder/file'").out == "640 daemon\n"
    with pytest.raises(FileNotFoundError):
        machine.get("/no/such/file")


def test_a_link_is_followed(machine: Machine) -> None:
    machine.run("mkdir -p /opt/l && echo there >/opt/l/target && ln -sf target /opt/l/link")
    assert machine.get("/opt/l/link") == b"there\n"


def test_commands_run_as_the_user_asked_for(machine: Machine) -> None:
    assert machine.run("id -un", user="daemon").out == "daemon\n"


def test_files_are_made_with_the_rights_that_everybody_expects(machine: Machine) -> None:
    done = machine.run("f=$(mktemp -u) && touch $f && stat -c %a $f; rm -f $f")
    assert done.out == "644\n"


def test_what_runs_is_listed_but_not_what_lists_it(machine: Machine) -> None:
    before = machine.processes()
    machine.run("setsid sleep 321 </dev/null >/dev/null 2>&1 &")
    try:
        came = {pid: args for pid, args in machine.processes().items() if pid not in before}
        assert [args for args in came.values() if "sleep 321" in args], came
        if machine.reference.kind != "local":  # other programs of this machine come up as they like
            assert all("sleep 321" in args for args in came.values()), came
    finally:
        machine.run("for p in /proc/[0-9]*; do grep -qz '^321$' $p/cmdline 2>/dev/null && kill ${p#/proc/}; done")


#: A shell loop that takes a good part of a second even on a fast machine.
WORK = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; sleep 2.5"


def test_resources_grow_with_work(machine: Machine) -> None:
    """Podman cannot tell; everything else says what was used, and more of it after work."""
    engine = getattr(machine, "engine", None)
    if engine is not None and engine.is_podman:
        assert machine.resources() is None
        return
    first = machine.resources()
    worker = threading.Thread(target=lambda: machine.run(WORK, timeout=240))
    worker.start()
    try:
        # A container's processes are listed anew every two seconds, so the work is looked at while it goes on.
        used = wait_until(lambda: used_since(machine, first), seconds=240, what="use of the processor", interval=0.5)
    finally:
        worker.join()
    assert used.memory > 0


def used_since(machine: Machine, first: Resources | None) -> Resources | None:
    now = machine.resources()
    return now if now is not None and now.cpu > (first.cpu if first is not None else 0.0) + 0.1 else None


def test_another_process_reaches_it_by_its_reference(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runners are processes of their own; what they know of a machine travels as text."""
    text = machine.reference.model_dump_json()
    assert "PRIVATE KEY" not in text
    engine = getattr(machine, "engine", None)
    if engine is not None:
        monkeypatch.setattr(opening, "shared_engine", lambda: engine)
    again = open_machine(MachineReference.model_validate_json(text))
    try:
        assert again.run("uname -m").out == machine.run("uname -m").out
    finally:
        again.close()


def test_published_ports_are_on_this_machine_only(bare: ContainerMachine) -> None:
    host, port = bare.address(8080)
    assert host == "127.0.0.1"
    assert port > 0
    with pytest.raises(InfrastructureError, match="does not publish"):
        bare.address(9999)


def test_limits_are_set(bare: ContainerMachine) -> None:
    settings = bare.engine.client.api.inspect_container(bare.container)["HostConfig"]
    assert settings["Memory"] == settings["MemorySwap"] == 256 * 2**20
    assert settings["NanoCpus"] == 10**9
    assert settings["PidsLimit"] == 64
    assert settings["CapDrop"] == ["ALL"]
    assert not settings["Privileged"]


def test_a_machine_that_is_gone_is_the_labs_trouble() -> None:
    gone = ContainerMachine(Engine(), "0" * 64, "gone")
    with pytest.raises(InfrastructureError):
        gone.run("true")
    with pytest.raises(InfrastructureError):
        gone.address(80)


def test_long_output_is_cut_in_the_middle_and_the_status_stays(machine: Machine) -> None:
    done = machine.run("echo begins; head -c 24000000 /dev/zero; echo ends; exit 7", timeout=120)
    assert done.rc == 7
    assert len(done.out) < MAX_OUTPUT + 1000
    assert done.out.startswith("begins\n")
    assert done.out.endswith("ends\n")
    assert "bytes cut by the harness" in done.out


def test_no_file_is_read_without_an_end(machine: Machine) -> None:
    machine.run("cd /tmp; ln -sfn loop-a loop-b; ln -sfn loop-b loop-a; mkfifo pipe; truncate -s 120M huge")
    for path in ("/tmp/loop-a", "/tmp/pipe", "/dev/zero", "/tmp"):
        with pytest.raises(FileNotFoundError):
            machine.get(path)
    with pytest.raises(InfrastructureError, match="reads files of up to"):
        machine.get("/tmp/huge")
    machine.run("cd /tmp; rm -f loop-a loop-b pipe huge")
