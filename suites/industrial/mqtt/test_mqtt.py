"""MQTT of a broker: connecting, the three qualities of service, retained messages, wills, sessions, users, limits.

OASIS Standards MQTT Version 3.1.1 and Version 5.0. All topics begin with the declared prefix; retained messages are
removed again.
"""

from __future__ import annotations

import contextlib
import secrets
import socket

import pytest

from harness.clients.demanding import demand
from harness.clients.mqtt import Refused
from harness.control.fault import ProductFault

CHINESE = "信创/温度𠮷"
#: Messages that are under way at once: a broker may drop what a slow client does not take.
AHEAD = 50
#: How often what was sent is awaited as long as an answer, where it does not come.
MOST_AWAITED = 2
#: Bytes of a payload that is taken where nothing is declared.
PAYLOAD = 64 * 1024


@pytest.fixture
def brokers(interfaces):
    """A client of each declared interface of MQTT."""
    return interfaces("mqtt")


@pytest.fixture
def answering(brokers):
    """Those clients, where each interface lets a client in; else what is tried says nothing of its own subject."""
    for broker in brokers:
        try:
            broker.session(broker.definition.versions[0]).close()
        except ProductFault as fault:
            pytest.skip(f"dependency: MQ-01: {fault}")
    return brokers


def each(brokers):
    """Every broker with every version that it declares."""
    return [(broker, version) for broker in brokers for version in broker.definition.versions]


def label(broker, version):
    return f"{broker.name}, MQTT {version}"


def subscribed(broker, version, topic, qos=1, **more):
    """A session that has subscribed to a topic."""
    session = broker.session(version, **more)
    if not session.subscribe(topic, qos):
        raise ProductFault(f"{label(broker, version)}: no right to subscribe to {topic}", f"无权订阅 {topic}")
    return session


def payloads(count):
    mark = secrets.token_hex(4)
    return [f"{mark} {number}".encode() for number in range(count)]


def send(sender, receiver, topic, texts, qos):
    """Publish texts, never many ahead of what has come. Of what never comes no more is awaited than a few times."""
    short = 0
    for begin in range(0, len(texts), AHEAD):
        part = texts[begin : begin + AHEAD]
        before = len(receiver.messages)
        sender.published([sender.publish(topic, text, qos) for text in part], f"PUBLISH with QoS {qos}")
        if short < MOST_AWAITED:
            receiver.wait_for(before + len(part))
        else:
            receiver.rest()
        short += len(receiver.messages) < before + len(part)


# ---------------------------------------------------------------------------------------------------------------------


def test_connecting(brokers, note):
    wrong = []
    variants = {
        "a clean session": {},
        "a session that stays": {"clean": False},
        "no name of the client": {"name": ""},
        "a Chinese name of the client": {"name": f"客户端-{secrets.token_hex(3)}"},
    }
    for broker, version in each(brokers):
        for words, more in variants.items():
            try:
                session = broker.session(version, **more)
                if more.get("clean") is False:
                    forget(broker, session)
                session.close()
            except ProductFault as fault:
                wrong.append(f"{label(broker, version)}: {words}: {fault}")
        note(f"{label(broker, version)}: {len(variants)} kinds of CONNECT / {len(variants)} 种连接方式")
    demand(wrong, "clients that are not let in / 无法连接")


def forget(broker, session):
    """Have the broker forget a session that stays."""
    session.close()
    with contextlib.suppress(ProductFault):
        broker.session(session.version, name=session.name).close()


def deliver(answering, amount, measure, note, qos):
    """Send numbered messages; what was lost and what came twice, as lines."""
    lost, twice = [], []
    for broker, version in each(answering):
        topic, texts = broker.topic("qos", str(qos)), payloads(amount("messages"))
        receiver, sender = subscribed(broker, version, topic, qos), broker.session(version)
        send(sender, receiver, topic, texts, qos)
        receiver.rest()  # what comes twice comes after
        count = receiver.count(texts)
        foreign = len(receiver.messages) - sum(message.payload in {*texts} for message in receiver.messages)
        measure(f"{label(broker, version)}: lost", count.lost, "1")
        measure(f"{label(broker, version)}: twice", count.twice, "1")
        note(
            f"{label(broker, version)}: of {count.sent} messages {count.lost} lost, {count.twice} more than once / "
            f"共 {count.sent} 条，丢失 {count.lost} 条，重复 {count.twice} 条"
        )
        if count.lost:
            lost.append(f"{label(broker, version)}: {count.lost} of {count.sent} messages with QoS {qos} did not come")
        if count.twice:
            twice.append(f"{label(broker, version)}: {count.twice} of {count.sent} messages came more than once")
        if foreign:
            twice.append(f"{label(broker, version)}: {foreign} messages came that nobody sent")
        if wrong := {message.qos for message in receiver.messages} - {qos}:
            twice.append(f"{label(broker, version)}: messages came with QoS {sorted(wrong)} in place of {qos}")
    return lost, twice


