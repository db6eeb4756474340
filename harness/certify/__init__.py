"""Certificates: whether one may be issued, its PDF, signatures over it, and whether they hold."""

from harness.certify.certificate import render_certificate
from harness.certify.policy import decide
from harness.certify.signing import ENVELOPES, Signing

__all__ = ["ENVELOPES", "Signing", "decide", "render_certificate"]
