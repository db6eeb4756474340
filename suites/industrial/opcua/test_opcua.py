"""OPC UA of a server: discovery, security, users, points, types, time stamps, writes, subscriptions, history, faults.

OPC 10000-3 (attributes), OPC 10000-4 (services), OPC 10000-6 (messages, types), OPC 10000-7 (security policies). Only
points that are declared writable get another value, and what they held is put back.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import secrets
import socket
import struct
import time
from collections import Counter
from datetime import timedelta

import pytest

from harness.clients.demanding import demand, figures
from harness.clients.opcua import UNSAFE
from harness.clients.resource import NoAnswer
from harness.clients.uasession import OBJECTS, SERVER, Refused
from harness.control.fault import ProductFault
from harness.model.nodes import NUMBERS, in_words

STANDARD = "http://opcfoundation.org/UA/"
BINARY = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
STATE, RUNNING = 2259, 0
#: Answers to a write that is refused because of the node or of the user, and of its type (OPC 10000-4, 5.11.4).
NOT_WRITABLE = ("BadNotWritable", "BadUserAccessDenied", "BadWriteNotSupported")
WRONG_TYPE = ("BadTypeMismatch",)
#: Built-in types by the number of their DataType node (OPC 10000-6, 5.1.2).
TYPE_NUMBERS = {
    "Boolean": 1,
    "SByte": 2,
    "Byte": 3,
    "Int16": 4,
    "UInt16": 5,
    "Int32": 6,
    "UInt32": 7,
    "Int64": 8,
    "UInt64": 9,
    "Float": 10,
    "Double": 11,
    "String": 12,
    "DateTime": 13,
    "ByteString": 15,
}
#: ValueRank (OPC 10000-3, 5.6.2): those that let a value be one, and those that let it be an array of one dimension.
ONE, ARRAY = (-1, -2, -3), (1, 0, -2, -3)
#: Nodes that are looked through for declared points.
MOST_NODES = 50_000
#: Seconds in which a value must come that a subscription begins with, or that is told of; scaled by the factor.
FIRST_SECONDS = 10.0
#: Lost answers after which no more is asked.
MOST_LOST = 10


@pytest.fixture
def servers(interfaces):
    """A client of each declared interface of OPC UA."""
    return interfaces("opcua")


@pytest.fixture
def sessions(servers):
    """A session of each; where there is none, what is tried says nothing of its own subject."""
    opened = []
    for server in servers:
        try:
            opened.append(server.session())
        except ProductFault as fault:
            pytest.skip(f"dependency: UA-01: {fault}")
    return opened


@pytest.fixture
def named(sessions):
    """Those sessions that have points, whose namespaces are there."""
    chosen = [session for session in sessions if session.owner.points]
    if not chosen:
        pytest.skip("not-applicable: no interface declares points / 未声明测点")
    for session in chosen:
        try:
            [session.node(point) for point in session.owner.points]
        except ProductFault as fault:
            pytest.skip(f"dependency: UA-03: {fault}")
    return chosen


def each(named, wanted=lambda point: True):
    """Every point with its session."""
    return [(session, point) for session in named for point in session.owner.points if wanted(point)]


@contextlib.contextmanager
def put_back(session, point):
    """What a point holds, for the time of a write; it holds that again afterwards, or the product is at fault."""
    before = value_of(session, point)
    node = session.node(point)
    try:
        yield before
    finally:
        status = session.write(node, point.kind, before)
    after = value_of(session, point)
    if status != "Good" or not point.alike(after, before):
        raise ProductFault(
            f"{point.name} held {in_words(before)}; after this was written back ({status}) it holds {in_words(after)}",
            f"{point.name} 原值 {in_words(before)}，写回后为 {in_words(after)}（{status}）",
        )


def value_of(session, point):
    """The value of a point. Raises Refused where its status is not good."""
    (reading,) = session.read([point])
    if not reading.good:
        raise Refused(f"{session.owner.name}: {point.name}", reading.status)
    return reading.value


def others(session, point, before):
    """Values that a point is written, other than what it holds; an array that has a longest length keeps its own."""
    length = None
    if point.array:
        (dimensions,) = session.attributes([session.node(point)], "ArrayDimensions")
        if dimensions.good and dimensions.value and dimensions.value[0]:
            length = len(before or ())
    return [value for value in point.values(length) if not point.alike(value, before)]


# ---------------------------------------------------------------------------------------------------------------------


def test_connection(servers, note):
    wrong = []
    for server in servers:
        session = server.session()
        (state,) = session.attributes([session.numeric(STATE)])
        if not state.good or state.value != RUNNING:
            wrong.append(f"{server.name}: ServerStatus/State is {in_words(state.value)} ({state.status}), expected 0")
        note(f"{server.name}: a session at {server.url}, running / 会话已建立，服务器处于运行状态")
    demand(wrong, "servers that do not run / 服务器未处于运行状态")


def test_endpoints(servers, note, measure):
    wrong, tried = [], 0
    for server in servers:
        try:
            offered = server.endpoints()
        except NoAnswer as silence:
            pytest.skip(f"dependency: UA-01: {silence}")
        pairs = {(each.policy, each.mode) for each in offered if each.transport in (BINARY, "")}
        declared = {(each.policy, each.mode) for each in server.definition.securities}
        for security in server.definition.securities:
            pair = f"{security.policy}/{security.mode}"
            if (security.policy, security.mode) not in pairs:
                wrong.append(f"{server.name}: {pair} is declared, and no endpoint has it")
                continue
            tried += 1
            try:
                session = server.session(security)
                session.namespaces()
                session.close()
            except ProductFault as fault:
                wrong.append(f"{server.name}: {pair}: {fault}")
        wrong += [
            f"{server.name}: an endpoint with {policy}/{mode} is offered, which is unsafe and not declared"
            for policy, mode in sorted(pairs - declared)
            if policy in UNSAFE
        ]
        wrong += [f"{server.name}: {line}" for line in unlike_endpoints(server, offered)]
        shown = ", ".join(sorted(f"{policy}/{mode}" for policy, mode in pairs))
        note(f"{server.name}: endpoints / 端点: {shown or 'none'}")
    measure("endpoints used", tried, "1")
    demand(wrong, "endpoints that are not as declared, or cannot be used / 端点与声明不符或不可用")


def unlike_endpoints(server, offered):
    """What is wrong with the descriptions of endpoints (OPC 10000-4, 7.14), in words."""
    for one in offered:
        label = f"{one.policy}/{one.mode}"
        if not one.url.startswith("opc.tcp://") and one.transport == BINARY:
            yield f"{label}: its URL is {one.url!r}, expected opc.tcp://…"
        if not one.uri:
            yield f"{label}: the server names no application URI"
        if one.policy != "None" and not one.certificate:
            yield f"{label}: it has no certificate"
        if server.definition.users and "UserName" not in one.tokens:
            yield f"{label}: it takes no user names, and users are declared"
        if server.definition.anonymous is False and "Anonymous" in one.tokens and not server.definition.users:
            yield f"{label}: it takes clients without a user"


def test_namespaces(sessions, note):
    wrong = []
    for session in sessions:
        server, uris = session.owner, session.namespaces()
        if uris[:1] != [STANDARD]:
            wrong.append(f"{server.name}: namespace 0 is {uris[:1]}, expected {STANDARD}")
        wrong += [f"{server.name}: {uri} is there {count} times" for uri, count in Counter(uris).items() if count > 1]
        asked = [*server.definition.namespaces, *(point.namespace for point in server.points)]
        missing = [uri for uri in dict.fromkeys(asked) if uri and not uri.isdecimal() and uri not in uris]
        wrong += [f"{server.name}: the server has no namespace {uri}; it has {', '.join(uris)}" for uri in missing]
        note(f"{server.name}: {len(uris)} namespaces / {len(uris)} 个命名空间: {', '.join(uris)}")
    demand(wrong, "namespaces / 命名空间")


def test_browsing(named, note, measure):
    """From Objects along hierarchical references: what cannot be found so is not seen by a SCADA that is configured."""
    wrong, looked = [], 0
    for session in named:
        missing = {session.node(point): point for point in session.owner.points}
        standard = session.numeric(SERVER)
        seen, level = {session.numeric(OBJECTS), standard}, [session.numeric(OBJECTS)]
        while level and missing and len(seen) < MOST_NODES:
            following = []
            for node, (status, found) in zip(level, session.children(level), strict=True):
                if not status.startswith("Good"):
                    wrong.append(f"{session.owner.name}: Browse of {node.to_string()}: {status}")
                for target in found:
                    missing.pop(target, None)
                    if target not in seen:
                        seen.add(target)
                        following.append(target)
            level = following
        looked += len(seen)
        if missing and level:
            pytest.skip(f"not-applicable: could not check: more than {MOST_NODES} nodes / 节点过多，未能全部浏览")
        wrong += [f"{session.owner.name}: {point.name} ({point.shown}) is not found" for point in missing.values()]
    measure("nodes looked at", looked, "1")
    note(f"{looked} nodes were looked at / 共浏览 {looked} 个节点")
    demand(wrong, "points that browsing from Objects does not find / 从 Objects 浏览不到的测点")


def test_points(named, keep, measure, note):
    wrong, rows = [], []
    counts = dict.fromkeys(("right", "wrong", "not judged", "not read"), 0)
    for session in named:
        points = session.owner.points
        for point, reading in zip(points, session.read(points), strict=True):
            if not reading.good or not reading.kind:
                state = "not read"
                wrong.append(
                    f"{point.name} ({point.shown}): {reading.status}, no value"
                    if reading.good
                    else f"{point.name} ({point.shown}): {reading.status}"
                )
            elif words := point.wrong(reading.value):
                state = "wrong"
                wrong.append(f"{point.name}: {words}")
            else:
                state = "right" if point.judged else "not judged"
            counts[state] += 1
            shown = in_words(reading.value)
            times = [str(reading.source or ""), str(reading.server or "")]
            row = [session.owner.name, point.name, point.shown, reading.kind, shown, reading.status, *times, state]
            rows.append(row)
    text = io.StringIO()
    heads = ["interface", "name", "node", "type", "value", "status", "source time", "server time", "state"]
    csv.writer(text).writerows([heads, *rows])
    keep("points.csv", text.getvalue(), "text/csv")
    for state, count in counts.items():
        measure(state, count, "1")
    note("points / 测点: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    demand(wrong, "points that are not read, or read what they cannot be / 测点读取失败或数值不符")
    if not counts["right"]:
        pytest.skip(
            "not-applicable: could not check: no point that was read has a range or an expected value / "
            "无法判断：没有可判断的测点"
        )


def test_types(named, measure, note):
    """DataType and ValueRank as declared, and values of just that type: a client converts by them."""
    wrong, checked = [], 0
    for session in named:
        points = session.owner.points
        nodes = [session.node(point) for point in points]
        columns = [session.attributes(nodes, attribute) for attribute in ("Value", "DataType", "ValueRank")]
        for point, value, kind, rank in zip(points, *columns, strict=True):
            if not value.good or not value.kind:
                continue  # UA-05 fails for it
            checked += 1
            if (value.kind, value.array) != (point.kind, point.array):
                got = f"{value.kind}[]" if value.array else value.kind
                wrong.append(f"{point.name}: its value is of type {got}, declared is {point.type}")
            number = getattr(kind.value, "Identifier", None)
            standard = kind.good and getattr(kind.value, "NamespaceIndex", None) == 0
            # A subtype, such as Duration of Double, is a type of its own; the value has the type that it is made of.
            if standard and number in TYPE_NUMBERS.values() and number != TYPE_NUMBERS[point.kind]:
                words = next(name for name, each in TYPE_NUMBERS.items() if each == number)
                wrong.append(f"{point.name}: its DataType is {words}, declared is {point.kind}")
            if rank.good and rank.value not in (ARRAY if point.array else ONE):
                wrong.append(f"{point.name}: its ValueRank is {rank.value}, declared is {point.type}")
    if not checked:
        pytest.skip("dependency: UA-05: no point was read / 没有读到测点")
    measure("types checked", checked, "1")
    note(f"the types of {checked} points were checked / 检查了 {checked} 个测点的类型")
    demand(wrong, "points of another type than declared / 类型与声明不符")


def test_units(named, note):
    """EngineeringUnits of points that declare a unit (OPC 10000-8, 5.6.3)."""
    chosen = each(named, lambda point: point.unit)
    if not chosen:
        pytest.skip("not-applicable: no point declares a unit / 没有声明单位的测点")
    wrong = []
    for session, point in chosen:
        shown = session.unit(point)
        if shown != point.unit:
            wrong.append(f"{point.name}: its unit is {shown or 'not given'}, declared is {point.unit}")
    note(f"the units of {len(chosen)} points were read / 读取了 {len(chosen)} 个测点的单位")
    demand(wrong, "units other than declared / 单位与声明不符")


def test_timestamps(named, measure, note):
    """Against the server's own clock, so that the clock of whoever asks does not matter."""
    wrong, oldest = [], 0.0
    for session in named:
        points, slack = session.owner.points, timedelta(seconds=session.owner.definition.clock)
        readings = session.read(points)
        clock = session.clock()
        for point, reading in zip(points, readings, strict=True):
            if not reading.good:
                continue
            stamps = {"source": reading.source, "server": reading.server}
            wrong += [f"{point.name}: it has no {word} time stamp" for word, stamp in stamps.items() if stamp is None]
            wrong += [
                f"{point.name}: its {word} time stamp {stamp} lies after the server's clock {clock}"
                for word, stamp in stamps.items()
                if stamp is not None and stamp > clock + slack
            ]
            if point.changes and reading.source is not None:
                age = (clock - reading.source).total_seconds()
                oldest = max(oldest, age)
                if age > point.changes * session.owner.factor + slack.total_seconds():
                    wrong.append(
                        f"{point.name}: its source time stamp is {age:.1f} s old, it changes each {point.changes:g} s"
                    )
        wrong += stale_after_write(session, slack)
    measure("oldest value of those that change", oldest, "s")
    note("time stamps were compared with the server's clock / 时间戳已与服务器时钟比较")
    demand(wrong, "time stamps that are missing, ahead or stale / 时间戳缺失、超前或陈旧")


