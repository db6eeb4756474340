"""A resource that is a class of the vendor. Its code runs in a sandbox of its own, apart from the suites that ask it.

So it can be wrong about the product, and about nothing else: a shipped suite's process, its other cases and its records
are out of its reach. A suite that is in a sandbox already is the vendor's too, and has the class in its own process.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness.clients.calling import REFUSED, Calls, load
from harness.clients.resource import Action, NoAnswer, fresh_key, temporary
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import InfrastructureError, StepTimeout, SuiteError
from harness.machines.broker import Broker
from harness.machines.brokered import BrokeredMachine
from harness.model.context import CellContext
from harness.model.definitions import Modbus, VendorResource
from harness.model.templating import render
from harness.system.frames import BrokenFrame, receive, send
from harness.system.process import without_proxy
from harness.system.sandbox import demanded
from harness.system.scratch import temporary_folder
from harness.system.surroundings import surroundings

#: Seconds in which the process must have imported the class; and of one call, scaled by the target's factor.
START_SECONDS, CALL_SECONDS = 120.0, 120.0
Call = Callable[..., Any]


def code_of(context: CellContext) -> tuple[Path, ...]:
    """What the vendor's code may read beside its own folder: the file of a resource, or the folder of that; and the
    sheets of points, which the fixture ``interfaces`` reads."""
    resource = context.application.resource
    names = [resource.readable] if resource is not None else []
    names += [
        each.points for each in context.application.interfaces.values() if isinstance(each, Modbus) and each.points
    ]
    return tuple(context.template_folder / name for name in names)


def open_vendor(deployment: Deployment, definition: VendorResource) -> VendorClient:
    """The resource, ready to be asked.

    Raises:
        SuiteError: the class cannot be used.
        InfrastructureError: this machine has no sandbox.
    """
    if isinstance(deployment.machine, BrokeredMachine):
        file = deployment.context.template_folder / definition.file
        return VendorClient(deployment, definition, Calls(load(file, definition.class_name), deployment))
    served = Served(deployment, definition)
    return VendorClient(deployment, definition, served, served.close)


class VendorClient:
    """Keeps ``harness.clients.resource.ProductResource`` by a vendor's class."""

    def __init__(
        self, deployment: Deployment, definition: VendorResource, call: Call, close: Callable[[], None] = lambda: None
    ) -> None:
        self.deployment, self.definition = deployment, definition
        self._call, self.close = call, close

    def _ask(self, method: str, *arguments: str) -> Any:
        try:
            return self._call(method, self.deployment.starts, *arguments)
        except NoAnswer as silence:
            if (code := self.deployment.exit_code()) is not None:
                raise self.deployment.ended(code) from silence
            raise

    @property
    def knows_strangers(self) -> bool:
        """Whether the class has ``refused``."""
        return bool(self._ask("knows-strangers"))

    def fresh_key(self) -> str:
        """A key that no earlier call has returned."""
        return fresh_key(self.definition.key, "resource.key")

    def create(self, key: str, text: str) -> None:
        """Raises as ``Calls``."""
        self._ask("create", key, text)

    def read(self, key: str) -> str:
        """What the class gives for a resource that must be there. Raises ProductFault where it is not."""
        value = self._ask("read", key)
        if value is None:
            raise ProductFault(f"a read gives no resource {key}", f"读取不到资源 {key}")
        return str(value)

    def update(self, key: str, text: str) -> None:
        """Raises as ``Calls``."""
        self._ask("update", key, text)

    def delete(self, key: str) -> None:
        """Raises as ``Calls``."""
        self._ask("delete", key)

    def texts(self, key: str) -> list[str]:
        """Raises as ``Calls``."""
        return [str(text) for text in self._ask("texts", key)]

    def try_texts(self, key: str) -> list[str]:
        """As ``texts``; empty where the product does not answer well."""
        with contextlib.suppress(ProductFault):
            return self.texts(key)
        return []

    def try_create(self, key: str, text: str) -> str:
        """Create it; gives how the product refused, in words. Raises ProductFault where it does not answer."""
        try:
            self.create(key, text)
        except NoAnswer:
            raise
        except ProductFault as fault:
            return fault.en
        return ""

    def remains(self, key: str) -> str:
        """What a read shows of a resource that must not be there, in words; empty where it is not there."""
        value = self._ask("read", key)
        return "" if value is None else f"gave {value}"

    def let_in(self, action: Action, key: str, text: str) -> str:
        """What the product did in place of a refusal; empty where it refused."""
        return "" if self._ask(REFUSED, action, key, text) else "was not refused"

    def discard(self, key: str) -> None:
        """Delete it if it can be. Raises ProductFault where the product does not answer."""
        try:
            self.delete(key)
        except NoAnswer:
            raise
        except ProductFault:
            pass

    def made(self, text: str) -> contextlib.AbstractContextManager[str]:
        """A resource with ``text`` for the time of a test; gives its key."""
        return temporary(self, text)

    def stored(self, key: str) -> str:
        """SQL that reads the stored text; empty where none is declared."""
        return render(self.definition.stored, {"key": key}, where="resource.stored")


