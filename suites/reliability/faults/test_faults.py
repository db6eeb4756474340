"""The product under faults of what is around it: it recovers by itself, and keeps everything that it acknowledged."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import resource as limits
import socket
import struct
import time

import pytest

from harness.clients.traffic import Traffic
from harness.control.fault import ProductFault
from harness.errors import UnsupportedVerb
from harness.model.ledger import MEDIA_TIMELINE
from harness.model.verbs import Verb

CONNECTIONS, HALF_OPEN, VANISHING = 1000, 50, 100
#: After which an idle connection of the suite's own clients is closed before it is used again (httpx: 5 seconds): a new
#: client is what must be served.
KEPT_SECONDS = 6
BEGUN = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
#: What the product has under pressure beside what it uses: a tenth of that, and so many bytes.
SPARE_MEMORY = 4 << 20


@pytest.fixture
def serving(application, resource):
    """The product, which serves: what an earlier fault has left of it is restarted, so that each has its own result."""
    if Traffic(resource).attempt().state != "served":
        application.restart()
    return application


@pytest.fixture
def during(serving, resource, settle, measure, note, keep):
    """Traffic while a fault lasts; after it the product must serve by itself, with everything that it acknowledged."""

    @contextlib.contextmanager
    def fault(zh, en):
        with Traffic(resource) as traffic:
            limit = serving.context.application.recovery_seconds
            settle(traffic.serves, what=f"the product takes and gives texts before {en}", seconds=limit)
            began = traffic.now()
            yield traffic
            traffic.fault = (began, traffic.now())
            try:
                what = f"the product takes and gives texts again after {en}"
                settle(traffic.serves, what=what, seconds=limit)
            finally:
                traffic.stop()
                line = traffic.timeline(zh, en)
                keep("availability.json", line.model_dump_json(), MEDIA_TIMELINE)
                measure("availability", 100 * line.availability, "%")
                measure("longest outage", line.outage, "s")
        measure("time to recover", line.recovery or 0.0, "s")
        demand_kept(traffic, zh, en, measure, note)

    return fault


def demand_kept(traffic, zh, en, measure, note):
    """Everything that was acknowledged is there. Texts are removed, where that can be done."""
    try:
        measure("texts acknowledged", len(traffic.kept), "1")
        measure("writes not served", sum(sample.state != "served" for sample in traffic.samples), "1")
        lost = traffic.lost()
        assert not lost, f"after {en}: texts that the product had acknowledged are lost: {lost[:20]}"
        count = len(traffic.kept)
        note(f"after {en} it served, all {count} texts were there / {zh}后恢复服务，已确认的 {count} 条内容均在")
    finally:
        with contextlib.suppress(ProductFault):
            traffic.remove()


@pytest.fixture
def verbs(application):
    """What can be done to the product's machine; a case without its verb is skipped."""

    def demand(verb):
        if verb not in application.machine.verbs.can:
            pytest.skip(f"capability: this machine has no verb {verb}")
        return application.machine.verbs

    return demand


def apart(database):
    if database.embedded:
        pytest.skip("not-applicable: the database is embedded; nothing lies between it and the product")


@pytest.fixture
def lasting(amount):
    """Lets a fault last; the traffic goes on."""
    return lambda: time.sleep(amount("fault"))


def test_database_stopped(database, during, lasting):
    apart(database)
    with during("数据库停止", "a stop of the database"):
        database.stop()
        try:
            lasting()
        finally:
            database.start()


def test_network_to_the_database_cut(database, verbs, during, lasting):
    apart(database)
    machine = verbs(Verb.CUT)
    with during("与数据库断网", "a cut of the network to the database"):
        machine.cut_network("database")
        try:
            lasting()
        finally:
            machine.heal_network()


@contextlib.contextmanager
def slow(machine, **how):
    machine.slow_network(**how)
    try:
        yield
    finally:
        machine.heal_network()