def stale_after_write(session, slack):
    """Points whose source time stamp is older than the write of their value, in words."""
    for point in session.owner.points:
        if not point.writable:
            continue
        try:
            with put_back(session, point) as before:
                values = others(session, point, before)
                if not values:
                    continue
                begin = session.clock()
                if session.write(session.node(point), point.kind, values[0]) != "Good":
                    continue  # UA-09 fails for it
                (reading,) = session.read([point])
        except NoAnswer:
            raise
        except ProductFault:
            continue  # UA-09 fails for it
        if reading.source is not None and reading.source < begin - slack:
            yield f"{point.name}: it was written at {begin}, and its source time stamp is {reading.source}"


def test_writing(named, measure, note):
    chosen = each(named, lambda point: point.writable)
    if not chosen:
        pytest.skip("not-applicable: no point is declared writable / 没有声明可写的测点")
    wrong, written = [], 0
    for session, point in chosen:
        try:
            with put_back(session, point) as before:
                for value in others(session, point, before):
                    written += 1
                    status = session.write(session.node(point), point.kind, value)
                    after = value_of(session, point)
                    if status != "Good":
                        wrong.append(f"{point.name}: writing {in_words(value)}: {status}")
                    elif not point.alike(after, value):
                        wrong.append(f"{point.name}: {in_words(value)} was written, {in_words(after)} is read")
        except ProductFault as fault:
            wrong.append(f"{point.name}: {fault}")
    measure("values written", written, "1")
    note(f"{written} values were written to {len(chosen)} points, and the old ones put back / 写入后已恢复原值")
    demand(wrong, "points that do not hold what is written to them / 写入的值与读回的值不符")


