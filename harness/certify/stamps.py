"""Time stamps (RFC 3161) over the envelope of the adaptation statement: it was there at that time."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
from pathlib import Path

from asn1crypto import cms
from pyhanko.sign import timestamps
from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
from pyhanko_certvalidator import ValidationContext

from harness.certify.envelopes import STAMP
from harness.certify.pades import TSA_SECONDS, authority_errors
from harness.certify.steps import CheckStep, Status
from harness.signing.lines import time_text
from harness.signing.trust import Trust
from harness.system.bounded import read_whole


def stamped(data: bytes, address: str) -> bytes:
    """A time stamp token (DER) over the SHA-256 of ``data``, by the authority at this address.

    Raises:
        InfrastructureError: the authority does not answer, or not as it must.
    """
    client = timestamps.HTTPTimeStamper(address, timeout=TSA_SECONDS)
    with authority_errors(address):
        token = asyncio.run(client.async_timestamp(hashlib.sha256(data).digest(), "sha256"))
    return bytes(token.dump())


def check_stamp(file: Path, digest: str, trust: Trust) -> tuple[list[CheckStep], datetime.datetime | None]:
    """Check a token beside a certificate; no step where there is none. The time is given where a key that is bound as
    ``time`` signed it.

    ``digest``: SHA-256 (hex) of what it stamps.
    """
    if not file.exists():
        return [], None

    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name=f"time stamp ({STAMP})", status=status, detail=detail)

    try:
        token = cms.ContentInfo.load(read_whole(file), strict=True)
        signed = token["content"]
        roots = [choice.chosen for choice in signed["certificates"]]
        context = ValidationContext(trust_roots=roots, allow_fetching=False)

        # Another algorithm than SHA-256 has no imprint here, and its token does not hold.
        imprints = {"sha256": bytes.fromhex(digest)}
        answer = asyncio.run(validate_tst_signed_data(signed, context, imprints.__getitem__))
        good = bool(answer["intact"] and answer["valid"])
        when = answer["timestamp"]
        spki = answer["signing_cert"].public_key.dump()
        name = answer["signing_cert"].subject.native.get("common_name", "?")
    except Exception as error:  # noqa: BLE001  # of any kind: the file may be anything
        return [step(Status.INVALID, f"it does not hold: {type(error).__name__}: {error}")], None
    if not good:
        return [step(Status.INVALID, "it does not hold, or is over something else")], None
    bound = next((binding for binding in trust.of("time") if binding.key.spki == spki), None)
    if bound is None:
        return [step(Status.VALID, f"{time_text(when)} by {name}, not bound with --role time and not counted")], None
    return [step(Status.VALID, f"{time_text(when)} by {bound.issuer}")], when
