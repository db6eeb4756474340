"""What the caller's shell holds reaches no program that the harness starts, unless it is on a list."""

from __future__ import annotations

import ast
import contextlib
import json
import os
from pathlib import Path

import pytest

from harness.hosts.inventory import Inventory
from harness.model.definitions import Host, Hosts
from harness.scan.readers import _Forker
from harness.system.forking import ForkServer
from harness.system.process import background, connected, run
from harness.system.surroundings import surroundings

SECRETS = {
    "HARNESS_PASSPHRASE": "words of a key",
    "HARNESS_DATABASE_URL": "postgresql://u:p@db/h",
    "AWS_SECRET_ACCESS_KEY": "of a cloud",
    "LAB_PASSWORD": "of a host",
}


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_MESSAGES", "C.UTF-8")


def leaked(text: str) -> list[str]:
    return [name for name, value in SECRETS.items() if name in text or value in text]


def tell_environment(file: str) -> int:
    """Called in a forked process."""
    Path(file).write_text(json.dumps(dict(os.environ)))
    return 0


def test_a_program_that_is_run_gets_what_is_listed_and_what_it_is_given() -> None:
    done = run(["env"], timeout=30, env={"GIVEN": "yes"})
    assert leaked(done.out) == []
    lines = done.out.splitlines()
    assert {"GIVEN=yes", "LC_MESSAGES=C.UTF-8", f"PATH={os.environ['PATH']}"} <= set(lines)


def test_a_program_in_the_background_gets_no_secret(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        assert background(["env"], cwd=tmp_path, log=log).wait(30) == 0
    assert "PATH=" in (tmp_path / "log").read_text()
    assert leaked((tmp_path / "log").read_text()) == []


def test_a_program_on_a_socket_gets_no_secret() -> None:
    with connected(["env"]) as end, end.makefile() as text:
        told = text.read()
    assert "PATH=" in told
    assert leaked(told) == []


def test_the_process_of_a_suite_gets_no_secret_but_those_that_log_in_on_hosts(tmp_path: Path) -> None:
    with contextlib.closing(ForkServer([], keep=["LAB_PASSWORD"])) as forks:
        done = forks.run(
            f"{__name__}:tell_environment",
            [str(tmp_path / "told")],
            log=tmp_path / "log",
            timeout=60,
            cwd=Path(__file__).parents[2],
            env={},
        )
    assert done.ok, done.out
    assert leaked((tmp_path / "told").read_text()) == ["LAB_PASSWORD"]


def test_an_inventory_names_the_variables_with_its_secrets() -> None:
    hosts = Hosts(
        hosts=(
            Host(host="a", address="10.0.0.1", password="env:LAB_PASSWORD", labels={}),
            Host(host="b", address="10.0.0.2", key="file:/keys/b", passphrase="env:PHRASE", labels={}),
        )
    )
    assert Inventory(hosts, Path()).variables == ("LAB_PASSWORD", "PHRASE")


def test_what_is_given_wins_over_what_passes() -> None:
    assert surroundings({"PATH": "/only"})["PATH"] == "/only"


def test_a_reader_of_the_scan_gets_no_secret() -> None:
    forker = _Forker()
    with contextlib.closing(forker), forker.reader():
        assert forker._process is not None
        environment = Path(f"/proc/{forker._process.pid}/environ").read_text()
    assert "PATH=" in environment
    assert leaked(environment) == []


def test_no_program_is_started_with_all_that_the_shell_holds() -> None:
    """Whoever starts one says with which variables."""
    package = Path(__file__).parents[2] / "harness"
    starts = [
        (path.relative_to(package), call)
        for path in package.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and (call.func.value.id, call.func.attr)
        in {("subprocess", name) for name in ("Popen", "run", "call", "check_call", "check_output")}
    ]
    assert len(starts) > 4
    assert [str(path) for path, call in starts if "env" not in [word.arg for word in call.keywords]] == []