def test_refused_writes(named, measure, note):
    """A node that is not writable gets the value that it holds, so that nothing changes where the write is taken."""
    wrong, tried = [], 0
    for session, point in each(named):
        (reading,) = session.read([point])
        if not reading.good or not reading.kind:
            continue
        node = session.node(point)
        if not point.writable:
            tried += 1
            status = session.write(node, reading.kind, reading.value)
            if status not in NOT_WRITABLE:
                wrong.append(f"{point.name}: it is declared read-only, and a write was answered by {status}")
            continue
        tried += 1
        kind, value = ("String", "harness") if point.kind in NUMBERS or point.kind == "Boolean" else ("Int32", 7)
        status = session.write(node, kind, [value] if point.array else value)
        (after,) = session.read([point])
        if status not in WRONG_TYPE:
            wrong.append(f"{point.name}: a {kind} was written to a {point.type}: {status}, expected BadTypeMismatch")
        if not after.good or after.kind != reading.kind or not point.alike(after.value, reading.value):
            wrong.append(f"{point.name}: after a {kind} was written it holds {in_words(after.value)} ({after.status})")
            session.write(node, reading.kind, reading.value)
    if not tried:
        pytest.skip("dependency: UA-05: no point was read / 没有读到测点")
    measure("writes tried", tried, "1")
    note(f"{tried} writes that must be refused were tried / 尝试了 {tried} 次应被拒绝的写入")
    demand(wrong, "writes that are not refused / 未被拒绝的写入")


