"""Certificates: whether one may be issued, its PDF, signatures over it, and whether they hold."""

from harness.certify.certificate import render_certificate, typesetter, why_not
from harness.certify.signing import ENVELOPES, Signing

__all__ = ["ENVELOPES", "Signing", "render_certificate", "typesetter", "why_not"]
