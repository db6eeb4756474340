"""Usage: ``python -m tests.benchmarks [NAME …]``; without a name, all of ``BENCHMARKS``."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.benchmarks import center, close, install, load, overhead, plans, render, scan, ssh, startup, turns, vms, warm

BENCHMARKS: dict[str, Callable[[], None]] = {
    "plans": plans.main,
    "startup": startup.main,
    "overhead": overhead.main,
    "install": install.main,
    "warm": warm.main,
    "ssh": ssh.main,
    "load": load.main,
    "scan": scan.main,
    "vms": vms.main,
    "render": render.main,
    "close": close.main,
    "center": center.main,
    "turns": turns.main,
}

wanted = sys.argv[1:] or list(BENCHMARKS)
if unknown := set(wanted) - BENCHMARKS.keys():
    sys.exit(f"no such benchmark: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
for name in wanted:
    print(f"== {name}", flush=True)
    BENCHMARKS[name]()
