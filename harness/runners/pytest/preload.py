"""Imported once by the process that suites are forked from: what nearly every suite needs, and nothing that acts."""

from __future__ import annotations

import docker.transport
import httpcore
import testinfra.backend.base
import testinfra.host
from _pytest.config import get_config

import harness.runners.pytest.plugin
import harness.runners.pytest.suite_process
import harness.scan

get_config()  # imports pytest's own plugins

__all__ = ["docker", "harness", "httpcore", "testinfra"]
