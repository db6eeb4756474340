"""Runs a load profile against a cell and judges its criteria."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from harness.clients.http import HttpClient
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import StepTimeout
from harness.model.definitions import LoadProfile, Suite
from harness.model.ledger import MEDIA_LOAD, Ledger
from harness.model.plan import LocatedSuite
from harness.model.results import Cause, Measurement, Observation, Result, SkipReason
from harness.model.templating import render
from harness.runners.locust.sampling import Sampler
from harness.runners.locust.support import ENVIRONMENT
from harness.system.process import run, without_proxy

DRIVER = Path(__file__).with_name("driver.py")
START_SECONDS = 60


def run_locust(
    suite: LocatedSuite, deployment: Deployment, ledger: Ledger, cancel: threading.Event
) -> list[Observation]:
    """Drive the suite's locustfile by its profile; one observation a criterion.

    Raises:
        Canceled: the operator stopped it.
        InfrastructureError: the evidence cannot be stored.
    """
    definition = suite.definition
    profile = definition.profile
    if profile is None:
        raise ValueError(f"{definition.suite} has no profile")
    emulated = deployment.context.emulated
    rate = profile.emulated_rate if emulated and profile.emulated_rate is not None else profile.rate
    try:
        deployment.ensure_running()
        outcome = _drive(suite, profile, rate, deployment, ledger, cancel)
    except ProductFault as fault:
        lab = deployment.lab_trouble()
        if lab:
            return _all(definition, Result.ERROR, f"{lab}; before that: {fault}", cause=Cause.INFRA)
        return _all(definition, Result.FAIL, f"{fault}\n{fault.log}")
    except StepTimeout as error:
        return _all(definition, Result.ERROR, error.message, cause=Cause.TIMEOUT)
    if isinstance(outcome, str):
        return _all(definition, Result.ERROR, outcome, cause=Cause.TEST)
    figures = summarise(outcome, profile)
    record = {**outcome, "figures": figures, "threshold": profile.p95_ms}
    ledger.keep(f"{definition.suite.replace('/', '-')}.json", json.dumps(record).encode(), MEDIA_LOAD)
    code = deployment.exit_code()
    crashed = deployment.ended(code) if code is not None else None
    seen = [
        _criterion(case.test, case.id, definition, profile, figures, emulated, crashed) for case in definition.cases
    ]
    if any(one.result is Result.FAIL for one in seen) and (lab := deployment.lab_trouble()):
        told = "; ".join(one.detail for one in seen if one.result is Result.FAIL)
        return _all(definition, Result.ERROR, f"{lab}; before that: {told}", cause=Cause.INFRA)
    return seen


def _drive(
    suite: LocatedSuite,
    profile: LoadProfile,
    rate: float,
    deployment: Deployment,
    ledger: Ledger,
    cancel: threading.Event,
) -> dict[str, Any] | str:
    client = HttpClient(deployment)
    key = ""
    try:
        application = deployment.context.application
        if client.resource is not None:
            key = client.resource.fresh_key()
            client.resource.create(key, "load")
            request = client.resource.definition.read
            target = deployment.url(render(request.path, {"key": key, "text": ""}, where="http.resource.read.path"))
            good = request.status
        else:
            target, good = deployment.url(application.ready.path or ""), application.ready.status
        host, slash, rest = target.partition("://")[2].partition("/")
        read = {"path": slash + rest, "headers": deployment.headers(), "status": good}
        with tempfile.TemporaryDirectory(prefix="harness-load-") as scratch:
            folder = Path(scratch)
            prepared = folder / "prepared.json"
            prepared.touch(mode=0o600)
            prepared.write_text(json.dumps({"read": read}))
            (folder / "spec.json").write_text(
                json.dumps(
                    {
                        "locustfile": str(suite.folder / suite.definition.locustfile),
                        "host": f"http://{host}",
                        "rate": rate,
                        "ramp": profile.ramp,
                        "hold": profile.hold,
                        "users": profile.users,
                    }
                )
            )
            limit = profile.ramp + profile.hold + START_SECONDS
            with Sampler(deployment.machine) as sampler:
                done = run(
                    [sys.executable, "-P", str(DRIVER), str(folder / "spec.json"), str(folder / "out.json")],
                    timeout=limit,
                    cancel=cancel,
                    env={ENVIRONMENT: str(prepared), **without_proxy()},
                )
            ledger.keep(f"{suite.definition.suite.replace('/', '-')}-locust.log", done.text.encode())
            if not done.ok:
                return f"the load driver ended with {done.rc}: {done.text[-800:]}"
            result: dict[str, Any] = json.loads((folder / "out.json").read_text())
        if key and client.resource is not None:
            client.resource.delete(key)
        result["resources"] = sampler.samples
        return result
    finally:
        client.close()


def summarise(outcome: dict[str, Any], profile: LoadProfile) -> dict[str, float]:
    """Figures of the hold: latencies in ms from the intended start, rates in 1/s, shares from 0 to 1."""
    ramp, hold, rate = outcome["ramp"], outcome["hold"], outcome["rate"]
    samples = [s for s in outcome["samples"] if s[0] >= ramp]
    latencies = sorted(s[1] for s in samples)
    bad = sum(1 for s in samples if not s[3])
    tasks = len({s[0] for s in samples})
    resources = outcome["resources"]
    figures = {
        "intended rate": rate,
        "requests": float(len(samples)),
        "p50": percentile(latencies, 50),
        "p95": percentile(latencies, 95),
        "p99": percentile(latencies, 99),
        "error rate": bad / len(samples) if samples else 1.0,
        "achieved": tasks / max(1, int(rate * hold)),
        "throughput": tasks / hold,
    }
    if resources:
        figures["cpu mean"] = sum(r[1] for r in resources) / len(resources)
        figures["memory peak"] = max(r[2] for r in resources)
    return {name: round(value, 4) for name, value in figures.items()}


def percentile(ordered: list[float], percent: float) -> float:
    """Nearest-rank percentile of ascending values; infinity where there are none."""
    if not ordered:
        return math.inf
    return ordered[min(len(ordered), max(1, math.ceil(percent / 100 * len(ordered)))) - 1]


def _criterion(
    test: str,
    case: str,
    suite: Suite,
    profile: LoadProfile,
    figures: dict[str, float],
    emulated: bool,
    crashed: ProductFault | None,
) -> Observation:
    unit = {
        "p50": "ms",
        "p95": "ms",
        "p99": "ms",
        "throughput": "1/s",
        "intended rate": "1/s",
        "cpu mean": "%",
        "memory peak": "MiB",
    }
    shown = {
        "p95": (
            ("p50", "p95", "p99"),
            figures["p95"] <= profile.p95_ms,
            f"p95 {figures['p95']:.1f} ms, threshold {profile.p95_ms:.0f} ms",
        ),
        "error_rate": (
            ("error rate", "requests"),
            figures["error rate"] <= profile.error_rate and crashed is None,
            f"error rate {figures['error rate']:.2%}, threshold {profile.error_rate:.2%}",
        ),
        "throughput": (
            ("throughput", "intended rate", "achieved", "cpu mean", "memory peak"),
            figures["achieved"] >= profile.achieved,
            f"{figures['achieved']:.1%} of the intended {figures['intended rate']:.0f}/s, "
            f"threshold {profile.achieved:.0%}",
        ),
    }
    if test not in shown:
        known = ", ".join(shown)
        return Observation(
            case=case,
            suite=suite.suite,
            result=Result.MISS,
            cause=Cause.TEST,
            detail=f"unknown load criterion {test!r}; known: {known}",
        )
    names, good, text = shown[test]
    measured = tuple(
        Measurement(name=n, value=figures[n], unit=unit.get(n, "1"))
        for n in names
        if n in figures and math.isfinite(figures[n])
    )
    if crashed is not None:
        text = f"{text}; the product ended during the load: {crashed}"
    if emulated and crashed is None:
        return Observation(
            case=case,
            suite=suite.suite,
            result=Result.SKIP,
            skip_reason=SkipReason.CAPABILITY,
            measurements=measured,
            detail=f"recorded only, an emulated target shows no performance: {text}",
        )
    return Observation(
        case=case, suite=suite.suite, result=Result.PASS if good else Result.FAIL, measurements=measured, detail=text
    )


def _all(suite: Suite, result: Result, detail: str, *, cause: Cause | None = None) -> list[Observation]:
    return [
        Observation(case=case.id, suite=suite.suite, result=result, cause=cause, detail=detail[:4000])
        for case in suite.cases
    ]
