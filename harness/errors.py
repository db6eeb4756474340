"""Every error the harness raises on purpose, and who has to act.

    HarnessError
    ├── DefinitionError     the author of a YAML file: a fault with file, line and column      exit 2
    ├── UsageError          the person at the command line: wrong arguments or campaign id     exit 2
    ├── InfrastructureError the operator of the machine: Docker, binfmt, disk, network         exit 3
    │   ├── ProvisionError  a target could not be made ready
    │   ├── ClaimLost       another worker took the campaign over
    │   ├── DoubleResult    a case has two results in one attempt: two suites of one name
    │   └── AttestationMismatch  a target is not what was declared                             (blocked)
    ├── UnsupportedVerb     the author of a suite: a machine cannot do what the suite asks of it
    ├── DeploymentError     vendor or operator: a deployment step did not complete
    ├── SuiteError          the author of a suite: it asks for what cannot be
    ├── StepTimeout         a step did not end within its limit
    ├── Canceled            the operator stopped the campaign                                  exit 130
    └── HarnessBug          the harness's developers: please report it

A product that fails a test is not an error: it is an observation with result ``fail``.
Only ``harness.cli`` turns an error into an exit code.
"""

from __future__ import annotations

from dataclasses import dataclass


class HarnessError(Exception):
    """Base of all deliberate errors.

    ``message`` says what happened, what was expected and what was found; ``advice`` says who does what next.
    """

    cause = "harness"

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.advice}" if self.advice else self.message


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in a definition, with its place (line and column count from 1), the expected value and the actual one."""

    file: str
    line: int
    column: int
    message: str
    expected: str = ""
    found: str = ""
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{self.file}:{self.line}:{self.column}: {self.message}"]
        for label, text in (("expected", self.expected), ("found", self.found), ("hint", self.hint)):
            if text:
                lines.append(f"    {label}: {text}")
        return "\n".join(lines)


class DefinitionError(HarnessError):
    """One or more definitions are wrong; ``faults`` holds all of them, not only the first."""

    cause = "config"

    def __init__(self, faults: list[Fault]) -> None:
        count = f"{len(faults)} fault" + ("" if len(faults) == 1 else "s")
        text = "\n".join(str(fault) for fault in faults)
        super().__init__(f"{count} in the definitions:\n{text}", advice="correct the places named above")
        self.faults = faults


class UsageError(HarnessError):
    """The command line asks for something that does not exist or does not fit together."""

    cause = "config"


class InfrastructureError(HarnessError):
    """The machine that runs the harness, or a target, is unfit; nothing is known of the product."""

    cause = "infra"


class LostOutput(InfrastructureError):
    """An engine gave none of what a command printed. Whoever only looked may look again."""


class ProvisionError(InfrastructureError):
    """A target could not be made ready."""


class ClaimLost(InfrastructureError):
    """Another worker took the campaign over; what this worker writes late is refused."""


class DoubleResult(InfrastructureError):
    """A case has two results in one attempt: two suites have one name, or a suite lists an id twice."""

    cause = "config"


class AttestationMismatch(InfrastructureError):
    """A target is not what the definition declares: the cell is blocked, never failed."""

    cause = "config"


class UnsupportedVerb(HarnessError):
    """A suite asks of a machine what its kind cannot do (see ``harness.model.verbs``)."""

    cause = "test"


class DeploymentError(HarnessError):
    """A deployment step did not complete; ``step`` names it and ``log`` holds its output."""

    cause = "config"

    def __init__(self, message: str, *, step: str, log: str = "", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.step = step
        self.log = log


class SuiteError(HarnessError):
    """A suite asks for what cannot be: nothing is known of the product."""

    cause = "test"


class StepTimeout(HarnessError):
    """A step did not end within its limit."""

    cause = "timeout"


class Canceled(HarnessError):
    """The operator stopped the campaign."""

    cause = "canceled"


class HarnessBug(HarnessError):
    """The harness contradicts itself."""

    cause = "harness"
