"""Time lines of availability: arithmetic, traffic, pictures; and what is none is shown as none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clients.resource import NoAnswer
from harness.clients.traffic import Traffic
from harness.errors import InfrastructureError
from harness.model.ledger import MEDIA_TIMELINE
from harness.model.timeline import Sample, Timeline
from harness.model.view import FileView
from harness.report.charts import availability
from harness.report.view import _timelines


def line(*samples: tuple[float, float, str], fault: tuple[float, float] | None = (2.0, 5.0)) -> Timeline:
    states: list[Any] = [Sample.model_validate({"at": a, "seconds": s, "state": state}) for a, s, state in samples]
    return Timeline(zh="断网", en="a cut", fault=fault, samples=tuple(states))


def test_an_outage_begins_with_what_fails_and_ends_with_the_next_that_is_served() -> None:
    known = line((0, 0.5, "served"), (2.5, 2, "unanswered"), (4.5, 1, "refused"), (6, 1, "served"), (9, 1, "served"))
    assert known.outages == ((2.5, 7.0),)
    assert (known.outage, known.availability, known.recovery) == (4.5, pytest.approx(0.55), 2.0)


def test_what_never_serves_again_has_no_recovery() -> None:
    known = line((0, 1, "served"), (2, 1, "unread"), (6, 4, "unanswered"))
    assert known.outages == ((2.0, 10.0),)
    assert known.recovery is None
    assert line(fault=(0, 3)).recovery is None
    assert line((0, 1, "served"), fault=None).recovery is None


def test_what_served_all_the_while_needed_no_time() -> None:
    known = line((0, 1, "served"), (3, 1, "served"), (6, 1, "served"))
    assert (known.outages, known.availability, known.recovery) == ((), 1.0, 0.0)
    assert (line(fault=None).span, line(fault=None).availability) == (0.0, 1.0)


def test_what_was_served_late_was_not_served_meanwhile() -> None:
    known = line((0, 0.1, "served"), (1, 0.1, "served"), (2.5, 3.5, "served"), (7, 0.1, "served"))
    assert known.slow == 1.0
    assert known.outages == ((2.5, 6.0),)
    assert known.recovery == 1.0
    usual = line((0, 0.5, "served"), (1, 0.5, "served"), (2.5, 3.5, "served"))  # a slow product is none that is away
    assert (usual.slow, usual.outages) == (5.0, ())


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0, 9), st.sampled_from(["served", "refused", "unread"])), max_size=30
    )
)
def test_figures_hold_for_any_line(samples: list[tuple[float, float, str]]) -> None:
    at, ordered = 0.0, []
    for gap, seconds, state in samples:
        at += gap
        ordered.append((at, seconds, state))
        at += seconds
    known = line(*ordered, fault=None)
    assert 0 <= known.availability <= 1.0000001
    assert 0 <= known.outage <= known.span + 1e-9
    away = [sample for sample in known.samples if sample.state != "served" or sample.seconds > known.slow]
    assert bool(known.outages) == bool(away)
    assert str(availability([known])).startswith("<svg")


def test_the_picture_has_names_and_figures_and_no_markup_of_theirs() -> None:
    bad = Timeline(zh="<script>&断网", en="x", fault=(1, 2), samples=())
    known = line((0, 1, "served"), (2, 1, "unread"), (6, 1, "served"))
    picture = str(availability([known, bad]))
    assert "断网" in picture
    assert "<script>" not in picture
    assert "中断 outage 5.0 s" in picture
    assert "未恢复 not recovered" in picture


def test_what_only_says_that_it_is_a_time_line_is_left_out() -> None:
    good = line((0, 1, "served")).model_dump_json().encode()
    contents = {"1": good, "2": b"[]", "3": b"\xff", "4": b'{"zh": "a", "en": "b", "samples": [{"at": -1}]}', "5": good}
    files = [FileView(name=name, sha256=name, size=1, media=MEDIA_TIMELINE) for name in contents]
    files.append(FileView(name="6", sha256="1", size=1, media="text/plain"))
    assert len(list(_timelines(files, lambda digest: contents[digest]))) == 2


class Store:
    """A resource that does what the next of ``answers`` says, and then goes on as the last."""

    def __init__(self, answers: Iterator[str] | None = None, *, forgets: bool = False) -> None:
        self.texts: dict[str, str] = {}
        self.answers, self.forgets, self.number = answers, forgets, 0

    def fresh_key(self) -> str:
        self.number += 1
        return f"k{self.number}"

    def try_create(self, key: str, text: str) -> str:
        answer = next(self.answers, "good") if self.answers is not None else "good"
        if answer == "away":
            raise NoAnswer("no answer", "无应答")
        if answer == "still":
            raise InfrastructureError("the machine is paused")
        if answer == "broken":
            raise RuntimeError("the suite's own")
        if answer == "full":
            return "status 503"
        if not self.forgets:
            self.texts[key] = text
        return ""

    def try_texts(self, key: str) -> list[str]:
        return [self.texts[key]] if key in self.texts else []

    def discard(self, key: str) -> None:
        self.texts.pop(key, None)


def wait_for(check: Callable[[], bool]) -> None:
    while not check():
        time.sleep(0.005)


def test_traffic_says_what_each_write_met() -> None:
    store: Any = Store(iter(["good", "full", "away", "good"]))
    with Traffic(store, pace=0.001) as traffic:
        wait_for(lambda: traffic.serves() and len(traffic.samples) >= 6)
    states = [sample.state for sample in traffic.samples]
    assert states[:4] == ["served", "refused", "unanswered", "served"]
    assert set(traffic.kept) == {f"k{n}" for n in range(1, store.number + 1)} - {"k2", "k3"}
    assert traffic.lost() == []
    store.texts.pop("k1")
    assert traffic.lost() == ["k1"]
    traffic.remove()
    assert store.texts == {}


def test_a_machine_that_cannot_be_asked_is_trouble_unless_it_is_known_to_stand_still() -> None:
    traffic = Traffic(Store(iter(["still", "still"])))  # type: ignore[arg-type]
    traffic.away = True
    assert traffic.attempt().state == "unanswered"
    traffic.away = False
    with pytest.raises(InfrastructureError):
        traffic.attempt()


def test_what_is_acknowledged_and_not_there_is_no_service() -> None:
    store: Any = Store(forgets=True)
    traffic = Traffic(store)
    assert traffic.attempt().state == "unread"
    assert not traffic.serves(1)
    assert traffic.lost() == ["k1"]


def test_writes_before_the_end_of_a_fault_say_nothing_of_the_time_after_it() -> None:
    traffic = Traffic(Store())  # type: ignore[arg-type]
    for _ in range(3):
        traffic.attempt()
    assert traffic.serves()
    traffic.fault = (0.0, traffic.now())
    assert not traffic.serves()
    for _ in range(3):
        traffic.attempt()
    assert traffic.serves()


def test_an_error_of_the_suite_is_raised_and_is_none_of_the_product() -> None:
    store: Any = Store(iter(["good", "broken"]))
    with Traffic(store, pace=0.001) as traffic:
        wait_for(lambda: not traffic._thread.is_alive())
        with pytest.raises(RuntimeError, match="the suite's own"):
            traffic.serves()
        traffic._error = None
    store = Store(iter(["broken"]))
    with pytest.raises(RuntimeError, match="the suite's own"), Traffic(store, pace=0.001) as traffic:
        wait_for(lambda: not traffic._thread.is_alive())
