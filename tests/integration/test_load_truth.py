"""A load says something of the product only where the locustfile and the generator did their part."""

from __future__ import annotations

import json
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.control.deployment import Deployment
from harness.control.ends import End
from harness.control.supervised import Supervised
from harness.model.definitions import Application, RateSearch, Suite
from harness.model.ledger import MEDIA_LOAD
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Observation, Result
from harness.reading.parsing import parse
from harness.runners.locust.run import run_locust
from tests.suite_runs import ROOT, Kept, context

FAIL, ERROR, PASS = Result.FAIL, Result.ERROR, Result.PASS
SHIPPED = ROOT / "suites" / "load" / "http"
MIXED, CAPACITY, BASELINE = (ROOT / "suites" / "load" / name for name in ("mixed", "capacity", "baseline"))
HEAD = "from locust import events, task\nfrom locust.contrib.fasthttp import FastHttpUser\n"


class Product(ThreadingHTTPServer):
    """A product that keeps texts; ``behave`` says how it answers reads."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.texts: dict[str, str] = {}
        self.behave = "well"
        self.reads = self.updates = 0
        self.one_at_a_time = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Product

    def log_message(self, *_: Any) -> None: ...

    def answer(self, status: int, body: str, media: str = "application/json") -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.updates += self.path in self.server.texts
        lost = self.server.behave == "loses updates" and self.path in self.server.texts and self.server.updates % 3 == 0
        if not lost:
            self.server.texts[self.path] = text
        self.answer(201, "{}")

    def do_DELETE(self) -> None:
        if self.server.behave == "dies":
            self.connection.close()
            return
        self.server.texts.pop(self.path, None)
        self.answer(204, "")

    def do_GET(self) -> None:
        self.server.reads += 1
        later = self.server.reads > 1  # the first read is the harness's own
        hangs = {"hangs": later, "hangs now and then": later and self.server.reads % 10 == 0}
        if hangs.get(self.server.behave):
            time.sleep(30)
        elif self.server.behave == "serves 50 a second":
            with self.server.one_at_a_time:
                time.sleep(0.02)
            self.answer(200, self.server.texts.get(self.path, "{}"))
        elif self.server.behave == "error page" or (self.server.behave == "error page later" and later):
            self.answer(200, "<html>Something went wrong</html>", "text/html")
        else:
            self.answer(200, self.server.texts.get(self.path, "{}"))


class Started(Supervised):
    """Control of a product that is a thread of this test: it runs, and nothing is noted of it on this machine."""

    def __init__(self) -> None: ...

    def running(self) -> bool:
        return True

    def exit_code(self) -> None:
        return None

    def ends(self) -> list[End]:
        return []

    def log(self, _: int) -> str:
        return ""


@pytest.fixture
def product() -> Iterator[Product]:
    server = Product()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def load(
    product: Product,
    folder: Path,
    locustfile: str = "",
    *,
    shipped: Path = SHIPPED,
    judged: bool = True,
    **profile: Any,
) -> tuple[dict[str, Observation], Kept]:
    """Run a shipped suite, or a locustfile of one's own with its profile; what was seen by criterion."""
    definition = parse(shipped / "suite.yaml", Suite)
    assert definition.profile is not None
    changes = {"rate": 20.0, "ramp": 0.2, "hold": 1.0, "users": 4, "p95_ms": 1000.0, **profile}
    definition = definition.model_copy(update={"profile": definition.profile.model_copy(update=changes)})
    if locustfile:
        folder = folder / "own"
        folder.mkdir()
        (folder / "locustfile.py").write_text(HEAD + textwrap.dedent(locustfile))
    suite = LocatedSuite(definition=definition, folder=folder if locustfile else shipped)
    application = Application.model_validate(
        {
            "application": "tiny",
            "name": "Tiny",
            "vendor": "Example",
            "version": "1.0",
            "start": "sleep 60",
            "ready": {"command": "true"},
            "packages": ("busybox",),
            "ports": {"web": 8080},
            "http": {
                "port": "web",
                "resource": {
                    "key": "k{{ n }}",
                    "create": {"method": "PUT", "path": "/{{ key }}", "body": {"t": "{{ text }}"}, "status": (201,)},
                    "read": {"method": "GET", "path": "/{{ key }}", "status": (200,)},
                    "update": {"method": "PUT", "path": "/{{ key }}", "body": {"t": "{{ text }}"}, "status": (201,)},
                    "delete": {"method": "DELETE", "path": "/{{ key }}", "status": (204,)},
                    "stored": "select 1",
                },
            },
        }
    )
    ports = {"web": ("127.0.0.1", product.server_port)}
    place = context(folder, application=application, ports=ports, judges_performance=judged)
    ledger = Kept()
    kept: Any = ledger
    deployment = Deployment.of(place)
    deployment._control = Started()
    seen = run_locust(suite, definition.cases, deployment, kept, threading.Event())
    return {case.test: one for case, one in zip(definition.cases, seen, strict=True)}, ledger


