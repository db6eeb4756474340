"""Asks a broker over MQTT 3.1.1 and 5 (OASIS Standards) by the library paho-mqtt, and counts what comes.

The extra ``industrial`` brings the library. A session here never connects again by itself: what a suite did not do is
not done behind its back.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.clients.libraries import library
from harness.clients.resource import NoAnswer
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import StepTimeout
from harness.model.definitions import Mqtt, MqttUser
from harness.model.templating import render
from harness.system.wait import wait_until

#: Seconds in which the broker must answer, scaled by the target's factor; and of silence after which no more comes.
ANSWER_SECONDS, QUIET_SECONDS = 10.0, 0.5
#: Bytes of payloads that a session keeps, beyond which a broker sends without end.
MOST_KEPT = 256 * 2**20
#: Of a session of MQTT 5 that outlives its connection, in seconds (MQTT 5, 3.1.2.11.2).
EXPIRY = 3600


class Refused(ProductFault):
    """The broker let a client not in; ``code``: of CONNACK, in its own words."""

    def __init__(self, where: str, code: str) -> None:
        super().__init__(f"{where}: the broker refuses the client: {code}", f"{where}：代理拒绝连接：{code}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as it came."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(frozen=True, kw_only=True)
class Count:
    """How often each of the messages that were sent has come."""

    sent: int
    lost: int
    twice: int


class MqttClient:
    """One interface of the product; ``session`` connects to it."""

    def __init__(self, deployment: Deployment, name: str, definition: Mqtt) -> None:
        """Raises InfrastructureError: the library is not installed."""
        self.deployment, self.name, self.definition = deployment, name, definition
        self.place = deployment.context.ports[definition.port]
        self.seconds = ANSWER_SECONDS * deployment.context.factor
        self.quiet = QUIET_SECONDS * deployment.context.factor
        self.library = library("paho.mqtt.client", "paho-mqtt", "paho")
        self._open: list[MqttSession] = []

    @property
    def where(self) -> str:
        """The interface in words."""
        host, port = self.place
        inside = self.deployment.context.application.ports[self.definition.port]
        return f"{self.name} (port {inside}, from here {host}:{port})"

    def topic(self, *parts: str) -> str:
        """A topic that no earlier call has returned."""
        return "/".join((self.definition.prefix, secrets.token_hex(4), *parts))

    def password_of(self, user: MqttUser) -> str:
        """The password of a user. Raises UsageError: its template cannot be rendered."""
        return render(user.password, self.deployment.context.values(), where=f"interfaces.{self.name}.users")

    def session(self, version: str, **more: Any) -> MqttSession:
        """A connected session, see ``MqttSession``. Raises as ``MqttSession.connect``."""
        session = MqttSession(self, version, **more)
        self._open.append(session)
        session.connect()
        return session

    def silence(self, what: str, words: str) -> NoAnswer:
        """That nothing answered, and where."""
        return NoAnswer(f"{self.where}: {what}: no answer ({words})", f"{self.where}：{what}：无应答（{words}）")

    def close(self) -> None:
        """End all sessions."""
        for session in self._open:
            session.close()
        self._open.clear()


class MqttSession:
    """A client of the broker, and everything that came to it, in order.

    ``clean``: whether the broker forgets it with its connection. ``user``: None for the first that is declared, an
    empty name for nobody. ``will``: topic and payload.
    """

    def __init__(
        self,
        client: MqttClient,
        version: str,
        *,
        name: str | None = None,
        clean: bool = True,
        user: tuple[str, str] | None = None,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        paho = client.library
        self.client, self.version, self.clean = client, version, clean
        self.name = f"harness-{secrets.token_hex(6)}" if name is None else name
        self.messages: list[Message] = []
        self._kept, self._lock = 0, threading.Lock()
        self._answer: Any = None
        self._granted: dict[int, list[Any]] = {}
        self.properties: Any = None  #: of CONNACK, in MQTT 5
        self.resumed = False  #: whether the broker knew the session
        five = version == "5"
        given = {} if five else {"clean_session": clean}
        self._paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self.name,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            reconnect_on_failure=False,
            **given,
        )
        if (login := user if user is not None else self._first()) is not None and login[0]:
            self._paho.username_pw_set(*login)
        if will is not None:
            self._paho.will_set(will[0], will[1], qos=1)
        self._paho.on_connect = self._on_connect
        self._paho.on_message = self._on_message
        self._paho.on_subscribe = self._on_subscribe
        self._paho.connect_timeout = client.seconds

    def _first(self) -> tuple[str, str] | None:
        users = self.client.definition.users
        return (users[0].user, self.client.password_of(users[0])) if users else None

    def _on_connect(self, _paho: Any, _data: Any, flags: Any, code: Any, properties: Any) -> None:
        self.resumed, self.properties, self._answer = bool(flags.session_present), properties, code

    def _on_subscribe(self, _paho: Any, _data: Any, number: int, codes: list[Any], _properties: Any) -> None:
        self._granted[number] = list(codes)

    def _on_message(self, _paho: Any, _data: Any, message: Any) -> None:
        with self._lock:
            self._kept += len(message.payload)
            if self._kept <= MOST_KEPT:
                name = message.topic
                self.messages.append(
                    Message(topic=name, payload=message.payload, qos=message.qos, retain=message.retain)
                )

    def connect(self) -> None:
        """Connect, also again after ``drop``.

        Raises:
            NoAnswer: nothing answers, or not in time.
            Refused: the broker says no.
        """
        host, port = self.client.place
        self._answer, more = None, {}
        if self.version == "5":
            properties = self._properties("CONNECT")
            if not self.clean:
                properties.SessionExpiryInterval = EXPIRY
            more = {"clean_start": self.clean, "properties": properties}
        try:
            self._paho.connect(host, port, keepalive=60, **more)
        except OSError as error:
            raise self.client.silence("connecting", f"{type(error).__name__}: {error}") from error
        self._paho.loop_start()
        self._until(lambda: self._answer is not None or not self._lives(), "CONNACK")
        if self._answer is None:
            self._end_loop()
            raise self.client.silence("connecting", "the connection was closed without CONNACK")
        if self._answer.is_failure:
            self._end_loop()
            raise Refused(self.client.where, str(self._answer)[:200])

    def subscribe(self, topic: str, qos: int = 0) -> bool:
        """Subscribe; whether the broker grants it. Raises NoAnswer."""
        result, number = self._paho.subscribe(topic, qos)
        if result != 0:
            raise self.client.silence(f"SUBSCRIBE {topic}", "the connection is closed")
        self._until(lambda: number in self._granted or not self._lives(), f"SUBACK of {topic}")
        if number not in self._granted:
            raise self.client.silence(f"SUBSCRIBE {topic}", "the connection was closed")
        return not any(code.is_failure for code in self._granted[number])

    def publish(self, topic: str, payload: bytes, qos: int = 0, *, retain: bool = False) -> Any:
        """Publish; gives what knows whether it was acknowledged."""
        return self._paho.publish(topic, payload, qos=qos, retain=retain)

    def published(self, sent: list[Any], what: str) -> None:
        """Wait until all are acknowledged. Raises NoAnswer: they are not, in time."""

        def acknowledged(each: Any) -> bool:
            with contextlib.suppress(ValueError, RuntimeError):  # the queue was full, or the connection is closed
                return bool(each.is_published())
            return False

        self._until(lambda: all(acknowledged(each) for each in sent) or not self._lives(), f"{what}: acknowledgement")
        if missing := sum(not acknowledged(each) for each in sent):
            raise self.client.silence(what, f"{missing} of {len(sent)} messages are not acknowledged")

    def wait_for(self, count: int) -> None:
        """Wait until so many messages are there, or none has come for ``client.seconds``: a busy machine loses none."""
        self._settled(lambda: len(self.messages) >= count, self.client.seconds)

    def rest(self) -> None:
        """Wait until nothing has come for ``client.quiet`` seconds."""
        self._settled(lambda: False, self.client.quiet)

    def _settled(self, enough: Callable[[], bool], seconds: float) -> None:
        while not enough() and self._more(enough, len(self.messages), seconds):
            pass

    def _more(self, enough: Callable[[], bool], before: int, seconds: float) -> bool:
        """Whether another message came after ``before`` of them, or enough are there, in time."""

        def came() -> bool:
            return enough() or len(self.messages) > before

        with contextlib.suppress(StepTimeout):
            wait_until(came, seconds=seconds, what="messages", interval=0.005, longest=0.02)
        return len(self.messages) > before

    def count(self, payloads: list[bytes]) -> Count:
        """Which of some payloads, all different, have come how often."""
        times = Counter(message.payload for message in self.messages)
        return Count(
            sent=len(payloads),
            lost=sum(times[each] == 0 for each in payloads),
            twice=sum(times[each] > 1 for each in payloads),
        )

    def drop(self) -> None:
        """Break the connection off as a cut cable does: without DISCONNECT."""
        with contextlib.suppress(OSError, AttributeError):  # it is closed already
            self._paho.socket().shutdown(socket.SHUT_RDWR)
        self._until(lambda: not self._lives(), "the end of the connection")
        self._end_loop()

    def close(self) -> None:
        """End the connection with DISCONNECT."""
        self._paho.disconnect()
        self._end_loop()

    def _lives(self) -> bool:
        return self._paho.socket() is not None

    def _end_loop(self) -> None:
        self._paho.loop_stop()

    def _until(self, check: Callable[[], bool], what: str) -> None:
        with contextlib.suppress(StepTimeout):  # whoever waits looks at what is missing
            wait_until(check, seconds=self.client.seconds, what=what, interval=0.005, longest=0.02)

    def _properties(self, packet: str) -> Any:
        types = library("paho.mqtt.packettypes", "paho-mqtt", "paho").PacketTypes
        return library("paho.mqtt.properties", "paho-mqtt", "paho").Properties(getattr(types, packet))
