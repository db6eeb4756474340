"""A product under supervision, on a real machine: its session, its ends, what it leaves, where it listens."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.containers.machine import ContainerMachine
from harness.control.deployment import Deployment
from harness.control.exposure import Exposure
from harness.control.fault import ProductFault
from harness.control.installation import Installation
from harness.control.listening import Listener
from harness.control.supervised import LOG, Supervised
from harness.errors import InfrastructureError
from harness.hosts.ssh import SshMachine
from harness.machines.opening import open_machine
from harness.model.context import Access, CellContext, ServerContext
from harness.model.definitions import Application, Database
from harness.model.machine import Machine
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import parse
from harness.system.wait import wait_until
from tests.labs import container, lab_host, over_ssh
from tests.labs import inventory as ssh_inventory

#: Listens, and serves one answer after another; perl-base is part of every Debian system.
SERVER = """
use IO::Socket::INET; $SIG{PIPE} = 'IGNORE';
my $s = IO::Socket::INET->new(LocalAddr => $ARGV[1] || '0.0.0.0', LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1)
  or die "bind: $!\\n";
my $status = $ARGV[2] || 200;
while (my $c = $s->accept) { print $c "HTTP/1.1 $status X\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n"; close $c }
"""
NAMES = {"zh": "产品", "en": "Product"}


@pytest.fixture(scope="module", params=["docker", "ssh"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if request.param == "docker":
        with container("debian-12", "x86_64") as bare:
            bare.put("/opt/server.pl", SERVER.encode())
            yield bare
        return
    with pytest.MonkeyPatch.context() as monkey:
        known = tmp_path_factory.mktemp("ssh") / "known_hosts"
        with over_ssh("debian-12", "x86_64", known, monkey) as host:
            host.put("/opt/server.pl", SERVER.encode())
            yield host


Deploy = Callable[..., Deployment]


@pytest.fixture
def deploy(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Deploy]:
    made: list[Deployment] = []

    def work(start: str, **keys: Any) -> Deployment:
        deployment = deployed(machine, request.node.name, len(made) + 1, start, **keys)
        made.append(deployment)
        return deployment

    yield work
    for deployment in made:
        with contextlib.suppress(ProductFault):
            deployment.kill()


def deployed(machine: Machine, cell: str, attempt: int, start: str | None, **keys: Any) -> Deployment:
    """A product on ``machine`` that is not started yet."""
    value: dict[str, Any] = {
        "application": "app",
        "name": NAMES,
        "vendor": NAMES,
        "version": "1",
        "start": start,
        "ready": {"command": "true"},
        "stop_seconds": 5,
        **keys,
    }
    path = Catalogue.standard().find("targets", "database", "sqlite.yaml")
    assert path is not None
    published = machine.reference.kind == "container" and "ports" in value
    context = CellContext(
        campaign="c",
        cell=cell,
        attempt=attempt,
        axes={"cpu": "x86-64"},
        architecture="x86_64",
        emulated=False,
        qemu_cpu=None,
        factor=1.0,
        application=Application.model_validate(value),
        servers={
            "database": ServerContext(
                definition=parse(path, Database),
                access=Access(kind="sqlite", path="/tmp/db"),
                machine=machine.reference,
            )
        },
        secrets={},
        application_machine=machine.reference,
        ports={"web": machine.address(8080)} if published else {},
        template_folder=Path("/"),
    )
    deployment = Deployment.on(context, machine, {"database": machine})
    deployment.install_control()
    return deployment


def ended(deployment: Deployment, count: int = 1) -> list[int | None]:
    wait_until(lambda: len(deployment.unasked_ends()) >= count or None, seconds=20, what="an end")
    return [end.status for end in deployment.unasked_ends()]


def test_every_end_that_nobody_asked_for_is_kept_with_what_was_said(deploy: Deploy) -> None:
    product = deploy("sh -c 'echo first words; sleep 0.3; echo last words; exit 3'")
    assert product.start()
    assert ended(product) == [3]
    assert product.start()
    assert ended(product, 2) == [3, 3]
    with pytest.raises(ProductFault, match=r"it ended 2 times although nobody had asked for it: .*status 3") as caught:
        product.demand_no_end()
    assert "last words" in caught.value.log
    assert "退出 2 次" in caught.value.zh


def test_a_signal_is_named(deploy: Deploy) -> None:
    product = deploy("sh -c 'sleep 0.2; kill -SEGV $$'")
    product.start()
    assert ended(product) == [139]
    with pytest.raises(ProductFault, match=r"signal 11 \(SIGSEGV\)"):
        product.demand_no_end()


def test_ends_that_were_asked_for_are_none_of_them(deploy: Deploy) -> None:
    product = deploy("sleep 1000")
    assert product.start()
    assert product.stop()[1] == 143
    assert product.start()
    product.kill()
    assert product.start()
    product.expect_end()
    product.machine.run(f"kill {product.pid()}")
    wait_until(lambda: product.exit_code() is not None, seconds=10, what="the end")
    assert product.unasked_ends() == []
    product.demand_no_end()


def test_an_end_that_nobody_saw_is_one_too(deploy: Deploy) -> None:
    product = deploy("sleep 1000")
    product.start()
    product.machine.run(f"kill -9 $(cat /var/log/harness/starts/*.supervisor); kill -9 {product.pid()}")
    assert ended(product) == [None]


def test_what_was_noted_and_is_gone_is_no_pass(deploy: Deploy) -> None:
    product = deploy("sleep 1000")
    product.start()
    product.kill()
    product.machine.run("rm -rf /var/log/harness/starts/* /run/harness")
    with pytest.raises(InfrastructureError, match="is gone"):
        product.demand_no_end()
    product.install_control()
    product.start()


def test_a_product_that_signals_its_own_group_is_stopped_in_order(deploy: Deploy) -> None:
    product = deploy("""sh -c 'trap "trap - TERM; kill 0" TERM; sleep 1000 & wait'""")
    assert product.start()
    seconds, code = product.stop()
    assert code == 143
    assert seconds < 5


@pytest.mark.parametrize("stop", ["INT", "QUIT"])
def test_other_signals_than_term_reach_it(deploy: Deploy, stop: str) -> None:
    product = deploy("perl -e 'sleep 1 while 1'", stop=stop)
    assert product.start()
    assert product.stop()[1] == {"INT": 130, "QUIT": 131}[stop]


def test_kill_ends_all_that_it_started(deploy: Deploy, machine: Machine) -> None:
    before = set(machine.processes())
    script = "sleep 1001 & setsid sleep 1002 & env -i setsid sleep 1003 & exec sleep 1004"
    product = deploy(f"sh -c '{script}'")
    assert product.start()
    wait_until(lambda: sum("sleep 100" in a for a in machine.processes().values()) >= 4, seconds=10, what="all four")
    product.kill()
    left = [args for pid, args in machine.processes().items() if pid not in before and "sleep 100" in args]
    assert left == []


def test_orphans_that_hold_the_port_are_said_and_not_taken_for_the_product(deploy: Deploy) -> None:
    """A master that ends and leaves its worker: the worker answers, and nothing that was started anew does."""
    product = deploy("sh -c 'perl /opt/server.pl 8080 & sleep 0.7; exit 3'", ports={"web": 8080})
    product.start()
    assert ended(product) == [3]
    with pytest.raises(ProductFault, match=r"still held by what an earlier start left running.*server\.pl 8080"):
        product.start()


def test_a_product_that_goes_into_the_background_is_told_to_stay(deploy: Deploy) -> None:
    product = deploy("sh -c 'setsid sleep 1000 & exit 0'")
    product.start()
    assert ended(product) == [0]
    fault = product.ended(0)
    assert "`start` must stay in the foreground" in fault.en
    assert "sleep 1000" in fault.en


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("cd /opt && pwd", "/opt"),
        ("GREETING='its me' sh -c 'echo $GREETING'", "its me"),
        ("ulimit -n 77; sh -c 'ulimit -n'", "77"),
        ("echo one | sed s/one/two/", "two"),
        ("""printf '%s\\n' "$GREETING\"""", 'it\'s $HOME "q" \\ `x` 适配'),
        ("echo $(echo deep)", "deep"),
        ("if true; then echo branch; fi", "branch"),
        ("cat <<E\nhere\nE", "here"),
        ("echo $# begin", "0 begin"),
    ],
)
def test_the_command_runs_as_its_author_wrote_it_and_once(deploy: Deploy, start: str, said: str) -> None:
    value = 'it\'s $HOME "q" \\ `x` 适配\nsecond line'
    product = deploy(start, environment={"GREETING": value})
    product.machine.run(f": >{LOG}")
    product.start()
    ended(product)
    lines = product.log().splitlines()[1:]
    assert lines == ([said, "second line"] if 'GREETING"' in start else [said])


