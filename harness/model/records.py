"""What a record holds: the rows of campaigns, attempts, files, events and resources, and the facts of an attempt.

Events have the kinds that ``EVENTS`` documents; whoever follows a campaign reads these, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.model.definitions import Waiver
from harness.model.recipe import PackageFact
from harness.model.results import Cause, Fidelity, State, Verdict

#: Kind of an event -> what it says, with the keys of its data. A kind that is not here is a note of one room to itself.
EVENTS = {
    "chain-opened": "in the workspace's chain: a campaign's chain begins here (chain)",
    "chain-head": "in the workspace's chain: how far a campaign's chain was written (chain, length, head)",
    "campaign-opened": "a campaign begins (plan, snapshot: digests; conditions)",
    "submission": "a campaign of a center comes into a state (queued, paused, cancelled, closed; customer, priority)",
    "adopted": "a campaign of a center is for workers of this version from here on (former, harness: versions)",
    "cell-failed": "a worker's process for the cell failed, and it is tried again (worker, message)",
    "cell-given-up": "a worker's process for the cell failed too often (worker, message)",
    "limit": "in the workspace's chain: a customer may run so many cells at once (customer, cells)",
    "worker-granted": "in the workspace's chain: a worker has a role of the database (role)",
    "worker-revoked": "in the workspace's chain: a worker's role may do nothing any more (role)",
    "campaign-closed": "all cells came to their end (verdict; outputs: SHA-256 by kind)",
    "campaign-rendered": "reports were rendered again (outputs: SHA-256 by kind)",
    "draft-rendered": "reports were rendered beside a certificate that stands (outputs: SHA-256 by kind)",
    "attempt-opened": "an attempt at a cell begins",
    "state": "an attempt comes into another state (state; step: words for people)",
    "observation": "a case of an attempt has a result (suite, case, result, cause, skip_reason, seconds, detail, …)",
    "file": "a file of evidence is kept (name, sha256, size in bytes)",
    "attempt-cut-off": "an attempt is open whose process is gone (state)",
    "attempt-closed": "an attempt has its verdict (verdict, cause, message; facts: digest)",
    "attestation": "a machine was compared with its declaration (machine; facts)",
    "environment": "an environment was made or found (name, image or host, packages)",
    "bootstrap": "a base image is made from packages (os, architecture, suite)",
    "pulled": "a base image was pulled (os, architecture, reference, image)",
    "imported": "a base image was made of what was imported (os, architecture, origin, sha256)",
    "expired-release-accepted": "a release of packages is used after its last day (os, reason, apt)",
    "vendor-image": "an image of the product's vendor is used (name, sha256, image)",
    "server-image": "a server of the cell is made of its vendor's image (name, image, sha256, reference)",
    "build-refused": "what a build asked for that it may not reach (build, requests)",
    "reached": "what a product reached outside of its cell (places: place, connections, failures, error)",
    "native-tools-given-up": "an environment was made with the target's own tools alone (environment, image)",
    "kernel": "a kernel for virtual machines is taken from a package (os, architecture, package)",
    "snapshot": "a booted virtual machine was kept (key, model, booted in seconds, moments, emulator)",
    "installed-over": "a later version was installed over a former one (version, packages)",
    "resource-intent": "a container, network, image or machine is about to be made (kind, name)",
    "resource-created": "it stands (kind, name, id)",
    "resource-removed": "it is gone (kind, name)",
    "waiting": "work waits for the machine, a lab host, an image or a disk, with who holds it (message)",
    "lease": "a lab host is held (host, owner, token)",
    "endpoint": "a database server of the laboratory serves the cell (endpoint, address, port, slot, seconds)",
    "endpoint-lost": "the session that holds a place at a database server ended (endpoint, message)",
    "endpoint-left": "users or databases of a cell could not be removed from a server (endpoint, name, message)",
    "endpoint-cleaned": "what an ended run had left on a database server was removed (endpoint, names)",
    "host-shared": "a lab host carries another role of the cell too (role, host, reason)",
    "host-dirty": "a lab host is not as it was before the cell (host, differences, first)",
    "host-not-restored": "a lab host could not be put back (host, message)",
    "known-good-probe": "what is known to be good was run on a target (os, cpu, result)",
    "known-good-probe-left-out": "the probe was not run (os, cpu, reason)",
    "quarantine": "a target carries not even what is known to be good (os, cpu, reason)",
    "deed": "a suite had the laboratory do something to a machine (what was done, to which machine, when)",
    "disturbed": "something that no suite asked for disturbed the cell's machines in a step (message)",
    "kept": "the machines of an attempt stay for a look into them (objects: their names)",
    "teardown-trouble": "something could not be removed (message, next)",
}


class Frozen(BaseModel):
    """A part of a record: unknown keys are refused, values do not change."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class AttestedFact(Frozen):
    """One property of one machine, declared against observed."""

    machine: str  #: role of the machine: application, database, middleware
    name: str
    declared: str  #: empty where nothing was demanded
    observed: str
    holds: bool = True
    measured: bool = False  #: a figure of that moment, which differs from run to run