def test_unknown(sessions, note):
    """What is not there, in one request with what is (OPC 10000-4, 5.11.2)."""
    wrong = []
    for session in sessions:
        name = session.owner.name
        nobody = session.unknown(secrets.token_hex(8))
        known, unknown = session.attributes([session.numeric(STATE), nobody])
        if not known.good:
            wrong.append(f"{name}: a good node beside an unknown one: {known.status}")
        found = {"Read": unknown.status, "Browse": session.children([nobody])[0][0]}
        found["CreateMonitoredItems"] = session.monitored(nobody)
        for service, status in found.items():
            if status != "BadNodeIdUnknown":
                wrong.append(f"{name}: {service} of an unknown node: {status}, expected BadNodeIdUnknown")
        status = session.write(nobody, "Int32", 1)
        if status not in ("BadNodeIdUnknown", "BadUserAccessDenied"):  # rights may be looked at first
            wrong.append(f"{name}: Write of an unknown node: {status}, expected BadNodeIdUnknown")
        (attribute,) = session.attributes([session.numeric(OBJECTS)])
        if attribute.status != "BadAttributeIdInvalid":
            wrong.append(f"{name}: Value of an object: {attribute.status}, expected BadAttributeIdInvalid")
        note(f"{name}: unknown nodes and attributes were asked for / 已请求不存在的节点和属性")
    demand(wrong, "what is not there is answered otherwise / 不存在的节点或属性应答不符")


