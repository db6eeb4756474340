"""A product that only systemd starts, on the plain class of CPU: it is a virtual machine of this architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import WEB, product

UNIT = "[Service]\nExecStart=/usr/bin/busybox httpd -f -p 8080 -h /srv/www\n"
#: As its vendor or an administrator may have it: it would start the unit again unseen.
OVERRIDE = "[Service]\nRestart=always\nRestartSec=0\nExecStopPost=\n"
CHECK = """\
from harness.control.exposure import Exposure


def test_its_unit_runs_and_starts_again(application, host):
    assert host.run("systemctl is-active tiny-web.service").rc == 0
    before = application.pid()
    application.restart()
    assert application.pid() not in (0, before)


def test_it_is_killed_and_starts_again(application, installation):
    before = application.pid()
    application.kill()
    assert not application.running()
    application.start()
    application.wait_ready()
    assert application.pid() not in (0, before)
    assert application.unasked_ends() == []
    tcp, udp = Exposure(application, installation).open_sockets()
    assert [each.port for each in tcp] == [8080]
"""


def test_a_unit_of_systemd_runs_on_x86_64(harness: Run, tmp_path: Path) -> None:
    application: dict[str, Any] = {key: value for key, value in WEB.items() if key != "start"} | {
        "service": "tiny-web.service",
        "artifacts": [
            {
                "path": "tiny-web.service",
                "install": "copy",
                "to": "/etc/systemd/system/tiny-web.service",
                "mode": "0644",
            },
            {
                "path": "override.conf",
                "install": "copy",
                "to": "/etc/systemd/system/tiny-web.service.d/override.conf",
                "mode": "0644",
            },
        ],
    }
    root = product(tmp_path / "p", application, database=["none"], check=CHECK)
    (root / "tiny-web.service").write_text(UNIT)
    (root / "override.conf").write_text(OVERRIDE)
    ran = harness("run", root, "--format", "json")
    assert ran.code == 0, ran.err + ran.out
    (cell,) = json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    assert cell["verdict"] == "conformant"
    # KVM where it works here; else QEMU emulates the machine, and the record says so.
    assert cell["fidelity"] in ("kvm", "system-emulated")
    assert {fact["observed"] for fact in cell["attestation"] if fact["name"] == "architecture"} == {"x86_64"}
