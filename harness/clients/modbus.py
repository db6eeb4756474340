"""Asks a product over Modbus TCP: by the library pymodbus as its users do, and by single frames where no library would.

MODBUS Application Protocol Specification V1.1b3 (functions, exceptions), MODBUS Messaging on TCP/IP Implementation
Guide V1.0b (frames). The extra ``industrial`` brings the library.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.clients.libraries import library
from harness.clients.resource import NoAnswer
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.model.definitions import Modbus
from harness.model.points import BITS, Area, Point
from harness.reading.points import functions_of, read_points, tries

#: Seconds in which an answer must come, scaled by the target's factor.
ANSWER_SECONDS = 3.0
#: Most bits and registers that one request reads (V1.1b3, 6.1 and 6.3).
MOST_BITS, MOST_REGISTERS = 2000, 125
#: Bytes of a frame before its PDU, and most bytes of a PDU (V1.0b, 3.1.3; V1.1b3, 4.1).
HEAD, MOST_PDU = 7, 253


class Refused(ProductFault):
    """The product answered with an exception; ``code`` is its code (V1.1b3, 7)."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: exception {code:02d}", f"{what}：异常码 {code:02d}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A frame as it came back: identifiers of transaction and unit, and the PDU."""

    transaction: int
    unit: int
    pdu: bytes

    @property
    def exception(self) -> int | None:
        """The code of an exception; None where it is none."""
        return self.pdu[1] if len(self.pdu) == 2 and self.pdu[0] & 0x80 else None


@dataclass(frozen=True, kw_only=True)
class Block:
    """Points that lie one behind the other, and are read by one request."""

    area: Area
    address: int
    count: int
    points: tuple[Point, ...]


def blocks_of(points: Iterable[Point]) -> list[Block]:
    """Points in as few requests as their addresses let: no address between them is asked for."""
    blocks: list[Block] = []
    run: list[Point] = []

    def close() -> None:
        if run:
            count = run[-1].address + run[-1].size - run[0].address
            blocks.append(Block(area=run[0].area, address=run[0].address, count=count, points=tuple(run)))
            run.clear()

    for point in sorted(points, key=lambda each: (each.area, each.address)):
        most = MOST_BITS if point.area in BITS else MOST_REGISTERS
        if run and (
            point.area != run[-1].area
            or point.address != run[-1].address + run[-1].size
            or point.address + point.size - run[0].address > most
        ):
            close()
        run.append(point)
    close()
    return blocks


class ModbusClient:
    """One interface of the product. A connection that was lost is made anew by the next request.

    It is for one thread; ``another`` gives one more.
    """

    def __init__(self, deployment: Deployment, name: str, definition: Modbus) -> None:
        """Raises InfrastructureError where the library is not installed, DefinitionError for a sheet of points."""
        context = deployment.context
        self.deployment, self.name, self.definition = deployment, name, definition
        self.seconds = ANSWER_SECONDS * context.factor
        self.place = context.ports[definition.port]
        folder = context.template_folder
        self.points = read_points(folder / definition.points, definition.order) if definition.points else ()
        self.functions = functions_of(definition.functions, self.points)
        self._library = library("pymodbus.client", "pymodbus")
        self._wrong = library("pymodbus.exceptions", "pymodbus").ModbusException
        self._client: Any = None
        self._transactions = itertools.count(1)

    def another(self) -> ModbusClient:
        """One more client of the same interface."""
        return ModbusClient(self.deployment, self.name, self.definition)

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def read(self, area: Area, address: int, count: int) -> list[int]:
        """Registers, or bits as 0 and 1. Raises Refused, NoAnswer, ProductFault (the answer has another length)."""
        method = {
            "coil": "read_coils",
            "discrete": "read_discrete_inputs",
            "holding": "read_holding_registers",
            "input": "read_input_registers",
        }[area]
        response = self._ask(f"{area} {address}, {count}", method, address, count=count)
        values = [int(value) for value in (response.bits if area in BITS else response.registers)]
        if len(values) < count or (area not in BITS and len(values) > count):
            raise ProductFault(
                f"{self.name}: a read of {count} from {area} {address} gave {len(values)}",
                f"{self.name}：从 {area} {address} 读取 {count} 个，得到 {len(values)} 个",
            )
        return values[:count]

    def read_point(self, point: Point) -> list[int]:
        """The registers or the bit of a point. Raises as ``read``."""
        return self.read(point.area, point.address, point.size)

    def write(self, code: int, point: Point, registers: Sequence[int]) -> None:
        """Write a point by a function. Raises as ``read``, and ValueError where the function does not write it."""
        if not tries(code, point):
            raise ValueError(f"function {code} does not write {point.name}")
        what, address = f"function {code}, {point.name}", point.address
        if code == 5:
            self._ask(what, "write_coil", address, bool(registers[0]))
        elif code == 15:
            self._ask(what, "write_coils", address, [bool(bit) for bit in registers])
        elif code == 6:
            self._ask(what, "write_register", address, registers[0])
        elif code == 16:
            self._ask(what, "write_registers", address, list(registers))
        elif code == 22:
            # Bits that stay are kept, so that the register never holds anything between the old and the new value.
            keep = 0xFFFF & ~(self.read_point(point)[0] ^ registers[0])
            self._ask(what, "mask_write_register", address=address, and_mask=keep, or_mask=registers[0])
        else:
            response = self._ask(
                what,
                "readwrite_registers",
                read_address=address,
                read_count=point.size,
                write_address=address,
                values=list(registers),
            )
            if list(response.registers) != list(registers):
                raise ProductFault(
                    f"{self.name}: {what}: the read gave {response.registers}, though it comes after the write",
                    f"{self.name}：{what}：读取在写入之后，却得到 {response.registers}",
                )

    def writer_of(self, point: Point) -> int:
        """The function by which a point is written."""
        return next(code for code in (5, 6, 16, 15, 23) if code in self.functions and tries(code, point))

    def wire(self) -> Wire:
        """A connection for single frames. Raises NoAnswer."""
        return Wire(self)

    def _ask(self, what: str, method: str, *arguments: Any, **named: Any) -> Any:
        """Raises Refused, NoAnswer."""
        try:
            response = getattr(self._connected(), method)(*arguments, device_id=self.definition.unit, **named)
        except (self._wrong, OSError) as error:
            self.close()
            words = " ".join(str(error).split())[:200]
            raise self.silence(what, words) from error
        if response.isError():
            raise Refused(f"{self.name}: {what}", int(getattr(response, "exception_code", 0)))
        return response

    def silence(self, what: str, words: str) -> NoAnswer:
        """That nothing answered, and where."""
        host, port = self.place
        inside = self.deployment.context.application.ports[self.definition.port]
        where = f"{self.name} (port {inside}, from here {host}:{port})"
        return NoAnswer(f"{where}: {what}: no answer ({words})", f"{where}：{what}：无应答（{words}）")

    def _connected(self) -> Any:
        if self._client is None:
            host, port = self.place
            client = self._library.ModbusTcpClient(host, port=port, timeout=self.seconds, retries=0)
            if not client.connect():
                raise self.silence("connecting", "refused, or not in time")
            self._client = client
        return self._client


