"""What a server's machine is made of: a vendor's archive or a reference by its digest, found again, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.engine import VENDOR_IMAGE, Engine
from harness.containers.images import BaseImages
from harness.containers.vendors import server_environment
from harness.errors import AttestationMismatch, HarnessError, UsageError
from harness.model.recipe import ServerImage
from tests.images import saved
from tests.labs import Notes, system
from tests.registries import push, registry_in


@pytest.fixture
def images() -> Iterator[BaseImages]:
    engine = Engine("server-images")
    before = {tag for image in engine.client.images.list() for tag in image.tags}
    yield BaseImages(engine, cache_folder())
    for image in engine.client.images.list():
        for tag in set(image.tags) - before:
            if tag.startswith(VENDOR_IMAGE):
                engine.client.images.remove(tag)


def archive(path: Path, data: bytes, sha256: str = "") -> ServerImage:
    path.write_bytes(data)
    return ServerImage(name=path.name, archive=path, sha256=sha256 or hashlib.sha256(data).hexdigest())


def whole(images: BaseImages, path: Path) -> ServerImage:
    """An archive of an image that machines can be made of: the base image of Debian 12."""
    images.engine.save_image(images.ensure(system("debian-12"), "x86_64", Notes()).id, path)
    return ServerImage(name=path.name, archive=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_an_archive_is_loaded_once_and_known_by_its_digest(images: BaseImages, tmp_path: Path) -> None:
    image = whole(images, tmp_path / "a.tar")
    first = server_environment(images, image, "x86_64", Notes())
    (tmp_path / "a.tar").unlink()  # a second cell needs no file
    second = server_environment(images, image, "x86_64", Notes())
    assert (first.image, first.key) == (second.image, second.key)
    assert second.cached
    assert second.started is not None
    assert second.started.command == ("/bin/sh",)


@pytest.mark.parametrize(
    ("data", "architecture", "kind", "words"),
    [
        (
            saved("v:1", architecture="arm64"),
            "x86_64",
            AttestationMismatch,
            "wrong architecture: the image is built for",
        ),
        (saved("v:1"), "x86_64", AttestationMismatch, "the image has no sh"),
        (b"no archive", "x86_64", UsageError, "no archive of container images"),
    ],
)
def test_what_no_machine_can_be_made_of_is_refused(
    images: BaseImages, tmp_path: Path, data: bytes, architecture: str, kind: type[HarnessError], words: str
) -> None:
    with pytest.raises(HarnessError) as raised:
        server_environment(images, archive(tmp_path / "v.tar", data), architecture, Notes())
    assert type(raised.value) is kind
    assert words in raised.value.message
    assert raised.value.cause == "config"


def test_an_archive_that_is_another_than_declared_is_refused(images: BaseImages, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the SHA-256"):
        server_environment(images, archive(tmp_path / "v.tar", saved("v:1"), "0" * 64), "x86_64", Notes())
    with pytest.raises(UsageError, match="no archive of an image at"):
        server_environment(
            images, ServerImage(name="v", archive=tmp_path / "gone.tar", sha256="1" * 64), "x86_64", Notes()
        )


def test_a_reference_is_pulled_by_its_digest(images: BaseImages, tmp_path: Path) -> None:
    base = images.ensure(system("debian-12"), "x86_64", Notes())
    with registry_in(tmp_path) as address:
        reference = push(images.engine, base.id, f"{address}/vendor/database", "1")
        made = server_environment(images, ServerImage(name="v", reference=reference), "x86_64", Notes())
        assert made.image == base.id
        absent = f"{reference.partition('@')[0]}@sha256:{'0' * 64}"
        with pytest.raises(HarnessError) as raised:
            server_environment(images, ServerImage(name="v", reference=absent), "x86_64", Notes())
    assert raised.value.cause == "infra"
