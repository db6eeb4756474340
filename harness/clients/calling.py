"""Calls a vendor's class, which is a resource of its product; where that is done says ``harness.clients.vendor``."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import httpx

from harness.clients.resource import NoAnswer
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import HarnessError, SuiteError
from harness.reading.classes import METHODS

#: A method that the class may have beside ``METHODS``.
REFUSED = "refused"
#: Characters of a value that are shown, and of a traceback.
SHOWN, TRACE = 500, 3000


def load(file: Path, name: str) -> type[Any]:
    """The class ``name`` of a file. Runs the code of that file.

    Raises:
        SuiteError: it cannot be imported, or has no such class, or that lacks a method.
    """
    module_name = f"vendor_resource_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise SuiteError(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise SuiteError(f"{file.name} cannot be imported: {_described(error)}") from error
    candidate = getattr(module, name, None)
    if not isinstance(candidate, type):
        raise SuiteError(f"{file.name} has no class {name}")
    if missing := [method for method in METHODS if not callable(getattr(candidate, method, None))]:
        raise SuiteError(f"the class {name} of {file.name} has no {' and no '.join(missing)}")
    return candidate


class Calls:
    """An instance of the class for each thread, made anew where the product was started again since."""

    def __init__(self, kind: type[Any], deployment: Deployment) -> None:
        self._kind, self._deployment = kind, deployment
        self._local = threading.local()

    def __call__(self, method: str, starts: int, *arguments: str) -> Any:
        """What the class gives: for ``read`` a text or None, for ``texts`` a list of texts, for ``refused`` a bool.

        ``starts``: how often the product was started by now.

        Raises:
            ProductFault: the class says so; NoAnswer where the product does not answer.
            SuiteError: the class is broken.
        """
        if method == "knows-strangers":
            return callable(getattr(self._kind, REFUSED, None))
        try:
            value = getattr(self._instance(starts), method)(*arguments)
        except (ConnectionError, TimeoutError, httpx.TransportError) as error:
            self.drop()
            words = f"{type(error).__name__}: {error}"
            raise NoAnswer(f"{method}: no answer ({words})", f"{method}：无响应（{words}）") from error
        except ProductFault:
            raise
        except HarnessError:
            self.drop()
            raise
        except (Exception, SystemExit) as error:
            self.drop()
            raise SuiteError(
                f"{self._kind.__name__}.{method} of the application's resource is broken: {_described(error)}"
            ) from error
        return self._fitting(method, value)

    def drop(self) -> None:
        """Make a new instance for the next call of this thread."""
        instance, self._local.instance = getattr(self._local, "instance", None), None
        close = getattr(instance, "close", None)
        if callable(close):
            with contextlib.suppress(Exception):  # what is thrown away may be broken
                close()

    def _instance(self, starts: int) -> Any:
        if getattr(self._local, "instance", None) is None or self._local.starts != starts:
            self.drop()
            self._local.instance, self._local.starts = self._kind(self._deployment), starts
        return self._local.instance

    def _fitting(self, method: str, value: Any) -> Any:
        if method == "texts":
            if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
                return list(value)
            raise SuiteError(f"{self._kind.__name__}.texts gives a list of texts; it gave {value!r:.200}")
        if method == REFUSED:
            if isinstance(value, bool):
                return value
            raise SuiteError(f"{self._kind.__name__}.{REFUSED} gives True or False; it gave {value!r:.200}")
        if method == "read":
            return None if value is None else str(value)[:SHOWN]
        return None


def _described(error: BaseException) -> str:
    """An exception, and where in the class it came from."""
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))[-TRACE:]}"
