"""Archives of images are read without the names in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from harness.containers.cache import MOST_IDS, is_own_image, note_own_image
from harness.containers.loading import loaded_names, names_in, without_names
from harness.errors import UsageError
from tests.images import saved

NAME = "harness-base:debian-12-amd64-0123456789ab"


def content(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_names_are_left_out_and_everything_else_stays(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(gzip.compress(saved(NAME, "other:1")) if packed else saved(NAME, "other:1"))
    assert names_in(path) == [NAME, "other:1"]
    before, after = content(saved(NAME, "other:1")), content(b"".join(without_names(path)))
    assert json.loads(after["manifest.json"])[0]["RepoTags"] is None
    assert "annotations" not in json.loads(after["index.json"])["manifests"][0]
    assert "repositories" not in after
    same = before.keys() - {"manifest.json", "index.json", "repositories"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert NAME.encode() not in b"".join(without_names(path))


@pytest.mark.parametrize("data", [b"", b"not an archive", saved(NAME)[:700], b"\x1f\x8b" + bytes(50)])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is no archive of container images"):
        b"".join(without_names(path))


def test_an_image_is_known_by_the_id_under_which_it_was_made(tmp_path: Path) -> None:
    note_own_image(tmp_path, NAME, "sha256:1")
    note_own_image(tmp_path, "harness-env:1", "sha256:2")
    assert is_own_image(tmp_path, NAME, "sha256:1")
    assert not is_own_image(tmp_path, NAME, "sha256:2")
    assert is_own_image(tmp_path, "harness-env:1", "sha256:2")
    assert is_own_image(tmp_path, "harness-env:3", "sha256:3")  # of before ids were noted
    assert not is_own_image(tmp_path, "harness-env:3", "sha256:4")


def test_engines_that_share_a_cache_know_their_own_images_each(tmp_path: Path) -> None:
    """What the second made is no reason for the first to make its image again; a strange id stays strange."""
    note_own_image(tmp_path, NAME, "sha256:docker")
    note_own_image(tmp_path, NAME, "sha256:podman")
    note_own_image(tmp_path, NAME, "sha256:docker")
    assert is_own_image(tmp_path, NAME, "sha256:docker")
    assert is_own_image(tmp_path, NAME, "sha256:podman")
    assert not is_own_image(tmp_path, NAME, "sha256:pod")
    assert not is_own_image(tmp_path, NAME, "")
    for number in range(MOST_IDS):
        note_own_image(tmp_path, NAME, f"sha256:{number}")
    assert not is_own_image(tmp_path, NAME, "sha256:podman"), "the list does not grow for ever"
    assert all(is_own_image(tmp_path, NAME, f"sha256:{number}") for number in range(MOST_IDS))


@pytest.mark.parametrize(
    ("answers", "names"),
    [
        ([{"stream": "Loaded image ID: sha256:aa\n"}], ["sha256:aa"]),
        # The engine names all of an archive in one answer.
        ([{"stream": "Loaded image ID: sha256:aa\nLoaded image ID: sha256:bb\n"}], ["sha256:aa", "sha256:bb"]),
        ([{"status": "Loading layer"}, {"stream": "Loaded image: a:1\n"}], ["a:1"]),
        ([{"stream": "Loaded image: localhost/a:1, localhost/b:1\n"}], ["localhost/a:1", "localhost/b:1"]),
        ([], []),
    ],
)
def test_every_image_that_was_loaded_is_known(answers: list[dict[str, Any]], names: list[str]) -> None:
    assert loaded_names(answers) == names


def test_an_engine_that_refuses_an_archive_has_answered() -> None:
    with pytest.raises(docker.errors.APIError, match="duplicates of file paths"):
        loaded_names([{"errorDetail": {"message": "duplicates of file paths not supported"}, "error": "x"}])