def test_a_shell_that_stays_is_stopped_with_what_it_runs(deploy: Deploy, machine: Machine) -> None:
    product = deploy("sleep 1000 | cat")
    product.start()
    wait_until(lambda: any("sleep 1000" in a for a in machine.processes().values()), seconds=10, what="the program")
    product.stop()
    assert not [args for args in machine.processes().values() if "sleep 1000" in args]


def test_a_user_of_its_own(deploy: Deploy, machine: Machine) -> None:
    machine.run("id product 2>/dev/null || useradd product")
    product = deploy("sh -c 'setsid sleep 1000 & id -un; exec sleep 1001'", user="product")
    product.machine.run(f": >{LOG}")
    assert product.start()
    wait_until(lambda: "product" in product.log().splitlines() or None, seconds=10, what="its name in the log")
    product.kill()
    assert not [args for args in machine.processes().values() if "sleep 100" in args]
    assert product.unasked_ends() == []


def test_a_removal_that_takes_the_account_too_leaves_the_notes_readable(deploy: Deploy, machine: Machine) -> None:
    """As the scripts of a package do it when it is purged: what was seen before is still known."""
    machine.run("id passing 2>/dev/null || useradd passing")
    good = deploy("sleep 1000", user="passing")
    good.start()
    good.kill()
    bad = deploy("sleep 0.1; exit 7", user="passing")  # it takes the place of the other, and of how that is started
    bad.start()
    assert ended(bad) == [7]
    machine.run("userdel passing")
    assert good.unasked_ends() == []
    assert ended(bad) == [7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("9090", "it listens on port 9090; declared is port 8080"),
        ("8080 127.0.0.1", "it listens on 127.0.0.1 only"),
        ("8080 0.0.0.0 503", "GET /health gave status 503"),
    ],
)
def test_readiness_says_what_was_seen(deploy: Deploy, machine: Machine, arguments: str, message: str) -> None:
    if machine.reference.kind != "container":
        arguments, message = "9090", "it listens on port 9090"
    ready = (
        {"path": "/health", "seconds": 1}
        if machine.reference.kind == "container"
        else {"command": "false", "seconds": 1}
    )
    product = deploy(f"perl /opt/server.pl {arguments}", ports={"web": 8080}, http={"port": "web"}, ready=ready)
    product.start()
    with pytest.raises(ProductFault) as caught:
        product.wait_ready()
    assert message in caught.value.en


