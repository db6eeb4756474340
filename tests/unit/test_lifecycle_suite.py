"""The shipped suite of the life cycle asks the same of a product wherever its lab is fast or slow."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

FILE = Path(__file__).parents[2] / "suites" / "compat" / "lifecycle" / "test_lifecycle.py"


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shipped_lifecycle", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Product:
    """Starts again after each kill, or from ``stays`` kills on is still the process that was killed."""

    stays: int = 100
    kills: int = 0

    def pid(self) -> int:
        return 100 + min(self.kills, self.stays)

    def kill(self) -> None:
        self.kills += 1

    def start(self) -> None: ...

    def wait_ready(self) -> float:
        return 60.0 / self.kills


@dataclass
class Texts:
    """Keeps what was written; the text of write number ``loses`` is gone at once."""

    loses: int = 0
    kept: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        self.kept[str(len(self.kept) + 1)] = "text"

    def lost(self) -> list[str]:
        return [key for key in self.kept if key == str(self.loses)]


@pytest.mark.parametrize(("emulated", "kills"), [(False, 10), (True, 3)])
def test_the_number_of_kills_depends_on_the_kind_of_target_alone(suite: ModuleType, emulated: bool, kills: int) -> None:
    product, texts, measured = Product(), Texts(), {}
    suite.test_recovers_from_kill(
        SimpleNamespace(emulated=emulated), product, texts, lambda name, value, unit: measured.update({name: value})
    )
    assert product.kills == kills
    assert measured == {"recoveries": kills, "slowest recovery": 60.0, "texts kept": kills}


@pytest.mark.parametrize("emulated", [False, True])
def test_the_last_kill_counts_as_the_first(suite: ModuleType, emulated: bool) -> None:
    target, last = SimpleNamespace(emulated=emulated), 3 if emulated else 10
    with pytest.raises(AssertionError, match=f"after kill {last} something answers, and no new process"):
        suite.test_recovers_from_kill(target, Product(stays=last - 1), Texts(), print)
    with pytest.raises(AssertionError, match=f"after kill {last} of {last}: texts .* are lost: \\['{last}'\\]"):
        suite.test_recovers_from_kill(target, Product(), Texts(loses=last), print)
