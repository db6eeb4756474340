"""Opens the envelopes of a certificate: their form, their signatures, and whom the keys speak for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.certify.envelopes import ENVELOPES
from harness.certify.lines import LINES_TYPE, Lines, NoLines, lines_of, read_lines
from harness.certify.steps import CheckStep, Status
from harness.signing.dsse import PAYLOAD_TYPE, Envelope, NoEnvelope
from harness.signing.trust import Binding, Trust
from harness.system.bounded import read_whole

#: Output -> type of its payload.
TYPES = {"adaptation": PAYLOAD_TYPE, "test_result": PAYLOAD_TYPE, "lines": LINES_TYPE}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An envelope with a trusted signature, and without one that does not hold. ``sha256``: of the file, hex."""

    payload: bytes
    keyids: tuple[str, ...]
    by: tuple[Binding, ...]
    sha256: str


def open_envelope(file: Path, payload_type: str, trust: Trust) -> tuple[list[CheckStep], Opened | None]:
    """Check the form and the signatures of an envelope; nothing reads its payload before a signature held."""
    name = file.name

    def step(status: Status, detail: str, what: str = "signature") -> CheckStep:
        return CheckStep(name=f"{what} of {name}", status=status, detail=detail)

    try:
        data = read_whole(file)
        envelope = Envelope.read(data.decode())
    except OSError as error:
        return [step(Status.COULD_NOT_CHECK, f"{file}: {error.strerror}", "form")], None
    except (NoEnvelope, UnicodeDecodeError) as error:
        return [step(Status.INVALID, str(error), "form")], None
    known = {binding.key.keyid: binding for binding in trust.of("sign")}
    by = [(known[signature.keyid], signature) for signature in envelope.signatures if signature.keyid in known]
    strangers = ", ".join(s.keyid[:16] for s in envelope.signatures if s.keyid not in known)
    if not by:
        detail = f"signed by {strangers}: no such key is trusted (harness trust add)" if strangers else "no signature"
        return [step(Status.COULD_NOT_CHECK if strangers else Status.INVALID, detail)], None
    steps = []
    for binding, signature in by:
        good = binding.key.holds(envelope.signed_bytes, signature.signature)
        signer = f"{binding.issuer} ({binding.key.algorithm}, {binding.key.keyid[:16]})"
        steps.append(step(Status.VALID if good else Status.INVALID, signer if good else f"{signer}: it does not hold"))
    if strangers:
        steps.append(step(Status.VALID, f"also signed by {strangers}, not known here and not counted"))
    if envelope.payload_type != payload_type:
        steps.append(
            step(Status.INVALID, f"it is signed as {envelope.payload_type!r}, not as {payload_type!r}", "type")
        )
    if any(each.status is Status.INVALID for each in steps):
        return steps, None
    opened = Opened(
        payload=envelope.payload,
        keyids=tuple(signature.keyid for signature in envelope.signatures),
        by=tuple(binding for binding, _ in by),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return steps, opened


def open_certificate(folder: Path, trust: Trust) -> tuple[list[CheckStep], dict[str, Opened], Lines | None]:
    """Open the three envelopes of a folder; the lines are given where all three are of one certificate."""
    steps: list[CheckStep] = []
    papers: dict[str, Opened] = {}
    for kind, name in ENVELOPES.items():
        more, opened = open_envelope(folder / name, TYPES[kind], trust)
        steps += more
        if opened is not None:
            papers[kind] = opened
    if papers.keys() != ENVELOPES.keys():
        return steps, papers, None
    try:
        expected = lines_of(papers["adaptation"].payload, papers["test_result"].payload)
        lines = read_lines(papers["lines"].payload)
    except NoLines as error:
        return [*steps, CheckStep(name="statements", status=Status.INVALID, detail=str(error))], papers, None
    if expected != papers["lines"].payload:
        detail = "the lines, the adaptation statement and the test result are not of the same certificate"
        return [*steps, CheckStep(name="statements", status=Status.INVALID, detail=detail)], papers, None
    steps.append(CheckStep(name="statements", status=Status.VALID, detail="all three are of the same certificate"))
    steps += [_signers(papers, lines), _speakers(papers, lines)]
    return steps, papers, lines


def _signers(papers: Mapping[str, Opened], lines: Lines) -> CheckStep:
    """Whether each envelope has the signatures of exactly the keys that had to sign."""

    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name="signers", status=status, detail=detail)

    for kind, opened in papers.items():
        missing = [keyid[:16] for keyid in lines.signers if keyid not in opened.keyids]
        more = [keyid[:16] for keyid in opened.keyids if keyid not in lines.signers]
        if missing or more or len(opened.keyids) != len(lines.signers):
            wrong = f"is not signed by {', '.join(missing)}" if missing else f"is also signed by {', '.join(more)}"
            return step(Status.INVALID, f"{ENVELOPES[kind]} {wrong}: not as its issuer signed it")
    return step(
        Status.VALID, f"all {len(lines.signers)} keys that had to sign: {', '.join(k[:16] for k in lines.signers)}"
    )


def _speakers(papers: Mapping[str, Opened], lines: Lines) -> CheckStep:
    """Whether a key that is bound to the issuer named in the statement signed each envelope."""
    others = [
        binding.issuer
        for opened in papers.values()
        if not any(binding.issuer == lines.issuer for binding in opened.by)
        for binding in opened.by
    ]
    if others:
        detail = f"signed for {lines.issuer} by a key of {others[0]}, which does not speak for it"
        return CheckStep(name="issuer", status=Status.INVALID, detail=detail)
    return CheckStep(name="issuer", status=Status.VALID, detail=lines.issuer)


def speaking(papers: Mapping[str, Opened], lines: Lines) -> list[Binding]:
    """The keys of the issuer that signed all of the envelopes."""
    return [
        binding
        for binding in papers["lines"].by
        if binding.issuer == lines.issuer and all(binding in opened.by for opened in papers.values())
    ]
