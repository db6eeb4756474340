"""Stands before a broker and breaks what it sends to its clients. Standard library only.

Usage: mqtt_proxy.py PORT PORT_OF_THE_BROKER doubled|lost. Of the PUBLISH with QoS 1, two go twice, or are acknowledged
in the client's place and go nowhere.
"""

import itertools
import socket
import socketserver
import sys
import threading
from typing import BinaryIO

PORT, BROKER, FAULT = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
numbers = itertools.count(1)


def packet(stream: BinaryIO) -> bytes:
    """One control packet (MQTT 5, 2.1); empty at the end."""
    first = stream.read(1)
    length, shift, head = 0, 0, first
    while first:
        byte = stream.read(1)
        if not byte:
            return b""
        head += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if not byte[0] & 0x80:
            break
    return head + stream.read(length) if first else b""


def identifier(data: bytes) -> bytes:
    """The packet identifier of a PUBLISH: behind the topic."""
    at = 1 + next(i for i in range(1, 5) if not data[i] & 0x80)
    size = int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 + size : at + 4 + size]


class Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", BROKER)) as broker:
            threading.Thread(target=self.upwards, args=(broker,), daemon=True).start()
            stream = broker.makefile("rb")
            while data := packet(stream):
                if data[0] >> 4 == 3 and data[0] & 0x06 == 0x02 and next(numbers) in (500, 1000):
                    if FAULT == "lost":
                        broker.sendall(b"\x40\x02" + identifier(data))
                        continue
                    self.request.sendall(data)
                self.request.sendall(data)
            self.request.shutdown(socket.SHUT_RDWR)

    def upwards(self, broker: socket.socket) -> None:
        try:
            while data := self.request.recv(65536):
                broker.sendall(data)
            broker.shutdown(socket.SHUT_RDWR)
        except OSError:
            broker.close()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128


if __name__ == "__main__":
    with Server(("0.0.0.0", PORT), Connection) as server:
        server.serve_forever()
