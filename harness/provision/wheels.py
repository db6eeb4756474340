"""Wheels of the Python package index: some hold more than Python, such as the server of a database."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ProvisionError
from harness.system.process import run
from harness.system.scratch import temporary_folder

SECONDS = 900
#: Oldest glibc that such a wheel may ask for (PEP 600).
PLATFORM = "manylinux_2_28"


@contextlib.contextmanager
def fetched(wheel: str, sha256: str, architecture: str, *, cancel: threading.Event | None = None) -> Iterator[Path]:
    """The wheel ``NAME==VERSION`` for an architecture, as pip here gets it, until the context ends.

    Raises:
        ProvisionError: pip is not there, the index has no such wheel, or it has another digest.
        Canceled: ``cancel`` was set meanwhile.
    """
    with temporary_folder("wheel") as folder:
        words = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        words += ["--only-binary=:all:", "--platform", f"{PLATFORM}_{architecture}", "--implementation", "cp"]
        words += ["--python-version", "3.11", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
        options = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}  # where the index is
        answer = run([*words, "-d", folder, wheel], timeout=SECONDS, env=options, cancel=cancel)
        files = sorted(Path(folder).glob("*.whl"))
        if not answer.ok or len(files) != 1:
            raise ProvisionError(
                f"the wheel {wheel} for {architecture} could not be fetched: {answer.text.strip()[-300:]}",
                advice="see that pip of this Python reaches its index: python -m pip download " + wheel,
            )
        with files[0].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise ProvisionError(
                f"the wheel {wheel} for {architecture} is another than the catalogue names: SHA-256 {digest}, "
                f"expected {sha256}",
                advice="the index gives other content: do not use it",
            )
        yield files[0]
