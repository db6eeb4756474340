"""Limits of the kernel for the processes of a container."""

from __future__ import annotations

import resource
from collections.abc import Mapping

import docker.types

#: Under Podman no container gets more open files or processes, so that it never asks for more than it may have.
MOST = 16384


def ulimits(asked: Mapping[str, int], *, podman: bool) -> list[docker.types.Ulimit] | None:
    """Those that are ``asked`` for by the names of ulimit. Podman asks for more than it may have where it lacks
    CAP_SYS_RESOURCE; then what this process has."""
    named = [docker.types.Ulimit(name=name, soft=value, hard=value) for name, value in asked.items()]
    if not podman or named:
        return named or None
    known = (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
    return [
        docker.types.Ulimit(name=name, soft=min(hard, MOST), hard=min(hard, MOST))
        for name, (_, hard) in ((name, resource.getrlimit(which)) for name, which in known)
    ]
