"""The product under faults of what is around it: it recovers by itself, and keeps everything that it acknowledged.

A write that is refused, or gets no answer, while a fault lasts may have happened or not: nothing is said of it.
"""

from __future__ import annotations

import contextlib
import errno
import resource as limits
import socket
import time

import pytest

from harness.control.fault import ProductFault
from harness.model.verbs import Verb

#: How long a fault lasts, and within what time the product must serve again; the latter is scaled by the target.
FAULT_SECONDS, RECOVERY_SECONDS = 5.0, 30.0
#: Texts that are written before a fault.
BEFORE = 3
CONNECTIONS, HALF_OPEN = 1000, 50


class Written:
    """What the product acknowledged, and what it makes of that."""

    def __init__(self, resource):
        self.resource, self.kept, self.refused = resource, {}, 0
        for _ in range(BEFORE):
            key, text = self._next()
            resource.create(key, text)
            self.kept[key] = text

    def _next(self):
        key = self.resource.fresh_key()
        return key, f"acknowledged {len(self.kept)} {key}"

    def attempt(self):
        """Write a text; gives whether the product acknowledged it."""
        key, text = self._next()
        try:
            refusal = self.resource.try_create(key, text)
        except ProductFault:
            refusal = "no answer"
        if refusal:
            self.refused += 1
            return False
        self.kept[key] = text
        return True

    def serves(self):
        """Whether a new text is taken and given back."""
        return self.attempt() and not self.lost(list(self.kept)[-1:])

    def lost(self, keys=None):
        """Keys of acknowledged texts that do not come back."""
        return [key for key in keys or self.kept if self.kept[key] not in self.resource.try_texts(key)]

    def remove(self):
        for key in self.kept:
            self.resource.discard(key)


@pytest.fixture
def written(resource):
    texts = Written(resource)
    yield texts
    with contextlib.suppress(ProductFault):
        texts.remove()


@pytest.fixture
def verbs(application):
    """What can be done to the product's machine; a case without its verb is skipped."""

    def demand(verb):
        if verb not in application.machine.verbs.can:
            pytest.skip(f"capability: this machine has no verb {verb}")
        return application.machine.verbs

    return demand


@pytest.fixture
def recovered(written, settle, measure, note):
    """Wait until the product serves by itself, then look for everything that it acknowledged."""

    def look(what):
        began = time.monotonic()
        settle(written.serves, what=f"the product takes and gives texts again after {what}", seconds=RECOVERY_SECONDS)
        seconds = time.monotonic() - began
        measure("time to recover", seconds, "s")
        measure("texts acknowledged", len(written.kept), "1")
        measure("refused or unanswered meanwhile", written.refused, "1")
        lost = written.lost()
        assert not lost, f"after {what}: texts that the product had acknowledged are lost: {lost}"
        note(f"after {what} it served by itself, all {len(written.kept)} texts were there / 自行恢复，已确认的内容均在")

    return look


def lasting(written):
    """Let a fault last, with a client that goes on."""
    ends = time.monotonic() + FAULT_SECONDS
    written.attempt()
    time.sleep(max(0.0, ends - time.monotonic()))


def apart(database):
    if database.embedded:
        pytest.skip("not-applicable: the database is embedded; nothing lies between it and the product")


def test_database_stopped(database, written, recovered):
    apart(database)
    database.stop()
    try:
        lasting(written)
    finally:
        database.start()
    recovered("a stop of the database")


def test_network_to_the_database_cut(database, verbs, written, recovered):
    apart(database)
    machine = verbs(Verb.CUT)
    machine.cut_network("database")
    try:
        lasting(written)
    finally:
        machine.heal_network()
    recovered("a cut of the network to the database")


def demand_written(machine, written, words, **how):
    """Every write is taken while the network is slow."""
    machine.slow_network(**how)
    try:
        refused = written.refused
        for _ in range(BEFORE):
            written.attempt()
        assert written.refused == refused, f"with {words}, the product refused writes or did not answer"
    finally:
        machine.heal_network()


def test_packets_lost(verbs, written, recovered):
    demand_written(verbs(Verb.LOSS), written, "5 % of its packets lost", loss=0.05)
    recovered("a loss of 5 % of the packets")


def test_packets_late(verbs, written, recovered):
    demand_written(verbs(Verb.DELAY), written, "packets 200 ms late", delay=0.2)
    recovered("a delay of 200 ms")


def test_paused(verbs, written, recovered):
    machine = verbs(Verb.PAUSE)
    machine.pause()
    try:
        time.sleep(FAULT_SECONDS)
    finally:
        machine.resume()
    recovered("a pause of the product")


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["an hour ahead", "an hour behind"])
def test_clock_moved(verbs, written, recovered, seconds):
    machine = verbs(Verb.CLOCK)
    machine.move_clock(seconds)
    try:
        lasting(written)
    finally:
        machine.restore_clock()
    recovered(f"a clock that was moved by {seconds} s")


def test_disk_full(verbs, written, recovered):
    machine = verbs(Verb.FILL)
    machine.fill_disk()
    try:
        lasting(written)
    finally:
        machine.free_disk()
    recovered("a full disk")


@pytest.fixture
def address(target):
    """Where the product's HTTP is reached; skipped where it has none."""
    if target.application.http is None:
        pytest.skip("not-applicable: the application declares no http section")
    return target.ports[target.application.http.port]


def connected(stack, address, number, data=b""):
    """Open connections that say nothing more than ``data``; gives how many the product took."""
    soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
    limits.setrlimit(limits.RLIMIT_NOFILE, (min(hard, max(soft, number + 512)), hard))
    taken = 0
    for _ in range(number):
        try:
            each = stack.enter_context(socket.create_connection(address, timeout=5))
            each.sendall(data)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                pytest.skip(f"capability: this machine opens no more than {taken} connections")
            break  # the product may have a limit of its own, and say so
        taken += 1
    assert taken, "the product takes no connection"
    return taken


def demand_served(written, application, what):
    """Others are served while ``what`` lasts; a limit of the definition that was reached meanwhile is named."""
    if not written.attempt():
        reached = application.limit_reached()
        raise AssertionError(f"while {what}, the product serves nobody else{f': {reached}' if reached else ''}")


def test_idle_connections(application, written, recovered, address, measure):
    with contextlib.ExitStack() as stack:
        taken = connected(stack, address, CONNECTIONS)
        measure("idle connections", taken, "1")
        demand_served(written, application, f"{taken} connections are open and idle")
    recovered("idle connections")


def test_requests_that_never_end(application, written, recovered, address, measure):
    with contextlib.ExitStack() as stack:
        taken = connected(stack, address, HALF_OPEN, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        measure("unfinished requests", taken, "1")
        demand_served(written, application, f"{taken} requests are not finished")
    recovered("requests that never ended")