def test_subscription(named, measure, note):
    chosen = each(named, lambda point: (point.writable and point.values()) or point.changes)
    if not chosen:
        pytest.skip("not-applicable: no point changes, and none is declared writable / 没有会变化或可写的测点")
    wrong, times = [], []
    for session in named:
        points = [point for other, point in chosen if other is session]
        if not points:
            continue
        watch = session.watch(points)
        wrong += [f"{point}: the subscription is refused: {status}" for point, status in watch.refused.items()]
        points = [point for point in points if point.name not in watch.refused]
        limit = FIRST_SECONDS * session.owner.factor
        watch.until(lambda: all(watch.of(point) for point in points), limit)  # noqa: B023  # it is called at once
        for point in points:
            if not watch.of(point):
                wrong.append(f"{point.name}: no first value came within {limit:.0f} s")
            elif point.writable and point.values():
                wrong += told_of_writes(session, watch, point, times)
            else:
                wrong += told_of_changes(session, watch, point)
    figures(measure, times, "notification ")
    measure("changes told of", len(times), "1")
    note(f"{len(times)} written changes were told of / 订阅报告了 {len(times)} 次写入引起的变化")
    demand(wrong, "changes that a subscription does not tell of / 订阅未报告的变化")


def told_of_writes(session, watch, point, times):
    """Write values one after the other; each must be told of in time, and alone. In words, what was not."""
    limit = session.owner.definition.notified * session.owner.factor
    try:
        with put_back(session, point) as before:
            for value in others(session, point, before)[:2] * 2:
                seen, begin = len(watch.of(point)), time.monotonic()
                status = session.write(session.node(point), point.kind, value)
                if status != "Good" or not point.alike(value_of(session, point), value):
                    return  # UA-09 fails for it

                def told():
                    return any(point.alike(each.value, value) for each in watch.of(point)[seen:])  # noqa: B023

                if point.alike(watch.of(point)[-1].value, value):
                    continue  # it holds this already
                if not watch.until(told, limit):
                    yield f"{point.name}: {in_words(value)} was written, and not told of within {limit:.1f} s"
                    return
                times.append(time.monotonic() - begin)
    except NoAnswer:
        raise
    except ProductFault:
        return  # UA-09 fails for it


