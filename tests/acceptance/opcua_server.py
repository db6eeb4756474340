"""A product that speaks OPC UA by the library asyncua; words on its command line give it faults.

Usage: opcua_server.py PORT [FAULT ...]. The environment has the passwords of its users: LINE, GAUGE.

swapped    a number has its bytes the wrong way round
typed      a Float is served as a Double
unit       a unit of measure is another
stale      source time stamps never change
open       it takes any write
silent     a subscription gives its first values, and then nothing
skipping   a subscription leaves out every second change
forgetful  it has no history
anyone     any password is right
nobody     a client without a user is let in
ascii      characters beyond ASCII are stored as question marks
vague      an unknown node is answered by BadInternalError
one        it serves three clients at once
fragile    it ends at a message that it cannot read
stuck      a point that says it changes does not
shifted    its namespaces have other indices
unnamed    its namespaces have other URIs
hidden     a point cannot be found by browsing
plain      it answers Browse of an unknown node as the library does
"""

import asyncio
import dataclasses
import datetime
import os
import socket
import sys

from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.crypto import cert_gen
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server import address_space, binary_server_asyncio, monitored_item_service
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

PORT, FAULTS = int(sys.argv[1]), {*sys.argv[2:]}
PLANT, LINE = "http://example.com/plant", "urn:example:二号线"
USERS = {"line": os.environ.get("LINE", "line password"), "gauge 2": os.environ.get("GAUGE", "压力 password")}
POLICIES = [ua.SecurityPolicyType.NoSecurity, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
SERVING: list[bool] = []
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def now() -> datetime.datetime:
    return LONG_AGO if "stale" in FAULTS else datetime.datetime.now(datetime.UTC)


class Users:
    """Who is let in."""

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is None:
            return User(role=UserRole.User) if "nobody" in FAULTS else None
        known = USERS.get(username) == password or ("anyone" in FAULTS and username in USERS)
        return User(role=UserRole.Admin if "open" in FAULTS else UserRole.User) if known else None


async def stamp_written(event, service):
    for asked in event.request_params.NodesToWrite:
        value = asked.Value
        if "ascii" in FAULTS and isinstance(value.Value.Value, str):
            value = ua.DataValue(ua.Variant(value.Value.Value.encode("ascii", "replace").decode()))
        asked.Value = dataclasses.replace(value, SourceTimestamp=now(), StatusCode=ua.StatusCode())


async def stamp_read(event, service):
    results = event.response_params
    for index, (asked, value) in enumerate(zip(event.request_params.NodesToRead, results, strict=True)):
        if "vague" in FAULTS and value.StatusCode.name == "BadNodeIdUnknown":
            value = ua.DataValue(StatusCode=ua.StatusCode(StatusCodes.BadInternalError))
        if asked.AttributeId == AttributeIds.Value:
            value = dataclasses.replace(value, ServerTimestamp=datetime.datetime.now(datetime.UTC))
        results[index] = value


def browsed(service, parameters, whole=address_space.ViewService.browse):
    """The library says that the syntax of an unknown node id is wrong; OPC 10000-4, 5.9.2 has another status for it."""
    results = whole(service, parameters)
    for result in results:
        if result.StatusCode.name == "BadNodeIdInvalid":
            result.StatusCode = ua.StatusCode(StatusCodes.BadNodeIdUnknown)
    return results


def broken():
    """Put the faults into the library that need it."""
    if "plain" not in FAULTS:
        address_space.ViewService.browse = browsed
    if {"silent", "skipping"} & FAULTS:
        told: dict[int, int] = {}
        own: set[int] = set()  # subscriptions of its own history
        whole = monitored_item_service.MonitoredItemService.datachange_callback

        async def some(self, handle, value, error=None):
            if not SERVING:
                own.add(id(self))
            if id(self) in own:
                await whole(self, handle, value, error)
                return
            key = id(self) * 1000 + handle
            told[key] = told.get(key, 0) + 1
            if told[key] == 1 or ("skipping" in FAULTS and told[key] % 2):
                await whole(self, handle, value, error)

        monitored_item_service.MonitoredItemService.datachange_callback = some
    if "one" in FAULTS:
        made = binary_server_asyncio.OPCUAProtocol.connection_made

        def connection_made(self, transport):
            if len(self.clients) >= 3:
                transport.close()
                return
            made(self, transport)

        binary_server_asyncio.OPCUAProtocol.connection_made = connection_made
        lost = binary_server_asyncio.OPCUAProtocol.connection_lost
        binary_server_asyncio.OPCUAProtocol.connection_lost = lambda self, error: (
            lost(self, error) if self in self.clients else None
        )
    if "fragile" in FAULTS:
        received = binary_server_asyncio.OPCUAProtocol.data_received

        def data_received(self, data):
            if data[:3] not in (b"HEL", b"OPN", b"MSG", b"CLO"):
                os._exit(1)
            received(self, data)

        binary_server_asyncio.OPCUAProtocol.data_received = data_received


async def main() -> None:
    broken()
    with socket.socket() as free:
        # Right after a restart there are still connections of the server before.
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("", PORT))
        port = free.getsockname()[1]
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://0.0.0.0:{port}/plant")
    server.set_server_name("Plant 1 / 一号车间")
    server.set_security_policy(POLICIES)
    key = cert_gen.generate_private_key()
    names = [x509.UniformResourceIdentifier("urn:freeopcua:python:server")]
    certificate = cert_gen.generate_self_signed_app_certificate(key, "plant", {}, names, [])
    await server.load_certificate(certificate.public_bytes(Encoding.PEM), "pem")
    await server.load_private_key(cert_gen.dump_private_key_as_pem(key), format="pem")
    if "shifted" in FAULTS:
        await server.register_namespace("urn:example:before")
    more = ".old" if "unnamed" in FAULTS else ""
    plant, line = [await server.register_namespace(uri + more) for uri in (PLANT, LINE)]
    folder = await server.nodes.objects.add_object(ua.NodeId("Plant", plant), ua.QualifiedName("一号车间", plant))
    flow_type = ua.VariantType.Double if "typed" in FAULTS else ua.VariantType.Float
    count = 123457
    if "swapped" in FAULTS:
        count = int.from_bytes(count.to_bytes(4, "little"), "big")
    kinds = ua.VariantType
    variables = {}
    for identifier, index, value, kind, writable in (
        ("SetPoint 1", plant, 21.5, kinds.Double, True),
        ("Flow", plant, 3.25, flow_type, False),
        ("Count", plant, count, kinds.UInt32, False),
        ("Serial", plant, "一号泵 P-7", kinds.String, False),
        ("Pump", plant, False, kinds.Boolean, True),
        ("Label", plant, "进水", kinds.String, True),
        ("Blob", plant, b"\x00\xff", kinds.ByteString, True),
        ("Profile", plant, [1.5, 2.5], kinds.Double, True),
        ("Words", plant, [1, -2, 3], kinds.Int16, False),
        ("Step", plant, 7, kinds.Byte, True),
        (7, line, -(2**40), kinds.Int64, False),
    ):
        node_id = ua.NodeId(identifier, index)
        parent = server.nodes.objects if index == line else folder
        variables[identifier] = node = await parent.add_variable(
            node_id, ua.QualifiedName(f"{identifier} 点", index), ua.Variant(value, kind)
        )
        if identifier == "Flow":
            await node.write_attribute(AttributeIds.DataType, ua.DataValue(ua.Variant(ua.NodeId(10), kinds.NodeId)))
        await node.write_value(ua.DataValue(ua.Variant(value, kind), SourceTimestamp=now()))
        if writable or "open" in FAULTS:
            await node.set_writable()
    unit = ua.EUInformation(
        NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
        UnitId=4408652,
        DisplayName=ua.LocalizedText("°F" if "unit" in FAULTS else "°C"),
    )
    await variables["SetPoint 1"].add_property(0, "EngineeringUnits", unit)
    if "hidden" in FAULTS:
        await folder.delete_reference(variables["Serial"], ObjectIds.HasComponent, bidirectional=False)
    if "forgetful" not in FAULTS:
        await server.historize_node_data_change([variables["SetPoint 1"], variables["Step"]])
    server.subscribe_server_callback(CallbackType.PreWrite, stamp_written)
    server.subscribe_server_callback(CallbackType.PostRead, stamp_read)
    async with server:
        SERVING.append(True)
        print("port", port, flush=True)
        number = 0
        while True:
            await asyncio.sleep(0.25)
            number += 1
            value = 3.25 if "stuck" in FAULTS else 2 + (number % 64) / 16
            await variables["Flow"].write_value(ua.DataValue(ua.Variant(value, flow_type), SourceTimestamp=now()))


asyncio.run(main())
