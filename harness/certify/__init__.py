"""Certificates: whether one may be issued, and its PDF."""

from harness.certify.certificate import render_certificate, typesetter, why_not

__all__ = ["render_certificate", "typesetter", "why_not"]