def test_a_product_that_gets_ready_late_is_said_to_be_late(deploy: Deploy) -> None:
    product = deploy(
        "sh -c 'sleep 2; touch /tmp/ready; exec sleep 1000'", ready={"command": "test -e /tmp/ready", "seconds": 1}
    )
    product.machine.run("rm -f /tmp/ready")
    product.start()
    with pytest.raises(ProductFault, match=r"it got ready, but \d\.\d s too late: the limit is 1\.0 s"):
        product.wait_ready()


def test_a_machine_full_of_the_products_processes_is_the_products_doing() -> None:
    """In a container of its own: nothing can be started there any more, so nothing can be cleared from inside."""
    with container("debian-12", "x86_64") as bare:
        product = deployed(
            bare,
            "full",
            1,
            "perl -e 'for (1..200) { my $p = fork; if (defined $p && !$p) { sleep 1000; exit } } sleep 1000'",
            limits={"processes": 64},
        )
        product.start()
        wait_until(lambda: product.limit_reached(), seconds=120, what="the limit")
        assert product.lab_trouble() is None
        assert "process limit of 64" in (product.limit_reached() or "")


def test_the_scripts_are_those_of_supervision(deploy: Deploy) -> None:
    assert isinstance(deploy("sleep 1000").control, Supervised)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("restart", "was restarted"),
        ("pause", "is paused"),
        ("disconnect", "is in the networks none"),
        ("kill", "is exited"),
    ],
)
def test_what_was_done_to_a_container_is_the_labs_trouble(deed: str, words: str) -> None:
    with container("debian-12", "x86_64") as bare:
        known = open_machine(bare.reference)
        assert isinstance(known, ContainerMachine)
        assert known.disturbance() == ""
        api = bare.engine.client.api
        if deed == "disconnect":
            (network,) = api.inspect_container(bare.container)["NetworkSettings"]["Networks"]
            api.disconnect_container_from_network(bare.container, network)
        elif deed == "restart":
            api.restart(bare.container, timeout=0)
        else:
            getattr(api, deed)(bare.container)
        assert words in known.disturbance()
        if deed == "pause":
            api.unpause(bare.container)
            assert known.disturbance() == ""


