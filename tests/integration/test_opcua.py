"""industrial/opcua against servers on this machine: a right one, and one for each seeded fault."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from asyncua.crypto.cert_gen import generate_self_signed_app_certificate
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from harness.clients.opcua import OpcUaClient
from harness.clients.opening import open_interfaces
from harness.clients.resource import NoAnswer
from harness.control.fault import ProductFault
from harness.errors import InfrastructureError
from tests.certificates import private_key
from tests.fields import Seen, deployment, failed, run_cases, served
from tests.opcua_product import PLANT, POINTS

#: The same server again, in the words of a Chinese list, as its second user and encrypted.
SECOND = "名称,节点,类型,范围\n流量,nsu=http://example.com/plant;s=Flow,Float,1~10\n"
INTERFACES: dict[str, Any] = {
    "plant": PLANT,
    "second.2": {
        "protocol": "opcua",
        "port": "field",
        "path": "/plant/2",
        "security": PLANT["security"][::-1],
        "users": [{"user": "gauge 2", "password": "{{ secrets.gauge }}"}],
        "points": "测点.csv",
        "refresh": 0.2,
        "in_time": 0.5,
        "connections": 2,
    },
}
SECRETS = {"line": "line password", "gauge": "压力 password"}


def ran(
    folder: Path, port: int, *wanted: str, interfaces: dict[str, Any] | None = None, **more: Any
) -> dict[str, Seen]:
    (folder / "points.csv").write_text(POINTS)
    (folder / "测点.csv").write_text(SECOND)
    product = deployment(folder, interfaces or {"plant": PLANT}, port, secrets=SECRETS, **more)
    amounts = {"requests": 20, "seconds": 1}
    clients: list[Any] = []

    def opened(protocol: str) -> list[Any]:
        """As the fixture, which closes the clients of the case before."""
        for client in clients:
            client.close()
        clients[:] = open_interfaces(product, protocol)
        for client in clients:
            client.seconds = 2
        return clients

    try:
        return run_cases("industrial/opcua", {"interfaces": opened, "application": product}, amounts, *wanted)
    finally:
        for client in clients:
            client.close()


def test_a_right_server_passes_every_case(tmp_path: Path) -> None:
    with served("opcua_server.py") as port:
        results = ran(tmp_path, port, interfaces=INTERFACES)
    assert {case: (seen.result, seen.words) for case, seen in results.items() if seen.result != "pass"} == {}
    assert len(results) == 19
    assert (results["UA-05"].measured["right"], results["UA-05"].measured["not judged"]) == (9, 3)
    assert results["UA-12"].measured["changes told of"] >= 10
    assert results["UA-13"].measured["values of the history"] >= 4
    assert "energy,nsu=urn:example:二号线;i=7,Int64,-1099511627776,Good" in results["UA-05"].kept["points.csv"]


#: A seeded fault -> the cases that fail for it, and words of each.
FAULTS: dict[str, dict[str, str]] = {
    "swapped": {"UA-05": "count: 1105330432, expected 123457"},
    "typed": {"UA-06": "flow, main: its value is of type Double, declared is Float"},
    "unit": {"UA-07": "设定值 1: its unit is °F, declared is °C"},
    "stale": {"UA-08": "设定值 1: it was written at", "UA-13": "its history holds nothing of the last seconds"},
    "open": {"UA-10": "serial: it is declared read-only, and a write was answered by Good"},
    "silent": {"UA-12": "设定值 1: 0 was written, and not told of within 1.0 s"},
    "skipping": {"UA-12": "pump: True was written, and not told of within 1.0 s"},
    "forgetful": {"UA-13": "设定值 1: "},
    "anyone": {"UA-14": "line is let in with a wrong password"},
    "nobody": {"UA-14": "a client without a user is let in"},
    "ascii": {"UA-09": "label: '信创/温度𠮷' was written, '??/???' is read"},
    "vague": {"UA-11": "Read of an unknown node: BadInternalError, expected BadNodeIdUnknown"},
    "plain": {"UA-11": "Browse of an unknown node: BadNodeIdInvalid, expected BadNodeIdUnknown"},
    "one": {"UA-15": "of 6 clients were let in"},
    "stuck": {"UA-12": "flow, main: fewer than 3 changes came"},
    "unnamed": {"UA-03": "the server has no namespace http://example.com/plant"},
    "hidden": {"UA-04": "serial (nsu=http://example.com/plant;s=Serial) is not found"},
    "fragile": {"UA-16": "after a message type that nobody has"},
}


#: Faults of one server, which do not touch each other.
SERVERS = (
    ("swapped", "typed", "unit", "hidden", "vague", "forgetful", "nobody"),
    ("stale", "open", "anyone", "stuck"),
    ("silent", "one"),
    ("skipping", "ascii", "plain"),
    ("unnamed",),
    ("fragile",),
)


@pytest.mark.parametrize("faults", SERVERS, ids=" ".join)
def test_each_seeded_fault_fails_its_case_and_no_other(tmp_path: Path, faults: tuple[str, ...]) -> None:
    with served("opcua_server.py", *faults) as port:
        found = failed(ran(tmp_path, port))
    wanted = [(case, words) for fault in faults for case, words in FAULTS[fault].items()]
    assert {*found} == {case for case, _ in wanted}, found
    assert [(case, words) for case, words in wanted if words not in found[case]] == [], found


def test_every_seeded_fault_is_tried() -> None:
    assert sorted(itertools.chain(*SERVERS)) == sorted(FAULTS)


def test_namespaces_with_other_indices_are_found_by_their_uris(tmp_path: Path) -> None:
    with served("opcua_server.py", "shifted") as port:
        results = ran(tmp_path, port, "UA-03", "UA-05")
    assert failed(results) == {}
    assert results["UA-05"].measured["right"] == 8


def test_a_server_that_is_not_there_is_said_with_its_port(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        results = ran(tmp_path, port)
    assert f"plant (port 502, from here 127.0.0.1:{port}): connecting" in failed(results)["UA-01"]
    assert {seen.result for case, seen in results.items() if case != "UA-01"} == {"skip"}


def test_what_is_no_opc_ua_is_said(tmp_path: Path) -> None:
    with served("talker.py") as port:
        assert "plant (port 502" in failed(ran(tmp_path, port, "UA-01"))["UA-01"]


def test_a_security_that_is_not_offered_and_one_that_is_unsafe(tmp_path: Path) -> None:
    secure = [{"policy": "Basic256Sha256", "mode": mode} for mode in ("SignAndEncrypt", "Sign")]
    with served("opcua_server.py") as port:
        words = failed(ran(tmp_path, port, "UA-02", interfaces={"plant": {**PLANT, "security": secure}}))["UA-02"]
    assert "Basic256Sha256/Sign is declared, and no endpoint has it" in words
    assert "an endpoint with None/None is offered, which is unsafe and not declared" in words


def test_a_declared_certificate_is_what_the_harness_shows(tmp_path: Path) -> None:
    made = rsa.generate_private_key(65537, 2048)
    uri = "urn:example:client 2"
    whole = generate_self_signed_app_certificate(made, "client", {}, [x509.UniformResourceIdentifier(uri)], [])
    (tmp_path / "client 2.pem").write_bytes(whole.public_bytes(Encoding.PEM))
    (tmp_path / "client.key").write_bytes(private_key(made))
    client = {"certificate": "client 2.pem", "key": "client.key"}
    plant = {**PLANT, "client": client, "security": PLANT["security"][::-1]}
    with served("opcua_server.py") as port:
        results = ran(
            tmp_path, port, "UA-02", "UA-05", interfaces={"plant": {**plant, "security": PLANT["security"][::-1]}}
        )
    assert failed(results) == {}
    assert results["UA-02"].measured["endpoints used"] == 2


def test_a_restart_that_brings_nothing_back_fails_its_case(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = contextlib.ExitStack()
        port = stack.enter_context(server).enter_context(served("opcua_server.py"))
        words = failed(ran(tmp_path, port, "UA-17", restart=server.close))
    assert "plant: after the restart: plant (port 502" in words["UA-17"]


def test_a_library_that_is_missing_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "points.csv").write_text(POINTS)
    with pytest.raises(InfrastructureError, match="asyncua is not installed on this machine") as error:
        open_interfaces(deployment(tmp_path, {"plant": PLANT}, 1), "opcua")
    assert error.value.advice == "pip install 'xinchuang-harness[industrial]'"


def test_what_cannot_be_decoded_is_the_products_fault_and_what_is_ours_is_not(tmp_path: Path) -> None:
    async def ended(error: Exception) -> None:
        raise error

    (tmp_path / "points.csv").write_text(POINTS)
    (client,) = open_interfaces(deployment(tmp_path, {"plant": PLANT}, 1), "opcua")
    assert isinstance(client, OpcUaClient)
    with contextlib.closing(client):
        for error in (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), struct.error("short"), KeyError(7)):
            with pytest.raises(ProductFault, match=r"plant \(port 502.*what came back cannot be read as OPC UA"):
                client.wait("Read", ended(error))
        with pytest.raises(NoAnswer, match="no answer"):
            client.wait("Read", ended(ConnectionResetError("gone")))
        with pytest.raises(TypeError):
            client.wait("Read", ended(TypeError("ours")))


def test_a_client_that_asked_nothing_has_no_thread(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(POINTS)
    (client,) = open_interfaces(deployment(tmp_path, {"plant": PLANT}, 1), "opcua")
    assert isinstance(client, OpcUaClient)
    client.close()
    client.close()
