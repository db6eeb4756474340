"""Turns on one machine: cells share it, a load has it alone, and whoever waits long says for whom."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import Canceled
from harness.system.turns import Turns
from harness.system.waiting import Waiting

PATIENCE = 10.0


class Wait:
    """One side that waits: its words, its stop, and an event for when it was announced."""

    def __init__(self, who: str = "") -> None:
        self.words: list[str] = []
        self.announced, self.stop = threading.Event(), threading.Event()
        self.terms = Waiting(who=who, notify=self._notify, stopped=self.stop.is_set, notice_seconds=0.0)

    def _notify(self, words: str) -> None:
        self.words.append(words)
        self.announced.set()


def pair(tmp_path: Path, between_processes: bool) -> tuple[Turns, Turns]:
    """Two users of one machine. Two ``Turns`` over one file stand for two processes: a lock is of the open file."""
    if between_processes:
        return Turns(tmp_path / "locks" / "machine"), Turns(tmp_path / "locks" / "machine")
    turns = Turns()
    return turns, turns


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def turns(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Turns, Turns]:
    return pair(tmp_path, request.param)


def test_a_load_waits_for_work_and_keeps_the_next_work_out(turns: tuple[Turns, Turns]) -> None:
    ours, others = turns
    order: list[str] = []
    load, late = Wait("the load"), Wait("late work")

    def run_load() -> None:
        with others.alone(load.terms):
            order.append("load")

    def run_late() -> None:
        with ours.shared(late.terms):
            order.append("late")

    with ThreadPoolExecutor(2) as pool, ours.shared(Waiting(who="first work")):
        pool.submit(run_load)
        assert load.announced.wait(PATIENCE)
        assert "first work" in load.words[0]
        pool.submit(run_late)
        assert late.announced.wait(PATIENCE)
        order.append("first")
    assert order == ["first", "load", "late"]


def test_any_number_shares(turns: tuple[Turns, Turns]) -> None:
    ours, others = turns
    everybody_is_in = threading.Barrier(6)

    def work(which: Turns) -> None:
        with which.shared():
            everybody_is_in.wait(PATIENCE)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [ours, others] * 3))


def test_two_loads_come_one_after_the_other(turns: tuple[Turns, Turns]) -> None:
    ours, others = turns
    second = Wait("second")
    order: list[str] = []

    def run() -> None:
        with others.alone(second.terms):
            order.append("second")

    with ThreadPoolExecutor(1) as pool, ours.alone(Waiting(who="first")):
        pool.submit(run)
        assert second.announced.wait(PATIENCE)
        assert "first" in second.words[0]
        order.append("first")
    assert order == ["first", "second"]


@pytest.mark.parametrize("kind", ["shared", "alone"])
def test_whoever_waits_can_be_stopped_and_then_keeps_nobody_waiting(turns: tuple[Turns, Turns], kind: str) -> None:
    ours, others = turns
    stopped = Wait()
    trouble: list[str] = []

    def run() -> None:
        try:
            with getattr(others, kind)(stopped.terms):
                pass
        except Canceled as error:
            trouble.append(error.message)

    with ThreadPoolExecutor(1) as pool, ours.alone():
        running = pool.submit(run)
        assert stopped.announced.wait(PATIENCE)
        stopped.stop.set()
        running.result(PATIENCE)
        assert trouble
        assert trouble[0].startswith("stopped while waiting for")
    with others.alone(), pytest.raises(Canceled), ours.shared(stopped.terms):
        pass
    with ours.shared():
        pass


def test_what_must_be_torn_down_is_torn_down_after_a_stop(turns: tuple[Turns, Turns]) -> None:
    ours, others = turns
    wait = Wait()
    wait.stop.set()
    reached = []
    with ours.alone(), others.teardown(wait.terms):
        reached.append("teardown")
    assert reached == ["teardown"]


def hold_alone(path: Path, inside: object, leave: object) -> None:
    with Turns(path).alone(Waiting(who="load of cell 1234, campaign other")):
        inside.set()  # type: ignore[attr-defined]
        leave.wait(PATIENCE)  # type: ignore[attr-defined]


def test_a_second_harness_is_named_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    inside, leave = context.Event(), context.Event()
    path = tmp_path / "machine"
    other = context.Process(target=hold_alone, args=(path, inside, leave))
    other.start()
    assert inside.wait(PATIENCE)
    wait = Wait("ours")
    reached = threading.Event()

    def run() -> None:
        with Turns(path).shared(wait.terms):
            reached.set()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run)
        assert wait.announced.wait(PATIENCE)
        assert wait.words == ["this machine, which another harness has: load of cell 1234, campaign other"]
        assert not reached.is_set()
        other.kill()
        other.join(PATIENCE)
        assert reached.wait(PATIENCE)
