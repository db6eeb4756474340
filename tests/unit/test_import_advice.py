"""What is given to the wrong command, or is damaged, is refused with words that lead on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest
from click.testing import CliRunner

from harness.cli.importing import import_command
from harness.errors import UsageError
from harness.importing.disks import Account, import_disk
from harness.importing.importing import import_archive, import_root
from harness.importing.registry import import_image
from harness.virtual.foreign import Start
from tests.imports import Place
from tests.roots import config, files, laid_out, saved, tar_of

ISO = (bytes(32769) + b"CD001").ljust(40960, b"\0")
HYBRID = ISO[:510] + b"\x55\xaa" + ISO[512:]
QCOW2 = b"QFI\xfb".ljust(1024, b"\0")
LAYERS = [tar_of(files())]
IMAGE = ("", LAYERS, config(LAYERS))


def give(place: Place, kind: str, path: Path) -> None:
    if kind == "root":
        import_root(path, place.wanted(), place.prove, cache=place.cache)
    elif kind == "archive":
        import_archive(path, place.wanted(), place.prove, cache=place.cache)
    else:
        start = Start(architecture="x86_64")
        import_disk(path, place.wanted(), place.prove, Account(key="env:K"), start, seconds=1, cache=place.cache)


@pytest.mark.parametrize(
    ("kind", "data", "command"),
    [
        *((kind, data, "import rpm --medium") for kind in ("root", "archive", "disk") for data in (ISO, HYBRID)),
        *((kind, QCOW2, "import disk") for kind in ("root", "archive")),
        *((kind, bytes(510) + b"\x55\xaa", "import disk") for kind in ("root", "archive")),
        *(("root", data, "import archive") for data in (saved(IMAGE), laid_out(IMAGE))),
        ("archive", tar_of(files()), "import root"),
        *(("disk", data, command) for data in (tar_of(files()), b"\x1f\x8b") for command in ("root", "archive")),
    ],
)
def test_what_another_command_takes_is_refused_with_its_name(
    place: Place, kind: str, data: bytes, command: str
) -> None:
    with pytest.raises(UsageError) as caught:
        give(place, kind, place.file(data, "given"))
    assert command in caught.value.advice
    assert place.left() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("麒麟", "麒麟 is no name of a target: it has 麒麟, and may have"),
        ("Kylin", "it has K, and may have"),
        ("a b", "it has  , and may have"),
        ("../x", "it has /, and may have"),
        ("-x", "it begins with -, and must begin with a letter or a digit"),
        (".hid", "it begins with ., and must begin with a letter or a digit"),
        ("x" * 65, "it has 65 characters, and may have 64"),
    ],
)
def test_a_name_that_is_none_is_refused_with_words_that_fit(place: Place, name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        place.import_root(tar_of(files()), name=name)
    assert words in caught.value.message
    assert place.left() == []


@pytest.mark.parametrize("at", ["targets", "targets/os", "targets/os/testlinux-1.0.yaml"])
@pytest.mark.parametrize("what", ["link", "other"])
def test_what_is_in_the_way_of_an_entry_is_named(place: Place, at: str, what: str) -> None:
    path = place.folder / at
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "link":
        path.symlink_to("nowhere")
    elif at.endswith(".yaml"):
        path.mkdir()
    else:
        path.write_text("x")
    with pytest.raises(UsageError) as caught:
        place.import_root(tar_of(files()))
    assert str(path) in caught.value.message
    assert ("a link that leads nowhere" in caught.value.message) == (what == "link")
    assert place.proved == []


def test_a_folder_of_entries_may_be_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (place.folder / "targets").symlink_to(tmp_path / "shared")
    assert place.import_root(tar_of(files())).path.is_file()


@pytest.mark.parametrize("known", ["debian-99", "cpu/x86-64", "x86-64", "../debian-12"])
def test_a_system_that_the_catalogue_has_not_is_said_by_its_name(place: Place, known: str) -> None:
    with pytest.raises(UsageError, match=rf"the catalogue has no system {known}\n"):
        place.import_root(tar_of(files()), known=known)


def test_a_system_may_be_named_with_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def taken(_file: Path, wanted: Any, _prove: Any) -> Any:
        asked.append(wanted.known)
        raise UsageError("no more")

    for name, value in (("Engine", lambda _name: None), ("import_root", taken)):
        monkeypatch.setattr(f"harness.cli.importing.{name}", value)
    for known in ("os/debian-12", "debian-12"):
        ran = CliRunner().invoke(import_command, ["root", "x", "--as", known])
        assert isinstance(ran.exception, UsageError)
    assert asked == ["debian-12", "debian-12"]


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:zz", "sha256:" + "0" * 63, "md5:" + "0" * 32, "0" * 64])
def test_a_digest_that_is_none_is_refused_before_anybody_is_asked(place: Place, digest: str) -> None:
    nobody: Any = None
    with pytest.raises(UsageError, match="no digest behind its @"):
        import_image(f"r.example/x@{digest}", place.wanted(), place.prove, nobody, place.cache)


ANSWERS = [
    (docker.errors.NotFound("manifest for r.example/x:y not found"), "the registry has no r.example/x:y"),
    (docker.errors.APIError("manifest unknown: manifest unknown"), "the registry has no r.example/x:y"),
    (docker.errors.APIError("unexpected status from HEAD request: 404 Not Found"), "the registry has no r.example/x:y"),
    (docker.errors.APIError("received unexpected HTTP status: 404"), "the registry has no r.example/x:y"),
    (docker.errors.APIError("invalid reference format"), "is no name of an image: invalid reference format"),
]


@pytest.mark.parametrize(("answer", "words"), ANSWERS, ids=lambda value: str(value)[:40])
def test_what_a_registry_has_not_is_the_users_matter(place: Place, answer: Exception, words: str) -> None:
    def inspect(_reference: str) -> None:
        raise answer

    api = SimpleNamespace(inspect_distribution=inspect)
    engine: Any = SimpleNamespace(is_podman=False, client=SimpleNamespace(api=api))
    with pytest.raises(UsageError, match=words):
        import_image("r.example/x:y", place.wanted(), place.prove, engine, place.cache)