class EnvironmentFacts(Frozen):
    """What the machines of an attempt were made of."""

    images: tuple[str, ...] = ()
    cached: bool = False  #: whether every environment came from the cache
    packages: tuple[PackageFact, ...] = ()  #: of the product
    foundation_packages: tuple[PackageFact, ...] = Field((), alias="foundation packages")  #: runtime, middleware
    database_packages: tuple[PackageFact, ...] = Field((), alias="database packages")
    notes: tuple[str, ...] = ()


class Factor(Frozen):
    """How much slower than this machine a target is, as a multiple of it."""

    declared: float = 1.0  #: for the emulated machines of the cell
    measured: float  #: by a fixed piece of work, the slowest machine of the cell
    used: float  #: what limits of time were multiplied by: the larger of both


class EmulatorFacts(Frozen):
    """The emulator that executes a machine's programs."""

    path: str
    version: str
    sha256: str
    kind: str = "qemu-user"


class AppliedWaiver(Frozen):
    """A waiver that was applied: the failure of this very case is accepted, whatever pattern the waiver has."""

    suite: str
    case: str
    when: dict[str, str] = {}
    files: tuple[str, ...] = ()
    because: str
    approved_by: str
    evidence: str
    expires: str  #: ISO 8601, the last day

    @classmethod
    def of(cls, suite: str, case: str, waiver: Waiver) -> AppliedWaiver:
        """``waiver`` as it was applied to the case of the suite."""
        return cls(
            suite=suite,
            case=case,
            when=waiver.when,
            files=waiver.files,
            because=waiver.because,
            approved_by=waiver.approved_by,
            evidence=waiver.evidence,
            expires=waiver.expires.isoformat(),
        )


class AttemptFacts(Frozen):
    """What was learnt in an attempt beside its observations; written once, when the attempt is closed."""

    fidelity: Fidelity | None = None
    #: By step (environment, provision, attest, deploy, …), and ``deployed``, ``total`` since the attempt began.
    seconds: dict[str, float] = {}
    environment: EnvironmentFacts | None = None
    attestation: tuple[AttestedFact, ...] = ()
    emulator: EmulatorFacts | None = None
    version: str = ""  #: what the product says of itself
    factor: Factor | None = None
    notes: tuple[str, ...] = ()
    waived: tuple[AppliedWaiver, ...] = ()
    #: Of a cell that a worker of a center ran: its name, and the conditions of the test there.
    controller: dict[str, Any] = {}

    def plain(self) -> dict[str, Any]:
        """As JSON values; what was not set is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


@dataclass(frozen=True, kw_only=True)
class CampaignRow:
    """One campaign. ``plan`` is everything of its definitions that a report needs; ``options`` how it was run."""

    id: str
    created: str  #: UTC, ISO 8601
    finished: str | None
    matrix: str
    folder: str  #: of the matrix, as it was submitted
    plan_digest: str
    plan: dict[str, Any]
    options: dict[str, Any]
    conditions: dict[str, Any]  #: of the test: controller, engine, versions of tools
    verdict: str | None


@dataclass(frozen=True, kw_only=True)
class AttemptRow:
    """One attempt at a cell; never changes once its state is done."""

    cell: str
    number: int  #: from 1
    state: State
    verdict: Verdict | None
    cause: Cause | None
    message: str
    started: str  #: UTC, ISO 8601
    finished: str | None
    facts: AttemptFacts = field(default_factory=AttemptFacts)


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A file of evidence, known by its SHA-256 (hex)."""

    cell: str
    number: int
    name: str
    sha256: str
    size: int  #: bytes
    media: str


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """One event. ``data`` is JSON text, as it was hashed; ``seq`` counts within the campaign's chain, from 1."""

    seq: int
    time: str  #: UTC, ISO 8601
    campaign: str  #: empty in the workspace's own chain
    cell: str
    number: int
    kind: str
    data: str
    previous: str  #: digest of the event before
    digest: str


ResourceState = Literal["intent", "created", "removed"]


@dataclass(frozen=True, kw_only=True)
class ResourceRow:
    """A container, network, image, machine or lease that was asked for, and what became of it."""

    kind: str
    name: str
    campaign: str
    engine_id: str
    state: str


@dataclass(frozen=True, kw_only=True)
class ChainEntry:
    """What the workspace's chain says of another chain: ``length`` events of it ended in ``head``.

    The first entry has length 0: its head is where the other chain begins. ``sound``: the entry itself was not changed.
    """

    length: int
    head: str
    sound: bool


#: How a campaign is asked to stop: after the steps that run, or at once.
Stop = Literal["drain", "now"]


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """Who works on a campaign, or on a cell of it. Of the claims on a campaign and its cells a later one has a higher
    token."""

    campaign: str
    cell: str  #: empty for the whole campaign
    worker: str  #: machine and process; empty where nobody works on it
    token: int
    age: float  #: seconds since its last heartbeat, by the database's clock
    patience: float  #: seconds of silence after which it may be taken over
    cancel: Stop | None
