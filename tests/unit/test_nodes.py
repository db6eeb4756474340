"""Points of OPC UA: node ids, values by their types, and what lint says of their sheets and interfaces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from asyncua.crypto.cert_gen import generate_self_signed_app_certificate
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DefinitionError
from harness.model.nodes import NUMBERS, TYPES, WHOLE, NodePoint, held, in_words, split_node
from harness.reading.nodes import read_nodes
from harness.reading.read import read
from tests.certificates import Authority, private_key
from tests.products import WEB, product

HEAD = "name,node,type,unit,range,access,expected,changes,history\n"
GOOD = (
    HEAD + "设定值 1,s=Set 1;x=2,Double,°C,0..100,rw,,,yes\n"
    "flow,ns=02;i=7,Float,,1..10,,,0.5,\n"
    "serial,nsu=urn:例:二;s=泵,String,,,,一号泵 P-7,,no\n"
    "words,g=09087e75-8e5e-499b-954f-f2a9603db28a,Int16[],,,,1| -2|3,,\n"
    "blob,b=M/RbKBsRVkePCePcx24oRA==,ByteString,,,,0x00ff,,\n"
)
FIELD: dict[str, Any] = {
    **WEB,
    "ports": {"web": 8080, "field": 4840},
    "interfaces": {
        "plant": {"protocol": "opcua", "port": "field", "points": "points.csv", "namespace": "urn:a"},
        "line-2.b": {"protocol": "opcua", "port": "field", "path": "/2", "points": "测点.csv"},
    },
}


def sheet(folder: Path, text: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def point(kind: str, **more: Any) -> NodePoint:
    return NodePoint(name="p", namespace="", node="i=1", kind=kind, **more)


def test_a_sheet_is_read_with_its_namespaces_and_values(tmp_path: Path) -> None:
    points = read_nodes(sheet(tmp_path, GOOD), "urn:a")
    assert [each.shown for each in points] == [
        "nsu=urn:a;s=Set 1;x=2",
        "ns=2;i=7",
        "nsu=urn:例:二;s=泵",
        "nsu=urn:a;g=09087e75-8e5e-499b-954f-f2a9603db28a",
        "nsu=urn:a;b=M/RbKBsRVkePCePcx24oRA==",
    ]
    assert [each.expected for each in points] == [None, None, "一号泵 P-7", [1, -2, 3], b"\x00\xff"]
    assert (points[0].writable, points[0].unit, points[0].history, points[1].changes) == (True, "°C", True, 0.5)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_headings_and_words_in_chinese(tmp_path: Path, separator: str) -> None:
    rows = [["名称", "节点", "类型", "范围", "访问", "历史"], ["温度", "i=5", "Int32", "-40~120", "读写", "是"]]
    (one,) = read_nodes(sheet(tmp_path, "\n".join(separator.join(row) for row in rows)))
    assert (one.low, one.high, one.writable, one.history, one.shown) == (-40, 120, True, True, "i=5")


FAULTS = {
    "p,x=1,Double,,,,,,": (2, 2, "no node id"),
    "p,ns=70000;i=1,Double,,,,,,": (2, 2, "no node id"),
    "p,i=99999999999,Double,,,,,,": (2, 2, "no node id"),
    "p,i=1,double,,,,,,": (2, 3, "no such type"),
    "p,i=1,Byte,,0..256,,,,": (2, 5, "256 is no Byte"),
    "p,i=1,String,,0..1,,,,": (2, 5, "a String has no range"),
    "p,i=1,Int16,,,rw,,,": (2, 5, "a point that is written has a range"),
    "p,i=1,DateTime,,,rw,,,": (2, 6, "times are not written"),
    "p,i=1,Byte,,,,1.5,,": (2, 7, "no value of a Byte"),
    "p,i=1,Byte[],,,,1|x,,": (2, 7, "no value of a Byte"),
    "p,i=1,Boolean,,,,maybe,,": (2, 7, "no value of a Boolean"),
    "p,i=1,Float,,0..1,,2,,": (2, 7, "the expected value lies out of the range"),
    "p,i=1,Float,,,,2,1,": (2, 8, "a point that changes has no expected value"),
    "p,i=1,Float,,,,,0,": (2, 8, "no such period"),
    "p,i=1,Float,,,,,,maybe": (2, 9, "no such history"),
    "p,i=1,Float,,,,,,\np,i=2,Float,,,,,,": (3, 1, "a second point of this name"),
    "p,i=1,Float,,,,,,\nq,ns=0;i=1,Float,,,,,,": (3, 1, "a second point of this node"),
}


@pytest.mark.parametrize("row", FAULTS)
def test_each_fault_of_a_sheet_has_its_place(tmp_path: Path, row: str) -> None:
    with pytest.raises(DefinitionError) as error:
        read_nodes(sheet(tmp_path, HEAD + row + "\n"))
    (fault,) = error.value.faults
    assert (fault.line, fault.column, fault.message) == FAULTS[row]


@given(st.text(max_size=60))
def test_any_text_is_a_node_id_or_a_value_error(text: str) -> None:
    try:
        namespace, node = split_node(text)
    except ValueError:
        return
    assert text.endswith(node)
    assert node[:2] in ("i=", "s=", "g=", "b=")
    assert NodePoint(name="p", namespace=namespace, node=node, kind="Byte").shown.endswith(node)


@given(st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_held_as_its_type_holds_it_or_refused(kind: str, value: float) -> None:
    try:
        kept = held(kind, value)
    except OverflowError:
        assert kind != "Double"
        return
    assert held(kind, kept) == kept
    assert isinstance(kept, int) == (kind in WHOLE)
    assert math.isclose(kept, value, rel_tol=1e-6, abs_tol=1e-44)


@pytest.mark.parametrize("kind", TYPES)
def test_written_values_are_right_by_what_the_point_declares(kind: str) -> None:
    limits = {"low": 1.0, "high": 9.0} if kind in NUMBERS else {}
    for array in (False, True):
        one = point(kind, array=array, **limits)
        values = one.values() + one.values(3)
        assert [one.wrong(value) for value in values] == [""] * len(values)
        assert (values == []) == (kind == "DateTime")
        assert all(one.alike(value, value) for value in values)


def test_what_is_alike_and_what_is_not() -> None:
    assert point("Float").alike(0.1, 0.10000000149011612)
    assert not point("Double").alike(1.0, 1.00001)
    assert not point("Int64").alike(2**53, 2**53 + 1)
    assert not point("Boolean").alike(True, 1)
    assert point("String").alike(None, "")
    assert point("Byte", array=True).alike([], None)
    assert not point("Byte").alike(None, 0)
    assert not point("Double").alike(math.nan, math.nan)
    assert not point("Int16", array=True).alike([1, 2], [1])
    assert point("Double", low=0.0, high=1.0).wrong(math.nan) == "nan, out of 0..1"
    assert point("Double", low=0.0, high=1.0).wrong(None) == "None, out of 0..1"
    assert len(in_words("x" * 1000)) < 70


def lint(folder: Path, application: dict[str, Any]) -> list[tuple[str, int, str]]:
    """File, line and message of each fault."""
    root = product(folder / "p", application)
    sheet(root, GOOD)
    sheet(root, "名称,节点,类型\n温度,i=5,Int32\n", "测点.csv")
    try:
        read(root)
    except DefinitionError as error:
        return [(Path(fault.file).name, fault.line, fault.message) for fault in error.faults]
    return []


def with_plant(**more: Any) -> dict[str, Any]:
    return {**FIELD, "interfaces": {**FIELD["interfaces"], "plant": {**FIELD["interfaces"]["plant"], **more}}}


def test_a_right_interface_has_no_fault(tmp_path: Path) -> None:
    assert lint(tmp_path, FIELD) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"path": "/2"}, "interface line-2.b has the port field and path /2 of interface plant"),
        ({"port": "web2"}, "interfaces.plant.port 'web2' is not one of ports: web, field"),
        (
            {"security": [{"policy": "None", "mode": "Sign"}]},
            "policy None goes with mode None, and no other does",
        ),
        ({"anonymous": False}, "nobody is let in: there is no user, and none without one"),
        ({"users": [{"user": "a", "password": "x"}] * 2}, "a user stands twice"),
    ],
)
def test_each_fault_of_an_interface_is_said(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    ((file, line, said),) = lint(tmp_path, with_plant(**more))
    assert (file, said) == ("application.yaml", message)
    assert line > 1


def test_a_history_that_nothing_fills_is_a_fault_of_the_sheet(tmp_path: Path) -> None:
    root = product(tmp_path / "p", FIELD)
    sheet(root, "name,node,type,history\nlevel,i=7,Double,yes\n")
    sheet(root, "名称,节点,类型\n温度,i=5,Int32\n", "测点.csv")
    with pytest.raises(DefinitionError) as error:
        read(root)
    (fault,) = error.value.faults
    assert (Path(fault.file).name, fault.line, fault.found) == ("points.csv", 2, "level")
    assert "could not be tried" in fault.message


def certificate(key: Any, *names: x509.GeneralName) -> tuple[bytes, bytes]:
    """A certificate and its key in PEM."""
    whole = generate_self_signed_app_certificate(key, "client", {}, [*names], [])
    return whole.public_bytes(Encoding.PEM), private_key(key)


def test_a_certificate_without_an_application_uri_is_a_fault(tmp_path: Path) -> None:
    """And one that is not there, one that is none, one of another key, and one whose key is of another kind."""
    root = product(tmp_path / "p", with_plant(client={"certificate": "client.pem", "key": "客户端.key"}))
    sheet(root, GOOD)
    sheet(root, "名称,节点,类型\n温度,i=5,Int32\n", "测点.csv")

    def said(*content: bytes) -> list[str]:
        for name, data in zip(("client.pem", "客户端.key"), content, strict=False):
            (root / name).write_bytes(data)
        try:
            read(root)
        except DefinitionError as error:
            return [fault.message.partition(":")[0] for fault in error.faults]
        return []

    made, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    bare, key = certificate(made, x509.DNSName("harness"))
    whole, _ = certificate(made, x509.DNSName("harness"), x509.UniformResourceIdentifier("urn:example:client"))
    assert len(said()) == 2
    assert said(b"nothing", key) == ["it holds no certificate that can be read"]
    assert said(bare, key) == ["its subjectAltName has no application URI (OPC 10000-6, 6.2.2)"]
    assert said(whole, private_key(other)) == ["the key is of another certificate"]
    assert said(whole, key) == []
    curve = Authority(tmp_path / "authority").certificate("client", "harness").read_bytes()
    assert said(curve, curve) == ["its key is no RSA key, which all security policies need"]


def test_interfaces_may_have_the_names_of_other_keys(tmp_path: Path) -> None:
    plant = FIELD["interfaces"]["plant"]
    names = {"client": plant, "tls": {**plant, "path": "/2"}}
    assert lint(tmp_path, {**FIELD, "interfaces": names}) == []