def told_of_changes(session, watch, point):
    """Wait for a few changes of a point that changes by itself. In words, what did not come."""
    wanted = 3
    limit = wanted * (point.changes * session.owner.factor) + session.owner.definition.notified * session.owner.factor

    def enough():
        values = [in_words(each.value) for each in watch.of(point)]
        return sum(one != two for one, two in itertools.pairwise(values)) >= wanted

    if not watch.until(enough, limit):
        yield f"{point.name}: fewer than {wanted} changes came within {limit:.1f} s ({len(watch.of(point))} values)"


def test_history(named, measure, note):
    chosen = each(named, lambda point: point.history)
    if not chosen:
        pytest.skip("not-applicable: no point declares a history / 没有声明历史的测点")
    wrong, found = [], 0
    for session, point in chosen:
        slack = timedelta(seconds=session.owner.definition.clock)
        begin, expected = session.clock(), []
        try:
            if point.writable:
                with put_back(session, point) as before:
                    for value in others(session, point, before)[:2]:
                        if session.write(session.node(point), point.kind, value) == "Good":
                            expected.append(value)
                        time.sleep(0.3)  # two values of one moment are one
            else:
                time.sleep(3 * point.changes * session.owner.factor)
            readings = session.history(point, begin - slack, session.clock() + slack)
        except ProductFault as fault:
            wrong.append(f"{point.name}: {fault}")
            continue
        found += len(readings)
        stamps = [reading.source for reading in readings if reading.source is not None]
        if stamps != sorted(stamps):
            wrong.append(f"{point.name}: its history is not in order")
        missing = [each for each in expected if not any(point.alike(reading.value, each) for reading in readings)]
        wrong += [f"{point.name}: {in_words(value)} was written and is not in its history" for value in missing]
        if not readings:
            wrong.append(f"{point.name}: its history holds nothing of the last seconds")
    measure("values of the history", found, "1")
    note(f"the history of {len(chosen)} points gave {found} values / {len(chosen)} 个测点的历史共 {found} 个值")
    demand(wrong, "histories without what was / 历史数据缺失")


