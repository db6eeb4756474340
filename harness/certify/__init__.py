"""Certificates: whether a certificate may be issued, its PDF, and the statements that are signed."""
