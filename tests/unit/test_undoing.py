"""What a lab host was before and after, in bytes; what may be removed there, and how the scripts remove it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InfrastructureError
from harness.hosts import keeping, undoing
from harness.hosts.state import LEFT_OUT, HostState, parse_state, printable, topmost
from harness.hosts.undoing import etc_members, new_keys, removable, unescape_mount

NAME = st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
ODD = [b"a\n", b"\n/etc", b"-rf", b"it's", b'"', b"$(touch x)", b"`id`", b"trailing ", b" ", b"\xff\xfe", b"*", b"\\"]
#: Of names that a product can give; a slash in one is a folder.
ODD_NAMES = [name.replace(b"/", b"\n") for name in ODD]
ROOTS = (b"/etc", b"/opt", b"/srv", b"/usr/local", b"/var/lib")
FILE, FOLDER = b"f 3 644 0 0", b"folder 755 0 0"


def state(files: Mapping[bytes, bytes] = {}, **more: Any) -> HostState:  # never changed
    return HostState(files=files, processes={}, roots=ROOTS, **more)


def listing(records: Mapping[bytes, bytes], roots: bytes = b"/opt\n/etc\n", packages: bytes = b"a:all 1\n") -> bytes:
    """As the host writes it."""
    files = b"".join(
        (b"d 4096 755 0 0 1.5" if kind == b"d" else b"f 3 644 0 0 1.5") + b"\0" + path + b"\0\0"
        for path, kind in records.items()
    )
    return (
        b"== packages\0" + packages + b"\0== users\0root:x:0:0:== files:/root:/bin/sh\n\0== groups\0root:x:0:\n\0"
        b"== ports\x000:1F90\n\0== mounts\0/\n/opt/my\\040disk\n/run/user/0\n\0== roots\0"
        + roots
        + b"\0== files\0"
        + files
        + b"== end\0"
    )


def test_what_differs_is_said_in_words() -> None:
    before = state({b"/etc/x": FILE}, packages=frozenset({"a 1"}))
    after = state(
        {b"/etc/x": b"f 4 644 0 0", b"/opt/\xffa\n": FOLDER},
        packages=frozenset({"a 1", "b 2"}),
        ports=frozenset({"0:1F90"}),
    )
    assert before.since(before) == []
    assert after.since(before) == [
        "package new: b 2",
        "port new: 0:1F90",
        "file changed: /etc/x (f 3 644 0 0 -> f 4 644 0 0)",
        r"file new: /opt/\xffa\n (folder 755 0 0)",
    ]


@given(names=st.lists(NAME | st.sampled_from(ODD_NAMES), unique=True, max_size=8))
def test_any_name_is_read_as_it_is(names: list[bytes]) -> None:
    records = {b"/opt/" + name: (b"d" if at % 2 else b"f") for at, name in enumerate(names)}
    seen = parse_state("lab", listing(records), {})
    assert set(seen.files) == set(records)
    assert seen.since(seen) == []
    assert (seen.roots, seen.mounts, seen.ports) == ((b"/opt", b"/etc"), {"/", "/opt/my\\040disk"}, {"0:1F90"})
    assert all(len(printable(path).splitlines()) <= 1 for path in seen.files)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (listing({}, packages=b""), "cannot be listed"),
        (listing({}, roots=b"/opt\n/\n"), "leads to /"),
        (listing({}, roots=b"/o\xff\n"), "leads to /"),
        (b"", "cannot be listed"),
    ],
)
def test_a_listing_that_says_too_little_or_watches_too_much_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(InfrastructureError, match=words):
        parse_state("lab", raw, {})


PATHS = st.lists(NAME | st.sampled_from([*ODD_NAMES, b"opt", b"etc", b"usr", b"local", b"lib"]), min_size=1, max_size=4)


@given(new=st.lists(PATHS, max_size=8), inside=st.booleans(), keep=PATHS)
def test_only_what_is_new_below_a_watched_folder_is_removed(
    new: list[list[bytes]], inside: bool, keep: list[bytes]
) -> None:
    prefix = b"/opt/" if inside else b"/"
    paths = {prefix + b"/".join(words) for words in new}
    kept = Path(os.fsdecode(prefix + b"/".join(keep)))
    now = state({**dict.fromkeys(ROOTS, FOLDER), **dict.fromkeys(paths, FOLDER)})
    for path in removable(state(dict.fromkeys(ROOTS, FOLDER)), now, (kept,), folders=()):
        assert path in paths
        assert path not in ROOTS
        assert any(path.startswith(root + b"/") for root in ROOTS)
        assert not any((root + b"/").startswith(path + b"/") for root in ROOTS)
        assert not (os.fsencode(kept) + b"/").startswith(path + b"/"), "the harness's own folder would go with it"


@pytest.mark.parametrize(
    "path", [b"/", b"/home/", b"/home/x", b"/opt", b"/usr", b"/opt/../home", b"/opt//x", b"/opt/.", b"/var/lib/dpkg"]
)
def test_what_no_listing_should_name_is_never_removed(path: bytes) -> None:
    assert removable(state(), state({path: FOLDER}), folders=()) == []


def test_a_file_that_was_there_and_a_file_that_is_new_are_not_removed() -> None:
    before = state({b"/opt/old": FOLDER})
    now = state({b"/opt/old": FOLDER, b"/opt/old/new": FOLDER, b"/opt/old/new/deep": FOLDER, b"/opt/file": FILE})
    assert removable(before, now) == [b"/opt/old/new"]


def test_etc_is_put_back_from_the_topmost_place_that_differs() -> None:
    before = state({b"/etc": FOLDER, b"/etc/a": FOLDER, b"/etc/a/b": FILE, b"/etc/c\n": FILE, b"/opt/x": FILE})
    now = state({b"/etc": FOLDER, b"/etc/a": b"link 0 0 to /home", b"/etc/c\n": b"f 9 644 0 0"})
    assert etc_members(before, now) == [b"/etc/a", b"/etc/c\n"]


@given(st.lists(PATHS, max_size=8))
def test_topmost_covers_every_path_once(every: list[list[bytes]]) -> None:
    paths = {b"/" + b"/".join(words) for words in every}
    top = topmost(paths)
    for path in paths:
        assert sum(path == one or path.startswith(one + b"/") for one in top) == 1


def test_mount_points_are_read_as_the_kernel_writes_them() -> None:
    assert unescape_mount(r"/opt/a\040b\011\134c") == b"/opt/a b\t\\c"


# --- the scripts, on folders of this machine ---


def run_script(script: str, paths: list[bytes]) -> bytes:
    done = subprocess.run(
        ["sh", "-c", f"xargs -0 -r -n 200 sh -c {shlex.quote(script)} sh"],
        input=b"".join(path + b"\0" for path in paths),
        capture_output=True,
        check=False,
    )
    return done.stdout


@settings(max_examples=15, deadline=None)
@given(names=st.lists(NAME | st.sampled_from(ODD_NAMES), unique=True, min_size=1, max_size=5))
def test_folders_of_any_name_are_removed_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes]
) -> None:
    root = os.fsencode(tmp_path_factory.mktemp("host"))
    (victim := Path(os.fsdecode(root)) / "etc").mkdir()
    gone = [root + b"/opt" + bytes([name[0] % 26 + 97]) + b"/" + name for name in names]
    for path in gone:
        Path(os.fsdecode(path), "deep").mkdir(parents=True, exist_ok=True)
    neighbours = {path.rpartition(b"/")[0] + b"/a neighbour\n" for path in gone}
    for path in neighbours:
        Path(os.fsdecode(path)).write_text("stays")
    run_script(undoing._REMOVE_LISTED, [path for path in gone if path not in neighbours])
    assert not any(os.path.lexists(path) for path in gone if path not in neighbours)
    assert all(os.path.lexists(path) for path in neighbours)
    assert victim.is_dir()


def test_no_link_on_the_way_is_followed(tmp_path: Path) -> None:
    """A product may put a link where a folder was, between the look and the removal."""
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "opt").symlink_to(tmp_path / "home")
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "link").symlink_to(tmp_path / "home")
    refused = run_script(undoing._REMOVE_LISTED, [os.fsencode(tmp_path / "opt" / "data")])
    assert refused == os.fsencode(tmp_path / "opt" / "data") + b"\n"
    run_script(undoing._REMOVE_LISTED, [os.fsencode(tmp_path / "srv" / "link")])
    assert not (tmp_path / "srv" / "link").is_symlink()
    assert (tmp_path / "home" / "data").is_dir()


class Place:
    """The scripts that note and put back, with a folder of their own in place of the host's."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name = "here"
        monkeypatch.setattr(keeping, "KEPT", str(root / "kept"))

    def run(self, script: str, **_: Any) -> Any:
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        return type("Done", (), {"ok": done.returncode == 0, "out": done.stdout, "err": done.stderr})

    def write(self, path: Path, text: str) -> None:
        assert self.run(keeping.note(str(path))).ok
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_files_that_were_written_go_and_files_that_were_replaced_come_back(here: Any, tmp_path: Path) -> None:
    own = tmp_path / "sbin" / "policy-rc.d"
    own.parent.mkdir()
    own.write_text("the host's own")
    own.chmod(0o750)
    new = tmp_path / "usr" / "share" / "it's new\n" / "app"
    for text in ("exit 101", "once more"):  # what is noted first counts
        here.write(own, text)
        here.write(new, text)
    (new.parent / "made at run time").write_text("by the product")
    assert sorted(keeping.noted(here)) == sorted([str(own), str(new)])
    assert keeping.put_back(here)
    assert own.read_text() == "the host's own"
    assert own.stat().st_mode & 0o777 == 0o750
    assert not (tmp_path / "usr").exists(), "the folder that was made for the file stays"
    assert keeping.noted(here) == []
    assert keeping.put_back(here)


