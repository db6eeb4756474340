"""Reads one resource of the product over and over; the driver sets the rate (open model)."""

from __future__ import annotations

from harness.runners.locust.reader import ResourceReader


class Reader(ResourceReader):
    """What every user does."""
