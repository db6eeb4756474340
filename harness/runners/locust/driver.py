"""Drives a locustfile at a given rate, in a process of its own: ``python driver.py SPEC OUT``.

Locust by itself is a closed loop: users wait for answers, so a stalled server is asked less and looks fast
(coordinated omission). Here every task has an intended start on a fixed schedule, ramp then hold; users take the
next start that is due, and latency counts from it. Any locustfile works unchanged: only ``wait_time`` is replaced.
"""

# Locust patches the interpreter when it is imported: it must be the first import of the process.
import locust  # isort: skip
import locust.exception  # isort: skip

import importlib.util
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment

#: Seconds that requests under way may take after the schedule's end.
GRACE = 3.0


def schedule(rate: float, ramp: float, hold: float) -> list[float]:
    """Intended starts in seconds from the beginning: rate grows from 0 over ``ramp``, then stays for ``hold``."""
    rising = [math.sqrt(2 * ramp * k / rate) for k in range(int(rate * ramp / 2))] if ramp else []
    return rising + [ramp + i / rate for i in range(int(rate * hold))]


class Driver:
    """Hands out the schedule and records what became of each start."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.starts = schedule(spec["rate"], spec["ramp"], spec["hold"])
        self.next = 0
        self.began = 0.0
        self.waiting = 0
        self.samples: list[tuple[float, float, float, bool]] = []
        self.errors: Counter[str] = Counter()

    def classes(self) -> list[type[locust.User]]:
        """The users of the locustfile, their waiting replaced by the schedule."""
        path = Path(self.spec["locustfile"])
        sys.path.insert(0, str(path.parent))
        module_spec = importlib.util.spec_from_file_location("harness_locustfile", path)
        if module_spec is None or module_spec.loader is None:
            raise ImportError(f"{path} cannot be loaded")
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        found = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, locust.User)
            and value.__module__ == module.__name__
            and not value.abstract
        ]
        if not found:
            raise ImportError(f"{path} defines no locust user")
        for user in found:
            self._pace(user)
        return found

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
        if self.next >= len(self.starts):
            raise locust.exception.StopUser
        intended = self.starts[self.next]
        self.next += 1
        gevent.getcurrent().harness_intended = intended
        return max(0.0, self.began + intended - time.monotonic())

    def record(self, name: str, response_time: float, exception: BaseException | None = None, **_: Any) -> None:
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
            latency = (now - intended) * 1000
        self.samples.append((round(intended, 4), round(latency, 2), round(response_time, 2), exception is None))
        if exception is not None:
            self.errors[f"{name}: {exception}"[:200]] += 1

    def user_error(self, exception: BaseException, **_: Any) -> None:
        self.errors[f"user: {type(exception).__name__}: {exception}"[:200]] += 1

    def run(self) -> dict[str, Any]:
        environment = Environment(user_classes=self.classes(), host=self.spec["host"], events=events)
        hooks: Any = environment.events
        hooks.request.add_listener(self.record)
        hooks.user_error.add_listener(self.user_error)
        runner = environment.create_local_runner()
        count = min(self.spec["users"], max(1, len(self.starts)))
        runner.start(count, spawn_rate=count)
        limit = time.monotonic() + 30
        while self.waiting < count and time.monotonic() < limit:
            gevent.sleep(0.05)
        self.began = time.monotonic()
        end = self.began + self.spec["ramp"] + self.spec["hold"] + GRACE
        while time.monotonic() < end and (self.next < len(self.starts) or runner.user_count > 0):
            gevent.sleep(0.05)
        runner.quit()
        return {
            "intended": len(self.starts),
            "started": self.next,
            "samples": self.samples,
            "ramp": self.spec["ramp"],
            "hold": self.spec["hold"],
            "rate": self.spec["rate"],
            "errors": dict(self.errors.most_common(10)),
            "locust": locust.__version__,
        }


def main() -> None:
    """Exit status 3: the locustfile cannot be used; its fault is on standard error."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    driver = Driver(spec)
    try:
        result = driver.run()
    except (ImportError, SyntaxError, NameError, AttributeError, TypeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