def test_qos_0(answering, amount, measure, note):
    """At most once: a loss is allowed (MQTT 5, 4.3.1), and is counted."""
    _, twice = deliver(answering, amount, measure, note, 0)
    demand(twice, "QoS 0: at most once / 至多一次")


def test_qos_1(answering, amount, measure, note):
    """At least once, and over a connection that holds nothing is sent again (MQTT 5, 4.4)."""
    lost, twice = deliver(answering, amount, measure, note, 1)
    demand(lost + twice, "QoS 1: at least once, nothing again over a connection that holds / 至少一次")


def test_qos_2(answering, amount, measure, note):
    lost, twice = deliver(answering, amount, measure, note, 2)
    demand(lost + twice, "QoS 2: exactly once / 恰好一次")


def test_broken_connection(answering, amount, measure, note):
    """The receiver's connection breaks in the midst; its session goes on (MQTT 5, 4.4)."""
    wrong = []
    for broker, version in each(answering):
        for qos in (1, 2):
            topic, texts = broker.topic("cut", str(qos)), payloads(min(300, amount("messages")))
            receiver, sender = subscribed(broker, version, topic, qos, clean=False), broker.session(version)
            half = len(texts) // 2
            for begin, part in ((0, texts[:half]), (half, texts[half:])):
                sender.published([sender.publish(topic, text, qos) for text in part], f"PUBLISH with QoS {qos}")
                if begin == 0:
                    receiver.drop()
            receiver.connect()
            receiver.wait_for(len(texts))
            receiver.rest()
            count, words = receiver.count(texts), f"{label(broker, version)}, QoS {qos}"
            measure(f"{words}: lost", count.lost, "1")
            measure(f"{words}: twice", count.twice, "1")
            if not receiver.resumed:
                wrong.append(f"{words}: the session was not there any more when the client came back")
            if count.lost or (count.twice and qos == 2):
                wrong.append(f"{words}: of {count.sent} messages {count.lost} lost, {count.twice} more than once")
            forget(broker, receiver)
        note(f"{label(broker, version)}: the receiver was cut off and came back / 接收端断线后重连")
    demand(wrong, "messages over a connection that breaks / 断线期间的消息")


def test_retained(answering, note):
    wrong = []
    for broker, version in each(answering):
        topic, sender = broker.topic("retained"), broker.session(version)
        try:
            for text in (b"first", b"second"):
                sender.published([sender.publish(topic, text, 1, retain=True)], "PUBLISH, retained")
            late = subscribed(broker, version, topic)
            late.wait_for(1)
            late.rest()
            got = [(message.payload, message.retain) for message in late.messages]
            if got != [(b"second", True)]:
                wrong.append(
                    f"{label(broker, version)}: a later subscriber got {got}, expected the last one, as retained"
                )
        finally:
            sender.published([sender.publish(topic, b"", 1, retain=True)], "PUBLISH, retained and empty")
        later = subscribed(broker, version, topic)
        later.rest()
        if later.messages:
            wrong.append(f"{label(broker, version)}: it is still there after an empty retained message")
        note(f"{label(broker, version)}: set, replaced, removed / 设置、替换、删除")
    demand(wrong, "retained messages / 保留消息")


def test_will(answering, note):
    wrong = []
    for broker, version in each(answering):
        topic = broker.topic("will")
        watcher = subscribed(broker, version, topic)
        broker.session(version, will=(topic, b"gone")).drop()
        watcher.wait_for(1)
        if [message.payload for message in watcher.messages] != [b"gone"]:
            wrong.append(f"{label(broker, version)}: a client was cut off, and its will did not come")
        before = len(watcher.messages)
        broker.session(version, will=(topic, b"left")).close()
        watcher.rest()
        if len(watcher.messages) > before:
            wrong.append(f"{label(broker, version)}: a will came though its client had said goodbye")
        note(f"{label(broker, version)}: cut off, and with DISCONNECT / 断线与正常断开")
    demand(wrong, "wills / 遗嘱消息")


