"""Reads one resource of the product over and over; the driver sets the rate (open model)."""

from __future__ import annotations

from locust import task
from locust.contrib.fasthttp import FastHttpUser

from harness.runners.locust.support import prepared_read


class Reader(FastHttpUser):
    """Each task is one read of the resource that was made before the load began."""

    connection_timeout = 30.0
    network_timeout = 30.0

    def on_start(self) -> None:
        self.prepared = prepared_read()

    @task
    def read(self) -> None:
        read = self.prepared
        with self.client.get(read.path, headers=read.headers, name="read", catch_response=True) as answer:
            if fault := read.fault(answer):  # an error page may come with a good status
                answer.failure(fault)