class Served:
    """The class in a process of its own: a call is a message, a thread that calls has a connection.

    It ends with ``close``, or with the thread that made it.
    """

    def __init__(self, deployment: Deployment, definition: VendorResource) -> None:
        context = deployment.context
        self._seconds = CALL_SECONDS * context.factor
        self._name = definition.python
        self._local, self._connections = threading.local(), list[socket.socket]()
        self._broker: Broker | None = None
        with contextlib.ExitStack() as stack:
            self._path = Path(stack.enter_context(temporary_folder("resource"))) / secrets.token_hex(8)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(self._path))
            listener.listen(64)
            stack.callback(self._end_connections)
            shown = self._start(stack, context, listener.fileno())
            file = str(context.template_folder / definition.file)
            opening = {"context": shown.model_dump_json(by_alias=True), "file": file, "class": definition.class_name}
            self._meaning(self._exchange(self._connected(START_SECONDS * context.factor), opening))
            self._stack = stack.pop_all()

    def __call__(self, method: str, starts: int, *arguments: str) -> Any:
        """As ``Calls``, and:

        Raises:
            InfrastructureError: a machine of the cell was lost meanwhile.
            StepTimeout: the class does not answer.
        """
        connection, self._local.connection = getattr(self._local, "connection", None), None
        connection = connection or self._connected(self._seconds)
        answer = self._exchange(connection, {"method": method, "starts": starts, "arguments": list(arguments)})
        self._local.connection = connection  # only now: a late answer must not be taken for that to the next call
        return self._meaning(answer)

    def close(self) -> None:
        """End the process."""
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack, context: CellContext, listener: int) -> CellContext:
        """Start the process; gives the context that it may see."""
        argv = [sys.executable, "-P", "-m", "harness.clients.serving", str(listener)]
        environment = {**without_proxy(*context.hosts), "PYTHONPATH": str(Path(harness.__file__).parents[1])}
        if not context.trusts_code:
            sandbox = stack.enter_context(demanded(*code_of(context)))
            self._broker = stack.enter_context(Broker(context, sandbox.place / "broker"))
            context = self._broker.context
            argv = sandbox.command(argv, environment, cwd=Path("/tmp"))  # noqa: S108  # the sandbox's own
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,  # it ends where that does
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener],
            start_new_session=True,
            env=surroundings(environment),
        )
        stack.callback(_end, process)
        return context

    def _connected(self, seconds: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(seconds)
        connection.connect(str(self._path))
        self._connections.append(connection)
        return connection

    def _exchange(self, connection: socket.socket, message: dict[str, Any]) -> dict[str, Any]:
        try:
            send(connection, message)
            received = receive(connection)
        except TimeoutError as error:
            raise StepTimeout(f"{self._name} did not answer within {connection.gettimeout():.0f} s") from error
        except (OSError, BrokenFrame) as error:
            raise SuiteError(f"the process of {self._name} is gone: {error}") from error
        if received is None:
            raise SuiteError(f"the process of {self._name} has ended: it was killed, or ended itself")
        return received[0]

    def _meaning(self, answer: dict[str, Any]) -> Any:
        if "fault" in answer:
            words = [str(part) for part in answer["fault"]][:3]
            kind = NoAnswer if answer.get("silent") else ProductFault
            raise kind(*words)
        if "broken" in answer:
            text = str(answer["broken"])
            # What it says of the laboratory is its own word; the broker knows whether a machine was lost.
            if answer.get("lab") and (self._broker is None or self._broker.lost):
                raise InfrastructureError(text)
            raise SuiteError(text)
        return answer.get("value")

    def _end_connections(self) -> None:
        for connection in self._connections:
            connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.kill()
    process.wait()
