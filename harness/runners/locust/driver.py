"""Drives a locustfile at a given rate, in a process of its own: ``python driver.py SPEC``.

Locust by itself is a closed loop: users wait for answers, so a stalled server is asked less and looks fast
(coordinated omission). Here every task has an intended start on a fixed schedule, ramp then hold; users take the
next start that is due, and latency counts from it. A locustfile works unchanged: ``wait_time`` of its users is
replaced, ``events.init``, ``test_start`` and ``test_stop`` are fired; options of locust's command line do not exist.

What it writes says what happened, not what it means: samples, tasks without a request, requests under way at the end,
exceptions of the locustfile, its own lag and use of the CPU.
"""

# Locust patches the interpreter when it is imported: it must be the first import of the process.
import locust  # isort: skip
import locust.exception  # isort: skip

import gc
import importlib.util
import json
import math
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import psutil
from locust import events
from locust.env import Environment

from harness.runners.locust.verifying import verify
from harness.system.frames import listen

#: Seconds that requests under way may take after the schedule's end.
GRACE = 3.0
#: Seconds in which all users must have begun.
SPAWN_SECONDS = 30.0
#: Seconds between two looks at how late this process is.
LAG_INTERVAL = 0.02
#: Characters of an exception that are kept.
MAX_TEXT = 3000


def schedule(rate: float, ramp: float, hold: float, *, seed: int | None = None) -> list[float]:
    """Intended starts in seconds from the beginning: rate grows from 0 over ``ramp``, then stays for ``hold``.

    They are even; with a ``seed`` they are those of a Poisson process of the same rate, as of many people who do not
    know of each other.
    """
    if seed is None:
        rising = [math.sqrt(2 * ramp * k / rate) for k in range(int(rate * ramp / 2))] if ramp else []
        return rising + [ramp + i / rate for i in range(int(rate * hold))]
    chance, starts, due = random.Random(seed), [], 0.0  # noqa: S311  # no secret
    before = rate * ramp / 2  # starts that are expected in the ramp
    while (due := due + chance.expovariate(1.0)) < before + rate * hold:
        starts.append(math.sqrt(2 * ramp * due / rate) if due < before else ramp + (due - before) / rate)
    return starts


def described(error: BaseException) -> str:
    """An exception: its own words first, then where it came from."""
    text = f"{type(error).__name__}: {error}\n\n{''.join(traceback.format_exception(error))}"
    return text.encode("utf-8", "backslashreplace").decode()[:MAX_TEXT]


def processor_times() -> tuple[float, float, float]:
    """Seconds of all cores of this machine since it was started, of those the busy ones, and of these what its
    hypervisor kept from it: proc(5), /proc/stat."""
    times = psutil.cpu_times()
    guests = times.guest + times.guest_nice  # counted in user and nice already
    total = sum(times) - guests
    return total, total - times.idle - times.iowait, times.steal


