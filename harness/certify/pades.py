"""Signatures in PDF files: PAdES (ETSI EN 319 142-1), baseline B, or T where a time-stamping authority is configured.

The signature is a certification (ISO 32000-2, 12.8.4) that permits no change; its appearance is the issuer's seal.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import itertools
import logging
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import algos, pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from pyhanko import stamp
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields, signers, timestamps
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from harness.certify.steps import CheckStep, Status
from harness.errors import InfrastructureError, UsageError
from harness.presentation.typesetting import Place
from harness.signing.authority import demand_current
from harness.signing.keys import KeyStore, PublicKey

FIELD = "Issuer"
#: In a millimetre.
POINTS = 72 / 25.4
TSA_SECONDS = 20

logging.getLogger("pyhanko").setLevel(logging.CRITICAL)  # what matters is raised, or is a step of the answer
logging.getLogger("pyhanko_certvalidator").setLevel(logging.CRITICAL)


class _StoredKey(signers.Signer):
    """A key of a ``KeyStore``, wherever it lies."""

    def __init__(self, store: KeyStore, name: str, passphrase: str, chain: list[asn1_x509.Certificate]) -> None:
        registry = SimpleCertificateStore()  # type: ignore[no-untyped-call]
        registry.register_multiple(chain)
        super().__init__(
            signing_cert=chain[0],
            cert_registry=registry,
            signature_mechanism=algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
        )
        self._sign: Callable[[bytes], bytes] = lambda data: store.sign(name, passphrase, data)[1]

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:  # noqa: FBT001, FBT002
        return bytes(72) if dry_run else self._sign(data)


@dataclass(frozen=True, kw_only=True)
class PdfSigning:
    """Signs PDF files with a P-256 key that has a certificate.

    ``timestamp``: URL of an RFC 3161 authority, or empty.
    """

    store: KeyStore
    name: str
    passphrase: str
    timestamp: str = ""

    def sign(self, pdf: bytes, seal: bytes, place: Place, *, reason: str) -> bytes:
        """The file with a signature that shows ``seal`` (PDF of one page) at ``place``.

        Raises:
            UsageError: the key has no certificate, one that is over, or cannot be opened.
            InfrastructureError: the time-stamping authority does not answer, or not as it must.
        """
        chain = _certificates(self.store.chain(self.name))
        if not chain:
            raise UsageError(
                f"the key {self.name} has no X.509 certificate",
                advice="see: harness keys request, harness keys install",
            )
        demand_current(self.name, self.store.chain(self.name), datetime.datetime.now(datetime.UTC))
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        page, _ = writer.find_page_for_modification(place.page - 1)  # type: ignore[no-untyped-call]
        _, _, _, height = page.get_object()["/MediaBox"]
        left, top = place.x * POINTS, float(height) - place.y * POINTS  # PDF counts from below
        box = (round(left), round(top - place.height * POINTS), round(left + place.width * POINTS), round(top))
        stamper = timestamps.HTTPTimeStamper(self.timestamp, timeout=TSA_SECONDS) if self.timestamp else None
        with tempfile.TemporaryDirectory() as scratch, authority_errors(self.timestamp):
            signer = signers.PdfSigner(
                signers.PdfSignatureMetadata(
                    field_name=FIELD,
                    md_algorithm="sha256",
                    subfilter=fields.SigSeedSubFilter.PADES,
                    certify=True,
                    docmdp_permissions=fields.MDPPerm.NO_CHANGES,
                    reason=reason,
                ),
                signer=_StoredKey(self.store, self.name, self.passphrase, chain),
                timestamper=stamper,
                stamp_style=_style(seal, Path(scratch)),
                new_field_spec=fields.SigFieldSpec(FIELD, on_page=place.page - 1, box=box),
            )
            out = signer.sign_pdf(writer)
        return bytes(out.getbuffer())


def signer_of(pdf: bytes) -> tuple[EmbeddedPdfSignature, bytes] | None:
    """The issuer's signature in a file, and the signer's SubjectPublicKeyInfo (DER); None for an unsigned file.

    Raises:
        NoPdf: the file cannot be read.
    """
    try:
        signatures = [
            signature
            for signature in PdfFileReader(io.BytesIO(pdf)).embedded_signatures
            if signature.field_name == FIELD
        ]
        return (signatures[0], signatures[0].signer_cert.public_key.dump()) if signatures else None
    except Exception as error:  # of any kind: the file may be anything
        raise NoPdf(f"{type(error).__name__}: {error}") from error


class NoPdf(Exception):
    """The file cannot be read as PDF; the message says why."""


def check_pdf(
    name: str,
    pdf: bytes,
    keys: Sequence[PublicKey],
    now: datetime.datetime | None = None,
    named: Collection[str] = (),
) -> list[CheckStep]:
    """Whether the signature in a PDF file holds; no step for a file without a signature.

    Its certificates must have been valid when it was signed: at its time stamp, or ``now`` where it has none. The time
    that a signer states of itself proves nothing, and yet a later one than the certificates' last day is wrong.
    ``named``: ids of the keys that the signed statement names; one of them is enough where that statement binds the
    file.
    """

    def step(status: Status, detail: str) -> CheckStep:
        return CheckStep(name=f"signature in {name}", status=status, detail=detail)

    try:
        embedded = signer_of(pdf)
    except NoPdf as error:
        return [step(Status.INVALID, str(error))]
    if embedded is None:
        return []
    signature, spki = embedded
    key = next((key for key in keys if key.spki == spki), None)
    subject = signature.signer_cert.subject.native.get("common_name", "?")
    roots = [signature.signer_cert, *signature.other_embedded_certs]
    try:
        # Our list of trusted keys says who owns the key; the chain is for readers that know authorities.
        validation = validate_pdf_signature(signature, ValidationContext(trust_roots=roots, allow_fetching=False))
    except Exception as error:  # noqa: BLE001  # of any kind: the file may be anything
        return [step(Status.INVALID, f"{type(error).__name__}: {error}")]
    whole = validation.coverage is SignatureCoverageLevel.ENTIRE_FILE
    if not (validation.intact and validation.valid and whole and validation.docmdp_ok):
        return [step(Status.INVALID, f"{subject}: " + ("it does not hold" if whole else "something was added to it"))]
    stamped = validation.timestamp_validity
    if stamped is not None and not (stamped.intact and stamped.valid):
        return [step(Status.INVALID, f"{subject}: its time stamp does not hold")]
    when = f", time stamp of {stamped.timestamp:%Y-%m-%d %H:%M:%S %Z}" if stamped is not None else ""
    if key is None and hashlib.sha256(spki).hexdigest() in named:
        detail = f"by {subject}, who signed the statement too, not known here and not counted{when}"
        return [step(Status.VALID, detail)]
    if key is None:
        return [step(Status.COULD_NOT_CHECK, f"by {subject}, whose key is not trusted here{when}")]
    at = stamped.timestamp if stamped is not None else now or datetime.datetime.now(datetime.UTC)
    return [
        step(Status.VALID, f"PAdES by {key.name} ({subject}){when}"),
        _chain(name, signature, at, stamped=stamped is not None),
    ]


def _chain(name: str, signature: EmbeddedPdfSignature, at: datetime.datetime, *, stamped: bool) -> CheckStep:
    """Check the chain of certificates from the signer's upwards. The reader decides whether to trust the topmost."""
    above = {certificate.subject.dump(): certificate for certificate in signature.other_embedded_certs}
    chain = [signature.signer_cert]
    while (issuer := above.get(chain[-1].issuer.dump())) is not None and issuer not in chain:
        chain.append(issuer)
    try:
        for certificate, issuer in itertools.pairwise(x509.load_der_x509_certificate(each.dump()) for each in chain):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        detail = f"a certificate is not issued by the next one: {error or type(error).__name__}"
        return CheckStep(name=f"chain in {name}", status=Status.INVALID, detail=detail)
    names = " ← ".join(str(certificate.subject.native.get("common_name", "?")) for certificate in chain)
    since = max(certificate.not_valid_before for certificate in chain)
    until = min(certificate.not_valid_after for certificate in chain)
    claimed = signature.self_reported_timestamp
    for what, time in (("stamped", at if stamped else None), ("signed", claimed)):
        if time is not None and not since <= time <= until:
            detail = f"{names}: valid from {since:%Y-%m-%d} until {until:%Y-%m-%d}, and {what} on {time:%Y-%m-%d}"
            return CheckStep(name=f"chain in {name}", status=Status.INVALID, detail=detail)
    if at > until:
        detail = f"{names}: over since {until:%Y-%m-%d}, and no time stamp shows that it was signed before"
        return CheckStep(name=f"chain in {name}", status=Status.COULD_NOT_CHECK, detail=detail)
    return CheckStep(name=f"chain in {name}", status=Status.VALID, detail=f"{names}, until {until:%Y-%m-%d}")


def _style(seal: bytes, scratch: Path) -> stamp.StaticStampStyle:
    file = scratch / "seal.pdf"
    file.write_bytes(seal)
    layout = SimpleBoxLayoutRule(
        x_align=AxisAlignment.ALIGN_MID, y_align=AxisAlignment.ALIGN_MID, margins=Margins(0, 0, 0, 0)
    )
    return stamp.StaticStampStyle.from_pdf_file(str(file), background_layout=layout, border_width=0)


@contextlib.contextmanager
def authority_errors(url: str) -> Iterator[None]:
    """Tells what goes wrong with a time-stamping authority; ``url`` is empty where none is asked.

    Raises:
        InfrastructureError: the authority does not answer as it must.
    """
    try:
        yield
    except (timestamps.TimestampRequestError, OSError) as error:
        if not url:
            raise
        raise InfrastructureError(
            f"the time-stamping authority {url} does not answer as it must: {error}",
            advice="try again later, or correct `timestamp` in the issuer's profile",
        ) from error


def _certificates(chain: bytes) -> list[asn1_x509.Certificate]:
    if not chain:
        return []
    return [asn1_x509.Certificate.load(der) for _, _, der in pem.unarmor(chain, multiple=True)]
