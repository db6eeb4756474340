"""This machine's own shell in place of a target's: what scripts do is real, and where is not."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from harness.system.process import Completed


def run_here(
    command: str, *, stdin: str = "", timeout: float = 60, environment: Mapping[str, str] | None = None
) -> Completed:
    """As ``Machine.run``; ``environment``: all of it, where it is not this process's."""
    ended = subprocess.run(
        ["sh", "-c", command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=None if environment is None else dict(environment),
    )
    return Completed(rc=ended.returncode, out=ended.stdout, err=ended.stderr)
