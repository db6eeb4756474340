"""Runs a load profile against a cell."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.clients.http import HttpClient
from harness.clients.requesting import arguments, path_of
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import StepTimeout
from harness.machines.broker import Broker
from harness.model.definitions import Case, LoadProfile
from harness.model.ledger import MEDIA_LOAD, Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Observation, Result, SkipReason
from harness.runners.locust.criteria import Trouble, criterion, trouble_of
from harness.runners.locust.figures import summarise
from harness.runners.locust.quiet import await_quiet
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
#: Seconds of a hold up to which a load is repeated, once, where this machine was busy with other work.
LONGEST_AGAIN = 600
#: A load of hours is looked at less often, not to make the record large.
MOST_SAMPLES = 20_000
#: Bytes of the driver's log that are kept, and of what it reports.
MAX_LOG, MAX_OUTCOME = 2 * 2**20, 512 * 2**20


def run_locust(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    deployment: Deployment,
    ledger: Ledger,
    cancel: threading.Event,
    *,
    sandboxed: bool = False,
) -> list[Observation]:
    """Drive the suite's locustfile by its profile; one observation for each of ``cases``, which are criteria.

    ``sandboxed``: it runs where it reaches the ports of the cell alone.

    Raises:
        Canceled: the operator stopped it.
        InfrastructureError: the evidence cannot be stored.
    """
    definition = suite.definition
    profile = definition.profile
    if profile is None:
        raise ValueError(f"{definition.suite} has no profile")
    application = deployment.context.application
    if application.http is None or (application.http.resource is None and not application.readiness.path):
        return [_without_http(definition.suite, case) for case in cases]
    load = functools.partial(_load, suite, cases, profile, deployment, ledger, cancel, sandboxed=sandboxed)
    observations = load()
    if profile.hold <= LONGEST_AGAIN and _unjudged(observations):
        await_quiet(cancel)
        observations = load(mark="-again")
    return observations


def _unjudged(observations: list[Observation]) -> bool:
    """Whether nothing is left to know but what the busy laboratory hid: a failure that was seen stays."""
    reasons = {observation.skip_reason for observation in observations}
    return SkipReason.LABORATORY in reasons and all(
        observation.result in (Result.PASS, Result.SKIP) for observation in observations
    )


def _load(
    suite: LocatedSuite,
    cases: tuple[Case, ...],
    profile: LoadProfile,
    deployment: Deployment,
    ledger: Ledger,
    cancel: threading.Event,
    *,
    sandboxed: bool,
    mark: str = "",
) -> list[Observation]:
    """One load. ``mark``: what the names of its evidence end with."""
    definition, name = suite.definition, suite.definition.suite.replace("/", "-") + mark
    keep = functools.partial(ledger.keep, f"{name}-locust.log")
    outcome: dict[str, Any] = {}
    crashed: ProductFault | None = None
    try:
        deployment.ensure_running()
        before = deployment.unasked_ends()
        outcome = _drive(suite, profile, deployment, keep, cancel, sandboxed=sandboxed)
        code = deployment.exit_code()
        crashed = deployment.ended(code) if code is not None else None
        fresh = [end for end in deployment.unasked_ends() if end not in before]
        if crashed is None and fresh:  # what manages it on the machine has started it again
            crashed = deployment.unasked(fresh)
        trouble = trouble_of(outcome, profile, crashed, emulated=deployment.context.emulated)
    except ProductFault as fault:
        trouble = Trouble(Result.FAIL, None, f"{fault}\n{fault.log}")
    except StepTimeout as error:
        trouble = Trouble(Result.ERROR, Cause.TIMEOUT, error.message)
    if trouble is not None:
        if outcome:
            ledger.keep(f"{name}.json", json.dumps(outcome).encode(), "application/json")
        if trouble.result is Result.FAIL and (lab := deployment.lab_trouble()):
            trouble = Trouble(Result.ERROR, Cause.INFRA, f"{lab}; before that: {trouble.text}")
        return _all(definition.suite, cases, trouble)
    figures, limits = summarise(outcome, profile), deployment.context.application.limits
    record = {**outcome, "figures": figures, "threshold": profile.p95_ms}
    ledger.keep(f"{name}.json", json.dumps(record, allow_nan=False).encode(), MEDIA_LOAD)
    judge = functools.partial(criterion, emulated=deployment.context.emulated, limits=limits)
    observations = [judge(case, definition.suite, outcome, profile, figures, crashed) for case in cases]
    failed = [
        observation.detail
        for observation in observations
        if observation.result is Result.FAIL or observation.skip_reason is SkipReason.LABORATORY
    ]
    if failed and (lab := deployment.lab_trouble()):
        trouble = Trouble(Result.ERROR, Cause.INFRA, f"{lab}; before that: {'; '.join(failed)}")
        return _all(definition.suite, cases, trouble)
    return observations


def _drive(
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
    with _placed(suite, deployment, read, sandboxed=sandboxed) as (folder, sandbox, way):
        prepared, spec, out, log = (folder / name for name in ("prepared.json", "spec.json", "out.json", "driver.log"))
        specification = {**_specification(suite, profile, deployment, rate), "host": read["host"], **way}
        for path, content in (
            (prepared, {"read": read}),
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
    }


@contextlib.contextmanager
def _placed(
    suite: LocatedSuite, deployment: Deployment, read: dict[str, Any], *, sandboxed: bool
) -> Iterator[tuple[Path, Sandbox | None, dict[str, Any]]]:
    """Where the driver runs: a folder for its files, its sandbox, and how it reaches the product from there."""
    if not sandboxed:
        with temporary_folder("load") as scratch:
            yield Path(scratch), None, {}
        return
    with demanded(suite.folder) as sandbox, Broker(deployment.context, sandbox.place / "broker") as broker:
        way: dict[str, Any] = {"broker": str(sandbox.place / "broker"), "ports": broker.context.ports}
        http = deployment.context.application.http
        if http is not None:
            host, port = broker.context.ports[http.port]
            way["host"] = f"{'https' if http.tls is not None else 'http'}://{in_url(host)}:{port}"
        yield sandbox.place, sandbox, way


def _outcome(text: bytes | None) -> dict[str, Any] | None:
    """What the driver wrote; None where it wrote nothing, or something else did."""
    with contextlib.suppress(ValueError):
        outcome = read_json(text or b"")
        if isinstance(outcome, dict) and (isinstance(outcome.get("broken"), str) or outcome.keys() >= REPORTED):
            return outcome
    return None


def _without_http(suite: str, case: Case) -> Observation:
    reason = (
        "the application declares no http section, or neither http.resource nor a path of `ready`: there is nothing "
        "that a load reads"
    )
    return Observation(
        case=case.id, suite=suite, result=Result.SKIP, skip_reason=SkipReason.NOT_APPLICABLE, detail=reason
    )


def _all(suite: str, cases: tuple[Case, ...], trouble: Trouble) -> list[Observation]:
    return [
        Observation(case=case.id, suite=suite, result=trouble.result, cause=trouble.cause, detail=trouble.text[:4000])
        for case in cases
    ]
