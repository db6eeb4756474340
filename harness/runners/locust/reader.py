"""The user of a load that reads a resource over and over, for locustfiles. The driver imports locust before."""

from __future__ import annotations

from locust import task
from locust.contrib.fasthttp import FastHttpUser

from harness.runners.locust.support import prepared_read


class ResourceReader(FastHttpUser):
    """Each task is one read of the resource that was made before the load began."""

    abstract = True
    connection_timeout = 30.0
    network_timeout = 30.0

    def on_start(self) -> None:
        """Take over the read that was prepared."""
        self.prepared = prepared_read()

    @task
    def read(self) -> None:
        """Read it; an error page may come with a good status."""
        read = self.prepared
        with self.client.get(read.path, headers=read.headers, name="read", catch_response=True) as answer:
            if fault := read.fault(answer):
                answer.failure(fault)
