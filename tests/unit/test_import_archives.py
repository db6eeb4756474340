"""Images in archives of docker save and of the OCI layout become targets, or are refused in a sentence."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from harness.containers.imported import kept_file
from harness.errors import UsageError
from harness.importing.trees import Tree
from tests.imports import Place, digest
from tests.roots import config, files, laid_out, saved, tar_of


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
