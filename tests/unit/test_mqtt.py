"""industrial/mqtt where no broker answers, and what is wrong with a declared broker; brokers: tests/acceptance."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from harness.clients.mqtt import Message, MqttClient, MqttSession
from harness.clients.opening import open_interfaces
from harness.errors import DefinitionError, InfrastructureError
from harness.reading.read import read
from tests.fields import Seen, deployment, run_cases, served
from tests.products import WEB, product

USERS = [{"user": "line", "password": "{{ secrets.line }}", "allowed": "harness/own"}]
BROKERS: dict[str, Any] = {"broker": {"protocol": "mqtt", "port": "field", "users": USERS}}


def ran(port: int) -> dict[str, Seen]:
    given = deployment(Path(), BROKERS, port, secrets={"line": "?"})
    clients = open_interfaces(given, "mqtt")
    for client in clients:
        client.seconds = 0.5
    return run_cases(
        "industrial/mqtt", {"interfaces": lambda protocol: clients, "application": given}, {"messages": 10}
    )


def test_a_broker_that_is_not_there_is_said_with_its_port() -> None:
    """What else is asked of it depends on that, and is no failure of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        results = ran(port)
    assert results["MQ-01"].result == "fail"
    assert f"broker (port 502, from here 127.0.0.1:{port}): connecting: no answer" in results["MQ-01"].words
    assert {seen.result for case, seen in results.items() if case != "MQ-01"} == {"skip"}
    assert all("dependency: MQ-01" in seen.words for case, seen in results.items() if case != "MQ-01")


def test_what_speaks_another_protocol_is_no_broker() -> None:
    with served("talker.py") as port:
        words = ran(port)["MQ-01"].words
    assert "broker, MQTT 3.1.1: a clean session: broker (port 502" in words
    assert "no answer" in words


def test_a_library_that_is_missing_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InfrastructureError, match="paho-mqtt is not installed on this machine") as error:
        open_interfaces(deployment(Path(), BROKERS, 1), "mqtt")
    assert error.value.advice == "pip install 'xinchuang-harness[industrial]'"


def test_messages_are_counted_by_what_they_say() -> None:
    (client,) = open_interfaces(deployment(Path(), BROKERS, 1, secrets={"line": "?"}), "mqtt")
    assert isinstance(client, MqttClient)
    session = MqttSession(client, "5")
    texts = [b"1", b"2", b"3"]
    session.messages += [Message(topic="t", payload=text, qos=1, retain=False) for text in (b"1", b"3", b"3", b"9")]
    count = session.count(texts)
    assert (count.sent, count.lost, count.twice) == (3, 1, 1)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"versions": ["4"]}, "not one of the values known here"),
        ({"versions": []}, "at least 1 item"),
        ({"prefix": "a/#"}, "pattern"),
        ({"packet": 10}, "greater than or equal to 1024"),
        ({"unit": 2}, "unknown key 'unit'"),
        ({"port": "nothing"}, "is not one of ports: web, field"),
        ({"users": [{**USERS[0], "password": "{{ secrets.lime }}"}]}, "secrets.lime"),
    ],
)
def test_what_is_wrong_with_a_broker_is_a_fault_of_lint(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    interfaces = {"broker": {**BROKERS["broker"], **keys}}
    application = {**WEB, "ports": {"web": 8080, "field": 1883}, "secrets": ["line"], "interfaces": interfaces}
    with pytest.raises(DefinitionError, match=words):
        read(product(tmp_path / "p", application))
