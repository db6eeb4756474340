"""What a center holds becomes a target once it is what it is said to be; what is refused leaves nothing behind."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import struct
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
from harness.importing.disks import Account, import_disk
from harness.importing.importing import Import, import_root
from harness.importing.proving import without_campaign
from harness.importing.registry import import_image
from harness.importing.trees import Tree
from harness.machines.placing import by_container, by_vm
from harness.model.definitions import Cpu, Os
from harness.reading.entries import entry
from harness.reading.parsing import parse
from harness.virtual.foreign import Start, format_of
from tests.imports import Place, digest
from tests.roots import RELEASE, config, files, laid_out, saved, tar_of

Root = Callable[..., Import]


def cpu(name: str) -> Cpu:
    value = entry(f"cpu/{name}")[2]
    assert isinstance(value, Cpu)
    return value


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


# --- archives of images


def image(name: str = "", architecture: str = "x86_64", **change: Any) -> tuple[str, list[bytes], bytes]:
    layers = [tar_of({**files(architecture), **change})]
    return name, layers, config(layers, architecture)


@pytest.mark.parametrize("pack", [saved, laid_out])
def test_an_image_is_known_by_its_id_and_kept_without_names(place: Place, pack: Callable[..., bytes]) -> None:
    one = image("harness-base:debian-12-amd64-0")
    result = place.import_archive(pack(one))
    written = place.entry()["imported"]["x86_64"]
    assert (written["form"], written["image"]) == ("image", f"sha256:{digest(one[2])}")
    kept = kept_file(place.cache, result.digest).read_bytes()
    assert digest(kept) == result.digest == written["sha256"]
    assert b"harness-base" not in kept
    with tarfile.open(fileobj=io.BytesIO(kept)) as tar:
        (listed,) = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert listed["RepoTags"] is None


def test_the_same_image_in_either_kind_of_archive_is_the_same_import(place: Place) -> None:
    one = image("a:1")
    assert place.import_archive(saved(one)).changed
    assert not place.import_archive(laid_out(image("b:2"), nested=True)).changed
    assert not place.import_archive(gzip.compress(saved(one))).changed


def test_of_several_images_one_is_chosen_by_its_id_alone(place: Place) -> None:
    first, second = image("a:1"), image("b:1", more=b"x")
    data = saved(first, second)
    with pytest.raises(UsageError, match="holds 2 images that fit") as caught:
        place.import_archive(data)
    assert "--image ID" in caught.value.advice
    assert digest(first[2])[:12] in caught.value.message
    with pytest.raises(UsageError, match="holds no image b:1"):
        place.import_archive(data, "b:1")
    assert place.left() == []
    assert place.import_archive(data, digest(second[2])[:10]).changed
    assert place.entry()["imported"]["x86_64"]["image"] == f"sha256:{digest(second[2])}"


def test_of_several_architectures_one_is_chosen(place: Place) -> None:
    data = laid_out(image(), image(architecture="aarch64"), nested=True)
    with pytest.raises(UsageError, match="holds 2 images that fit"):
        place.import_archive(data)
    with pytest.raises(UsageError, match="holds no image of loongarch64"):
        place.import_archive(data, architecture="loongarch64")
    assert place.import_archive(data, architecture="aarch64").facts.architecture == "aarch64"


def test_an_image_that_lies_about_its_architecture_is_refused(place: Place) -> None:
    _, layers, _ = image(architecture="aarch64")
    with pytest.raises(UsageError, match="says that it is of x86_64, its programs are of aarch64"):
        place.import_archive(saved(("", layers, config(layers, "x86_64"))))
    assert place.left() == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no whole archive|no archive"),
        (b"nonsense" * 100, "no whole archive"),
        (tar_of(files()), "neither manifest.json nor index.json"),
        (tar_of({"manifest.json": b"[]"}), "holds no image"),
        (tar_of({"manifest.json": b"{"}), "manifest.json is no JSON"),
        (tar_of({"manifest.json": b'[{"Config": "x.json", "Layers": []}]'}), "lacks 'x.json'"),
        (tar_of({"index.json": b'{"manifests": [{"digest": "sha256:00"}]}'}), "'sha256:00' is no digest"),
        (tar_of({"index.json": b'{"manifests": [{"digest": "sha256:%s"}]}' % (b"0" * 64)}), "lacks"),
        (saved(("", [b"no tar"], config([b"no tar"]))), "layer 1 .* no whole tar archive"),
        (saved(("", [tar_of(files())], config([b"another"]))), "not what its image says"),
        (saved(("", [tar_of(files())], config([]))), r"is damaged: it has 1 layers, and .* names 0"),
        (saved(("", [tar_of(files())], config([tar_of(files())], system="windows"))), "not of Linux"),
        (saved(image())[:-20000], "no whole archive"),
    ],
)
def test_what_is_no_archive_of_an_image_ends_in_a_sentence(place: Place, data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        place.import_archive(data)
    assert caught.value.advice
    assert place.left() == []


SHAPES = [
    "null",
    "1",
    '"x"',
    "{}",
    "[null]",
    "[1]",
    "[[]]",
    "[{}]",
    '[{"Config": null, "Layers": []}]',
    '[{"Config": "a", "Layers": 1}]',
    '[{"Config": "a", "Layers": [null]}]',
    '[{"Config": ["a"], "Layers": []}]',
    '[{"Config": "a", "Layers": [], "RepoTags": "x"}]',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text[:30])
def test_a_list_of_images_of_another_shape_is_said_to_be_that(place: Place, text: str) -> None:
    with pytest.raises(UsageError, match=r"manifest\.json is (no JSON|not as it should be): ") as caught:
        place.import_archive(tar_of({"manifest.json": text.encode()}))
    assert not re.search(r"NoneType|object|subscript|attribute|argument|indices", caught.value.message)
    assert caught.value.advice


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '{"manifests": 1}',
        '{"manifests": [null]}',
        '{"manifests": [{}]}',
        '{"manifests": [{"digest": 1}]}',
    ],
)
def test_an_index_of_another_shape_is_said_to_be_that(place: Place, text: str) -> None:
    with pytest.raises(UsageError, match=r"index\.json is not as it should be: "):
        place.import_archive(tar_of({"index.json": text.encode()}))


@pytest.mark.parametrize(
    "text", ["null", "[]", "{}", '{"rootfs": null}', '{"rootfs": {"diff_ids": ["sha256:1"]}}', "x"]
)
@pytest.mark.parametrize("pack", [saved, laid_out])
def test_a_configuration_of_another_shape_is_said_to_be_that(
    place: Place, pack: Callable[..., bytes], text: str
) -> None:
    with pytest.raises(UsageError, match=r"is (no JSON|not as it should be): "):
        place.import_archive(pack(("", [tar_of(files())], text.encode())))


def members_of(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize("pack", [saved, laid_out])
def test_a_configuration_that_is_not_the_one_of_its_digest_is_refused(place: Place, pack: Callable[..., bytes]) -> None:
    _, layers, settings = image()
    other = config(layers).replace(b'"config": {}', b'"config": {"User": "else"}')
    swapped = {
        name: other if content == settings else content
        for name, content in members_of(pack(("", layers, settings))).items()
    }
    with pytest.raises(UsageError, match=f"the content of sha256:{digest(settings)} is another one"):
        place.import_archive(tar_of(swapped))
    assert place.left() == []


def packed(layer: bytes, **change: Any) -> bytes:
    """An archive of the image layout with one layer, stored with gzip; ``change``: what its descriptor says."""
    settings, stored = config([layer]), gzip.compress(layer, mtime=0)
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, **more: Any) -> dict[str, Any]:
        blobs[f"blobs/sha256/{digest(data)}"] = data
        return {"digest": f"sha256:{digest(data)}", "size": len(data), **more}

    own = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **change}
    described = {key: value for key, value in blob(stored, **own).items() if value is not None}
    blobs[f"blobs/{described['digest'].replace(':', '/')}"] = stored
    manifest = blob(json.dumps({"config": blob(settings), "layers": [described]}).encode())
    return tar_of({"index.json": json.dumps({"manifests": [manifest]}).encode(), **blobs})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mediaType": None},
        {"size": None},
        {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"},
        {"mediaType": "application/vnd.oci.image.layer.v1.tar"},
    ],
)
def test_a_layer_is_what_its_descriptor_says(place: Place, change: dict[str, Any]) -> None:
    assert place.import_archive(packed(tar_of(files()), **change)).changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digest": f"sha256:{'0' * 64}"}, f"the content of sha256:{'0' * 64} is another one"),
        ({"digest": f"sha512:{'0' * 128}"}, f"the content of sha512:{'0' * 128} is another one"),
        ({"digest": f"md5:{'0' * 32}"}, "is no digest"),
        ({"size": 7}, "and is said to have 7"),
        ({"size": "7"}, "should be a valid integer"),
        ({"mediaType": "text/plain"}, "of a kind that is no layer of files: text/plain"),
        ({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"}, "is encrypted: application/vnd"),
        ({"mediaType": "application/vnd.oci.image.layer.v1.tar+encrypted"}, "is encrypted: application/vnd"),
    ],
)
def test_a_layer_that_is_not_what_its_descriptor_says_is_refused(
    place: Place, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        place.import_archive(packed(tar_of(files()), **change))
    assert words in caught.value.message
    assert (place.left(), place.proved) == ([], [])


def test_what_signs_an_image_is_no_image(place: Place) -> None:
    members = members_of(packed(tar_of(files())))
    listed = json.loads(members["index.json"])
    kind = "application/vnd.dev.cosign.simplesigning.v1+json"
    note = json.dumps({"config": {"digest": f"sha256:{'0' * 64}", "mediaType": kind}, "layers": []}).encode()
    members[f"blobs/sha256/{digest(note)}"] = note
    listed["manifests"].append({"digest": f"sha256:{digest(note)}", "size": len(note)})
    members["index.json"] = json.dumps(listed).encode()
    assert place.import_archive(tar_of(members)).changed


def test_layers_hide_what_is_below_them() -> None:
    lower = tar_of({"etc/a": b"1", "etc/b": b"1", "opt/x/deep/file": b"1", "opt/y": b"1", "srv/d/e": b"1"})
    upper = tar_of({"etc/.wh.a": b"", "opt/x/.wh..wh..opq": b"", "opt/x/new": b"2", "srv/d": b"now a file"})
    tree = Tree(layered=True)
    for layer in (lower, upper):
        tree.add(io.BytesIO(layer), "a layer")
    assert set(tree.nodes) == {"etc/b", "opt/x/new", "opt/y", "srv/d"}


def test_an_image_of_layers_is_attested_by_what_is_on_top(place: Place) -> None:
    layers = [
        tar_of(files()),
        tar_of({"usr/lib/.wh.os-release": b"", "etc/.wh.os-release": b""}),
        tar_of({"etc/os-release": b"ID=top\nVERSION_ID=2\n"}),
    ]
    assert place.import_archive(saved(("", layers, config(layers)))).name == "top-2"
    with pytest.raises(UsageError, match="no os-release"):
        place.import_archive(saved(("", layers[:2], config(layers[:2]))))


# --- disks


def disk(**change: bytes) -> bytes:
    """The head of a qcow2 (docs/interop/qcow2.rst of QEMU), version 3."""
    parts = {
        "magic": b"QFI\xfb",
        "version": (3).to_bytes(4),
        "backing": bytes(8),
        "rest": struct.pack(">IIQIIQQIIQ", 0, 16, 1 << 20, 0, 1, 4096, 8192, 0, 0, 0),
        "features": bytes(8),
    }
    return b"".join({**parts, **change}.values()).ljust(1 << 16, b"\0")


@pytest.mark.parametrize(
    ("data", "kernel", "words"),
    [
        (disk(backing=(4096).to_bytes(8)), False, "leads to another file"),
        (disk(features=(4).to_bytes(8)), True, "leads to another file"),
        (b"KDMV" + bytes(1000), False, "format VMDK"),
        (bytes(4096), False, "neither a qcow2 nor a raw disk"),
        (b"", False, "neither a qcow2 nor a raw disk"),
    ],
)
def test_a_disk_that_leads_elsewhere_or_is_none_is_refused(
    tmp_path: Path, data: bytes, kernel: bool, words: str
) -> None:
    (tmp_path / "d").write_bytes(data)
    with pytest.raises(UsageError, match=words) as caught:
        format_of(tmp_path / "d", Start(architecture="x86_64", kernel=Path("vmlinuz") if kernel else None))
    assert caught.value.advice


def test_disks_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    own, beside = Start(architecture="x86_64"), Start(architecture="x86_64", kernel=Path("vmlinuz"))
    (tmp_path / "q").write_bytes(disk())
    (tmp_path / "r").write_bytes(bytes(510) + b"\x55\xaa")
    (tmp_path / "f").write_bytes(bytes(4096))
    assert [format_of(tmp_path / name, own) for name in "qr"] == ["qcow2", "raw"]
    assert format_of(tmp_path / "f", beside) == "raw"


@pytest.mark.parametrize("account", [Account(), Account(key="env:K", password="env:P")])
def test_a_disk_needs_one_way_in(place: Place, account: Account) -> None:
    with pytest.raises(UsageError, match="a key or a password"):
        import_disk(
            place.file(disk()),
            place.wanted(),
            place.prove,
            account,
            Start(architecture="x86_64"),
            seconds=1,
            cache=place.cache,
        )


def test_a_disk_is_known_again_though_its_files_are_others_after_each_boot(place: Place) -> None:
    def boot(number: int, **wanted: Any) -> Import:
        root = place.file(tar_of({**files(), "var/log/boot": b"x" * number}))
        return import_root(
            root, place.wanted(**wanted), place.prove, origin="disk d", origin_sha256="0" * 64, cache=place.cache
        )

    first = boot(1)
    before = place.left()
    second = boot(2)
    assert (second.changed, second.digest, place.left()) == (False, first.digest, before)
    kept_file(place.cache, first.digest).unlink()
    with pytest.raises(UsageError, match="not in the cache any more") as caught:
        boot(3)
    assert "--replace" in caught.value.advice
    assert boot(3, replace=True).changed


KERNEL = {"usr/sbin/sshd": b"x", "usr/bin/ip": b"x", "lib/modules/6.1-x/modules.dep": b"", "boot/vmlinuz-6.1-x": b"x"}


@pytest.mark.parametrize("lacking", ["", *KERNEL])
def test_virtual_machines_are_made_of_a_disk_that_has_all_they_need(place: Place, lacking: str) -> None:
    root = place.file(tar_of({**files(), **{k: v for k, v in KERNEL.items() if k != lacking}}))
    result = import_root(root, place.wanted(), place.prove, kernel="6.1-x", cache=place.cache)
    system = parse(result.path, Os)
    assert (by_vm(system, cpu("x86-64")).fidelity is None) == bool(lacking)
    assert by_vm(system, cpu("kunpeng-920")).fidelity is None
    assert by_container(system, cpu("x86-64")).fidelity is not None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("12", "12"),
        ('"V10"', "V10"),
        ("'V10'", "V10"),
        (r'"a \"b\" \$c"', 'a "b" $c'),
        ('"', ""),
        ("a b", ""),
        ("", ""),
    ],
)
def test_values_of_os_release_lose_their_quotes(place: Place, written: str, meant: str) -> None:
    text = f"ID=x\nVERSION_ID={written}\n".encode()
    assert place.import_root(tar_of({**files(), "usr/lib/os-release": text})).facts.version == meant


@pytest.mark.parametrize("reference", ["debian:12", "lab/debian:12", "debian", "127.0.0.1:5000/a b:1"])
def test_a_reference_names_its_registry(tmp_path: Path, place: Place, reference: str) -> None:
    nobody: Any = None
    with pytest.raises(UsageError, match="names no registry"):
        import_image(reference, place.wanted(), place.prove, nobody, tmp_path)


def test_an_emulator_that_ends_by_itself_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """And a guest that refuses the login is not."""
    emulator = tmp_path / "bin" / "qemu-system-x86_64"
    emulator.parent.mkdir()
    emulator.write_text(f"#!/bin/sh\necho started >>{tmp_path}/starts\necho an assertion failed\nexit 134\n")
    emulator.chmod(0o755)
    monkeypatch.setenv("PATH", str(emulator.parent), prepend=":")
    monkeypatch.setattr("harness.virtual.foreign.user_of", lambda name: 0)
    image = place.root / "d.raw"
    image.write_bytes((bytes(510) + b"\x55\xaa").ljust(1 << 20, b"\0"))
    start = Start(architecture="x86_64", accelerator="tcg")
    with pytest.raises(InfrastructureError, match=r"the virtual machine ended; qemu.log: an assertion failed"):
        import_disk(image, place.wanted(), place.prove, Account(key="env:K"), start, seconds=30, cache=place.cache)
    assert (tmp_path / "starts").read_text().count("started") == 2
    assert place.left() == []
