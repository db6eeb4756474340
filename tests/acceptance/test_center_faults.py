"""A center that is broken at random moments, with real PostgreSQL and real workers; machines are scripted.

Nothing is lost, nothing is done twice, every campaign ends, and what a fault cost is recorded with the cause infra.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.center_faults import KINDS, broken

#: Kinds that one center bears together.
TOGETHER = {
    "processes": ["kill_worker", "kill_machine", "sleep_worker"],
    "database": ["restart_database", "kill_database", "kill_backend"],
    "full disks": ["fill_database", "fill_evidence"],
    "network": ["cut_network", "lose_packets"],
    "fail-over": ["fail_over"],
    "slow network": ["delay_network"],
    "strangers": ["skew_clock", "change_version"],
    "evidence away": ["lose_evidence", "slow_evidence"],
}


def test_every_kind_is_tried() -> None:
    assert sorted(kind for kinds in TOGETHER.values() for kind in kinds) == sorted(KINDS)


@pytest.mark.parametrize(
    "needs", [{}, {"pair": True}, {"relayed": True}], ids=["one server", "fail-over", "slow network"]
)
def test_a_center_that_is_broken_loses_nothing_and_does_nothing_twice(needs: dict[str, bool], tmp_path: Path) -> None:
    """Each kind once, in any order."""
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    kinds = [kind for kind, own in KINDS.items() if own == needs]
    assert broken(kinds, 1, seed, tmp_path, print, slots=(2, 1))["conformant None"] > 1


@pytest.mark.full
@pytest.mark.parametrize("kinds", TOGETHER.values(), ids=TOGETHER)
def test_it_bears_fifty_of_each(kinds: list[str], tmp_path: Path) -> None:
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    assert broken(kinds, 50, seed, tmp_path, print)["conformant None"] > 50
