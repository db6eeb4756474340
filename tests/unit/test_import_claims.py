"""What an import is said to be, by its maker and by itself, and what its user reads of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.importing import import_command, show
from harness.cli.importing_rpm import from_packages
from harness.errors import UsageError
from harness.importing.importing import import_root
from tests.imports import Place, digest
from tests.roots import config, files, laid_out, saved, tar_of

RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


def debian(**change: Any) -> bytes:
    return tar_of({**files(**change), "usr/lib/os-release": RELEASE.encode(), "etc/debian_version": b"12.9\n"})


def test_the_same_files_as_another_system_are_another_import(place: Place) -> None:
    data = debian()
    assert place.import_root(data, name="s8").changed
    before = place.entry("s8")
    with pytest.raises(UsageError, match="is another import: it is not debian-12") as caught:
        place.import_root(data, name="s8", known="debian-12")
    assert "--replace" in caught.value.advice
    assert place.entry("s8") == before
    assert place.import_root(data, name="s8", known="debian-12", replace=True).changed
    assert place.entry("s8")["name"]["en"] == "Debian 12 (bookworm)"
    for known in ("debian-12", ""):  # what says nothing contradicts nothing
        assert not place.import_root(data, name="s8", known=known).changed


def test_what_is_not_compared_with_a_system_does_not_join_an_entry_that_stands_for_it(place: Place) -> None:
    place.import_root(debian(), known="debian-12", name="s8")
    other = tar_of({**files("aarch64"), "usr/lib/os-release": RELEASE.encode()})
    with pytest.raises(UsageError, match="stands for a system of the catalogue"):
        place.import_root(other, name="s8")
    assert place.entry("s8")["imported"].keys() == {"x86_64"}
    whole = tar_of({**files("aarch64"), "usr/lib/os-release": RELEASE.encode(), "etc/debian_version": b"12.9\n"})
    assert place.import_root(whole, name="s8", known="debian-12").changed
    assert place.entry("s8")["imported"].keys() == {"x86_64", "aarch64"}


def test_an_import_may_be_said_to_be_an_import(place: Place) -> None:
    place.import_root(tar_of(files()))
    assert not place.import_root(tar_of(files()), known="testlinux-1.0").changed


def test_roots_that_were_made_here_are_known_by_their_content_alone(place: Place) -> None:
    """No file was given that they could be known by."""
    first, second = place.file(tar_of(files()), "a"), place.file(tar_of({**files(), "etc/more": b"x"}), "b")
    made = import_root(first, place.wanted(), place.prove, origin="packages of x", cache=place.cache)
    assert (made.origin_sha256, made.digest) == ("", digest(first.read_bytes()))
    with pytest.raises(UsageError, match="is another import: its content is another"):
        import_root(second, place.wanted(), place.prove, origin="packages of x", cache=place.cache)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"ID=\xff\xfe\n", "ID of its os-release is no UTF-8"),
        (b"ID=x\nPRETTY_NAME=\xc0\xd6\n", "PRETTY_NAME of its os-release is no UTF-8"),
        (b"ID=x\nNAME=\xc0\xd6\n", "NAME of its os-release is no UTF-8"),
        (b'ID="Ky Lin/../x"\n', "the ID of its os-release is 'Ky Lin/../x'"),
        (b'ID="Odd OS!"\n', "letters, digits and . _ - alone"),
        ("ID=麒麟\n".encode(), "letters, digits and . _ - alone"),
        (b"ID=a:b\n", "letters, digits and . _ - alone"),
    ],
)
def test_an_id_that_os_release_may_not_have_is_refused(place: Place, text: bytes, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        place.import_root(tar_of({**files(), "usr/lib/os-release": text}))
    assert words in caught.value.message
    assert (place.left(), place.proved) == ([], [])


@pytest.mark.parametrize("name", ["openEuler", "kylin", "neo_kylin", "test.linux-x"])
def test_the_ids_of_vendors_are_taken(place: Place, name: str) -> None:
    assert place.import_root(tar_of({**files(), "usr/lib/os-release": f"ID={name}\n".encode()})).facts.id == name


def test_the_name_of_a_system_may_be_chinese(place: Place) -> None:
    text = 'ID=kylin\nNAME="麒麟"\nPRETTY_NAME="银河麒麟 V10"\n'
    assert place.import_root(tar_of({**files(), "usr/lib/os-release": text.encode()})).facts.title == "银河麒麟 V10"


ODD = ["1", "1.5", "true", "null", "on", "no", "y", "2024-01-01", "1e3", "0x1f", "1_000", "testlinux-1.0"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("given", [True, False], ids=["given", "of os-release"])
def test_what_is_to_be_written_into_the_matrix_is_read_as_that_name(
    place: Place, name: str, given: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    release = "ID=x" if given else f"ID={name}"
    data = tar_of({**files(), "usr/lib/os-release": f"{release}\n".encode()})
    result = place.import_root(data, **({"name": name} if given else {}))
    show(result, "text")
    line = next(line for line in capsys.readouterr().out.splitlines() if "下一步" in line)
    assert yaml.safe_load(line.partition("os: ")[2].removesuffix(" in matrix.yaml")) == [name]
    assert place.entry(name)["os"] == name


def test_digests_are_those_that_others_have_too(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [tar_of(files())]
    settings = config(layers)
    data = saved(("a:1", layers, settings))
    result = place.import_archive(data)
    assert (result.image, result.origin_sha256) == (f"sha256:{digest(settings)}", digest(data))
    assert result.digest not in (digest(data), digest(settings))
    show(result, "text")
    shown = capsys.readouterr().out
    for words in (f"image 镜像: {result.image}", f"file 文件: SHA-256 {digest(data)}", f"SHA-256 {result.digest}"):
        assert words in shown
    show(dataclasses.replace(result, digest="r/x@sha256:0", image="", origin_sha256=""), "text")
    assert "digest 摘要: r/x@sha256:0" in capsys.readouterr().out


@pytest.mark.parametrize("pack", [saved, laid_out])
def test_a_beginning_of_an_id_that_is_empty_chooses_nothing(place: Place, pack: Callable[..., bytes]) -> None:
    layers = [tar_of(files())]
    with pytest.raises(UsageError, match="sha256: is no id of an image"):
        place.import_archive(pack(("", layers, config(layers))), "sha256:")


EMPTY = [
    *((kind, option) for kind in ("image", "archive", "root", "disk") for option in ("name", "as", "id", "version")),
    ("archive", "image"),
    ("disk", "user"),
    ("disk", "key"),
    ("disk", "password"),
]


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(("kind", "option"), EMPTY)
def test_an_option_that_is_given_empty_is_refused(
    kind: str, option: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _refuses_empty(import_command, [kind, "x"], option, value)


@pytest.mark.parametrize("option", ["name", "unsigned", "package", "releasever", "repository"])
def test_an_option_of_packages_that_is_given_empty_is_refused(option: str) -> None:
    _refuses_empty(from_packages, [], option, "")


def _refuses_empty(command: click.Command, arguments: list[str], option: str, value: str) -> None:
    ran = CliRunner().invoke(command, [*arguments, f"--{option}", value])
    assert ran.exit_code == 2
    assert f"--{option}" in ran.output
    assert "it is empty" in ran.output
