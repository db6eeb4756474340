"""The process in which a vendor's class runs: ``python -m harness.clients.serving LISTENER``.

The listener is a socket that was handed to it. What comes over the first connection says which class, of which cell;
each connection is a thread that calls it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from harness.clients.calling import Calls, load
from harness.clients.resource import NoAnswer
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import HarnessError, InfrastructureError
from harness.model.context import CellContext
from harness.system.frames import BrokenFrame, listen, receive, send


def answer(calls: Calls, message: dict[str, Any]) -> dict[str, Any]:
    """What a call gives, as it is sent."""
    try:
        return {"value": calls(str(message["method"]), int(message["starts"]), *message["arguments"])}
    except ProductFault as fault:
        return {"fault": [fault.en, fault.zh, fault.log], "silent": isinstance(fault, NoAnswer)}
    except HarnessError as error:
        return {"broken": str(error), "lab": isinstance(error, InfrastructureError)}


def opened(message: dict[str, Any]) -> Calls:
    """The class that the first message names.

    Raises:
        HarnessError: it cannot be had.
    """
    context = CellContext.model_validate_json(message["context"])
    if context.application_machine.broker != Path():
        listen(context.application_machine.broker, context.ports)
    return Calls(load(Path(message["file"]), message["class"]), Deployment.of(context))


def serve(connection: socket.socket, calls: Calls) -> None:
    """Answer the calls of one connection until it ends."""
    try:
        while (received := receive(connection)) is not None:
            send(connection, answer(calls, received[0]))
    except (OSError, BrokenFrame):
        pass
    finally:
        calls.drop()
        connection.close()


def main() -> None:
    """Serve until the standard input ends, which belongs to whoever started this."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    listener = socket.socket(fileno=int(sys.argv[1]))
    first, _ = listener.accept()
    received = receive(first)
    if received is None:
        return
    try:
        calls = opened(received[0])
    except HarnessError as error:
        send(first, {"broken": str(error), "lab": isinstance(error, InfrastructureError)})
        return
    send(first, {"value": None})
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, calls), daemon=True).start()


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
