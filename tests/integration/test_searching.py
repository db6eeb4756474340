"""A file of a package belongs to it, whatever its name: dpkg reads names as patterns."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.provision.searching import LITERAL

NAMES = (
    "plain",
    "system-systemd\\x2dmute.slice",
    "a[1]",
    "star*",
    "what?",
    "b]c",
    "blank 空格",
    "quote'\"",
    "\\",
    "$x`y`",
)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a system of its own, in which a package with such files is installed."""
    folder = tmp_path_factory.mktemp("odd")
    tree, root = folder / "tree", folder / "root"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("Package: odd\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: d\n")
    (tree / "opt").mkdir()
    for name in NAMES:
        (tree / "opt" / name).touch()
    for part in ("info", "updates"):
        (root / "var/lib/dpkg" / part).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    subprocess.run(["dpkg-deb", "-b", tree, folder / "odd.deb"], check=True, capture_output=True)
    subprocess.run(
        ["dpkg", f"--root={root}", "--force-not-root", "--force-script-chrootless", "-i", folder / "odd.deb"],
        check=True,
        capture_output=True,
    )
    return root / "var/lib/dpkg"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_searched_for_by_its_own_name(admin: Path, name: str) -> None:
    script = LITERAL + f'dpkg-query --admindir={admin} -S "$(literal "$1")"'
    answer = subprocess.run(["sh", "-c", script, "sh", f"/opt/{name}"], capture_output=True, text=True, check=False)
    assert answer.stdout == f"odd: /opt/{name}\n", answer.stderr


@pytest.mark.parametrize("name", ["sta*", "[a-z]lain", "wha??"])
def test_a_pattern_is_no_file(admin: Path, name: str) -> None:
    script = LITERAL + f'dpkg-query --admindir={admin} -S "$(literal "$1")"'
    answer = subprocess.run(["sh", "-c", script, "sh", f"/opt/{name}"], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