def kept_session(broker, version, between):
    """What a session gets that was away while ``between`` was called and messages were sent; in words what is wrong."""
    topic, texts = broker.topic("kept"), payloads(20)
    receiver = subscribed(broker, version, topic, 1, clean=False)
    receiver.close()
    sender = broker.session(version)
    sender.published([sender.publish(topic, text, 1) for text in texts], "PUBLISH to a session that is away")
    between()
    receiver.connect()
    resumed = receiver.resumed
    if resumed:
        receiver.wait_for(len(texts))
    count = receiver.count(texts)
    forget(broker, receiver)
    if not resumed:
        return [f"{label(broker, version)}: the broker does not know the session any more"]
    if count.lost:
        return [f"{label(broker, version)}: {count.lost} of {count.sent} messages with QoS 1 did not come"]
    return []


def test_session(answering, note):
    wrong = [line for broker, version in each(answering) for line in kept_session(broker, version, lambda: None)]
    demand(wrong, "messages for a client that is away / 离线消息")
    note("what was sent to a client that was away came when it was back / 离线期间的消息在重连后送达")


def test_session_over_restart(answering, application, note):
    chosen = [broker for broker in answering if broker.definition.persistent]
    if not chosen:
        pytest.skip("not-applicable: no interface declares persistent / 未声明 persistent")
    wrong = []
    for broker, version in each(chosen):
        wrong += kept_session(broker, version, application.restart)
    demand(wrong, "sessions over a restart / 重启后的会话")
    note("sessions and their messages outlived a restart of the product / 重启后会话与消息仍在")


def test_shared_subscription(answering, measure, note):
    chosen = [broker for broker in answering if "5" in broker.definition.versions]
    if not chosen:
        pytest.skip("not-applicable: shared subscriptions are of MQTT 5 / 共享订阅属于 MQTT 5")
    wrong = []
    for broker in chosen:
        topic, texts = broker.topic("shared"), payloads(100)
        group = f"$share/harness{secrets.token_hex(3)}/{topic}"
        sender = broker.session("5")
        if getattr(sender.properties, "SharedSubscriptionAvailable", 1) == 0:
            pytest.skip("not-applicable: the broker says that it has no shared subscriptions / 代理声明不支持共享订阅")
        members = [subscribed(broker, "5", group) for _ in range(2)]
        sender.published([sender.publish(topic, text, 1) for text in texts], "PUBLISH to a group")
        for member in members:
            member.rest()
        got = [message.payload for member in members for message in member.messages]
        lost, twice = len({*texts} - {*got}), len(got) - len({*got})
        shares = [len(member.messages) for member in members]
        measure(f"{broker.name}: share of the first", shares[0], "1")
        if lost or twice:
            wrong.append(f"{broker.name}: of {len(texts)} messages {lost} lost, {twice} came to both")
        if not all(shares):
            wrong.append(f"{broker.name}: one member of two got all {sum(shares)} messages")
        note(f"{broker.name}: {shares[0]} and {shares[1]} messages / 两个成员各收到的消息数")
    demand(wrong, "shared subscriptions / 共享订阅")


def test_topics_and_payloads(answering, measure, note):
    wrong = []
    for broker, version in each(answering):
        root = broker.topic()
        size = broker.definition.packet or PAYLOAD
        cases = {
            "a Chinese topic": (f"{root}{CHINESE}", f"{root}{CHINESE}", "压力 3.14 兆帕".encode()),
            "the wildcard +": (f"{root}a/+/c", f"{root}a/b/c", b"plus"),
            "the wildcard #": (f"{root}d/#", f"{root}d/e/f/g", b"hash"),
            "a topic of 50 levels": (f"{root}{'x/' * 50}x", f"{root}{'x/' * 50}x", b"deep"),
            "no bytes": (f"{root}empty", f"{root}empty", b""),
            f"{size} bytes": (f"{root}large", f"{root}large", secrets.token_bytes(size)),
        }
        for words, (pattern, topic, payload) in cases.items():
            receiver, sender = subscribed(broker, version, pattern), broker.session(version)
            try:
                sender.published([sender.publish(topic, payload, 1)], words)
                receiver.wait_for(1)
            except ProductFault as fault:
                wrong.append(f"{label(broker, version)}: {words}: {fault}")
                continue
            if [(message.topic, message.payload) for message in receiver.messages] != [(topic, payload)]:
                wrong.append(f"{label(broker, version)}: {words}: it did not come as it was sent, and once")
        measure(f"{label(broker, version)}: payload", size, "B")
        note(f"{label(broker, version)}: {len(cases)} kinds of topics and payloads / {len(cases)} 种主题与载荷")
    demand(wrong, "topics and payloads / 主题与载荷")


