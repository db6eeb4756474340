"""What a product calls itself, adds to its system and leaves there: each seeded fault is named by its case."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import WEB, product

UNIT = "/etc/systemd/system/webby.service"
SETUP = [
    *WEB["setup"],
    "useradd --system webby",
    "echo '17 3 * * * webby true' >/etc/cron.d/webby",
    f"printf '[Service]\\nExecStart=/bin/true\\n' >{UNIT}",
]
WEBBY: dict[str, Any] = {
    **WEB,
    "needs": ["passwd"],
    "artifacts": [{"path": "webby", "install": "copy", "to": "/usr/local/bin/webby", "mode": "0755"}],
    "setup": SETUP,
    "uninstall": [f"rm -rf /etc/cron.d/webby {UNIT} /usr/local/bin/webby /srv/www"],
    "calls": [{"run": "webby --version", "shows": ["Webby", "{version}"], "status": 3}],
    "adds": {"users": ["webby"], "groups": ["webby"], "services": ["webby.service"], "cron": ["/etc/cron.d/web*"]},
    "variants": [
        {
            "when": {"fault": "hides"},
            "set": {
                "setup": [
                    *SETUP,
                    "echo ghost:x:900:900::/:/bin/sh >>/etc/passwd",
                    "mkdir -p /etc/sudoers.d && echo x >/etc/sudoers.d/webby",
                ]
            },
        },
        {"when": {"fault": "stays"}, "set": {"uninstall": ["rm -rf /usr/local/bin/webby /srv/www"]}},
        {
            "when": {"fault": "misnames"},
            "set": {
                "version": "0",
                "calls": [{"run": "webby --version", "shows": ["{version}"]}, {"run": "sleep 60", "seconds": 1}],
                "adds": {"users": ["webby", "absent"], "groups": ["*"], "services": ["*"], "cron": ["*"]},
            },
        },
    ],
}


def test_each_fault_is_named_by_its_case(harness: Run, tmp_path: Path) -> None:
    axes = {"fault": ["good", "hides", "stays", "misnames"]}
    folder = product(tmp_path / "p", WEBBY, axes=axes, suites=["compat/lifecycle"])
    (folder / "webby").write_text("#!/bin/sh\necho Webby 1.0\nexit 3\n")
    cases = [word for case in ("LC-07", "LC-08", "LC-09", "LC-10") for word in ("--case", case)]
    ran = harness("run", folder, *cases, "--format", "json")
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    seen = {
        (cell["axes"]["fault"], case["id"]): (case["result"], case["detail"])
        for cell in record["cells"]
        for case in cell["cases"]
        if case["id"].startswith("LC-")
    }
    failed = {place for place, (result, _) in seen.items() if result not in ("pass", "skip")}
    expected = {
        ("hides", "LC-09"),
        ("hides", "LC-10"),
        ("stays", "LC-10"),
        ("misnames", "LC-08"),
        ("misnames", "LC-09"),
    }
    assert failed == expected, {place: seen[place] for place in failed ^ expected}
    assert {seen[place][0] for place in expected} == {"fail"}
    for number in ("07", "08", "09", "10"):
        assert seen["good", f"LC-{number}"][0] == "pass", seen
    assert "Webby 1.0" in seen["good", "LC-08"][1]
    hidden = seen["hides", "LC-09"][1]
    assert "users: ghost" in hidden
    assert "settings: /etc/sudoers.d/webby" in hidden
    assert "users: webby" not in hidden
    assert f"services: {UNIT}" in seen["stays", "LC-10"][1]
    assert "cron: /etc/cron.d/webby" in seen["stays", "LC-10"][1]
    wrong = seen["misnames", "LC-08"][1]
    assert "ended with status 3, declared is 0" in wrong
    assert "lacks '0'" in wrong  # which stands in 1.0 as text, and not as a version
    assert re.search(r"sleep 60: it did not end within \d+ s", wrong)  # scaled by how busy the machine is
    assert "there after the installation: users: absent" in seen["misnames", "LC-09"][1]
    files = {file["name"]: file for cell in record["cells"][:1] for file in cell["files"]}
    picture = next(file for name, file in files.items() if name.endswith("terminal-1.svg"))
    assert picture["media"] == "image/svg+xml"
