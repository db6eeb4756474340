"""Overhead per cell: 16 trivial cells by the harness, and the same steps by a bare docker SDK loop.

Both use the same image, limits, network per cell, probe, start, readiness poll, a pytest process with one test
through testinfra, and log; both with as many threads. The bare loop journals, judges and renders nothing.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from harness.attest.probing import PROBE
from harness.containers.engine import CAPABILITIES
from tests.conftest import command
from tests.products import WEB, product

CELLS, THREADS, ROUNDS = 16, 2, 3
CHECK = "def test_it_answers(host):\n    assert host.run('busybox wget -qO- http://127.0.0.1:8080/health').rc == 0\n"


def bare(image: str, folder: Path, number: int) -> None:
    """One trivial cell without the harness."""
    client = docker.from_env()
    name = f"bench-{number}-{time.monotonic_ns()}"
    network = client.networks.create(name)
    container = client.containers.create(
        image,
        ["sleep", "infinity"],
        name=name,
        init=True,
        network=name,
        mem_limit="128m",
        memswap_limit="128m",
        nano_cpus=10**9,
        pids_limit=64,
        cap_drop=["ALL"],
        cap_add=CAPABILITIES,
        security_opt=["no-new-privileges"],
        ports={"8080/tcp": ("127.0.0.1", 0)},
    )
    try:
        container.start()
        container.exec_run(["sh", "-c", PROBE])
        container.exec_run(["sqlite3", "--version"])
        container.exec_run(["sh", "-c", f"busybox --help >/dev/null; {WEB['start']} >/tmp/log 2>&1"], detach=True)
        container.reload()
        port = container.ports["8080/tcp"][0]["HostPort"]
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                break
            except OSError:
                time.sleep(0.05)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-c",
                "/dev/null",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:anyio",
                "-p",
                "no:hypothesispytest",
                "-p",
                "no:locust",
                "--rootdir",
                str(folder),
                f"--hosts=docker://{container.id}",
                str(folder),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        container.exec_run(["cat", "/tmp/log"])
    finally:
        container.remove(force=True, v=True)
        network.remove()
        client.close()


def main() -> None:
    """Print seconds per round and the ratio of medians; goal: at most 1.25."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        root = product(place / "p", WEB, check=CHECK)
        axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"], "n": [str(n) for n in range(CELLS)]}
        (root / "matrix.yaml").write_text(json.dumps({"matrix": "bench", "axes": axes, "suites": ["checks"]}))

        def ours() -> float:
            started = time.monotonic()
            done = subprocess.run(
                command("run", str(root), "--jobs", str(THREADS), "--format", "json"),
                cwd=place,
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.monotonic() - started
            if done.returncode != 0:
                sys.exit(done.stderr[-2000:])
            record = json.loads(Path(json.loads(done.stdout)["outputs"]["json"]).read_text())
            ours.image = record["cells"][0]["images"][0]  # type: ignore[attr-defined]
            return seconds

        def theirs() -> float:
            started = time.monotonic()
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda n: bare(ours.image, root / "checks", n), range(CELLS)))  # type: ignore[attr-defined]
            return time.monotonic() - started

        ours()  # makes the environment; not counted
        pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    for mine, other in pairs:
        print(f"harness {mine:6.1f} s   bare loop {other:6.1f} s   ratio {mine / other:.2f}")
    ratio = statistics.median(m for m, _ in pairs) / statistics.median(t for _, t in pairs)
    print(f"{CELLS} trivial cells, {THREADS} threads: ratio of medians {ratio:.2f} (goal 1.25)")
