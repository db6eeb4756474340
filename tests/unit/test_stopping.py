"""Stop now ends what runs and what waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.campaigns import stopping
from harness.campaigns.attempts import Attempts
from harness.campaigns.stopping import SIGNALS, Stop, interruptible
from harness.campaigns.working import tell_wait
from harness.containers.engine import LABEL_CAMPAIGN
from harness.containers.images import BaseImages
from harness.errors import Canceled, InfrastructureError
from harness.evidence import Workspace
from harness.issuing.outcome import Progress
from harness.model.definitions import Retries
from harness.system.locks import lock
from harness.system.turns import Turns


class Engine:
    """Containers of two campaigns; one more comes up after the stop was asked for."""

    def __init__(self) -> None:
        self.names = {"a1": "mine", "b1": "other"}
        self.removed: list[str] = []
        self.looks = 0

    def ours(self) -> list[tuple[str, str, dict[str, str]]]:
        self.looks += 1
        if self.looks == 2:
            self.names["a2"] = "mine"
        return [("container", name, {LABEL_CAMPAIGN: owner}) for name, owner in self.names.items()]

    def remove_container(self, name: str) -> bool:
        self.removed.append(name)
        self.names.pop(name)
        if len(self.removed) == 2:
            self.stop.over.set()
        return True

    stop: Stop


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def stop(engine: Engine, tmp_path: Path) -> Iterator[Stop]:
    made = Stop("mine", Progress(), engine, tmp_path)  # type: ignore[arg-type]
    engine.stop = made
    yield made
    made.over.set()


def test_ctrl_c_drains_first_and_then_stops(stop: Stop) -> None:
    stop.on_signal(signal.SIGINT)
    assert (stop.drain.is_set(), stop.cancel.is_set()) == (True, False)
    stop.on_signal(signal.SIGINT)
    assert stop.cancel.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_now(stop: Stop, number: signal.Signals) -> None:
    stop.on_signal(number)
    assert (stop.drain.is_set(), stop.cancel.is_set()) == (True, True)


def test_machines_that_come_up_after_the_stop_are_ended_too(
    stop: Stop, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "SWEEP_SECONDS", 0.001)
    stop.now()
    assert stop.over.wait(10)
    assert engine.removed == ["a1", "a2"]
    assert engine.names == {"b1": "other"}


def test_signals_that_are_ignored_stay_ignored(stop: Stop) -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(stop.on_signal):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (before[signal.SIGTERM], signal.SIG_IGN)
            signal.raise_signal(signal.SIGTERM)
        assert stop.cancel.is_set()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_wait_for_an_image_that_others_make_ends_with_the_stop(tmp_path: Path) -> None:
    cancel, ended = threading.Event(), threading.Event()
    images = BaseImages(SimpleNamespace(), tmp_path, cancel=cancel)  # type: ignore[arg-type]

    def wait() -> None:
        with pytest.raises(Canceled), images.locked("base-x"):
            pass
        ended.set()

    with lock(tmp_path / "locks" / "base-x", holder="another harness"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not ended.wait(0.05)
        cancel.set()
        assert ended.wait(10)
        thread.join()


def test_a_long_wait_for_an_image_is_recorded_and_shown_with_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two makers of one image: the second says for whom it waits, once, and not at all where it need not wait."""
    monkeypatch.setattr("harness.containers.images.NOTICE_SECONDS", 0.01)
    announced, events, notes = threading.Event(), [], []
    progress: Any = SimpleNamespace(note=notes.append)

    def event(kind: str, **data: str) -> None:
        events.append((kind, data["message"]))
        announced.set()

    images = BaseImages(
        SimpleNamespace(),  # type: ignore[arg-type]
        tmp_path,
        on_wait=lambda holder: tell_wait(SimpleNamespace(event=event), progress, holder),  # type: ignore[arg-type]
    )

    def second() -> None:
        with images.locked("disk-x"):
            pass

    with images.locked("disk-free"):
        pass
    with lock(tmp_path / "locks" / "disk-x", holder="harness is making disk-x"):
        thread = threading.Thread(target=second)
        thread.start()
        assert announced.wait(10)
    thread.join(10)
    ((kind, words),) = events
    assert kind == "waiting"
    assert "harness is making disk-x" in words
    assert notes == [f"waits / 等待: {words}"]


@pytest.mark.parametrize(("error", "quarantined"), [(Canceled("stopped"), 0), (InfrastructureError("no engine"), 1)])
def test_a_probe_that_was_stopped_is_no_quarantine(tmp_path: Path, error: Exception, quarantined: int) -> None:
    def known_good(*_: Any) -> None:
        raise error

    os, cpu = SimpleNamespace(os="debian-12"), SimpleNamespace(cpu="x86-64")
    placed = SimpleNamespace(placement=SimpleNamespace(kind="container"), machines=((os, cpu),))
    lab: Any = SimpleNamespace(
        definitions=SimpleNamespace(systems={"debian-12": os}, cpus={"x86-64": cpu}),
        placed={"c1": placed},
        provisioners={"container": SimpleNamespace(known_good=known_good)},
        campaign="c",
        turns=Turns(),
        stopping=False,
    )
    attempts = Attempts(lab, Workspace(tmp_path), Retries(), Progress())
    assert attempts._probe_targets(SimpleNamespace(id="c1")) is bool(quarantined)  # type: ignore[arg-type]
    assert len(attempts.quarantine) == quarantined
