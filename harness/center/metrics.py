"""Figures of a center for Prometheus, and whether its database answers: ``/metrics`` and ``/healthz`` of the sweeper.

The figures are read from the database when they are asked for, so any sweeper gives the same.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from harness.center.queueing import CLOSE, Center
from harness.center.watching import workers_of
from harness.errors import HarnessError, InfrastructureError, UsageError
from harness.evidence import tables

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Figures:
    """Collects the figures (``prometheus_client.registry.Collector``). A database that is away gives ``harness_up 0``
    and nothing else: what was not seen is not shown."""

    def __init__(self, center: Center) -> None:
        self.center = center

    def collect(self) -> Iterable[Metric]:
        """The figures now."""
        from prometheus_client.core import GaugeMetricFamily

        try:
            yield from self._read()
        except HarnessError:
            yield GaugeMetricFamily("harness_up", "Whether the center's database answers", value=0)
        else:
            yield GaugeMetricFamily("harness_up", "Whether the center's database answers", value=1)

    def _read(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        queued = GaugeMetricFamily(
            "harness_cells", "Cells of open campaigns in the queue", labels=["campaign", "state"]
        )
        for (campaign, state), number in self._cells().items():
            queued.add_metric([campaign, state], number)
        oldest = GaugeMetricFamily("harness_oldest_wait_seconds", "For how long the first cell of the queue has waited")
        oldest.add_metric([], self._oldest())
        workers = GaugeMetricFamily("harness_worker", "Workers by state", labels=["worker", "state"])
        heard = GaugeMetricFamily("harness_worker_heard_seconds", "Since a worker was heard", labels=["worker"])
        running = GaugeMetricFamily("harness_worker_cells", "Cells that a worker runs", labels=["worker"])
        for row in workers_of(self.center):
            workers.add_metric([row["name"], row["state"]], 1)
            heard.add_metric([row["name"]], row["age"])
            running.add_metric([row["name"]], len(row["says"].get("running", ())))
        attempts = CounterMetricFamily(
            "harness_attempts", "Attempts at cells that were closed", labels=["verdict", "cause"]
        )
        for verdict, cause, number in self._attempts():
            attempts.add_metric([verdict, cause or ""], number)
        campaigns = GaugeMetricFamily("harness_campaigns", "Campaigns by state of their submission", labels=["state"])
        for state, number in self._campaigns():
            campaigns.add_metric([state], number)
        yield from (queued, oldest, workers, heard, running, attempts, campaigns)

    def _cells(self) -> Counter[tuple[str, str]]:
        """Cells by campaign and state; a campaign has several queues."""
        cells: Counter[tuple[str, str]] = Counter()
        for queue, counts in self.center.counts().items():
            campaign = queue.partition("/")[0]
            if campaign != CLOSE:
                for status, number in counts.items():
                    cells[campaign, "waiting" if status == "todo" else "running"] += number
        return cells

    def _oldest(self) -> float:
        query = sa.text(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(e.at)), 0) FROM procrastinate_jobs j "
            "JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred' WHERE j.status = 'todo'"
        )
        with self.center.journal.reading() as connection:
            return float(connection.execute(query).scalar() or 0)

    def _attempts(self) -> list[tuple[str, str | None, int]]:
        table = tables.attempts
        query = sa.select(table.c.verdict, table.c.cause, sa.func.count()).where(table.c.verdict.is_not(None))
        with self.center.journal.reading() as connection:
            return [(a, b, c) for a, b, c in connection.execute(query.group_by(table.c.verdict, table.c.cause))]

    def _campaigns(self) -> list[tuple[str, int]]:
        table = tables.submissions
        query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
        with self.center.journal.reading() as connection:
            return [(state, number) for state, number in connection.execute(query)]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, center: Center, figures: Callable[[], bytes], kind: str, *arguments: Any) -> None:
        self._center, self._figures, self._kind = center, figures, kind
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, self._figures(), self._kind)
        elif self.path == "/healthz":
            try:
                self._center.submissions()
            except HarnessError as error:
                self._answer(503, f"{error.message}\n".encode())
            else:
                self._answer(200, b"ok\n")
        else:
            self._answer(404, b"there is /metrics and /healthz\n")

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(center: Center, address: str) -> Iterator[str]:
    """Serve ``/metrics`` and ``/healthz`` at ``HOST:PORT`` (port 0: any) while the block runs; gives the address.

    Raises:
        UsageError: it is no address, or prometheus_client is not installed.
        InfrastructureError: nothing can listen there.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--metrics {address}: no HOST:PORT", advice="for example: --metrics 127.0.0.1:9464")
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
    except ImportError:
        raise UsageError(
            "metrics need the Python package prometheus_client",
            advice="install it: pip install 'xinchuang-harness[center]'",
        ) from None
    registry = CollectorRegistry()
    registry.register(Figures(center))

    handler = partial(_Handler, center, lambda: generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), handler)
    except OSError as error:
        raise InfrastructureError(
            f"--metrics {address}: {error.strerror or error}", advice="name another address, or end what listens there"
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
