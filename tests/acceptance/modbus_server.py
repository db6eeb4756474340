"""A product that speaks Modbus TCP, with two units; a word on its command line gives it a fault. Standard library only.

Usage: modbus_server.py PORT [swapped|lost|exceptions|stuck|numbers|fragile]
"""

import socketserver
import struct
import sys
import threading

PORT, FAULT = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
MOST = {1: 2000, 2: 2000, 3: 125, 4: 125}
lock = threading.Lock()
requests = 0


def registers(form: str, value: float) -> list[int]:
    data = struct.pack(f">{form}", value)
    words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    return words[::-1] if FAULT == "swapped" else words


def unit(number: int) -> dict[str, dict[int, int]]:
    """The memory of a unit: area -> address -> register or bit."""
    holding = dict(enumerate([215, 0, *registers("f", 3.25), *registers("I", 123456 + number)]))
    holding |= dict.fromkeys(range(100, 400), 7)
    inputs = dict(enumerate([-125 & 0xFFFF, 0, *registers("d", 50.01)]))
    return {"coil": {0: 0, 1: 1}, "discrete": {0: 1}, "holding": holding, "input": inputs}


units = {1: unit(1), 2: unit(2)}
AREAS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Wrong(Exception):
    """A request that is answered by an exception."""


def answer(memory: dict[str, dict[int, int]], pdu: bytes) -> bytes:
    code = pdu[0]
    if code in AREAS:
        address, count = struct.unpack(">HH", pdu[1:5])
        if not 1 <= count <= MOST[code]:
            raise Wrong(3)
        values = taken(memory[AREAS[code]], address, count)
        if code in (3, 4):
            return struct.pack(f">BB{count}H", code, 2 * count, *values)
        bits = sum(bit << i for i, bit in enumerate(values)).to_bytes((count + 7) // 8, "little")
        return bytes([code, len(bits)]) + bits
    if code in (5, 6):
        address, value = struct.unpack(">HH", pdu[1:5])
        put(memory["coil" if code == 5 else "holding"], address, [value if code == 6 else int(value == 0xFF00)])
        return pdu[:5]
    if code in (15, 16):
        address, count, size = struct.unpack(">HHB", pdu[1:6])
        if not 1 <= count <= (1968 if code == 15 else 123) or size != ((count + 7) // 8 if code == 15 else 2 * count):
            raise Wrong(3)
        put(memory["coil" if code == 15 else "holding"], address, given(code, pdu[6:], count))
        return pdu[:5]
    if code == 22:
        address, keep, add = struct.unpack(">HHH", pdu[1:7])
        (old,) = taken(memory["holding"], address, 1)
        put(memory["holding"], address, [(old & keep) | (add & ~keep & 0xFFFF)])
        return pdu[:7]
    if code == 23:
        address, count, to, more, _ = struct.unpack(">HHHHB", pdu[1:10])
        put(memory["holding"], to, given(16, pdu[10:], more))
        return struct.pack(f">BB{count}H", code, 2 * count, *taken(memory["holding"], address, count))
    raise Wrong(1)


def given(code: int, data: bytes, count: int) -> list[int]:
    if code == 16:
        if len(data) < 2 * count:
            raise Wrong(3)
        return list(struct.unpack(f">{count}H", data[: 2 * count]))
    return [int.from_bytes(data, "little") >> i & 1 for i in range(count)]


def taken(area: dict[int, int], address: int, count: int) -> list[int]:
    if any(place not in area for place in range(address, address + count)):
        raise Wrong(4 if FAULT == "exceptions" else 2)
    return [area[place] for place in range(address, address + count)]


def put(area: dict[int, int], address: int, values: list[int]) -> None:
    taken(area, address, len(values))
    if FAULT != "stuck":
        area.update(enumerate(values, address))


class Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        global requests
        while len(head := self.rfile.read(7)) == 7:
            transaction, protocol, length, number = struct.unpack(">HHHB", head)
            if protocol != 0 or not 2 <= length <= 254:
                if FAULT == "fragile":
                    server.server_close()  # nobody is let in any more
                return
            pdu = self.rfile.read(length - 1)
            if len(pdu) < length - 1:
                return
            with lock:
                requests += 1
                if FAULT == "lost" and requests % 1000 == 0:
                    continue
                try:
                    said = answer(units[number], pdu) if number in units else bytes([pdu[0] | 0x80, 11])
                except Wrong as wrong:
                    said = bytes([pdu[0] | 0x80, wrong.args[0]])
                except struct.error:
                    said = bytes([pdu[0] | 0x80, 3])
            if FAULT == "numbers":
                transaction = transaction + 1 & 0xFFFF
            self.wfile.write(struct.pack(">HHHB", transaction, 0, len(said) + 1, number) + said)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128


if __name__ == "__main__":
    with Server(("0.0.0.0", PORT), Connection) as server:
        print(f"serves Modbus at port {server.server_address[1]}", flush=True)
        server.serve_forever()