def test_users(answering, note):
    chosen = [broker for broker in answering if broker.definition.users or broker.definition.anonymous is not None]
    if not chosen:
        pytest.skip("not-applicable: no interface declares users or anonymous / 未声明 users 或 anonymous")
    wrong = []
    for broker, version in each(chosen):
        definition, where = broker.definition, label(broker, version)
        for user in definition.users:
            if let_in(broker, version, (user.user, f"not {secrets.token_hex(8)}")):
                wrong.append(f"{where}: {user.user} is let in with a wrong password")
            wrong += [f"{where}: {user.user}: {line}" for line in rights_of(broker, version, user)]
        if definition.anonymous is not None and let_in(broker, version, ("", "")) != definition.anonymous:
            wrong.append(f"{where}: a client without a user is {'refused' if definition.anonymous else 'let in'}")
        note(f"{where}: {len(definition.users)} users / {len(definition.users)} 个用户")
    demand(wrong, "users and their rights / 用户与权限")


def let_in(broker, version, login):
    try:
        broker.session(version, user=login).close()
    except Refused:
        return False
    return True


def rights_of(broker, version, user):
    """What is wrong with the rights of a user, in words; who listens is the user itself, and the first one."""
    login = (user.user, broker.password_of(user))
    wrong = []
    own = broker.session(version, user=login)
    for topic, allowed in ((user.allowed, True), (user.forbidden, False)):
        if not topic:
            continue
        text = secrets.token_bytes(8)
        own.subscribe(topic, 1)  # a broker may grant it and give nothing
        first = broker.session(version)
        first.subscribe(topic, 1)
        with contextlib.suppress(ProductFault):  # a broker may close the connection of who has no right
            own.published([own.publish(topic, text, 1)], f"PUBLISH {topic}")
        own.rest()
        came = [session.name for session in (own, first) if text in {message.payload for message in session.messages}]
        if allowed and own.name not in came:
            wrong.append(f"what it published to {topic} did not come to itself, and it may do both")
        if not allowed and came:
            wrong.append(f"what it published to {topic} came, and it has no right to it")
        if not allowed and not wrong:
            text = secrets.token_bytes(8)
            with contextlib.suppress(ProductFault):
                first.published([first.publish(topic, text, 1)], f"PUBLISH {topic}")
            own.rest()
            if text in {message.payload for message in own.messages}:
                wrong.append(f"it got a message of {topic}, and has no right to it")
    return wrong


def test_connections(answering, measure, note):
    wrong = []
    for broker in answering:
        version, count, topic = broker.definition.versions[0], broker.definition.connections, broker.topic("many")
        sessions = []
        try:
            sessions += [subscribed(broker, version, topic) for _ in range(count)]
        except ProductFault as fault:
            wrong.append(f"{broker.name}: {len(sessions)} of {count} clients were let in: {fault}")
            continue
        sessions[0].published([sessions[0].publish(topic, b"to all", 1)], "PUBLISH to all")
        for session in sessions:
            session.wait_for(1)
        if silent := sum(not session.messages for session in sessions):
            wrong.append(f"{broker.name}: {silent} of {count} clients did not get a message")
        measure(f"{broker.name}: clients", count - silent, "1")
        note(f"{broker.name}: {count} clients at once / 同时 {count} 个客户端")
    demand(wrong, "clients at once / 同时连接的客户端")


def test_broken_packets(answering, application, note):
    wrong = []
    broken = {
        "another protocol": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
        "PUBLISH before CONNECT": bytes.fromhex("3005000161") + b"xx",
        "a CONNECT of a level that nobody has": bytes.fromhex("100c00044d5154547f02003c0000"),
        "a CONNECT that is cut": bytes.fromhex("101000044d515454"),
        "a length that does not end": bytes.fromhex("10ffffffffff"),
        "a length of 256 MiB": bytes.fromhex("10ffffff7f00044d515454"),
        "2048 bytes of noise": bytes(range(255, -1, -1)) * 8,
    }
    for broker in answering:
        for words, data in broken.items():
            try:
                with socket.create_connection(broker.place, timeout=broker.seconds) as connection:
                    connection.sendall(data)
                    connection.settimeout(0.2)
                    with contextlib.suppress(OSError):  # it may answer, close, or wait: what counts comes after
                        connection.recv(64)
            except OSError as error:
                wrong.append(f"{broker.name}: before {words}: {error}")
                break
            try:
                broker.session(broker.definition.versions[0]).close()
            except ProductFault as fault:
                wrong.append(f"{broker.name}: after {words}: {fault}")
                break
        note(f"{broker.name}: {len(broken)} broken packets / {len(broken)} 种损坏的报文")
    application.demand_no_end()
    if wrong:
        application.restart()  # what comes after has a subject of its own
    demand(wrong, "after a broken packet the broker does not serve others / 收到损坏的报文后不再服务")
