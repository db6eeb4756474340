"""The shipped suite of the life cycle asks the same of a product wherever its lab is fast or slow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from harness.model.definitions import CENTER, SELF_TEST, Profile, Suite
from harness.reading.parsing import parse
from tests.suite_runs import ROOT, shipped_suite


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    return shipped_suite("compat/lifecycle/test_lifecycle.py")


@dataclass
class Service:
    """A process of a product. ``drags`` is another that ends and starts with it; ``status`` that of its stop."""

    name: str
    process: int
    drags: Service | None = None
    stays: bool = False
    status: int = 0
    leaves: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    kills: int = 0

    def kill(self) -> None:
        self.kills += 1
        self.process += 0 if self.stays else 10
        if self.drags is not None:
            self.drags.process += 10

    def stop(self) -> tuple[float, int]:
        self.kill()
        return 0.1, self.status

    def start(self) -> float:
        return 0.1

    def left(self) -> list[str]:
        return list(self.leaves)


@dataclass
class Product:
    """Starts again after each kill, or from ``stays`` kills on is still the process that was killed."""

    stays: int = 100
    kills: int = 0
    services: tuple[Service, ...] = ()

    def pids(self) -> tuple[int, ...]:
        return tuple(service.process for service in self.services) or (100 + min(self.kills, self.stays),)

    def kill(self) -> None:
        self.kills += 1
        for service in self.services:
            service.kill()

    def start(self) -> None: ...

    def stop(self) -> tuple[float, int]:
        return 0.1, 0

    def restart(self) -> float:
        self.kill()
        return 1.0

    def wait_ready(self) -> float:
        return 60.0 / max(1, self.kills)


@dataclass
class Texts:
    """Keeps what was written; the text of write number ``loses`` is gone at once."""

    loses: int = 0
    kept: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        self.kept[str(len(self.kept) + 1)] = "text"

    def lost(self) -> list[str]:
        return [key for key in self.kept if key == str(self.loses)]


def amounts(profile: Profile = SELF_TEST, *, emulated: bool = False) -> Callable[[str], int]:
    definition = parse(ROOT / "suites" / "compat" / "lifecycle" / "suite.yaml", Suite)
    return lambda name: int(definition.amount(name, profile, emulated=emulated))


@pytest.mark.parametrize(
    ("profile", "emulated", "kills"),
    [(SELF_TEST, False, 5), (SELF_TEST, True, 3), (CENTER, False, 10), (CENTER, True, 10)],
)
def test_the_number_of_kills_depends_on_profile_and_kind_of_target_alone(
    suite: ModuleType, profile: Profile, emulated: bool, kills: int
) -> None:
    product, texts, measured = Product(), Texts(), {}
    suite.test_recovers_from_kill(
        product,
        texts,
        amounts(profile, emulated=emulated),
        lambda name, value, unit: measured.update({name: value}),
        print,
    )
    assert product.kills == kills
    assert measured == {"recoveries": kills, "slowest recovery": 60.0, "texts kept": kills}


@pytest.mark.parametrize("emulated", [False, True])
def test_the_last_kill_counts_as_the_first(suite: ModuleType, emulated: bool) -> None:
    of, last = amounts(emulated=emulated), 3 if emulated else 5
    with pytest.raises(AssertionError, match=f"after kill {last} something answers, and no new process"):
        suite.test_recovers_from_kill(Product(stays=last - 1), Texts(), of, print, print)
    with pytest.raises(AssertionError, match=f"after kill {last} of {last}: texts .* are lost: \\['{last}'\\]"):
        suite.test_recovers_from_kill(Product(), Texts(loses=last), of, print, print)


class Installation:
    """Nothing remains, and port 80 still listens where ``port`` says so."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)

    def remains(self) -> tuple[list[str], list[int]]:
        return [], self.ports


def measures() -> tuple[dict[str, float], Callable[[str, float, str], None]]:
    kept: dict[str, float] = {}
    return kept, lambda name, value, unit: kept.update({name: value})


@pytest.mark.parametrize(("emulated", "kills"), [(False, 2), (True, 1)])
def test_each_service_is_killed_after_all(suite: ModuleType, emulated: bool, kills: int) -> None:
    services, texts = (Service("app", 1), Service("worker", 2)), Texts()
    product = Product(services=services)
    suite.test_recovers_from_kill(product, texts, amounts(emulated=emulated), measures()[1], print)
    assert [service.kills for service in services] == [product.kills + kills] * 2
    assert len(texts.kept) == product.kills + 2 * kills


def test_a_service_that_takes_another_with_it_fails_each_case(suite: ModuleType) -> None:
    def product() -> Product:
        worker = Service("worker", 2)
        return Product(services=(Service("app", 1, drags=worker), worker))

    for case in (
        lambda: suite.test_restart(product(), print, print),
        lambda: suite.test_stop(product(), Installation(), print, print),
        lambda: suite.test_recovers_from_kill(product(), Texts(), amounts(emulated=True), print, print),
    ):
        with pytest.raises(AssertionError, match="service worker did not run on while service app ended: process"):
            case()


def test_a_service_that_is_not_started_anew_fails(suite: ModuleType) -> None:
    product = Product(services=(Service("app", 1), Service("worker", 2, stays=True)))
    with pytest.raises(AssertionError, match="a process is still the one from before the restart"):
        suite.test_restart(product, print, print)


@pytest.mark.parametrize(
    ("service", "ports", "words"),
    [
        (Service("worker", 2, status=1), (), "service worker stopped with status 1"),
        (Service("worker", 2, leaves=("helper --loop",)), (), "processes of service worker left after its stop"),
        (Service("worker", 2, ports=(80,)), (80, 81), "ports of service worker still listening .*\\[80\\]"),
    ],
)
def test_what_is_wrong_with_the_stop_of_a_service_is_named(
    suite: ModuleType, service: Service, ports: tuple[int, ...], words: str
) -> None:
    product = Product(services=(Service("app", 1), service))
    with pytest.raises(AssertionError, match=words):
        suite.test_stop(product, Installation(*ports), print, print)


def test_each_service_has_measures_of_its_own(suite: ModuleType) -> None:
    kept, measure = measures()
    suite.test_restart(Product(services=(Service("app", 1), Service("worker", 2))), measure, print)
    assert {name.rpartition(" ")[2] for name in kept} == {"restart", "app", "worker"}