def demand_taken(traffic, words):
    """Every write was taken that was under way while the network was slow, however long it took."""
    began, ended = traffic.fault
    meanwhile = [sample for sample in traffic.samples if sample.at < ended and sample.at + sample.seconds > began]
    assert meanwhile, f"with {words}, no write was under way, so nothing was seen"
    bad = [sample for sample in meanwhile if sample.state in ("refused", "unanswered")]
    assert not bad, f"with {words}, the product refused {len(bad)} writes or did not answer"


def test_packets_lost(verbs, during, lasting):
    machine = verbs(Verb.LOSS)
    with during("丢包 5%", "a loss of 5 % of the packets") as traffic, slow(machine, loss=0.05):
        lasting()
    demand_taken(traffic, "5 % of its packets lost")


def test_packets_late(verbs, during, lasting):
    machine = verbs(Verb.DELAY)
    with during("延迟 200 毫秒", "a delay of 200 ms") as traffic, slow(machine, delay=0.2):
        lasting()
    demand_taken(traffic, "packets 200 ms late")


def test_paused(verbs, during, lasting):
    machine = verbs(Verb.PAUSE)
    with during("产品暂停", "a pause of the product") as traffic:
        traffic.away = True  # whether the product has ended cannot be asked of a machine that stands still
        machine.pause()
        try:
            lasting()
        finally:
            machine.resume()
            traffic.away = False


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["an hour ahead", "an hour behind"])
def test_clock_moved(verbs, during, seconds, lasting):
    machine = verbs(Verb.CLOCK)
    with during(f"时钟拨动 {seconds} 秒", f"a clock that was moved by {seconds} s"):
        machine.move_clock(seconds)
        try:
            lasting()
        finally:
            machine.restore_clock()


def test_disk_full(verbs, during, lasting):
    machine = verbs(Verb.FILL)
    with during("磁盘写满", "a full disk"):
        machine.fill_disk()
        try:
            lasting()
        finally:
            machine.free_disk()


@pytest.fixture
def address(target):
    """Where the product's HTTP is reached; skipped where it has none."""
    if target.application.http is None:
        pytest.skip("not-applicable: the application declares no http section")
    return target.ports[target.application.http.port]


def connections(stack, address, number, data=b""):
    """Connections that say nothing more than ``data``, as many as the product takes."""
    soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
    limits.setrlimit(limits.RLIMIT_NOFILE, (min(hard, max(soft, number + 512)), hard))
    taken = []
    for _ in range(number):
        try:
            each = stack.enter_context(socket.create_connection(address, timeout=5))
            each.sendall(data)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                pytest.skip(f"capability: this machine opens no more than {len(taken)} connections")
            break  # the product may have a limit of its own, and say so
        taken.append(each)
    assert taken, "the product takes no connection"
    return taken


@pytest.fixture
def beside(serving, resource, address, settle, measure, note):
    """Others are served while so many connections are open, and after that."""

    def look(number, data, what, zh, en):
        traffic = Traffic(resource)
        limit = serving.context.application.recovery_seconds
        settle(lambda: traffic.attempt().state == "served" and traffic.serves(), what="it serves", seconds=limit)
        time.sleep(KEPT_SECONDS)
        with contextlib.ExitStack() as stack:
            taken = len(connections(stack, address, number, data))
            measure("connections", taken, "1")
            if traffic.attempt().state in ("refused", "unanswered"):
                reached = serving.limit_reached()
                while_open = what.format(taken)
                raise AssertionError(f"while {while_open}, it serves nobody else{f': {reached}' if reached else ''}")
        again = f"the product takes and gives texts again after {en}"
        settle(lambda: traffic.attempt().state == "served", what=again, seconds=limit)
        demand_kept(traffic, zh, en, measure, note)

    return look


def test_idle_connections(beside):
    beside(CONNECTIONS, b"", "{} connections are open and idle", "空闲连接", "idle connections")


def test_requests_that_never_end(beside):
    beside(HALF_OPEN, BEGUN, "{} requests are not finished", "不结束的请求", "requests that never ended")


