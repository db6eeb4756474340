"""Where packages come from: the option, else this machine's own apt configuration. No host name stands in the code."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ProvisionError
from harness.system.process import run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Mirror:
    """A Debian mirror and the keyring that its repositories are verified with."""

    uri: str
    keyring: Path = KEYRING
    proxy: str = ""

    @classmethod
    def find(cls, uri: str = "", *, cancel: threading.Event | None = None) -> Mirror:
        """The mirror named by ``uri``, or the one that apt uses here.

        Raises:
            ProvisionError: apt knows no Debian mirror, or the keyring is missing.
            Canceled: ``cancel`` was set while apt was asked.
        """
        if not KEYRING.is_file():
            raise ProvisionError(
                f"no keyring at {KEYRING}: packages could not be verified",
                advice="install debian-archive-keyring, or run: make setup",
            )
        proxy = _proxy(cancel)
        if uri:
            return cls(uri, proxy=proxy)
        if shutil.which("apt-get") is not None:
            listed = run(
                ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(CODENAME)|$(LABEL)", "Created-By: Packages"],
                timeout=60,
                cancel=cancel,
            )
            for line in listed.out.splitlines():
                repository, _, rest = line.partition("|")
                codename, _, label = rest.partition("|")
                if label == "Debian" and "-" not in codename:
                    return cls(repository, proxy=proxy)
        raise ProvisionError(
            "no Debian mirror in this machine's apt configuration", advice="name one with --mirror URI"
        )

    def source(self, suite: str) -> str:
        """A line of sources.list for ``suite``."""
        return f"deb [signed-by={self.keyring}] {self.uri} {suite} main"


def _proxy(cancel: threading.Event | None) -> str:
    if shutil.which("apt-config") is None:
        return ""
    setting = run(["apt-config", "shell", "P", "Acquire::http::Proxy"], timeout=20, cancel=cancel).out
    return setting.partition("=")[2].strip().strip("'")