@pytest.mark.load
def test_a_good_product_passes_and_is_tidied(product: Product, tmp_path: Path) -> None:
    seen, ledger = load(product, tmp_path)
    assert [one.result for one in seen.values()] == [PASS] * 3, seen
    assert ledger.files["load-http.json"][1] == MEDIA_LOAD
    assert product.texts == {}


@pytest.mark.parametrize(
    ("locustfile", "words"),
    [
        ("raise RuntimeError('at import')\n", "the locustfile is broken: RuntimeError: at import"),
        ("import sys; sys.exit(0)\n", "the locustfile is broken: SystemExit: 0"),
        ("import os; os._exit(0)\n", "ended the load generator with status 0 before the load was over"),
        ("x = 1\n", "defines no locust user"),
        (
            "class U(FastHttpUser):\n    @task\n    def t(self): {}['absent']\n",
            "the first: KeyError: 'absent'",
        ),
        (
            """
            class U(FastHttpUser):
                def on_start(self): raise ValueError('no login')
                @task
                def t(self): ...
            """,
            "the first: ValueError: no login",
        ),
        ("import sys\nclass U(FastHttpUser):\n    @task\n    def t(self): sys.exit(0)\n", "SystemExit"),
        ("class U(FastHttpUser):\n    @task\n    def t(self): ...\n", "the locustfile sent no request"),
        (
            "import gevent\nclass U(FastHttpUser):\n    @task\n    def t(self): gevent.sleep(60)\n",
            "4 did not end and have no connection to the product",
        ),
        (
            """
            class U(FastHttpUser):
                @task
                def t(self): self.client.get("/")
            @events.test_start.add_listener
            def more(environment, **_):
                import gevent
                gevent.spawn_later(0.3, environment.runner.spawn_users, {"U": 300})
            """,
            "its profile says at most 4",
        ),
    ],
)
def test_a_fault_of_the_locustfile_is_never_the_products(
    product: Product, tmp_path: Path, locustfile: str, words: str
) -> None:
    seen, _ = load(product, tmp_path, locustfile)
    assert {(one.result, one.cause) for one in seen.values()} == {(ERROR, Cause.TEST)}, seen
    assert words in seen["p95"].detail
    assert product.texts == {}


def test_a_product_that_never_answers_fails_with_that_sentence(product: Product, tmp_path: Path) -> None:
    product.behave = "hangs"
    seen, ledger = load(product, tmp_path)
    assert [one.result for one in seen.values()] == [FAIL] * 3
    assert "the product answered no request: 4 were under way on 4 connections" in seen["p95"].detail
    assert "inf" not in seen["p95"].detail
    assert MEDIA_LOAD not in [media for _, media in ledger.files.values()]


def test_an_error_page_with_a_good_status_is_no_answer(product: Product, tmp_path: Path) -> None:
    product.behave = "error page"
    seen, _ = load(product, tmp_path)
    assert [one.result for one in seen.values()] == [FAIL] * 3
    assert "read gave status 200, but not the text that was written" in seen["p95"].detail


def test_an_error_page_under_load_is_an_error(product: Product, tmp_path: Path) -> None:
    product.behave = "error page later"
    seen, _ = load(product, tmp_path)
    assert seen["error_rate"].result is FAIL
    assert "error rate 100.00%" in seen["error_rate"].detail


def test_a_request_that_hangs_is_an_error_where_speed_is_only_recorded(product: Product, tmp_path: Path) -> None:
    """Each tenth read never ends, the others are answered at once: half of the users do nothing else any more."""
    product.behave = "hangs now and then"
    seen, _ = load(product, tmp_path, judged=False, hold=2.0, users=8)
    assert seen["p95"].result is Result.RECORDED
    assert "a container shares its processors" in seen["p95"].detail
    assert seen["error_rate"].result is FAIL
    assert "requests hang)" in seen["error_rate"].detail


