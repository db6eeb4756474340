"""The four things kept apart: state of an attempt, result of a case, cause, verdict of a cell.

None of these types is truthy or falsy: ``if result:`` raises, because missing is not passed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Never


class _Word(enum.StrEnum):
    """An enumeration whose members refuse to be taken as a truth value."""

    def __bool__(self) -> Never:
        raise TypeError(f"{type(self).__name__} has no truth value: compare with a member")


class State(_Word):
    """Where an attempt stands."""

    QUEUED = "queued"  #: planned, nothing happened yet
    PROVISIONING = "provisioning"  #: network and machines are being made
    ATTESTING = "attesting"  #: declared against observed
    DEPLOYING = "deploying"  #: database and application are being set up
    RUNNING = "running"  #: suites run
    COLLECTING = "collecting"  #: logs and files are being taken over as evidence
    DONE = "done"  #: closed; never changes again


class Result(_Word):
    """What a case ended with."""

    PASS = "pass"  #: completed, expectation met  # noqa: S105
    FAIL = "fail"  #: completed, expectation not met: the product's failure
    ERROR = "error"  #: did not complete; nothing is known of the product
    SKIP = "skip"  #: left out on purpose, with a reason code
    MISS = "miss"  #: never ran
    RECORDED = "recorded"  #: measured, and not judged: the target shows no performance; decides nothing


class Cause(_Word):
    """Why a case is ``error`` or ``miss``: who has to act."""

    INFRA = "infra"  #: the lab
    CONFIG = "config"  #: the author of the definitions
    TEST = "test"  #: the author of the suite
    HARNESS = "harness"  #: the developers of the harness
    TIMEOUT = "timeout"  #: a limit ran out
    CANCELED = "canceled"  #: the operator stopped it


class SkipReason(_Word):
    """Why a case was left out; only these are understood, anything else is an error of the suite."""

    NOT_APPLICABLE = "not-applicable"  #: the case has no meaning for this cell
    DEPENDENCY = "dependency"  #: a case it builds on did not pass
    CAPABILITY = "capability"  #: the target cannot do what the case needs
    OPERATOR = "operator"  #: the operator left it out
    LABORATORY = "laboratory"  #: the machine was busy with other work while it was measured; a suite cannot say that


#: Why what needs a database does not apply to a cell; suites and steps skip with these words.
WITHOUT_DATABASE = "the cell has no database (database: none) / 本单元无数据库"
#: Why no step makes the product's tables.
WITHOUT_SCHEMA = "the application declares no schema for this database / 产品未声明该数据库的建表步骤"
#: Why what needs a running product does not apply.
WITHOUT_SERVER = "the product is no server: it declares tasks, and nothing that is started / 产品不是服务：仅声明了任务"


class Verdict(_Word):
    """What judging makes of the observations of a cell."""

    CONFORMANT = "conformant"
    CONDITIONAL = "conditional"  #: conformant with approved waivers
    NONCONFORMANT = "nonconformant"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not-tested"

    @property
    def zh(self) -> str:
        """Its word in Chinese, on terminals and charts; ``reports/wording.yaml`` has the words of papers."""
        return _VERDICTS_ZH[self.value]


_VERDICTS_ZH = {
    "conformant": "通过",
    "conditional": "带条件通过",
    "nonconformant": "不通过",
    "inconclusive": "阻塞",
    "not-tested": "未执行",
}


class DefectSeverity(_Word):
    """How grave the defect is that a failed case shows (致命、严重、一般、建议)."""

    FATAL = "fatal"  #: the product cannot be used on the target, or loses, mixes up or discloses data
    SERIOUS = "serious"  #: a main function is missing or wrong, and there is no way around it
    MINOR = "minor"  #: a function is limited, or there is a way around
    SUGGESTION = "suggestion"  #: it works, and could be better


class Fidelity(_Word):
    """How close the target is to the declared thing."""

    PHYSICAL = "physical"  #: the declared hardware
    KVM = "kvm"  #: virtual machine on the declared hardware
    CONTAINER = "container"  #: container, native instructions of the declared architecture
    SYSTEM_EMULATED = "system-emulated"  #: full system emulation
    USER_EMULATED = "user-emulated"  #: user mode emulation on a foreign kernel
    STATIC = "static"  #: files were read, nothing ran


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured number: ``value`` in ``unit`` (``ms``, ``1/s``, ``MiB``, ``%``, ``s``)."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a runner saw of one case in one attempt.

    ``detail`` is for people; ``evidence`` holds SHA-256 digests of stored files; ``seconds`` is wall time.

    Raises:
        ValueError: an error or miss has no cause, a skip no reason, or another result carries one of them.
    """

    case: str
    suite: str
    result: Result
    cause: Cause | None = None
    skip_reason: SkipReason | None = None
    seconds: float = 0.0
    detail: str = ""
    measurements: tuple[Measurement, ...] = ()
    evidence: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        """How it is named in a list of reasons."""
        return self.case

    def __post_init__(self) -> None:
        needs_cause = self.result in (Result.ERROR, Result.MISS)
        if needs_cause and self.cause is None:
            raise ValueError(f"{self.case}: a result of {self.result.value} needs a cause")
        if not needs_cause and self.cause is not None:
            raise ValueError(f"{self.case}: a result of {self.result.value} carries no cause")
        if (self.result is Result.SKIP) != (self.skip_reason is not None):
            raise ValueError(f"{self.case}: a skip, and only a skip, carries a reason code")


#: Exit codes of the command line by verdict of the whole campaign.
EXIT_CODES = {
    Verdict.CONFORMANT: 0,
    Verdict.CONDITIONAL: 0,
    Verdict.NONCONFORMANT: 1,
    Verdict.INCONCLUSIVE: 3,
    Verdict.NOT_TESTED: 4,
}
