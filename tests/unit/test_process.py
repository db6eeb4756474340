"""Programs that this machine runs for the harness: how their end is said."""

from __future__ import annotations

import pytest

from harness.system import process


@pytest.mark.parametrize(("signal", "status"), [("KILL", 137), ("TERM", 143), ("SEGV", 139)])
def test_a_program_that_a_signal_ended_has_the_status_that_a_shell_gives(signal: str, status: int) -> None:
    """Whether the signal met the program itself or one that it waited for, as ``timeout`` does with its own group."""
    assert process.run(["sh", "-c", f"kill -{signal} $$"], timeout=20).rc == status
    assert process.run(["sh", "-c", f"sh -c 'kill -{signal} $$'; exit $?"], timeout=20).rc == status


def test_a_group_that_is_killed_with_its_own_timeout_has_that_status_too() -> None:
    assert process.run(["timeout", "20", "sh", "-c", "kill -9 0"], timeout=30).rc == 137
