"""Center mode: campaigns in a queue of a PostgreSQL database, and workers on many machines that take their cells.

procrastinate is the queue. A campaign is recorded and queued in one transaction; each cell is a job. A worker takes
jobs of queues that it can serve, and runs each in a process of its own, which holds a claim on the cell. Jobs are
delivered at least once: what makes a cell run once are the claims and their tokens, not the queue.
"""

from harness.center.fetching import fetch
from harness.center.metrics import served
from harness.center.queueing import Center
from harness.center.submitting import submit
from harness.center.sweeping import sweep_forever, sweep_once
from harness.center.watching import queue_of, workers_of
from harness.center.worker import Worker, WorkerOptions

__all__ = [
    "Center",
    "Worker",
    "WorkerOptions",
    "fetch",
    "queue_of",
    "served",
    "submit",
    "sweep_forever",
    "sweep_once",
    "workers_of",
]
