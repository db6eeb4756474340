"""Turns a declared target into machines: images, environments, containers, virtual machines, lab hosts, attestation."""

from harness.provision.attestation import attest
from harness.provision.containers import Containers
from harness.provision.disks import Disks
from harness.provision.environments import Environments
from harness.provision.hosts import LabHosts, machine_of
from harness.provision.images import BaseImages, clean_scratch
from harness.provision.installing import InstallFailed, install_over
from harness.provision.mirror import Mirror
from harness.provision.provisioner import Kind, Machines, Names, Provisioner, Role
from harness.provision.resolving import Placement, by_container, by_vm, resolve
from harness.provision.serving import Service, serving
from harness.provision.unused import remove_unused
from harness.provision.virtual import VirtualMachines

__all__ = [
    "BaseImages", "Containers", "Disks", "Environments", "InstallFailed", "Kind", "LabHosts", "Machines", "Mirror",
    "Names", "Placement", "Provisioner", "Role", "Service", "VirtualMachines", "attest", "by_container", "by_vm",
    "clean_scratch", "install_over", "machine_of", "remove_unused", "resolve", "serving",
]  # fmt: skip
