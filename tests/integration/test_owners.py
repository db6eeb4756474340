"""A file of a package belongs to it, whatever its name: dpkg reads names as patterns."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.control.owners import Each, owned, owners

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


@pytest.fixture
def each(admin: Path, monkeypatch: pytest.MonkeyPatch) -> Each:
    """``Installation.each`` on this machine, with that database."""
    monkeypatch.setenv("DPKG_ADMINDIR", str(admin))

    def run(script: str, paths: Sequence[str]) -> list[str]:
        answer = subprocess.run(["sh", "-c", script, "sh", *paths], capture_output=True, text=True, check=False)
        return answer.stdout.split("\0")[:-1]

    return run


def test_files_of_packages_are_known_by_their_own_names(each: Each) -> None:
    paths = [f"/opt/{name}" for name in NAMES]
    assert owners(each, [*paths, "/opt/other", "/usr/opt/plain"]) == {
        **{path: {"odd"} for path in paths},
        "/usr/opt/plain": {"odd"},
    }


@pytest.mark.parametrize("name", ["sta*", "[a-z]lain", "wha??", "plai", "plain/"])
def test_a_pattern_is_no_file(each: Each, name: str) -> None:
    assert owners(each, [f"/opt/{name}"]) == {}


def test_a_link_belongs_to_the_package_of_what_it_leads_to(each: Each, tmp_path: Path) -> None:
    (tmp_path / "wants").symlink_to("/opt/plain")
    (tmp_path / "own").symlink_to("/opt/other")
    assert owned(each, [str(tmp_path / "wants"), str(tmp_path / "own")]) == {str(tmp_path / "wants")}


def test_what_a_removed_package_has_left_is_not_owned(each: Each, admin: Path) -> None:
    status = admin / "status"
    text = status.read_text()
    status.write_text(text.replace("install ok installed", "deinstall ok config-files"))
    try:
        assert owners(each, ["/opt/plain"]) == {"/opt/plain": {"odd"}}
        assert owned(each, ["/opt/plain"]) == set()
    finally:
        status.write_text(text)


def test_nothing_is_asked_for_nothing(each: Each) -> None:
    assert (owners(each, []), owned(each, [])) == ({}, set())
