"""What a center is deployed with: the compose file and the units are understood, and hold no password."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from harness import __version__
from tests.conftest import Run

ROOT = Path(__file__).parents[2]
CENTER = ROOT / "setup" / "center"
UNITS = sorted(CENTER.glob("*.service"))
PROGRAM = "/opt/harness/bin/harness"


def config(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the compose of this machine says of the file, with nothing of this process's own settings."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("HARNESS_", "COMPOSE_"))}
    return subprocess.run(
        ["docker-compose", "-f", str(CENTER / "compose.yaml"), *words, "config"],
        env=plain | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "口令 1"
    path.write_text("x")
    return str(path)


def services(secret: str, *words: str, **environment: str) -> dict[str, Any]:
    done = config(*words, HARNESS_SECRET=secret, **environment)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


@pytest.mark.parametrize("environment", [{}, {"HARNESS_SECRET": ""}], ids=["not set", "empty"])
def test_without_a_password_nothing_starts(environment: dict[str, str]) -> None:
    done = config(**environment)
    assert done.returncode != 0
    assert "HARNESS_SECRET" in done.stderr
    assert "name a file that holds the password of the database" in done.stderr


def test_the_compose_file_gives_rights_to_the_worker_alone(secret: str) -> None:
    found = services(secret, "--profile", "desk", "--profile", "command")
    assert set(found) == {"command", "database", "desk", "sweeper", "worker"}
    assert {name for name, each in found.items() if "SYS_ADMIN" in each.get("cap_add", ())} == {"worker"}
    assert {name for name, each in found.items() if each.get("pid") or each.get("network_mode")} == {"worker"}
    assert not any(each.get("privileged") for each in found.values())
    mounts = {name: json.dumps(each["volumes"]) for name, each in found.items()}
    assert {name for name, volumes in mounts.items() if "docker.sock" in volumes} == {"worker"}
    for name in set(found) - {"worker"}:
        assert found[name]["read_only"] is True, name
        assert "no-new-privileges:true" in found[name]["security_opt"], name
        ports = [str(port) for port in found[name].get("ports", ())]
        assert all("127.0.0.1" in port for port in ports), ports
    assert all(each.get("healthcheck") for name, each in found.items() if name != "command")
    assert all(each["restart"] == ("no" if name == "command" else "unless-stopped") for name, each in found.items())


def test_files_of_a_worker_have_one_path_on_both_sides(secret: str) -> None:
    """The engine mounts them into containers of cells, by their path on the host."""
    found = services(secret, HARNESS_STATE="/srv/适配 center")
    worker = found["worker"]
    assert "/srv/适配 center:/srv/适配 center:rw" in worker["volumes"]
    assert "/tmp:/tmp:rw" in worker["volumes"]
    assert worker["environment"]["XDG_CACHE_HOME"] == "/srv/适配 center/cache"
    assert worker["environment"]["HARNESS_EVIDENCE"] == found["sweeper"]["environment"]["HARNESS_EVIDENCE"]
    assert worker["environment"]["HARNESS_IMAGE"] == worker["image"] == f"xinchuang-harness:{__version__}"


def test_images_are_those_that_are_named(secret: str) -> None:
    named = services(secret, HARNESS_POSTGRES_IMAGE="lab/pg:1", HARNESS_IMAGE="lab/h:2", HARNESS_BASE_IMAGE="lab/b:3")
    assert (named["database"]["image"], named["worker"]["image"]) == ("lab/pg:1", "lab/h:2")
    assert named["worker"]["build"]["args"]["BASE"] == "lab/b:3"
    usual = services(secret)
    assert re.fullmatch(r"postgres:\d+", usual["database"]["image"])


@pytest.mark.parametrize(
    "path", [path for path in sorted(CENTER.iterdir()) if path.is_file()], ids=lambda path: path.name
)
def test_no_file_holds_a_password(path: Path) -> None:
    """Every word that stands for one is a variable, a file or a place for the reader's own."""
    text = path.read_text(encoding="utf-8")
    for url in re.findall(r"postgresql://[^:\s]+:([^@\s]+)@", text):
        assert url == "PASSWORD" or url.startswith("{"), url
    for value in re.findall(r"(?m)^\s*(?:POSTGRES|PG|HARNESS)\w*PASSWORD[=:]\s*(\S+)", text):
        assert value.startswith("$"), value
    assert "trust" not in re.findall(r"auth[\w-]*=(\S+)", text)


def test_a_container_without_its_password_says_what_to_do(tmp_path: Path) -> None:
    for name, text, words in (
        ("absent", None, "holds no password"),
        ("empty", "", "holds no password"),
        ("two lines", "a\nb\n", "has several lines"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        environment = {"PATH": os.environ["PATH"], "HARNESS_DATABASE_PASSWORD_FILE": str(tmp_path / name)}
        environment["HARNESS_DATABASE"] = "127.0.0.1:1/none"
        done = subprocess.run(
            ["sh", CENTER / "start.sh", "queue"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert "next: " in done.stderr


@pytest.mark.parametrize("password", ["plain", "p@ss:w/o%rd ?#&=+", "口令'\"$(id)`\\"])
def test_any_password_gets_into_the_address(password: str, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(f"{password}\n", encoding="utf-8")
    (tmp_path / "harness").write_text('#!/bin/sh\nprintf "%s" "$HARNESS_DATABASE_URL"\n')
    (tmp_path / "harness").chmod(0o755)
    done = subprocess.run(
        ["sh", CENTER / "start.sh", "queue"],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "HARNESS_DATABASE": "db.example:5433/one",
            "HARNESS_DATABASE_PASSWORD_FILE": str(tmp_path / "pw"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    url = sa.make_url(done.stdout)
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "harness",
        password,
        "db.example",
        5433,
        "one",
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    """With a program that is there in place of ours; each word that systemd does not know is told on standard error."""
    (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, str(Path(shutil.which("true") or "/bin/true"))))
    done = verify(tmp_path / unit.name)
    assert (done.returncode, done.stderr) == (0, "")
    broken = tmp_path / f"broken-{unit.name}"
    broken.write_text((tmp_path / unit.name).read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "NoNewPrivilege" in verify(broken).stderr, "the check can fail"


def verify(unit: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=120, check=False
    )


def test_units_name_commands_and_options_that_there_are(harness: Run) -> None:
    assert len(UNITS) == 3
    for unit in UNITS:
        (line,) = re.findall(rf"^ExecStart={PROGRAM} (.*)$", unit.read_text(), re.MULTILINE)
        command, *words = line.split()
        shown = harness(command, "--help").out
        for option in (word for word in words if word.startswith("--")):
            assert option in shown, f"{unit.name}: {option}"
        assert "EnvironmentFile=/etc/harness/center.env" in unit.read_text()


def test_the_worker_keeps_the_rights_that_its_work_needs() -> None:
    """Each of these was found to be what the work does; a unit that closes one of them breaks cells, not itself."""
    text = (CENTER / "harness-worker.service").read_text()
    for closed in ("PrivateTmp=yes", "RestrictNamespaces=yes", "RestrictSUIDSGID=yes", "MemoryDenyWriteExecute=yes"):
        assert closed not in text
    assert "ProtectSystem=strict" not in text, "/run holds the lock of iptables"
    assert "TimeoutStopSec=infinity" in text, "cells come to their end"
