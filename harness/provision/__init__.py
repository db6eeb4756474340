"""Turns a declared target into machines: images, environments, networks, containers, attestation."""

from harness.provision.attestation import attest
from harness.provision.cell import Machines, known_good, provision
from harness.provision.environments import Environments, InstallFailed
from harness.provision.images import BaseImages, clean_scratch
from harness.provision.mirror import Mirror

__all__ = [
    "BaseImages", "Environments", "InstallFailed", "Machines", "Mirror", "attest", "clean_scratch", "known_good",
    "provision",
]  # fmt: skip