def test_users(sessions, note):
    chosen = [session.owner for session in sessions if asks(session.owner.definition)]
    if not chosen:
        pytest.skip("not-applicable: neither users nor anonymous are declared / 未声明用户")
    wrong = []
    for server in chosen:
        for user in server.definition.users:
            password = server.password_of(user)
            if not let_in(server, (user.user, password)):
                wrong.append(f"{server.name}: {user.user} is refused with the declared password")
            for words, login in (
                ("a wrong password", (user.user, f"not {secrets.token_hex(8)}")),
                ("an empty password", (user.user, "")),
            ):
                if login[1] != password and let_in(server, login):
                    wrong.append(f"{server.name}: {user.user} is let in with {words}")
        if server.definition.users and let_in(server, (f"nobody-{secrets.token_hex(4)}", "harness")):
            wrong.append(f"{server.name}: a user that nobody declared is let in")
        if server.definition.anonymous is not None and let_in(server, None) != server.definition.anonymous:
            words = "refused" if server.definition.anonymous else "let in"
            wrong.append(f"{server.name}: a client without a user is {words}")
        note(f"{server.name}: {len(server.definition.users)} users / {len(server.definition.users)} 个用户")
    demand(wrong, "users that are let in or refused against what is declared / 用户与声明不符")


def asks(definition):
    return definition.users or definition.anonymous is not None


def let_in(server, login):
    """Whether a login is let in; only a refusal of the product says no."""
    try:
        session = server.session(user=login, anonymous=login is None)
    except Refused:
        return False
    session.close()
    return True


def test_clients(sessions, measure, note):
    wrong = []
    for session in sessions:
        server, count = session.owner, session.owner.definition.connections
        session.close()
        many, served = [], 0
        try:
            many += [server.session() for _ in range(count)]
        except ProductFault as fault:
            wrong.append(f"{server.name}: {len(many)} of {count} clients were let in: {fault}")
        for number, one in enumerate(many):
            try:
                one.namespaces()
                served += 1
            except ProductFault as fault:
                wrong.append(f"{server.name}: client {number + 1} of {count} was let in and not served: {fault}")
        for one in many:
            one.close()
        measure(f"{server.name}: clients", served, "1")
        note(f"{server.name}: {served} of {count} clients were served at once / 同时服务 {served} 个客户端")
    demand(wrong, "fewer clients are served at once than declared / 同时服务的客户端少于声明")


def test_broken_messages(sessions, application, note):
    wrong = []
    for server in [session.owner for session in sessions]:
        for words, data in broken_messages(server.url).items():
            try:
                with socket.create_connection(server.place, timeout=server.seconds) as connection:
                    connection.sendall(data)
                    connection.settimeout(0.2)
                    with contextlib.suppress(OSError):  # it may answer, close, or wait: what counts comes after
                        connection.recv(64)
            except OSError as error:
                wrong.append(f"{server.name}: before or while sending {words}: {error}")
                break
            try:
                server.session().close()
            except ProductFault as fault:
                wrong.append(f"{server.name}: after {words}: {fault}")
                break
        note(f"{server.name}: {len(broken_messages(server.url))} broken messages / 损坏的报文")
    for line in wrong:  # of a product that has ended, the end is what fails it
        note(line)
    application.demand_no_end()
    if wrong:
        application.restart()  # what comes after has a subject of its own
    demand(wrong, "after a broken message the server does not serve others / 收到损坏的报文后不再服务")


def broken_messages(url):
    """Messages that OPC 10000-6, 7.1 does not know, by their words."""

    def message(kind, body, size=None):
        return kind + struct.pack("<I", len(body) + 8 if size is None else size) + body

    text = url.encode()
    hello = struct.pack("<IIIII", 0, 65536, 65536, 0, 0) + struct.pack("<i", len(text)) + text
    return {
        "half of a Hello": message(b"HELF", hello)[:20],
        "a Hello of size 0": message(b"HELF", hello, 0),
        "a Hello of 4 GiB": message(b"HELF", hello, 0xFFFFFFFF),
        "a Hello whose URL is longer than itself": message(b"HELF", hello[:20] + struct.pack("<i", 2**30)),
        "a message type that nobody has": message(b"XYZF", hello),
        "a MSG before a Hello": message(b"MSGF", bytes(24)),
        "a Hello and noise": message(b"HELF", hello) + bytes(range(256)) * 4,
        "a request of HTTP": b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n",
        "2048 bytes of noise": bytes(range(255, -1, -1)) * 8,
    }