def test_the_same_holds_under_emulation() -> None:
    with container("debian-12", "aarch64") as machine:
        product = deployed(machine, "emulated", 1, "sh -c 'echo last words; exit 3'")
        product.start()
        assert ended(product) == [3]
        product = deployed(machine, "emulated", 2, "sh -c 'sleep 1001 & setsid sleep 1002 & exec sleep 1003'")
        assert product.start()
        product.kill()
        assert not [args for args in machine.processes().values() if "sleep 100" in args]
        assert product.unasked_ends() == []


# --- a cgroup of its own ---

#: Leaves its session, its environment and its parents; what its first process does is ``$then``.
AWAY = """sh -c 'setsid setsid env -i sh -c "exec sleep 7654" </dev/null >/dev/null 2>&1 & wait; %s'"""
SEEN = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null | grep -c '^sleep 7654 '"


@pytest.fixture(scope="module")
def with_cgroups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A lab host on which root may make cgroups: a container with those of this machine, of whichever version."""
    places = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup")
    place = next(place for place in places if Path(place, "cgroup.procs").is_file())
    volumes = {place: {"bind": place, "mode": "rw"}}
    with pytest.MonkeyPatch.context() as monkey:
        known = tmp_path_factory.mktemp("ssh") / "known_hosts"
        with lab_host("debian-12", "x86_64", volumes=volumes) as lab:
            monkey.setenv("LAB_KEY", lab.key)
            host = SshMachine(ssh_inventory(known, lab.plain()), lab.alias)
            yield host
            host.close()


@pytest.mark.parametrize("user", ["root", "games"])
def test_a_process_that_leaves_everything_is_reached_in_its_cgroup(with_cgroups: Machine, user: str) -> None:
    product = deployed(with_cgroups, f"away-{user}", 1, AWAY % "exec sleep 1000", user=user)
    for end in (product.kill, product.stop):
        assert product.start()
        until_away(with_cgroups, 1)
        assert re.fullmatch(r"/sys/fs/cgroup(/\w+)?/harness-\w+", product.control.group())
        assert any("sleep 7654" in line for line in product.control.left())
        end()
        if end == product.stop:  # a signal to the first process ends no other; what is left is named
            assert [line for line in product.control.left() if "7654" in line] == ["sleep 7654"]
            product.kill()
        until_away(with_cgroups, 0)
    product.remove_control()
    assert with_cgroups.run("ls -d /sys/fs/cgroup/harness-* /sys/fs/cgroup/*/harness-* 2>/dev/null").out == ""


def test_each_service_of_a_product_has_a_cgroup_of_its_own(with_cgroups: Machine) -> None:
    services = [
        {"service": name, "start": AWAY % "exec sleep 1000", "ready": {"command": "true"}} for name in ("one", "two")
    ]
    product = deployed(with_cgroups, "away-services", 1, None, services=services)
    assert product.start()
    until_away(with_cgroups, 2)
    assert len(set(product.control.group().split(", "))) == 2
    one, two = product.services
    one.kill()
    until_away(with_cgroups, 1)
    assert any("sleep 7654" in line for line in two.left())
    two.kill()
    until_away(with_cgroups, 0)
    product.remove_control()
    assert with_cgroups.run("ls -d /sys/fs/cgroup/harness-* /sys/fs/cgroup/*/harness-* 2>/dev/null").out == ""


def until_away(machine: Machine, count: int) -> None:
    wait_until(lambda: machine.run(SEEN).out.strip() == str(count) or None, seconds=20, what=f"{count} away")


def test_where_no_cgroup_can_be_made_none_is_claimed(machine: Machine, deploy: Deploy) -> None:
    product = deploy("sleep 1000")
    assert product.start()
    assert (product.control.group() == "") is (machine.reference.kind != "container")


@pytest.mark.parametrize("how", ["exec", "itself"])
def test_sockets_of_a_product_that_has_changed_its_user_are_never_none(deploy: Deploy, how: str) -> None:
    """Root of a container may not look into such a process: then it is not known, which is not the same."""
    programs = {
        "exec": "exec setpriv --reuid 65534 --clear-groups perl /opt/server.pl 8099",
        "itself": "exec perl -e '$< = $> = 65534; do \"/opt/server.pl\"' 8099",
    }
    product = deploy(programs[how], user="root")
    product.start()
    wait_until(lambda: ":1FA3 " in product.control.listening() or None, seconds=20, what="the port")
    sockets = Exposure(product, Installation(product.context, product.machine)).open_sockets()
    assert sockets is None or sockets == ([Listener(8099, "*")], [])
    assert (sockets is None) is ("hidden" in product.control.listening())
