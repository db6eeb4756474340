"""Checks that the machines of a cell are the declared ones, and measures how slow they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from harness.attest.arithmetic import attest_arithmetic, probe_arithmetic
from harness.attest.attestation import attest_version, reference_seconds
from harness.execution.attempt import Attempt
from harness.execution.making import Factors, Serving
from harness.model.records import Factor
from harness.model.results import State
from harness.provision.provisioner import APPLICATION, Machines


def attest(attempt: Attempt, serving: Serving, machines: Machines) -> Factors:
    """Compare declared with observed before anything is tested, and measure the machines.

    Raises:
        AttestationMismatch: a machine differs from its declaration; the cell is blocked.
    """
    attempt.state(State.ATTESTING, "attest / 核验")
    with attempt.step("attest"):
        roles = [role for role in serving.roles if role.name in machines.of]
        on = [machines.on(role.name) for role in roles]
        factors = Factors(declared=_declared(attempt, serving), measured=1.0)
        with ThreadPoolExecutor(len(roles)) as pool:
            attestations = pool.map(serving.provisioner.attest, on, roles)
            for role, attestation in zip(roles, attestations, strict=True):
                attempt.keep_attestation(role.name, attestation)
                factors = _measured(attempt, factors, attestation.loop_seconds)
        arithmetic = probe_arithmetic(machines.application, factor=factors.used)
        attempt.keep_attestation(APPLICATION, attest_arithmetic(arithmetic))
    return factors


def attest_foundations(attempt: Attempt, machines: Machines, factors: Factors) -> None:
    """Compare declared with observed of what was installed beneath the product, or is brought with it.

    Raises:
        AttestationMismatch: it is not there, or of another version; the cell is blocked.
    """
    with attempt.step("attest-beneath"):
        for foundation in attempt.placed.foundations:
            kind = type(foundation).__name__.lower()
            printed = machines.application.run(foundation.version, timeout=60 * factors.used).text
            attempt.keep_attestation(APPLICATION, attest_version(kind, printed, foundation.declared))


def _declared(attempt: Attempt, serving: Serving) -> float:
    """What definitions declare for the machines that are emulated, and for a runtime that interprets; the largest
    counts."""
    servers = attempt.placed.servers
    emulated = [role for role in servers if serving.emulators[role] is not None]
    product = serving.emulators[APPLICATION] is not None or (attempt.emulated and not emulated)
    declared = attempt.cell.timeout_factor if product else attempt.lab.definitions.interpreted(attempt.cell.axes)
    return max([declared, *(servers[role].cpu.timeout_factor for role in emulated)])


def _measured(attempt: Attempt, factors: Factors, seconds: float | None) -> Factors:
    """How much slower than this machine the target is now; the slowest machine of the cell counts."""
    reference = reference_seconds()
    measured = factors.measured
    if seconds is not None and reference is not None:
        measured = max(measured, round(seconds / reference, 1))
    now = Factors(declared=factors.declared, measured=measured)
    attempt.learn(factor=Factor(declared=now.declared, measured=now.measured, used=now.used))
    return now
