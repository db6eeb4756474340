"""The load driver beside a bare open-loop client, and beside bare locust, against servers that are known."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.model.definitions import LoadProfile, RateSearch
from harness.runners.locust.capacity import Step, find_knee
from harness.runners.locust.driving import DRIVER
from harness.system.ranks import percentile

#: An HTTP server of one process; ``stall``: half a second each five; ``queue``: M/M/1, 5 ms in the mean.
SERVER = """
import asyncio, random, sys, time
kind = sys.argv[1] if len(sys.argv) > 1 else ""
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 2\\r\\n\\r\\nok"
free = 0.0
class Http(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while b"\\r\\n\\r\\n" in self.data:
            _, _, self.data = self.data.partition(b"\\r\\n\\r\\n")
            if kind == "queue":
                global free
                loop = asyncio.get_running_loop()
                free = max(free, loop.time()) + random.expovariate(1 / 0.005)
                loop.call_at(free, self.transport.write, ANSWER)
            else:
                self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while kind == "stall":
        await asyncio.sleep(4.5)
        time.sleep(0.5)
    await asyncio.Event().wait()
asyncio.run(main())
"""
READER = """
from locust import task
from locust.contrib.fasthttp import FastHttpUser
class U(FastHttpUser):
    @task
    def t(self): self.client.get("/")
"""
#: Bare locust, without the driver: users that wait for nothing; prints the requests of so many seconds.
BARE = """
import locust, sys, time
import gevent
from locust.env import Environment
sys.path.insert(0, sys.argv[1])
from locustfile import U
users, seconds = int(sys.argv[3]), float(sys.argv[4])
environment = Environment(user_classes=[U], host=sys.argv[2])
runner = environment.create_local_runner()
runner.start(users, spawn_rate=users)
gevent.sleep(1)
before = environment.stats.total.num_requests
began = time.monotonic()
gevent.sleep(seconds)
print((environment.stats.total.num_requests - before) / (time.monotonic() - began))
runner.quit()
"""
SECONDS, USERS = 60.0, 64


def main() -> None:
    """Print ratios; goals: p95 and p99 within 5 % of the reference, 95 % of bare locust's requests and 4,000 a second,
    at most 1 % of sends later than 5 ms at 80 % of that, the knee within 10 % of theory."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "locustfile.py").write_text(READER)
        _stalls(folder)
        _throughput(folder)
        _knee(folder)


def _stalls(folder: Path) -> None:
    with _server("stall") as port:
        outcome = _drive(folder, port, rate=100, hold=SECONDS)
        reference = asyncio.run(_open_loop(port, 100, SECONDS))
    ours = sorted(sample[1] for sample in outcome["samples"])
    for percent in (95, 99):
        mine, theirs = percentile(ours, percent), percentile(reference, percent)
        print(
            f"stalling server, p{percent}: driver {mine:.0f} ms, reference {theirs:.0f} ms; {mine / theirs:.3f} "
            "(goal 0.95 to 1.05)"
        )


def _throughput(folder: Path) -> None:
    with _server() as port:
        bare = [str(folder), f"http://127.0.0.1:{port}", str(USERS), "10"]
        most = max(float(_python(BARE, *bare)) for _ in range(3))
        outcomes = [_drive(folder, port, rate=1.2 * most, hold=10) for _ in range(3)]
        driven = max(len(outcome["samples"]) / outcome["hold"] for outcome in outcomes)
        print(
            f"requests a second of one process: bare locust {most:.0f}, driven {driven:.0f}; {driven / most:.2f} "
            "(goal 0.95); goal 4,000"
        )
        late = _drive(folder, port, rate=0.8 * driven, hold=10)["send lateness"]
        print(f"sends at 80 % of that: {late['above 5 ms']:.2%} later than 5 ms (goal 1 %), p99 {late['p99']:.1f} ms")


def _knee(folder: Path) -> None:
    limit = 50.0
    theory = 1 / 0.005 - math.log(20) / (limit / 1000)
    profile = LoadProfile(rate=20, p95_ms=limit, error_rate=0.01, achieved=0.9)
    with _server("queue") as port:
        knee = find_knee(
            lambda rate: Step.of(_drive(folder, port, rate=rate, hold=20, seed=int(rate * 1000)), profile),
            RateSearch(least=20, most=2000, seconds=20, precision=0.1),
        )
    if knee.high is None:
        print(f"M/M/1 queue: the search ended at {knee.low:.0f}/s: {knee.why}")
        return
    middle = math.sqrt(knee.low * knee.high)
    print(
        f"M/M/1 queue of 5 ms: knee between {knee.low:.0f} and {knee.high:.0f}/s, theory {theory:.0f}/s; "
        f"{middle / theory:.3f} (goal 0.9 to 1.1)"
    )


@contextlib.contextmanager
def _server(kind: str = "") -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, kind], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def _drive(folder: Path, port: int, *, rate: float, hold: float, seed: int | None = None) -> dict[str, Any]:
    out = folder / "out.json"
    spec = {
        "locustfile": str(folder / "locustfile.py"),
        "host": f"http://127.0.0.1:{port}",
        "rate": rate,
        "ramp": 0,
        "hold": hold,
        "users": USERS,
        "seed": seed,
        "out": str(out),
        "log": str(folder / "driver.log"),
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-P", str(DRIVER), str(folder / "spec.json")], check=True)
    outcome: dict[str, Any] = json.loads(out.read_text())
    return {**outcome, "resources": []}


def _python(code: str, *arguments: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout.strip().splitlines()[-1]


async def _open_loop(port: int, rate: float, seconds: float) -> list[float]:
    """Latencies in ms from the intended start, ascending: each request is a task of its own with its connection."""
    began, tasks = time.monotonic(), []

    async def request(due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"ok")
        writer.close()
        return 1000 * (time.monotonic() - due)

    for number in range(int(rate * seconds)):
        tasks.append(asyncio.create_task(request(began + number / rate)))
    return sorted(await asyncio.gather(*tasks))
