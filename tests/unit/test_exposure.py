"""What tools that do not work do not find is not absent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.control.exposure import Exposure
from harness.errors import InfrastructureError
from harness.system.process import Completed


class Bare:
    """A machine on which every command fails, as where neither find nor grep is there."""

    name = "bare"

    def put(self, *_words: Any, **_more: Any) -> None:
        return None

    def run(self, command: str, **_more: Any) -> Completed:
        if command.startswith("\necho $$"):  # its processes are listed by the shell alone
            return Completed(rc=0, out="7\n7 1 sh\n9 1 product\n")
        return Completed(rc=127, out="", err="sh: 1: not found")


@pytest.mark.parametrize("look", ["loose_files", "secrets_in_files", "processes", "secrets_in_processes"])
def test_a_machine_without_tools_is_no_proof(look: str) -> None:
    context = SimpleNamespace(factor=1.0, ran_before=(), hidden=lambda: ["a secret of the cell"])
    deployment: Any = SimpleNamespace(context=context, machine=Bare())
    files: Any = SimpleNamespace(files=lambda: ["/opt/x"], made_files=list, each=lambda *_words: [])
    with pytest.raises(InfrastructureError):
        getattr(Exposure(deployment, files), look)()
