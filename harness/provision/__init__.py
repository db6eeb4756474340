"""Turns a declared target into machines: images, environments, networks, containers, attestation."""

from harness.provision.attestation import attest
from harness.provision.cell import Machines, known_good, provision
from harness.provision.environments import Environments, InstallFailed
from harness.provision.images import BaseImages, clean_scratch
from harness.provision.mirror import Mirror
from harness.provision.serving import Service, serving

__all__ = [
    "BaseImages", "Environments", "InstallFailed", "Machines", "Mirror", "Service", "attest", "clean_scratch",
    "known_good", "provision", "serving",
]  # fmt: skip
