"""Prepares what a load reads or changes, and runs the driver: a process of its own, because locust patches its
interpreter."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.clients.http import HttpClient
from harness.clients.requesting import arguments, path_of
from harness.control.deployment import Deployment
from harness.control.ends import End
from harness.control.fault import ProductFault
from harness.machines.broker import Broker
from harness.model.context import CellContext
from harness.model.definitions import LoadProfile
from harness.model.plan import LocatedSuite
from harness.runners.locust.fitness import Watch
from harness.runners.locust.sampling import INTERVAL, Sampler
from harness.runners.locust.support import ENVIRONMENT
from harness.runners.locust.system_log import SystemLog
from harness.system.addresses import in_url
from harness.system.canonical import read_json
from harness.system.process import run, without_proxy
from harness.system.sandbox import Sandbox, demanded, read_untrusted
from harness.system.scratch import temporary_folder

DRIVER = Path(__file__).with_name("driver.py")
#: Seconds beside ramp and hold: locust is imported, users begin, requests under way end.
START_SECONDS = 60
#: Requests one after the other by which an emulated target is calibrated, the share of its time that the load may
#: take by them, and the fewest requests of a hold.
PROBES, SHARE, FEWEST = 3, 0.5, 3
#: What the driver reports of every load.
REPORTED = frozenset(("samples", "errors", "exceptions", "exception", "users", "ramp", "hold", "intended", "finished"))
#: A load of hours is looked at less often, not to make the record large.
MOST_SAMPLES = 20_000
#: Bytes of the driver's log that are kept, and of what it reports.
MAX_LOG, MAX_OUTCOME = 2 * 2**20, 512 * 2**20


def crash_of(deployment: Deployment, before: Sequence[End]) -> ProductFault | None:
    """How the product ended during a load; None where it runs, and nothing on its machine has started it again.

    ``before``: the ends that nobody asked for, as they were known when the load began.
    """
    code = deployment.exit_code()
    if code is not None:
        return deployment.ended(code)
    fresh = [end for end in deployment.unasked_ends() if end not in before]
    return deployment.unasked(fresh) if fresh else None


def drive(
    suite: LocatedSuite,
    profile: LoadProfile,
    deployment: Deployment,
    keep: Callable[[bytes], object],
    cancel: threading.Event,
    *,
    sandboxed: bool,
) -> dict[str, Any]:
    """Prepare the data to read, drive the load, and return the driver's result with ``resources`` of the product."""
    client = HttpClient(deployment)
    key = ""
    try:
        resource = client.resource
        if resource is not None:
            key, read = _resource(client)
        else:
            read = _page(client)
        rate = profile.rate
        if deployment.context.emulated:
            path = deployment.context.application.readiness.path or ""
            again = functools.partial(resource.read, key) if resource else functools.partial(client.send, "GET", path)
            rate = calibrated_rate(profile, again)
        return _run_driver(suite, profile, deployment, keep, cancel, read, rate=rate, sandboxed=sandboxed)
    finally:
        if key and client.resource is not None:
            # The load's figures count more than a tidy end: a product that crashed cannot delete anything.
            with contextlib.suppress(ProductFault):
                client.resource.delete(key)
        client.close()


def calibrated_rate(profile: LoadProfile, again: Callable[[], object]) -> float:
    """Requests a second that an emulated target gets: those of the profile, as far as requests one after the other
    leave it half of the time; and ``FEWEST`` in the hold. More only shows how slow its emulator is.

    ``again`` sends the request of the load once. Raises what that raises.
    """
    began = time.monotonic()
    for _ in range(PROBES):
        again()
    each = (time.monotonic() - began) / PROBES
    return max(min(profile.emulated_rate or profile.rate, SHARE / each), FEWEST / profile.hold)


def _resource(client: HttpClient) -> tuple[str, dict[str, Any]]:
    """Create what is read; gives its key and the read. The answer must hold the text that was written.

    Raises:
        ProductFault: it was not created, or a read does not give it.
    """
    resource = client.resource
    assert resource is not None
    key, text = resource.fresh_key(), f"load {secrets.token_hex(8)}"
    resource.create(key, text)
    answer = resource.read(key)
    if text not in answer.text:
        raise ProductFault(
            f"read gave status {answer.status_code}, but not the text that was written ({text}): {answer.text[:400]}",
            f"读取返回状态 {answer.status_code}，但不含所写入的文本（{text}）",
            client.deployment.log(15),
        )
    request = resource.definition.read
    values = {"key": key, "text": "", **client.values()}  # the load repeats this request alone
    path = path_of(request, values, "http.resource.read")
    own = arguments(request, values, "http.resource.read")["headers"]
    return key, _read(client, path, request.status, text=text, headers=own)


def _page(client: HttpClient) -> dict[str, Any]:
    """The readiness page, for a product without a resource; the answer must be of the media type it has now."""
    ready = client.deployment.context.application.readiness
    answer = client.send("GET", ready.path or "")
    if answer.status_code not in ready.status:
        raise ProductFault(
            f"GET {ready.path} gave status {answer.status_code}, expected {list(ready.status)}",
            f"GET {ready.path} 返回状态 {answer.status_code}，期望 {list(ready.status)}",
            client.deployment.log(15),
        )
    media = answer.headers.get("content-type", "").partition(";")[0].strip()
    return _read(client, ready.path or "", ready.status, media=media)


