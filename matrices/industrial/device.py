"""A device that speaks Modbus TCP: a small memory of coils, inputs and holding registers. Usage: device.py PORT."""

import socketserver
import struct
import sys
import threading

MOST = {1: 2000, 3: 125, 4: 125}
AREAS = {1: "coil", 3: "holding", 4: "input"}
lock = threading.Lock()


class Refusal(Exception):
    """A request that is answered by an exception; its argument is the code."""


def words(form, value):
    """A value as big-endian registers."""
    data = struct.pack(f">{form}", value)
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


MEMORY = {
    "coil": {0: 0, 1: 1},
    # A set temperature, a flow, and a count whose low word comes first.
    "holding": dict(enumerate([215, 0, *words("f", 3.25), *words("I", 123456)[::-1]])),
    "input": dict(enumerate([*words("h", -125), 0, *words("d", 50.01)])),
}


def held(area, address, count):
    """What an area holds."""
    places = range(address, address + count)
    if any(place not in MEMORY[area] for place in places):
        raise Refusal(2)
    return [MEMORY[area][place] for place in places]


def hold(area, address, values):
    """Have an area hold something else."""
    held(area, address, len(values))
    MEMORY[area].update(enumerate(values, address))


def numbers(data, count):
    """Registers of a request that brings them."""
    if not 1 <= count <= 123 or len(data) != 2 * count:
        raise Refusal(3)
    return list(struct.unpack(f">{count}H", data))


def answer(pdu):
    """The answer to a request."""
    code, body = pdu[0], pdu[1:]
    if code in AREAS:
        address, count = struct.unpack(">HH", body)
        if not 1 <= count <= MOST[code]:
            raise Refusal(3)
        values = held(AREAS[code], address, count)
        if code == 1:
            bits = sum(bit << place for place, bit in enumerate(values)).to_bytes((count + 7) // 8, "little")
            return bytes([code, len(bits)]) + bits
        return struct.pack(f">BB{count}H", code, 2 * count, *values)
    if code in (5, 6):
        address, value = struct.unpack(">HH", body)
        if code == 5 and value not in (0, 0xFF00):
            raise Refusal(3)
        hold("holding" if code == 6 else "coil", address, [value if code == 6 else int(value == 0xFF00)])
        return pdu
    if code in (15, 16):
        address, count, _ = struct.unpack(">HHB", body[:5])
        if code == 16:
            hold("holding", address, numbers(body[5:], count))
        elif not 1 <= count <= 1968 or len(body) != 5 + (count + 7) // 8:
            raise Refusal(3)
        else:
            bits = int.from_bytes(body[5:], "little")
            hold("coil", address, [bits >> place & 1 for place in range(count)])
        return pdu[:5]
    if code == 22:
        address, keep, add = struct.unpack(">HHH", body)
        (value,) = held("holding", address, 1)
        hold("holding", address, [(value & keep) | (add & ~keep & 0xFFFF)])
        return pdu
    if code == 23:
        address, count, at, more, _ = struct.unpack(">HHHHB", body[:9])
        hold("holding", at, numbers(body[9:], more))
        return struct.pack(f">BB{count}H", code, 2 * count, *held("holding", address, count))
    raise Refusal(1)


class Connection(socketserver.StreamRequestHandler):
    """A client, until it goes or sends no Modbus."""

    def handle(self):
        while len(head := self.rfile.read(7)) == 7:
            transaction, protocol, length, unit = struct.unpack(">HHHB", head)
            if protocol != 0 or not 2 <= length <= 254 or len(pdu := self.rfile.read(length - 1)) < length - 1:
                return
            with lock:
                try:
                    said = answer(pdu)
                except Refusal as refusal:
                    said = bytes([pdu[0] | 0x80, refusal.args[0]])
                except struct.error:
                    said = bytes([pdu[0] | 0x80, 3])
            self.wfile.write(struct.pack(">HHHB", transaction, 0, len(said) + 1, unit) + said)


class Server(socketserver.ThreadingTCPServer):
    """A thread for each client."""

    allow_reuse_address, daemon_threads, request_queue_size = True, True, 64


if __name__ == "__main__":
    with Server(("", int(sys.argv[1])), Connection) as server:
        server.serve_forever()
