"""Start-up of the command line: CPU seconds against an argparse hello and ``pytest --version``."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

HELLO = """
import argparse
parser = argparse.ArgumentParser(prog="hello")
parser.add_argument("--version", action="version", version="1")
parser.add_argument("name", nargs="?")
parser.parse_args()
"""
ROUNDS = 15


def main() -> None:
    """Print medians and ratios; goals: at most 1.5 of the hello, at most 0.5 of pytest."""
    script = Path(sys.executable).with_name("harness")
    commands = {
        "argparse hello --help": [sys.executable, "-c", HELLO, "--help"],
        "pytest --version": [sys.executable, "-m", "pytest", "--version"],
        "harness --help": [str(script), "--help"],
        "harness --version": [str(script), "--version"],
        "harness status --help": [str(script), "status", "--help"],
        "harness run --help": [str(script), "run", "--help"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):  # in turn, so that what else the machine does meets all of them
        for name, argv in commands.items():
            taken[name].append(_cpu(argv))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    for name, seconds in middle.items():
        print(f"{name:22} {seconds * 1000:6.1f} ms of CPU")
    for name in ("harness --help", "harness --version"):
        print(
            f"{name}: {middle[name] / middle['argparse hello --help']:.2f} of an argparse hello (goal 1.5), "
            f"{middle[name] / middle['pytest --version']:.2f} of pytest --version (goal 0.5)"
        )


def _cpu(argv: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