def _read(
    client: HttpClient,
    path: str,
    status: tuple[int, ...],
    *,
    text: str = "",
    media: str = "",
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    scheme, _, address = client.deployment.url(path).partition("://")
    host, slash, rest = address.partition("/")
    tls = client.deployment.tls
    return {
        "host": f"{scheme}://{host}",
        "path": slash + rest,
        "headers": {**(tls.headers() if tls is not None else {}), **client.good_headers(), **(headers or {})},
        "status": status,
        "text": text,
        "media": media,
    }


def _run_driver(
    suite: LocatedSuite,
    profile: LoadProfile,
    deployment: Deployment,
    keep: Callable[[bytes], object],
    cancel: threading.Event,
    read: dict[str, Any],
    *,
    rate: float,
    sandboxed: bool,
) -> dict[str, Any]:
    with _placed(suite, deployment, read, sandboxed=sandboxed) as (folder, sandbox, way, context):
        prepared, spec, out, log = (folder / name for name in ("prepared.json", "spec.json", "out.json", "driver.log"))
        specification = {**_specification(suite, profile, deployment, rate), "host": read["host"], **way}
        for path, content in (
            (prepared, {"read": read, **_mixed(profile, context)}),
            (spec, {**specification, "out": str(out), "log": str(log)}),
        ):
            path.touch(mode=0o600)
            path.write_text(json.dumps(content))
            if sandbox is not None:
                sandbox.give(path)
        argv = [sys.executable, "-P", str(DRIVER), str(spec)]
        env = {ENVIRONMENT: str(prepared), **without_proxy(*deployment.context.hosts)}
        try:
            asked = any(case.test == "system_log" for case in suite.definition.cases)
            log_of_system = SystemLog(deployment.machine) if asked else None
            every = max(INTERVAL, profile.hold / MOST_SAMPLES)
            with (
                Watch() as watch,
                Sampler(deployment.machine, interval=every) as sampler,
                Sampler(deployment.database.machine, interval=every) as database,
            ):
                completed = run(
                    argv if sandbox is None else sandbox.command(argv, env),
                    timeout=profile.ramp + profile.hold + START_SECONDS,
                    cancel=cancel,
                    env=env,
                )
        finally:  # also of a load that ran into its limit
            text = read_untrusted(log, MAX_LOG) or b""
            keep(text)
        result = _outcome(read_untrusted(out, MAX_OUTCOME))
        if result is None:
            end = text.decode(errors="replace")[-800:] or completed.text[-800:]
            return {"broken": f"it ended the load generator with status {completed.rc} before the load was over; {end}"}
    result["resources"], result["transfers"] = sampler.samples, sampler.transfers
    result["laboratory"] = watch.facts
    result["system log"] = log_of_system.trouble() if log_of_system is not None else None
    embedded = deployment.database.machine.reference == deployment.machine.reference
    result["database resources"] = [] if embedded else database.samples
    return result


def _specification(suite: LocatedSuite, profile: LoadProfile, deployment: Deployment, rate: float) -> dict[str, Any]:
    tls = deployment.tls
    return {
        "tls": tls.material() if tls is not None else None,
        "locustfile": str(suite.folder / suite.definition.locustfile),
        "rate": rate,
        "ramp": profile.ramp,
        "hold": profile.hold,
        "users": profile.users,
        "think": profile.think,
        "seed": secrets.randbelow(2**32) if profile.arrivals == "poisson" else None,
    }


@contextlib.contextmanager
def _placed(
    suite: LocatedSuite, deployment: Deployment, read: dict[str, Any], *, sandboxed: bool
) -> Iterator[tuple[Path, Sandbox | None, dict[str, Any], CellContext]]:
    """Where the driver runs: a folder for its files, its sandbox, and how it reaches the product from there."""
    if not sandboxed:
        with temporary_folder("load") as scratch:
            yield Path(scratch), None, {}, deployment.context
        return
    with demanded(suite.folder) as sandbox, Broker(deployment.context, sandbox.place / "broker") as broker:
        way: dict[str, Any] = {"broker": str(sandbox.place / "broker"), "ports": broker.context.ports}
        http = deployment.context.application.http
        if http is not None:
            host, port = broker.context.ports[http.port]
            way["host"] = f"{'https' if http.tls is not None else 'http'}://{in_url(host)}:{port}"
        yield sandbox.place, sandbox, way, broker.context


def _mixed(profile: LoadProfile, context: CellContext) -> dict[str, Any]:
    """What users that write need to know, for a file that only they read: secrets of the cell are in it."""
    if profile.mix is None:
        return {}
    return {"mix": profile.mix, "context": context.model_dump_json(by_alias=True)}


def _outcome(text: bytes | None) -> dict[str, Any] | None:
    """What the driver wrote; None where it wrote nothing, or something else did."""
    with contextlib.suppress(ValueError):
        outcome = read_json(text or b"")
        if isinstance(outcome, dict) and (isinstance(outcome.get("broken"), str) or outcome.keys() >= REPORTED):
            return outcome
    return None
