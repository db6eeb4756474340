"""A center that the compose file brings up: a campaign of two cells, its record, and nothing that stays behind."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StepTimeout
from harness.system.wait import wait_until
from tests.composed import SYSTEM, Composed, base_image, checkout, lab_image
from tests.products import WEB, product

#: Of the campaign, on a machine with other work; images are built before.
SECONDS = 900.0
PASSWORD = "p@ss:w/o%rd ?#&=+'\"$"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Composed]:
    base = base_image()
    lab = lab_image(tmp_path / "lab", base)
    tree = checkout(tmp_path / "适配 tree")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    database, metrics, desk = free_ports(3)
    composed = Composed(
        tree,
        tmp_path,
        lab,
        {
            "DOCKER_BUILDKIT": "0",
            "HARNESS_SECRET": str(tmp_path / "password"),
            "HARNESS_STATE": str(tmp_path / "state"),
            "HARNESS_IMAGE": f"harness-composed:{secrets.token_hex(4)}",
            "HARNESS_BASE_IMAGE": base,
            "HARNESS_POSTGRES_IMAGE": lab,
            "HARNESS_BUILD_NETWORK": "host",
            "HARNESS_DATABASE_PORT": str(database),
            "HARNESS_METRICS_PORT": str(metrics),
            "HARNESS_DESK_PORT": str(desk),
            "HARNESS_DESK_URL": "https://desk.invalid:8443",
            "HARNESS_WORKER": "worker-甲",
        },
    )
    try:
        yield composed
    finally:
        composed.run("--profile", "desk", "--profile", "command", "down", "--volumes", "--timeout", "60")
        subprocess.run(
            ["docker", "image", "rm", composed.environment["HARNESS_IMAGE"]], capture_output=True, check=False
        )


@pytest.mark.full
def test_two_cells_end_conformant_in_a_center_of_containers(center: Composed, tmp_path: Path) -> None:
    certificate, key = tmp_path / "desk.pem", tmp_path / "desk.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=desk.invalid", "-days", "2"]
    subprocess.run([*words, "-out", certificate, "-keyout", key], capture_output=True, check=True)
    center.environment |= {"HARNESS_DESK_CERTIFICATE": str(certificate), "HARNESS_DESK_KEY": str(key)}
    center.demand("build", "sweeper", timeout=3600)
    demand_emulators(center)
    center.demand("--profile", "desk", "up", "--detach", timeout=600)
    product(tmp_path / "产品 p", {**WEB, "application": "composed"}, os=SYSTEM, database=["sqlite", "none"])
    folder = ["-v", f"{tmp_path}:{tmp_path}"]

    def command(*words: str) -> str:
        return center.demand("--profile", "command", "run", "--rm", "-T", *folder, "command", *words)

    campaign = json.loads(command("submit", str(tmp_path / "产品 p"), "--format", "json"))["campaign"]
    metrics = f"http://127.0.0.1:{center.environment['HARNESS_METRICS_PORT']}/metrics"

    def closed() -> bool:
        with urllib.request.urlopen(metrics, timeout=10) as answer:
            return 'harness_campaigns{state="closed"} 1.0' in answer.read().decode()

    try:
        wait_until(closed, seconds=SECONDS, what="the campaign is closed", interval=3)
    except StepTimeout:
        print(center.run("logs", "--tail", "60").stdout, command("queue"), command("workers"))
        raise
    command("fetch", campaign, str(tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert record["verdict"] == "conformant"
    assert [cell["verdict"] for cell in record["cells"]] == ["conformant"] * 2
    assert [cell["worker"] for cell in record["cells"]] == ["worker-甲"] * 2
    demand_healthy(center)
    for name in ("database", "sweeper", "worker", "desk"):  # each is started again, and the record is there
        center.demand("restart", "--timeout", "60", name, timeout=200)
    demand_healthy(center)
    assert json.loads(command("show", campaign, "--format", "json"))["verdict"] == "conformant"
    center.demand("--profile", "desk", "down", "--volumes", "--timeout", "60")
    assert center.objects() == {"container": [], "volume": [], "network": []}
    assert no_cells(campaign)


def demand_healthy(center: Composed) -> None:
    def healthy() -> bool:
        states: dict[str, Any] = {}
        for identity in center.objects()["container"]:
            words = ["docker", "inspect", "--format", "{{json .}}", identity]
            known = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
            states[known["Config"]["Labels"]["com.docker.compose.service"]] = known["State"]["Health"]["Status"]
        return states == dict.fromkeys(("database", "desk", "sweeper", "worker"), "healthy")

    wait_until(healthy, seconds=240, what="all parts are healthy", interval=3)


def demand_emulators(center: Composed) -> None:
    """The image's QEMU gets into the kernel's table: one that belongs to a user namespace, so this machine's stays."""
    script = (
        "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && [ ! -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] "
        "&& sh /usr/local/bin/center register && sh /usr/local/bin/center register "
        "&& cat /proc/sys/fs/binfmt_misc/qemu-aarch64 /proc/sys/fs/binfmt_misc/qemu-loongarch64"
    )
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    rights = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
    before = ["docker", "run", "--rm", *rights, "--network", "none", "--entrypoint", words[0]]
    shown = subprocess.run(
        [*before, center.environment["HARNESS_IMAGE"], *words[1:]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("enabled") == 2
    assert shown.stdout.count("F") >= 2, shown.stdout


def no_cells(campaign: str) -> bool:
    words = ["docker", "ps", "-aq", "--filter", f"label=harness.campaign={campaign}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout == ""