class Wire:
    """A connection over which single frames go, good ones and broken ones."""

    def __init__(self, client: ModbusClient) -> None:
        """Raises NoAnswer."""
        self._client = client
        try:
            self._socket = socket.create_connection(client.place, timeout=client.seconds)
        except OSError as error:
            raise client.silence("connecting", f"{type(error).__name__}: {error}") from error
        self._transaction = itertools.count(1)
        self._unread = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, pdu: bytes, unit: int | None = None) -> Answer | None:
        """Send a PDU and give what comes back; None where the product closed the connection. Raises NoAnswer."""
        self.send(frame(pdu, unit if unit is not None else self._client.definition.unit, next(self._transaction)))
        return self.receive(f"PDU {pdu[:12].hex()}")

    def send(self, data: bytes) -> None:
        """Send bytes as they are; a connection that the product has closed takes them too."""
        try:
            self._socket.sendall(data)
        except (ConnectionError, TimeoutError):
            return  # what is received says so

    def receive(self, what: str, seconds: float | None = None) -> Answer | None:
        """The next frame; None where the product closed the connection.

        Raises:
            NoAnswer: nothing whole came in time.
            ProductFault: what came is no frame of Modbus.
        """
        until = time.monotonic() + (self._client.seconds if seconds is None else seconds)
        while True:
            if len(self._unread) >= HEAD:
                transaction, protocol, length, unit = struct.unpack(">HHHB", self._unread[:HEAD])
                if protocol != 0 or not 2 <= length <= MOST_PDU + 1:
                    shown = self._unread[:16].hex()
                    raise ProductFault(
                        f"{self._client.name}: {what}: what came back is no frame of Modbus: {shown}",
                        f"{self._client.name}：{what}：返回的不是 Modbus 帧：{shown}",
                    )
                if len(self._unread) >= HEAD - 1 + length:
                    whole, self._unread = self._unread[: HEAD - 1 + length], self._unread[HEAD - 1 + length :]
                    return Answer(transaction=transaction, unit=unit, pdu=whole[HEAD:])
            left = until - time.monotonic()
            if left <= 0:
                raise self._client.silence(what, "not in time")
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(4096)
            except TimeoutError as error:
                raise self._client.silence(what, "not in time") from error
            except ConnectionError:
                return None
            if not piece:
                return None
            self._unread += piece


def frame(pdu: bytes, unit: int, transaction: int, *, protocol: int = 0, length: int | None = None) -> bytes:
    """A frame of Modbus TCP (V1.0b, 3.1.3); ``protocol`` and ``length`` may be wrong ones."""
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1 if length is None else length, unit) + pdu