@pytest.mark.parametrize(("behave", "result"), [("well", PASS), ("loses updates", FAIL)])
def test_reads_under_a_mixed_load_are_held_against_what_was_acknowledged(
    product: Product, tmp_path: Path, behave: str, result: Result
) -> None:
    product.behave = behave
    seen, ledger = load(product, tmp_path, shipped=MIXED, judged=False, hold=4.0)
    assert seen["error_rate"].result is result, seen["error_rate"].detail
    assert seen["p95"].result is Result.RECORDED
    errors = json.loads(ledger.files["load-mixed.json"][0])["errors"]
    assert all("gave not the text that was acknowledged last" in text for text in errors)
    assert bool(errors) == (result is FAIL)
    assert product.texts == {}, "what the users created is removed"


@pytest.mark.load
def test_the_rate_a_product_serves_is_searched_for_and_it_recovers(product: Product, tmp_path: Path) -> None:
    product.behave = "serves 50 a second"
    search = RateSearch(least=5, most=400, seconds=2, precision=0.3)
    seen, ledger = load(product, tmp_path, shipped=CAPACITY, rate=10.0, users=64, p95_ms=200.0, search=search)
    record = json.loads(ledger.files["load-capacity.json"][0])
    # No more than 50 can be served; in two seconds a queue of somewhat more stays within the threshold.
    assert record["knee"]["low"] <= 50 * 1.3, record
    assert record["beyond"]["rate"] > record["knee"]["low"]
    assert seen["beyond"].result is PASS, seen
    measured = {each.name: each.value for each in seen["knee"].measurements}
    assert measured["loads"] == len(record["knee"]["steps"]) >= 4
    # Other work on this machine may end the search early, and is then named; it never accuses the product.
    assert seen["knee"].result in (PASS, Result.RECORDED), seen
    assert seen["recovery"].result is PASS or seen["recovery"].cause is Cause.INFRA, seen


def test_a_user_that_waits_for_answers_gives_a_baseline_with_its_spread(product: Product, tmp_path: Path) -> None:
    seen, ledger = load(product, tmp_path, shipped=BASELINE, judged=False, users=1, rate=1.0)
    assert (seen["p95"].result, seen["error_rate"].result) == (Result.RECORDED, PASS), seen
    record = json.loads(ledger.files["load-baseline.json"][0])
    assert record["loads"] == len(record["repetitions"]) == 3
    assert record["figures"]["requests"] == sum(each["requests"] for each in record["repetitions"])
    measured = {each.name: each.value for each in seen["p95"].measurements}
    assert measured["p95 low"] <= record["spread"]["p95"]["mean"] <= measured["p95 high"]
    # No request is sent before the answer to the last has come: latency is the product's own.
    assert all(abs(sample[1] - sample[2]) < 50 for sample in record["samples"])
    assert product.texts == {}


def test_a_product_that_answers_wrongly_beyond_its_limits_fails_in_a_container_too(
    product: Product, tmp_path: Path
) -> None:
    product.behave = "error page later"
    search = RateSearch(least=5, most=10, seconds=1, precision=1)
    seen, _ = load(product, tmp_path, shipped=CAPACITY, judged=False, search=search)
    assert seen["knee"].result is Result.RECORDED
    assert seen["beyond"].result is FAIL
    assert "status 200" in seen["beyond"].detail


def test_figures_outlive_a_product_that_cannot_delete_any_more(product: Product, tmp_path: Path) -> None:
    product.behave = "dies"
    seen, ledger = load(product, tmp_path)
    assert ledger.files["load-http.json"][1] == MEDIA_LOAD
    assert seen["p95"].measurements


def test_the_init_hook_is_fired(product: Product, tmp_path: Path) -> None:
    seen, _ = load(
        product,
        tmp_path,
        """
        hooked = []
        @events.init.add_listener
        def init(environment, runner, web_ui, **_): hooked.append(runner)
        class U(FastHttpUser):
            @task
            def t(self):
                assert hooked
                self.client.get("/")
        """,
    )
    assert seen["error_rate"].result is PASS
