"""A product of several processes, on real machines: order, readiness, ends and logs of each."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.several import ServiceControl
from harness.errors import InfrastructureError
from harness.model.machine import Machine
from harness.system.wait import wait_until
from tests.contract.test_control import deployed
from tests.contract.test_control import machine as machine  # the same machines

WAIT = "exec sleep 1000"
SERVE = "exec perl /opt/server.pl {{ ports.%s }}"

Services = list[dict[str, Any]]


class Product:
    """Deploys products of several processes on one machine, and ends them all."""

    def __init__(self, on: Machine, cell: str) -> None:
        self.on, self.cell = on, cell
        self.deployments: list[Deployment] = []

    def of(self, services: Services, **keys: Any) -> Deployment:
        given = {"services": services, "ports": {}, **keys}
        number = len(self.deployments) + 1
        deployment = deployed(self.on, self.cell, number, None, **given)
        self.deployments.append(deployment)
        return deployment


@pytest.fixture
def product(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Product]:
    product = Product(machine, request.node.name)
    yield product
    for deployment in product.deployments:
        with contextlib.suppress(ProductFault):
            deployment.kill()
    machine.run("rm -rf /run/harness /var/log/harness /tmp/order /tmp/up")


def named(deployment: Deployment, name: str) -> ServiceControl:
    return next(service for service in deployment.services if service.name == name)


def test_services_start_in_their_order_each_when_the_former_is_ready(product: Product) -> None:
    deployment = product.of(
        [
            {
                "service": "first",
                "start": "sh -c 'sleep 0.7; echo first >>/tmp/order; touch /tmp/up; exec sleep 1000'",
                "ready": {"command": "test -e /tmp/up", "seconds": 20},
            },
            {"service": "second.x", "start": "sh -c 'echo second >>/tmp/order; exec sleep 1000'"},
        ]
    )
    assert deployment.start()
    wait_until(lambda: "second" in deployment.machine.run("cat /tmp/order").out, seconds=10, what="the second")
    assert deployment.machine.run("cat /tmp/order").out.split() == ["first", "second"]
    assert deployment.running()
    assert len(set(deployment.pids())) == 2
    assert deployment.unasked_ends() == []
    assert deployment.stop()[1] in (0, 143)
    assert not deployment.running()
    assert deployment.unasked_ends() == []


def test_users_environments_and_logs_are_kept_apart(product: Product) -> None:
    deployment = product.of(
        [
            {"service": "app", "start": "sh -c 'echo I am $(id -un) with $A $B; exec sleep 1000'", "user": "nobody"},
            {
                "service": "worker",
                "start": "sh -c 'echo I am $(id -un) with $A $B; exec sleep 1000'",
                "environment": {"B": "of the worker"},
            },
        ],
        environment={"A": "both", "B": "of all"},
    )
    deployment.start()
    wait_until(lambda: "with" in named(deployment, "worker").log(5), seconds=10, what="its words")
    logs = deployment.logs(5)
    assert logs.keys() == {"service-app", "service-worker"}
    assert "I am nobody with both of all" in logs["service-app"]
    assert "I am root with both of the worker" in logs["service-worker"]
    assert "worker" not in logs["service-app"]


def test_a_service_without_a_command_is_ready_when_it_listens(product: Product) -> None:
    deployment = product.of(
        [
            {"service": "back", "start": f"sh -c 'sleep 0.5; {SERVE % 'inner'}'", "ports": ["inner"]},
            {"service": "front", "start": SERVE % "web", "ports": ["web"]},
        ],
        ports={"web": 8080, "inner": 8081},
    )
    deployment.start()
    assert deployment.machine.run("perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"127.0.0.1:8081\") or die'").ok
    # One is ended and started again while the other holds its own port.
    back, front = deployment.services
    before = front.pid()
    back.stop()
    back.start()
    assert front.pid() == before
    assert deployment.unasked_ends() == []


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"start": "sh -c 'echo broken; exit 3'"}, r"service worker: it exited at once with status 3"),
        ({"start": "/no/such/program"}, r"service worker: it cannot be executed"),
        ({"start": "sh -c 'sleep 1000 & exit 0'"}, r"service worker: its command ended with status 0 and left 1"),
        (
            {"start": WAIT, "ready": {"command": "false", "seconds": 1}},
            r"service worker runs and was not ready within 1 s: false",
        ),
    ],
)
def test_a_service_that_does_not_come_up_is_named(product: Product, service: dict[str, Any], words: str) -> None:
    deployment = product.of(
        [{"service": "app", "start": WAIT}, {"service": "worker", **service}, {"service": "last", "start": WAIT}]
    )
    with pytest.raises(ProductFault, match=words) as caught:
        deployment.start()
    assert "worker" in caught.value.zh
    assert deployment.stop()[1] in (0, 143)  # what runs of it can be ended


def test_a_service_that_does_not_listen_where_it_is_declared_is_named(product: Product) -> None:
    deployment = product.of(
        [
            {
                "service": "front",
                "start": "exec perl /opt/server.pl 8082",
                "ports": ["web"],
                "ready": None,
            }
        ],
        ports={"web": 8080},
    )
    (front,) = deployment.services
    fast = dataclasses.replace(front, context=deployment.context.model_copy(update={"factor": 0.1}))
    with pytest.raises(ProductFault, match=r"service front runs and was not ready within 3 s: it listens on port 8082"):
        fast.start()


def test_every_end_that_nobody_asked_for_names_its_service(product: Product) -> None:
    deployment = product.of(
        [
            {"service": "app", "start": WAIT},
            {"service": "worker", "start": "sh -c 'echo last words of the worker; sleep 1; exit 3'"},
        ]
    )
    deployment.start()
    wait_until(lambda: deployment.unasked_ends() or None, seconds=20, what="an end")
    assert [(end.service, end.status) for end in deployment.unasked_ends()] == [("worker", 3)]
    with pytest.raises(ProductFault, match="its service worker exited with status 3") as caught:
        deployment.demand_no_end()
    assert "last words of the worker" in caught.value.log
    assert deployment.exit_code() == 3
    assert "service worker" in deployment.ended(3).en
    # It is started again alone; the other runs on, and the end is not forgotten.
    before = named(deployment, "app").pid()
    named(deployment, "worker").start()
    assert named(deployment, "app").pid() == before
    assert [end.service for end in deployment.unasked_ends()] == ["worker"]


def test_ends_of_one_service_that_were_asked_for_are_none_of_them(product: Product) -> None:
    deployment = product.of([{"service": "app", "start": WAIT}, {"service": "worker", "start": WAIT}])
    deployment.start()
    for service in deployment.services:
        assert service.stop()[1] == 143
        service.start()
        service.kill()
        service.start()
    assert deployment.running()
    assert deployment.unasked_ends() == []


def test_notes_of_one_service_that_are_gone_are_no_good_news(product: Product) -> None:
    deployment = product.of([{"service": "app", "start": WAIT}, {"service": "worker", "start": WAIT}])
    deployment.start()
    deployment.machine.run("rm -rf /var/log/harness/starts/worker/*")
    with pytest.raises(InfrastructureError, match="what the harness noted of the product's starts and ends is gone"):
        deployment.unasked_ends()


def test_a_stubborn_service_is_named_and_the_others_are_stopped(product: Product) -> None:
    deployment = product.of(
        [
            {"service": "app", "start": WAIT},
            {"service": "worker", "start": "perl -e '$SIG{TERM} = q(IGNORE); sleep 1000'", "stop_seconds": 1},
        ]
    )
    deployment.start()
    wait_until(
        lambda: "perl" in deployment.machine.run(f"cat /proc/{named(deployment, 'worker').pid()}/cmdline").out,
        seconds=10,
        what="perl",
    )
    deployment.machine.run("sleep 0.3")  # until it has set how it takes the signal
    with pytest.raises(ProductFault, match="service worker did not stop within 1 s after SIGTERM"):
        deployment.stop()
    assert named(deployment, "app").control.exit_code() == 143
    deployment.kill()
    assert deployment.control.left() == []