def test_restart(named, application, note, measure):
    """A client that comes back finds its points, by the URIs of their namespaces, and subscribes anew."""
    before = [(session.owner, {point.name for point in readable(session)}) for session in named]
    for session in named:
        session.close()
    application.restart()
    wrong = []
    for server, names in before:
        begin = time.monotonic()
        try:
            session = server.session()
            now = {point.name for point in readable(session)}
        except ProductFault as fault:
            wrong.append(f"{server.name}: after the restart: {fault}")
            continue
        measure(f"{server.name}: until points are read again", time.monotonic() - begin, "s")
        wrong += [f"{server.name}: {name} is not read any more after the restart" for name in sorted(names - now)]
        points = [point for point in server.points if point.name in now]
        watch = session.watch(points)
        limit = FIRST_SECONDS * server.factor
        if not watch.until(lambda: len({point.name for point, _ in watch.changes}) >= len(points), limit):  # noqa: B023
            came = len({point.name for point, _ in watch.changes})
            wrong.append(f"{server.name}: after the restart a subscription gave {came} of {len(points)} first values")
        note(f"{server.name}: {len(now)} points are read after the restart / 重启后可读取 {len(now)} 个测点")
    demand(wrong, "what a client finds after a restart / 重启后")


def readable(session):
    points = session.owner.points
    return [point for point, reading in zip(points, session.read(points), strict=True) if reading.good]


def test_lost_updates(named, amount, measure, note):
    """Every point again and again, as fast as it goes: none may be lost."""
    requests, lost, times = amount("requests"), [], []
    for session in named:
        number = 0
        while number < requests and len(lost) < MOST_LOST:
            number += 1
            begin = time.monotonic()
            try:
                readings = session.read(session.owner.points[:100])
            except ProductFault as fault:
                lost.append(f"request {number}: {fault}")
                if isinstance(fault, NoAnswer):
                    break  # a session does not connect again
                continue
            times.append(time.monotonic() - begin)
            lost += [f"request {number}: {each.status}" for each in readings if each.status == "BadTimeout"]
        note(f"{session.owner.name}: {number} requests / {number} 次请求")
    measure("lost requests", len(lost), "1")
    figures(measure, times)
    demand(lost, f"updates were lost: {len(lost)} of {len(times) + len(lost)} requests / 丢失的更新")


def test_refresh(named, amount, measure, note):
    """Every point once in each period, as a control system polls it; an update counts that comes within its period."""
    asked = [session for session in named if session.owner.definition.refresh is not None]
    if not asked:
        pytest.skip("not-applicable: no interface declares refresh / 未声明 refresh")
    wrong = []
    for session in asked:
        server, points = session.owner, session.owner.points
        period = server.definition.refresh
        cycles = max(1, int(amount("seconds") / period))
        in_time, times, start = 0, [], time.monotonic()
        for cycle in range(cycles):
            due = start + cycle * period
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                good = sum(reading.good for reading in session.read(points))
            except NoAnswer:
                break
            passed = time.monotonic() - due
            times.append(passed)
            in_time += good if passed <= period else 0
        share = in_time / (cycles * len(points))
        measure(f"{server.name}: in time", share * 100, "%")
        figures(measure, times, f"{server.name}: ")
        note(
            f"{server.name}: {len(points)} points each {period:g} s, {cycles} times: {share:.2%} in time / "
            f"每 {period:g} 秒更新 {len(points)} 个测点，及时率 {share:.2%}"
        )
        if share < server.definition.in_time:
            wrong.append(f"{server.name}: {share:.2%} of updates in time, expected {server.definition.in_time:.2%}")
    demand(wrong, "updates that are late or lost / 更新不及时或丢失")
