"""Imported once by the process that suites are forked from: what nearly every suite needs, and nothing that acts."""

from __future__ import annotations

import docker.transport
import httpx
import testinfra.backend.base
import testinfra.host
from _pytest.config import get_config

import harness.runners.pytest.plugin
import harness.runners.pytest.suite_process
import harness.scan

get_config()  # imports pytest's own plugins
httpx.HTTPTransport(verify=False, trust_env=False).close()  # imports what it sends with

__all__ = ["docker", "harness", "httpx", "testinfra"]
