"""Usage: ``python -m tests.benchmarks [overhead] [install] [warm]``; without a name, all three."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.benchmarks import install, overhead, warm

BENCHMARKS: dict[str, Callable[[], None]] = {"overhead": overhead.main, "install": install.main, "warm": warm.main}

wanted = sys.argv[1:] or list(BENCHMARKS)
if unknown := set(wanted) - BENCHMARKS.keys():
    sys.exit(f"no such benchmark: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
for name in wanted:
    print(f"== {name}", flush=True)
    BENCHMARKS[name]()