def run_delay() -> float:
    """Seconds that this thread was ready to run and had no processor: proc(5), /proc/PID/schedstat; 0 where the kernel
    keeps none."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, in milliseconds, and the share that is above 5 ms."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    named = {f"p{percent}": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 95, 99)}
    figures = {name: round(1000 * value, 2) for name, value in {**named, "max": ordered[-1]}.items()}
    return {**figures, "above 5 ms": round(sum(1 for each in ordered if each > 0.005) / len(ordered), 4)}


class Driver:
    """Hands out the schedule and records what became of each start."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.think: float | None = spec.get("think")  #: seconds; None: the model is open
        self.starts: list[float] = []
        if self.think is None:
            self.starts = schedule(spec["rate"], spec["ramp"], spec["hold"], seed=spec.get("seed"))
        self.next = 0
        self.began = 0.0
        self.waiting = 0
        self.samples: list[tuple[float, float, float, bool]] = []
        self.errors: Counter[str] = Counter()
        self.exceptions: Counter[str] = Counter()  #: of the locustfile, by type
        self.exception = ""  #: the first of them
        self.finished = 0  #: tasks that came to their end
        self.silent = 0  #: of those, tasks that sent no request
        self.under_way = 0  #: tasks whose start was claimed and that did not end
        self.begun: dict[int, float] = {}  #: of those: when they began, by the identity of their greenlet
        self.most_users = 0
        self.lags: list[float] = []
        self.lateness: list[float] = []  #: of sends after their user was due to send, in seconds
        self.collecting = 0.0  #: seconds that collections of garbage took

    def classes(self) -> list[type[locust.User]]:
        """The users of the locustfile, their waiting replaced by the schedule.

        Raises:
            ImportError: the locustfile cannot be loaded, or defines no user.
        """
        path = Path(self.spec["locustfile"])
        sys.path.insert(0, str(path.parent))
        module_spec = importlib.util.spec_from_file_location("harness_locustfile", path)
        if module_spec is None or module_spec.loader is None:
            raise ImportError(f"{path} cannot be loaded")
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        users = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, locust.User)
            and value.__module__ == module.__name__
            and not value.abstract
        ]
        if not users:
            raise ImportError(f"{path} defines no locust user")
        for user in users:
            self._pace(user)
            if self.spec.get("tls"):
                verify(user, **self.spec["tls"])
        return users

    def _pace(self, user: Any) -> None:
        original = user.on_start

        def on_start(instance: Any) -> None:
            original(instance)
            self.waiting += 1
            while not self.began:
                gevent.sleep(0.01)
            gevent.sleep(self.take())

        user.on_start = on_start
        user.wait_time = lambda _instance: self.take()

    def take(self) -> float:
        """Claim the next start; seconds until it is due (0 where it is overdue)."""
        self.finish_task()
        if self.think is not None:  # the user's own next start
            intended = time.monotonic() - self.began + self.think
            if intended >= self.spec["ramp"] + self.spec["hold"]:
                raise locust.exception.StopUser
            self.starts.append(intended)
        elif self.next >= len(self.starts):
            raise locust.exception.StopUser
        else:
            intended = self.starts[self.next]
        self.next += 1
        greenlet = gevent.getcurrent()
        greenlet.harness_intended = intended
        self.under_way += 1
        wait = max(0.0, self.began + intended - time.monotonic())
        self.begun[id(greenlet)] = time.monotonic() + wait
        return wait

    def finish_task(self) -> None:
        """The task of this user that was begun last is over."""
        greenlet = gevent.getcurrent()
        intended = getattr(greenlet, "harness_intended", None)
        if intended is None:
            return
        self.under_way -= 1
        self.begun.pop(id(greenlet), None)
        self.finished += 1
        if getattr(greenlet, "harness_counted", None) != intended:
            self.silent += 1
        greenlet.harness_intended = None

    def record(
        self,
        name: str,
        response_time: float,
        exception: BaseException | None = None,
        start_time: float | None = None,
        **_: Any,
    ) -> None:
        """One answered request: latency from the intended start for the first of a task, else its own."""
        now = time.monotonic() - self.began
        greenlet = gevent.getcurrent()
        intended = getattr(greenlet, "harness_intended", None)
        if intended is None:
            return
        if getattr(greenlet, "harness_counted", None) == intended:
            latency = response_time
        else:
            greenlet.harness_counted = intended
            begun = self.begun.get(id(greenlet))
            if start_time is not None and begun is not None:
                self.lateness.append(max(0.0, start_time - self.epoch - begun))
            latency = (now - intended) * 1000
        self.samples.append((round(intended, 6), round(latency, 2), round(response_time, 2), exception is None))
        if exception is not None:
            self.errors[f"{name}: {exception}"[:200]] += 1

    def user_error(self, exception: BaseException, **_: Any) -> None:
        """An exception of the locustfile, which locust goes on after."""
        self.exceptions[type(exception).__name__] += 1
        self.exception = self.exception or described(exception)

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        """Called by the garbage collector when it begins and ends."""
        if phase == "start":
            self._collection = time.monotonic()
        else:
            self.collecting += time.monotonic() - self._collection

    def _lag(self) -> None:
        """Note how late this process is woken: what it measures is wrong by as much."""
        while True:
            due = time.monotonic() + LAG_INTERVAL
            gevent.sleep(LAG_INTERVAL)
            self.lags.append(time.monotonic() - due)

    def connections(self) -> int:
        """Connections to the product that are open or being opened."""
        address, _, port = self.spec["host"].rpartition("://")[2].rpartition(":")
        try:
            return sum(
                1
                for connection in psutil.Process().net_connections(kind="tcp")
                if connection.raddr and connection.raddr.port == int(port) and connection.raddr.ip == address
            )
        except (psutil.Error, ValueError):
            return 0

    def run(self) -> dict[str, Any]:
        """Run the load; gives what was asked for, what was counted, and how busy this machine was (percent)."""
        environment = Environment(user_classes=self.classes(), host=self.spec["host"], events=events)
        hooks: Any = environment.events
        hooks.request.add_listener(self.record)
        hooks.user_error.add_listener(self.user_error)
        runner = environment.create_local_runner()
        hooks.init.fire(environment=environment, runner=runner, web_ui=None)
        count = self.spec["users"] if self.think is not None else min(self.spec["users"], max(1, len(self.starts)))
        runner.start(count, spawn_rate=count)
        limit = time.monotonic() + SPAWN_SECONDS
        self._wait(runner, count, lambda: self.waiting < count and time.monotonic() < limit and not self.exceptions)
        gevent.spawn(self._lag)
        cpu, self.began = time.process_time(), time.monotonic()
        self.epoch = time.time() - self.began  # locust stamps its requests by the wall clock
        gc.callbacks.append(self._collected)
        waited = run_delay()
        times = processor_times()
        end = self.began + self.spec["ramp"] + self.spec["hold"] + GRACE
        # With more users it is no load of the profile any more, and perhaps more than this machine can bear.
        self._wait(
            runner,
            count,
            lambda: time.monotonic() < end and (self.next < len(self.starts) or runner.user_count > 0),
        )
        seconds = time.monotonic() - self.began
        under_way, connections = self.under_way, self.connections()
        ages = sorted(round(time.monotonic() - begun, 2) for begun in self.begun.values())
        cpu = (time.process_time() - cpu) / max(seconds, 0.001)
        total, busy, stolen = (after - before for after, before in zip(processor_times(), times, strict=True))
        waited = run_delay() - waited
        gc.callbacks.remove(self._collected)
        runner.quit()
        return {
            **self._outcome(),
            "under way": under_way,
            "ages": [age for age in ages if age > 0],
            "connections": connections,
            "generator waited": round(100 * waited / max(seconds, 0.001), 2),
            "generator collected": round(1000 * self.collecting, 1),
            "generator cpu": round(100 * cpu, 1),
            "machine busy": round(busy / total, 3) if total > 0 else 0.0,
            "stolen": round(stolen / total, 3) if total > 0 else 0.0,
            "machine cpu": round(100 * busy / max(seconds, 0.001), 1),
        }

    def _wait(self, runner: Any, count: int, goes_on: Callable[[], bool]) -> None:
        """Let the users work while ``goes_on``; ends at once where there are more than ``count`` of them."""
        while goes_on():
            gevent.sleep(0.05)
            self.most_users = max(self.most_users, runner.user_count)
            if self.most_users > count:
                break

    def _outcome(self) -> dict[str, Any]:
        """What was asked for, and what was counted: times in seconds, lag in milliseconds."""
        lags = sorted(self.lags)
        return {
            "intended": len(self.starts),
            "due": sum(1 for start in self.starts if start >= self.spec["ramp"]),
            "seed": self.spec.get("seed"),
            "think": self.think,
            "started": self.next,
            "samples": self.samples,
            "ramp": self.spec["ramp"],
            "hold": self.spec["hold"],
            "rate": self.spec["rate"],
            "errors": dict(self.errors.most_common(10)),
            "locust": locust.__version__,
            "finished": self.finished,
            "silent": self.silent,
            "exceptions": dict(self.exceptions),
            "exception": self.exception,
            "users": self.most_users,
            "send lateness": quantiles(self.lateness),
            "lag p95": round(1000 * lags[int(len(lags) * 0.95)], 1) if lags else 0.0,
        }


def main() -> None:
    """Write the outcome; where the locustfile cannot be used, ``{"broken": text}``."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    if "broker" in spec:
        listen(Path(spec["broker"]), {name: (host, port) for name, (host, port) in spec["ports"].items()})
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        result = Driver(spec).run()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # code of the suite, whatever it does
        traceback.print_exc()
        result = {"broken": described(error)}
    Path(spec["out"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
