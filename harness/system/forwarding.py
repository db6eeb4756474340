"""Hands connections on: ``python forwarding.py LISTENER HOST PORT``, a program of its own that ends with its input.

The listener is a socket that a sandboxed program opened on its own loopback and handed out; what it says there reaches
one address of this machine's network, and no other.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading

PIECE = 1 << 16
#: Seconds in which the address must take a connection.
SECONDS = 30.0
#: Connections at once; further ones wait in the listener's queue.
MOST = threading.BoundedSemaphore(1024)


def forward(listener: socket.socket, address: tuple[str, int]) -> None:
    """Take connections, and hand each on, until the listener is closed."""
    while True:
        MOST.acquire()
        try:
            near, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_hand_on, args=(near, address), daemon=True).start()


def _hand_on(near: socket.socket, address: tuple[str, int]) -> None:
    try:
        try:
            far = socket.create_connection(address, SECONDS)
        except OSError:  # closed with a reset, as near to a refusal as it can be
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near.close()
            return
        far.settimeout(None)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()
        near.close()
        far.close()
    finally:
        MOST.release()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the end of one direction, and tell the other side of that end, as it came."""
    try:
        while piece := source.recv(PIECE):
            target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
    except OSError:  # a side is gone: so is the other, for both of its directions
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Forward what the command line names, until the standard input ends."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.settimeout(None)
    threading.Thread(target=forward, args=(listener, (sys.argv[2], int(sys.argv[3]))), daemon=True).start()
    while os.read(0, 1):
        pass


if __name__ == "__main__":
    main()
