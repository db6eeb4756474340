"""What a center holds becomes a target once it is what it is said to be; what is refused leaves nothing behind."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.containers.engine_errors import engine_errors
from harness.containers.imported import kept_file
from harness.errors import AttestationMismatch, HarnessError, InfrastructureError, ProvisionError, UsageError
from harness.importing.importing import Import, import_root
from harness.importing.proving import without_campaign
from harness.importing.trees import Tree
from harness.model.definitions import Os
from harness.reading.parsing import parse
from tests.imports import Place, digest
from tests.roots import RELEASE, config, files, saved, tar_of

Root = Callable[..., Import]


def test_a_root_becomes_an_entry_that_says_what_was_attested(place: Place) -> None:
    data = tar_of(files())
    result = place.import_root(data)
    assert (result.name, result.changed, result.digest) == ("testlinux-1.0", True, digest(data))
    written = place.entry()
    assert written["identity"] == {
        "ID": "testlinux",
        "VERSION_ID": "1.0",
        "PRETTY_NAME": "Test Linux 1.0, a test distribution",
    }
    assert (written["family"], written["package_manager"], written["glibc"]) == ("debian", "apt", "2.36")
    assert written["architectures"] == ["x86_64"]
    assert written["name"]["en"] == "Test Linux 1.0, a test distribution (imported)"
    assert written["imported"]["x86_64"]["sha256"] == digest(data)
    assert kept_file(place.cache, digest(data)).read_bytes() == data
    read = parse(result.path, Os)
    assert (read.obstacle, read.brings("x86_64"), read.brings("aarch64")) == ("", True, False)
    assert place.proved == [("testlinux-1.0", "x86_64")]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_compressed_root_is_the_same_root(place: Place, packer: str) -> None:
    data = tar_of(files())
    first = place.import_root(data)
    second = place.import_root(PACKERS[packer](data), "system.tar.z")
    assert (second.digest, first.changed, second.changed) == (first.digest, True, False)


@pytest.mark.parametrize("packer", [None, *PACKERS])
@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_a_root_that_is_cut_off_is_refused(place: Place, packer: str | None, part: float) -> None:
    data = tar_of(files())
    whole = data if packer is None else PACKERS[packer](data)
    kept = whole[: int(len(whole) * part)] if packer else data[: int((len(data) - 10240) * part)]
    with pytest.raises(UsageError, match=r"no whole tar archive|is damaged"):
        place.import_root(kept)
    assert place.left() == []


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_root_ends_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = bytearray(tar_of(files()))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    there = Place(tmp_path_factory.mktemp("damaged"))
    refusal = None
    try:
        there.import_root(bytes(whole), id="testlinux")
    except HarnessError as error:
        refusal = error
    assert refusal is None or refusal.advice
    assert (there.folder / "targets").exists() == (refusal is None)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def device(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = tarfile.BLKTYPE, 8, 0
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        link("etc/out", "../../../../root/.ssh/authorized_keys"),
        link("usr/out", "../../etc/shadow"),
        link("etc/hard", "../../etc/shadow", tarfile.LNKTYPE),
        link("../out", "x"),
        link("etc/../../out", "x"),
        device("etc/disk"),
    ],
    ids=lambda info: f"{info.name}->{info.linkname}",
)
def test_what_leads_out_of_the_root_is_refused(place: Place, hostile: tarfile.TarInfo) -> None:
    with pytest.raises(UsageError, match=r"leads out of its root|device outside") as caught:
        place.import_root(tar_of(files(), [hostile]))
    assert "nothing was imported" in caught.value.advice
    assert place.left() == []


def plain(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


#: Members behind those of a whole root that no engine makes that root of, and words of the refusal.
BROKEN_BY = [
    ([plain("usr/bin/dash")], "'usr/bin/dash' is in it twice"),
    ([plain("./usr/bin/dash")], "'usr/bin/dash' is in it twice"),
    ([plain("usr/./bin/dash")], "'usr/bin/dash' is in it twice"),
    ([plain("usr//bin/dash")], "'usr/bin/dash' is in it twice"),
    ([plain("/usr/bin/dash")], "'usr/bin/dash' is in it twice"),
    ([plain("opt/a", tarfile.DIRTYPE), plain("opt/a/", tarfile.DIRTYPE)], "'opt/a' is in it twice"),
    ([plain("./", tarfile.DIRTYPE), plain(".", tarfile.DIRTYPE)], "'./' is in it twice"),
    (
        [link("opt/hard", "opt/absent", tarfile.LNKTYPE)],
        "'opt/hard' is a hard link to 'opt/absent', which is not there",
    ),
    ([plain("opt/f", tarfile.DIRTYPE), link("opt/hard", "opt/f", tarfile.LNKTYPE)], "is a hard link to 'opt/f'"),
    ([plain("opt/a/b"), plain("opt/a")], "'opt/a' is a folder, and then something else"),
    ([plain("opt/a/b"), link("opt/a", "/srv")], "'opt/a' is a folder, and then something else"),
    ([plain("opt/a"), plain("opt/a/b")], "'opt/a/b' is beneath 'opt/a', which is no folder"),
    ([plain("opt/a"), plain("opt/a/b/c")], "'opt/a/b/c' is beneath 'opt/a', which is no folder"),
]


@pytest.mark.parametrize(("members", "words"), BROKEN_BY, ids=lambda value: value if isinstance(value, str) else "")
def test_what_no_engine_unpacks_is_refused_by_the_scan(
    place: Place, members: list[tarfile.TarInfo], words: str
) -> None:
    with pytest.raises(UsageError, match="is no whole root") as caught:
        place.import_root(tar_of(files(), members))
    assert words in caught.value.message
    layers = [tar_of(files()), tar_of({"usr/bin/dash": b"new"}, members)]
    with pytest.raises(UsageError, match=r"layer 2 of system\.tar is no whole layer") as caught:
        place.import_archive(saved(("", layers, config(layers))))
    assert words in caught.value.message
    assert (place.left(), place.proved) == ([], [])


@pytest.mark.parametrize("name", [".wh.x", "opt/.wh.x", "opt/.wh..wh..opq", ".wh..wh.aufs", ".wh."])
def test_a_root_with_names_that_remove_files_of_an_image_is_refused(place: Place, name: str) -> None:
    with pytest.raises(UsageError, match=r"is no whole root: .* by which an image's layer removes"):
        place.import_root(tar_of(files(), [plain(name)]))
    assert (place.left(), place.proved) == ([], [])


@pytest.mark.parametrize("name", [".wh...", "opt/.wh...", "opt/.wh..", ".wh.", "opt/.wh."])
def test_a_layer_that_removes_what_is_no_file_is_refused(place: Place, name: str) -> None:
    layers = [tar_of(files(), [plain(name)])]
    with pytest.raises(UsageError, match=r"is no whole layer: .* removes what is no file"):
        place.import_archive(saved(("", layers, config(layers))))
    assert (place.left(), place.proved) == ([], [])


def test_a_hard_link_is_the_file_or_the_link_that_it_names(place: Place) -> None:
    hard = [link("usr/bin/second", "bin/dash", tarfile.LNKTYPE), link("usr/bin/third", "./usr/bin/sh", tarfile.LNKTYPE)]
    tree = Tree()
    tree.add(io.BytesIO(tar_of(files(), hard)), "a root")
    assert tree.nodes["usr/bin/second"] == tree.nodes["usr/bin/dash"]
    assert tree.nodes["usr/bin/third"].target == "dash"


def test_the_same_path_in_two_layers_is_no_fault(place: Place) -> None:
    layers = [tar_of(files()), tar_of({"usr/bin/dash": files()["usr/bin/dash"], "opt": b"x"}), tar_of({"opt/x": b"x"})]
    assert place.import_archive(saved(("", layers, config(layers)))).changed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Error processing tar file(exit status 1): x", "answered, and refused the archive: Error processing tar file"),
        ("write /var/lib/docker/x: no space left on device", "no space left on the disk of the Docker engine"),
    ],
)
def test_a_refusal_of_the_engine_is_its_answer_and_an_import_is_repeated_not_resumed(answer: str, words: str) -> None:
    with pytest.raises(InfrastructureError, match=words) as caught, without_campaign(), engine_errors("loading x"):
        raise docker.errors.ImageLoadError(answer)
    assert "does not answer" not in caught.value.message
    assert caught.value.advice
    assert "resume" not in caught.value.advice


def test_an_engine_that_is_away_is_no_reason_to_resume_an_import() -> None:
    with pytest.raises(InfrastructureError, match="does not answer") as caught, without_campaign(), engine_errors("x"):
        raise docker.errors.DockerException("Connection refused")
    assert caught.value.advice.endswith("then repeat the import")


def test_links_within_the_root_are_no_reason_to_refuse(place: Place) -> None:
    node = device("dev/sda")
    links = [link("etc/alternatives/x", "/etc/x"), link("etc/mtab", "../proc/self/mounts"), node]
    assert place.import_root(tar_of(files(), links)).changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"usr/lib/os-release": None}, "no os-release"),
        ({"usr/lib/os-release": b"NAME=x\n"}, "names no ID"),
        ({"usr/lib/os-release": b"ID=x\nPRETTY_NAME=\x1b[2Jevil\n"}, "steers terminals"),
        ({"usr/lib/os-release": b"ID=" + b"x" * 500 + b"\n"}, "steers terminals"),
        ({"usr/bin/sh": None}, "has no sh"),
        ({"usr/bin/timeout": None}, "has no timeout"),
        ({"usr/bin/sleep": None}, "has no sleep"),
        ({"usr/bin/dash": b"#!/bin/false\n"}, "no architecture in common"),
        ({"usr/lib64/ld-linux-x86-64.so.2": None}, "its C library is not glibc"),
        ({"var/lib/dpkg/status": None}, "no database of packages"),
        ({"var/lib/dpkg/status": b""}, "no database of packages"),
        ({"usr/bin/sh": "-> sh"}, "in a circle"),
    ],
)
def test_what_is_no_system_is_said_to_be_none(place: Place, change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        place.import_root(tar_of({**files(), **change}))
    assert caught.value.advice
    assert place.left() == []


def test_programs_of_two_architectures_are_no_system(place: Place) -> None:
    mixed = {**files(), "usr/bin/timeout": files("aarch64")["usr/bin/timeout"]}
    with pytest.raises(UsageError, match="no architecture in common: sh: x86_64, sleep: x86_64, timeout: aarch64"):
        place.import_root(tar_of(mixed))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"id": "kylin"}, "id: expected kylin (--id), attested testlinux"),
        ({"version": "V10"}, "version: expected V10 (--version), attested 1.0"),
        ({"architecture": "aarch64"}, "architecture: expected aarch64 (--arch), attested x86_64"),
        ({"known": "kylin-v10-sp3"}, "os-release ID: expected kylin (kylin-v10-sp3), attested testlinux"),
        ({"known": "kylin-v10-sp3"}, "/etc/kylin-release: expected a file (kylin-v10-sp3), attested nothing"),
        ({"known": "debian-12"}, "os-release ID: expected debian (debian-12), attested testlinux"),
    ],
)
def test_what_is_not_what_it_claims_is_refused(place: Place, wanted: dict[str, str], words: str) -> None:
    with pytest.raises(AttestationMismatch) as caught:
        place.import_root(tar_of(files()), **wanted)
    assert words in caught.value.message
    assert "--" not in caught.value.advice, "it would read as: claim something else until it passes"
    assert place.left() == []


DEBIAN = b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


def test_what_the_catalogue_knows_is_imported_as_that_and_never_unsaid(place: Place) -> None:
    data = tar_of({**files(), "usr/lib/os-release": DEBIAN, "etc/debian_version": b"12.9\n"})
    with pytest.raises(UsageError, match="a system of the name debian-12 already") as caught:
        place.import_root(data)
    assert "--as debian-12" in caught.value.advice
    assert place.left() == []
    result = place.import_root(data, known="debian-12")
    written = place.entry("debian-12")
    assert result.name == "debian-12"
    assert not {"suite", "vm_kernel", "pulled"} & written.keys(), "it would be built from packages, not of the import"
    assert written["identity"]["ID"] == "debian"
    assert parse(result.path, Os).import_of("x86_64") is not None


def test_the_same_again_changes_nothing_and_something_else_is_refused(place: Place) -> None:
    data, other = tar_of(files()), tar_of({**files(), "etc/more": b"x"})
    assert place.import_root(data).changed
    before = place.left()
    assert not place.import_root(data, "another-name.tar").changed
    assert place.left() == before
    with pytest.raises(UsageError, match="is another import") as caught:
        place.import_root(other)
    assert "--replace" in caught.value.advice
    assert place.left() == before
    assert place.import_root(other, replace=True).changed
    assert place.entry()["imported"]["x86_64"]["sha256"] == digest(other)


def test_an_entry_that_somebody_wrote_is_not_written_over(place: Place) -> None:
    path = place.folder / "targets" / "os" / "testlinux-1.0.yaml"
    path.parent.mkdir(parents=True)
    text = (Path(__file__).parents[2] / "targets" / "os" / "kylin-v10-sp3.yaml").read_text()
    path.write_text(text.replace("os: kylin-v10-sp3", "os: testlinux-1.0"))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="not an import"):
        place.import_root(tar_of(files()))
    assert path.read_bytes() == before


def test_another_architecture_joins_the_entry_and_stays_when_the_first_is_replaced(place: Place) -> None:
    place.import_root(tar_of(files()))
    place.import_root(tar_of(files("aarch64")))
    assert place.entry()["imported"].keys() == {"x86_64", "aarch64"}
    assert place.entry()["architectures"] == ["x86_64", "aarch64"]
    other = tar_of({**files(), "etc/more": b"x"})
    place.import_root(other, replace=True)
    assert place.entry()["imported"]["x86_64"]["sha256"] == digest(other)
    assert "aarch64" in place.entry()["imported"]
    with pytest.raises(UsageError, match="is another import"):
        place.import_root(
            tar_of({**files("loongarch64"), "usr/lib/os-release": RELEASE.replace("a test", "no test").encode()})
        )


def test_what_the_engine_refuses_leaves_nothing(place: Place) -> None:
    place.refusal = ProvisionError("no", advice="x")
    with pytest.raises(ProvisionError):
        place.import_root(tar_of(files()))
    assert place.left() == []


def test_a_name_is_given_or_made_of_what_the_system_calls_itself(place: Place) -> None:
    data = tar_of({**files(), "usr/lib/os-release": b'ID="Odd_OS"\nVERSION_ID="1/2"\n'})
    assert place.import_root(data).name == "odd_os-1-2"
    assert place.import_root(data, name="lab-linux").name == "lab-linux"
    with pytest.raises(UsageError, match="no name of a target"):
        place.import_root(data, name="../x")


def test_a_file_that_is_not_there_is_said_to_be_absent(place: Place) -> None:
    for path in (place.root / "absent.tar", place.root):
        with pytest.raises(UsageError, match="cannot be imported"):
            import_root(path, place.wanted(), place.prove, cache=place.cache)