def established(machine, port):
    """How many connections to a port the machine of the product holds: proc(5), /proc/net/tcp, state 1."""
    table = machine.run("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null", timeout=60).out
    return len(re.findall(rf"^ *\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:[0-9A-F]{{4}} 01 ", table, re.MULTILINE))


def test_clients_vanish(serving, resource, address, verbs, settle, measure, note):
    """A client that is switched off says nothing: its connections stay with the product, half of them with a request
    that is not finished. So they are reset while the network is cut, and the product never sees the reset."""
    machine, (host, port) = verbs(Verb.CUT), address
    if ipaddress.ip_address(socket.getaddrinfo(host, port)[0][4][0]).is_loopback:
        pytest.skip("capability: connections reach it by a relay of this machine, which would say that they have ended")
    traffic, limit = Traffic(resource), serving.context.application.recovery_seconds
    settle(lambda: traffic.attempt().state == "served" and traffic.serves(), what="it serves", seconds=limit)
    time.sleep(KEPT_SECONDS)
    with contextlib.ExitStack() as stack:
        ends = [*connections(stack, address, VANISHING // 2), *connections(stack, address, VANISHING // 2, BEGUN)]
        machine.cut_network()
        try:
            for end in ends:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()
            held = established(serving.machine, port)
        finally:
            machine.heal_network()
    measure("connections", len(ends), "1")
    measure("connections that it held when the clients were gone", held, "1")
    if held < len(ends) / 2:
        pytest.skip(f"capability: {len(ends)} clients vanished, and the product's machine held {held} connections")
    again = "the product takes and gives texts again after its clients have vanished"
    try:
        settle(lambda: traffic.attempt().state == "served", what=again, seconds=limit)
    except Exception:
        serving.restart()  # nothing else frees it from them, and the next case has its own result
        raise
    demand_kept(traffic, "客户端无声消失", "clients that vanished", measure, note)


def test_product_killed(application, during):
    with during("产品被强制终止", "a kill of the product"):
        application.kill()
        application.start()
        application.wait_ready()


def test_database_restarted(database, during):
    apart(database)
    with during("数据库重启", "a restart of the database"):
        database.restart()


def test_both_restarted(application, database, during):
    apart(database)
    with during("产品与数据库重启", "a restart of product and database"):
        application.stop()
        database.restart()
        application.start()
        application.wait_ready()


def test_database_killed(database, during, lasting):
    apart(database)
    with during("数据库被强制终止", "a kill of the database"):
        database.kill()
        lasting()
        database.start()


def test_memory_is_short(application, verbs, during, measure, note, lasting):
    machine = verbs(Verb.MEMORY)
    application.expect_end()  # the kernel may end it for want of memory, which is taken from it
    with during("内存不足", "a shortage of memory"):
        used = application.machine.resources()
        if used is None:
            pytest.skip("capability: the memory that it uses cannot be read on this machine")
        size = int(used.memory * 1.1 * 2**20) + SPARE_MEMORY
        measure("memory left to it", size / 2**20, "MiB")
        machine.limit_memory(size)
        try:
            lasting()
        finally:
            machine.restore_memory()
        if application.exit_code() is not None:
            note("the kernel ended it, and it was started again / 内核终止了产品，已重新启动")
            application.start()
            application.wait_ready()
    application.restart()  # so that its later ends count


def test_names_are_lost(database, verbs, during, lasting):
    apart(database)
    machine = verbs(Verb.NAMES)
    with during("域名解析中断", "an outage of the name server"):
        machine.lose_names()
        try:
            lasting()
        finally:
            machine.heal_network()


def test_machine_restarted(application, during):
    reboot = getattr(application.machine, "reboot", None)
    if reboot is None:
        pytest.skip("capability: this machine cannot be restarted")
    with during("机器重启", "a restart of its machine"):
        application.expect_end()
        try:
            reboot()
        except UnsupportedVerb as error:
            application.restart()  # so that its later ends count
            pytest.skip(f"capability: {error.message}")
        # What no service manager starts is started by the operator. For what runs already it is an order that has its
        # environment there, and lets its later ends count.
        application.start()
        application.wait_ready()
