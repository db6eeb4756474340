"""Creates, reads, changes and removes by the weights of the profile; the driver sets the rate (open model)."""

from __future__ import annotations

from harness.runners.locust.mixed import ResourceMix


class Mix(ResourceMix):
    """What every user does."""
