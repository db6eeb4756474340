"""A product that declares a place outside of its cell reaches that, and has it in plan and record."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run
from tests.labs import elsewhere
from tests.products import WEB, product

CHECK = """
def asked(host, name, port):
    return host.run(f"busybox timeout 5 busybox nc {name} {port} </dev/null").stdout

def test_it(host):
    assert asked(host, "licence.example", 443) == "elsewhere 443\\n"
    assert asked(host, "licence.example", 444) == ""
"""


def test_a_declared_place_is_reached_and_named(harness: Run, tmp_path: Path) -> None:
    with elsewhere(443, 444) as address:
        reach = [{"host": "licence.example", "port": 443, "address": address}]
        folder = product(tmp_path / "p", {**WEB, "reach": reach}, check=CHECK)
        named = f"reaches outside of its cell, as the application declares: licence.example:443 ({address})"
        plain = " ".join(harness("plan", folder).out.split())
        assert named in plain
        ran = harness("run", folder, "--format", "json")
        assert ran.code == 0, ran.err
        assert f"the product {named}" in " ".join(ran.err.split())
        (report,) = tmp_path.glob(".harness/campaigns/*/report.html")
        assert named in report.read_text()
        assert "its machines reach" not in report.read_text()  # nothing is open that could be closed
