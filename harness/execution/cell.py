"""One cell, from environment to verdict. ``run_cell`` is the order of work; nothing calls back to an earlier stage."""

from __future__ import annotations

import contextlib

from harness.control.capturing import end_capture
from harness.execution.attempt import Attempt, Ended
from harness.execution.attesting import attest, attest_foundations
from harness.execution.contexts import draw_secrets
from harness.execution.deploying import collect, deploy_product, look_back
from harness.execution.endpoints import DATABASE
from harness.execution.keeping import keeping
from harness.execution.making import hold, install, prepare, provision, serve
from harness.execution.scanning import scan_installed, scan_submitted
from harness.execution.services import AttemptRecord, Lab
from harness.execution.suites import has_load, run_suites
from harness.execution.turning import load_turn, teardown_turn, turn
from harness.judging import Judgement
from harness.machines.placing import PlacedCell
from harness.model.results import Cause, Result


def run_cell(lab: Lab, placed: PlacedCell, record: AttemptRecord) -> Judgement:
    """Run one attempt at a cell and close it; whatever happens, it ends with a verdict in the journal.

    Raises:
        InfrastructureError: the journal or the evidence cannot be written: then nothing can be promised.
    """
    attempt = Attempt(lab, placed, record)
    with contextlib.suppress(Ended), attempt.ending():
        with turn(attempt):
            scan_submitted(attempt)
        serving, secrets = serve(attempt), draw_secrets(attempt)
        # Machines are leased before a turn is taken: who waits for a host must not keep a load waiting.
        with hold(attempt, serving) as holding, teardown_turn(attempt) as stack, keeping(attempt):
            with turn(attempt):
                environments = prepare(attempt, serving)
                machines = provision(attempt, holding, environments, secrets.passwords.get(DATABASE), stack)
                factors = attest(attempt, serving, machines)
                target = install(attempt, serving, holding, machines, factors, environments)
                attest_foundations(attempt, machines, factors)
                scan_installed(attempt, target, secrets)
                deployment = deploy_product(attempt, target, secrets, stack)
                run_suites(attempt, deployment, when="main", alone=False)
            if has_load(attempt):
                with load_turn(attempt, machines):
                    end_capture(deployment.database)
                    run_suites(attempt, deployment, when="main", alone=True)
            with turn(attempt):
                run_suites(attempt, deployment, when="late", alone=False)
                run_suites(attempt, deployment, when="end", alone=False)
                look_back(attempt, target, deployment)
                collect(attempt, deployment)
    return attempt.close()


def block_cell(lab: Lab, placed: PlacedCell, record: AttemptRecord, reason: str) -> Judgement:
    """Record an attempt at a cell that cannot be run: the lab is not fit, nothing is known of the product."""
    attempt = Attempt(lab, placed, record)
    with contextlib.suppress(Ended), attempt.ending():
        raise Ended(Result.MISS, Cause.INFRA, None, reason)
    return attempt.close()
