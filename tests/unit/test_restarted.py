"""The suite that restarts a product's machine says before that it ends the product, and later ends count again."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UnsupportedVerb

SUITE = Path(__file__).resolve().parents[2] / "suites" / "reliability" / "faults" / "test_faults.py"


class Product:
    """Writes down what is asked of it and of its machine."""

    def __init__(self, *, supported: bool) -> None:
        self.calls: list[str] = []
        self.supported = supported
        self.machine = self

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)

    def reboot(self) -> None:
        self.calls.append("reboot")
        if not self.supported:
            raise UnsupportedVerb("it cannot be restarted")


@contextlib.contextmanager
def during(*_words: str) -> Iterator[None]:
    yield


def restart(product: Product) -> None:
    specification = importlib.util.spec_from_file_location("faults_suite", SUITE)
    assert specification is not None
    assert specification.loader is not None
    suite = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(suite)
    suite.test_machine_restarted(product, during)


def test_the_end_that_a_restart_brings_is_asked_for() -> None:
    product = Product(supported=True)
    restart(product)
    assert product.calls == ["expect_end", "reboot", "start", "wait_ready"]


def test_where_there_is_no_restart_later_ends_count() -> None:
    product = Product(supported=False)
    with pytest.raises(pytest.skip.Exception):
        restart(product)
    assert product.calls == ["expect_end", "reboot", "restart"]
