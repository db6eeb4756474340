"""A loop in a thread: what is awaited comes back, with its errors and its limit, and nothing is left running."""

from __future__ import annotations

import asyncio
import threading

import pytest

from harness.clients.loops import LoopThread


@pytest.fixture
def loop():
    made = LoopThread()
    yield made
    made.close()


async def given(value: object) -> object:
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


def test_values_and_errors_come_back(loop: LoopThread) -> None:
    assert [loop.call(given(value), 1) for value in (None, "压力", 7)] == [None, "压力", 7]
    for error in (ValueError("odd"), ConnectionResetError("gone")):
        with pytest.raises(type(error), match=str(error)):
            loop.call(given(error), 1)


def test_what_takes_too_long_is_ended(loop: LoopThread) -> None:
    with pytest.raises(TimeoutError):
        loop.call(asyncio.sleep(60), 0.05)
    assert loop.call(given(1), 1) == 1


def test_closing_ends_what_still_runs_and_may_be_done_twice() -> None:
    before, loop, ended = threading.active_count(), LoopThread(), []

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(1)

    async def begin() -> None:
        tasks.append(asyncio.create_task(endless()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    loop.call(begin(), 1)
    loop.close()
    loop.close()
    assert (ended, threading.active_count()) == ([1], before)
