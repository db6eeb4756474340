"""An operator who is not root and may use the engine: suites of others run in the sandbox there too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Ran, command
from tests.products import WEB, product

ROOT = Path(__file__).parents[2]
OPERATOR = 61_100
CHECK = """
import os

def test_it_runs(application):
    assert application.running()

def test_it_is_in_the_sandbox(application):
    assert not os.path.exists(%r)
    assert not [line for line in open("/proc/self/status") if line.startswith("Cap") and line.split()[1].strip("0")]
"""
Operator = Callable[..., Ran]


def _opened(needed: list[Path], stage: Path) -> str:
    """Shell commands that make ``needed`` readable to everybody, in a mount namespace of their own: folders above them
    that only root may enter are replaced by ones that hold nothing else."""
    binds, tops = [], dict[str, None]()
    for path in needed:
        closed = next((p for p in reversed(path.parents) if p.stat().st_mode & 0o005 != 0o005), None)
        if closed is not None:
            inside = stage / closed.name / path.relative_to(closed)
            binds.append(f"mkdir -p {inside} && mount --bind {path} {inside}")
            tops[f"mount --rbind {stage / closed.name} {closed}"] = None
    return " && ".join(["true", *binds, *tops])


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="harness-operator-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "home").mkdir()
        product(root / "home/p", WEB, check=CHECK % str(root / "home/secret"))
        (root / "home/secret").write_text("of the operator")
        for path in (root / "home", *(root / "home").rglob("*")):
            os.chown(path, OPERATOR, OPERATOR)
        yield root


@pytest.fixture
def operator(place: Path) -> Operator:
    socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    engine = Path(socket).stat().st_gid
    needed = [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT]

    def run(*arguments: str, by: tuple[str, ...] = (), ambient: str = "-all") -> Ran:
        who = ["setpriv", f"--reuid={OPERATOR}", f"--regid={OPERATOR}", f"--groups={engine}"]
        who += [f"--inh-caps={ambient}", f"--ambient-caps={ambient}"]
        words = [*who, *by, *command(*arguments)]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{_opened(needed, place / "stage")} && exec "$@"', "sh", *words],
            cwd=place / "home",
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
                "HOME": str(place / "home"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        return Ran.of(done)

    return run


@pytest.mark.parametrize("ambient", ["-all", "+dac_read_search"], ids=["plain", "with a capability"])
def test_a_suite_of_others_runs_in_the_sandbox(operator: Operator, place: Path, ambient: str) -> None:
    shutil.rmtree(place / "home/w", ignore_errors=True)
    ran = operator("run", "p", "--workspace", "w", ambient=ambient)
    assert ran.code == 0, ran.err
    assert "runs in a sandbox" in ran.err
    assert "conformant" in ran.err
    assert "without a sandbox" not in ran.err


def test_where_nobody_may_make_namespaces_it_is_said_what_to_allow(operator: Operator) -> None:
    closed = ("bwrap", "--dev-bind", "/", "/", "--unshare-user", "--disable-userns")
    assert operator("lint", "p", by=closed).code == 0
    ran = operator("run", "p", "--workspace", "none", by=closed)
    assert ran.code == 2
    assert "bubblewrap cannot make one" in ran.err
    assert "user.max_user_namespaces" in ran.err
    assert "--trust-code" in ran.err
    assert "install" not in ran.err
    told = operator("doctor", by=closed)
    assert "MISSING sandbox for suites of others" in told.out
