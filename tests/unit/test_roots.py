"""Paths inside a foreign root: links in it never lead out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.system.roots import (
    link_in_root,
    make_folder_in_root,
    names_in_root,
    open_in_root,
    remove_in_root,
    write_in_root,
)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A root made by a stranger, and the machine's own folder beside it."""
    root, own = tmp_path / "root", tmp_path / "own"
    for folder in (root / "etc", root / "opt", own):
        folder.mkdir(parents=True)
    (own / "authorized_keys").write_text("the controller's own")
    return root, own


@pytest.mark.parametrize("link", ["absolute", "relative", "above the root", "to a file", "over two links"])
def test_nothing_is_written_or_removed_outside(places: tuple[Path, Path], link: str) -> None:
    root, own = places
    target = {"absolute": str(own), "relative": "../../own", "above the root": "../../../../../.." + str(own)}
    if link == "to a file":
        (root / "etc/ssh").mkdir()
        (root / "etc/ssh/authorized_keys").symlink_to(own / "authorized_keys")
    elif link == "over two links":
        (root / "opt/there").symlink_to(own)
        (root / "etc/ssh").symlink_to("/opt/there")
    else:
        (root / "etc/ssh").symlink_to(target[link])
    for work in (
        lambda: write_in_root(root, "etc/ssh/authorized_keys", b"other"),
        lambda: remove_in_root(root, "etc/ssh/authorized_keys"),
        lambda: link_in_root(root, "/etc/ssh/authorized_keys", "/dev/null"),
        lambda: make_folder_in_root(root, "etc/ssh", 0o700),
        lambda: names_in_root(root, "etc/ssh"),
    ):
        try:
            work()
        except OSError:
            continue
    assert [path.name for path in own.iterdir()] == ["authorized_keys"]
    assert (own / "authorized_keys").read_text() == "the controller's own"
    assert own.stat().st_mode & 0o777 == 0o755


def test_absolute_links_mean_the_root_itself(places: tuple[Path, Path]) -> None:
    root, _ = places
    (root / "etc/alternatives").symlink_to("/opt")
    write_in_root(root, "etc/alternatives/a/b", b"text", 0o640)
    assert (root / "opt/a/b").read_bytes() == b"text"
    assert (root / "opt/a/b").stat().st_mode & 0o777 == 0o640
    with os.fdopen(open_in_root(root, "/etc/alternatives/a/b"), "rb") as file:
        assert file.read() == b"text"
    make_folder_in_root(root, "etc/alternatives/c", 0o700)
    assert names_in_root(root, "etc/alternatives") == ["a", "c"]
    assert names_in_root(root, "nowhere") == []


def test_a_link_to_itself_is_an_error_and_no_endless_walk(places: tuple[Path, Path]) -> None:
    root, _ = places
    (root / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        open_in_root(root, "loop/file")


def test_a_link_is_replaced_and_not_followed(places: tuple[Path, Path]) -> None:
    root, own = places
    (root / "etc/hostname").symlink_to(own / "authorized_keys")
    write_in_root(root, "etc/hostname", b"machine")
    assert not (root / "etc/hostname").is_symlink()
    remove_in_root(root, "etc/hostname")
    remove_in_root(root, "etc/hostname")
    assert names_in_root(root, "etc") == []


@settings(max_examples=60, deadline=None)
@given(path=st.lists(st.sampled_from(["..", ".", "a", "b", "l", "", "etc"]), max_size=8))
def test_whatever_is_walked_stays_inside(tmp_path_factory: pytest.TempPathFactory, path: list[str]) -> None:
    base = tmp_path_factory.mktemp("walk")
    root = base / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "l").symlink_to("/../../" + str(base))
    (root / "a/l").symlink_to("../../..")
    try:
        file = open_in_root(root, "/".join(path), os.O_PATH)
    except OSError:
        return
    try:
        reached = Path(f"/proc/self/fd/{file}").readlink()
    finally:
        os.close(file)
    assert reached == root or root in reached.parents