def test_one_file_is_put_back_alone(here: Any, tmp_path: Path) -> None:
    here.write(tmp_path / "a", "new")
    here.write(tmp_path / "b", "new")
    assert keeping.put_back(here, str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    assert keeping.noted(here) == [str(tmp_path / "b")]


def test_what_came_with_a_package_that_is_gone_is_not_put_back(here: Any, tmp_path: Path) -> None:
    (tmp_path / "app.conf").write_text("of the package")
    here.write(tmp_path / "app.conf", "of the test")
    owner = next((tmp_path / "kept").glob("*.path")).with_suffix(".owner")
    owner.write_text("no-such-package-here")
    assert keeping.put_back(here)
    assert not (tmp_path / "app.conf").exists()


def test_a_folder_of_the_host_that_took_an_archive_cannot_be_put_back(here: Any, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, compared in (("bin", False), ("new", False)):
        assert here.run(keeping.note_folder(str(tmp_path / name), compared=compared)).ok
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "app").touch()
    assert not keeping.put_back(here)
    assert keeping.noted(here) == [str(tmp_path / "bin")]
    assert (tmp_path / "bin" / "app").exists()
    assert not (tmp_path / "new").exists()


def test_a_link_that_took_the_place_of_a_folder_is_not_written_through(here: Any, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "conf").write_text("before")
    here.write(tmp_path / "etc" / "conf", "new")
    (tmp_path / "etc").rename(tmp_path / "moved")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "conf").write_text("precious")
    (tmp_path / "etc").symlink_to(tmp_path / "home")
    assert not keeping.put_back(here)
    assert (tmp_path / "home" / "conf").read_text() == "precious"
    assert keeping.noted(here) == [str(tmp_path / "etc" / "conf")]


def test_keys_of_repositories_that_are_new_are_known_by_their_versions() -> None:
    """They bear one name, so a host that had another key has none of that name that is new."""
    old, new = "gpg-pubkey.(none) 8483c65d-5ccc5b19", "gpg-pubkey.(none) 3d5f0a12-65a1b2c3"
    long = f"gpg-pubkey.(none) {'ab' * 20}-65a1b2c3"
    odd = {"gpg-pubkey.(none) $(x)-1", "gpg-pubkey-tools.noarch 1-1", "seeded.noarch 1.0-1"}
    before, now = state(packages=frozenset({old})), state(packages=frozenset({old, new, long, *odd}))
    assert new_keys(before, now) == ["gpg-pubkey-3d5f0a12-65a1b2c3", f"gpg-pubkey-{'ab' * 20}-65a1b2c3"]
    assert new_keys(now, now) == []


def test_what_package_managers_keep_of_themselves_is_not_compared() -> None:
    assert {f"/var/lib/{name}" for name in ("dpkg", "apt", "rpm", "dnf", "yum")} <= set(LEFT_OUT)
