"""Messages between sandboxed code and the broker of its cell's machines: JSON and bytes, each with its length.

Light, because a load generator imports it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import SuiteError
from harness.system.canonical import read_json

_HEAD = struct.Struct(">QQ")  #: bytes of JSON, bytes of data
#: Bytes of JSON, and of data, in one message.
MOST_JSON, MOST_DATA = 32 * 2**20, 128 * 2**20
#: Bytes from which on a message is long.
LONG = 1 << 20


class BrokenFrame(Exception):
    """What came is no message."""


def send(connection: socket.socket, message: dict[str, Any], data: bytes = b"") -> None:
    """Send one message. Raises OSError where the other side is gone."""
    text = json.dumps(message).encode("ascii")
    connection.sendall(_HEAD.pack(len(text), len(data)) + text)
    if data:
        connection.sendall(data)


def receive(
    connection: socket.socket, large: contextlib.AbstractContextManager[object] | None = None
) -> tuple[dict[str, Any], bytes] | None:
    """The next message; None where the other side has ended. ``large`` is held while a long one is read.

    Raises:
        BrokenFrame: it is none, or too long.
        OSError: the connection is lost.
    """
    head = _exactly(connection, _HEAD.size)
    if head is None:
        return None
    length, size = _HEAD.unpack(head)
    if length > MOST_JSON or size > MOST_DATA:
        raise BrokenFrame(f"a message of {length} and {size} bytes; the limits are {MOST_JSON} and {MOST_DATA}")
    with large if large is not None and length + size > LONG else contextlib.nullcontext():
        text, data = _exactly(connection, length), _exactly(connection, size)
    try:
        message = read_json(text or b"")
    except ValueError as error:
        raise BrokenFrame(f"a message that is no JSON: {error}") from error
    if not isinstance(message, dict) or data is None:
        raise BrokenFrame("a message that is no object")
    return message, data


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        piece = connection.recv(min(size - len(parts), 1 << 20))
        if not piece:
            return None
        parts += piece
    return bytes(parts)


def listen(path: Path, ports: Mapping[str, tuple[str, int]]) -> None:
    """Called inside: open each port on the loopback there, and have the broker lead it to the cell.

    Raises:
        HarnessError: the broker refuses.
        OSError: the port cannot be opened.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        connection.connect(str(path))
        for name, address in ports.items():
            with socket.create_server(address, backlog=512) as listener:
                send(connection, {"call": "listen", "arguments": {"name": name}})
                answered = receive(connection)
                if answered is None or answered[0].get("value") != "now":
                    raise SuiteError(f"the broker does not lead to the port {name}: {answered}")
                socket.send_fds(connection, [b"."], [listener.fileno()])
                receive(connection)
