"""An archive of a vendor never replaces an image of the harness or of another vendor."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.containers.engine import OWN_IMAGES, VENDOR_IMAGE, Engine
from tests.images import saved


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine("loading")
    before = {tag for image in engine.client.images.list() for tag in image.tags}
    yield engine
    for image in engine.client.images.list():
        for tag in set(image.tags) - before:
            if tag.startswith((VENDOR_IMAGE, "harness-base:test-", "stranger:")):
                engine.client.images.remove(tag)


def test_names_in_a_vendors_archive_are_not_taken(engine: Engine, tmp_path: Path) -> None:
    name = f"harness-base:test-{secrets.token_hex(4)}"
    own, others = tmp_path / "own.tar", tmp_path / "others.tar"
    own.write_bytes(saved(name, text=b"the harness's own"))
    engine.load_image(own)
    before = engine.image_id(name)
    assert before is not None
    others.write_bytes(saved(name, "stranger:1"))
    ((identity, architecture, lacking),) = engine.vendor_images(others)
    assert (architecture, lacking) == ("amd64", "sh")
    assert engine.image_id(name) == before != identity
    assert engine.image_id("stranger:1") is None
    assert engine.image_id(f"{VENDOR_IMAGE}{identity.removeprefix('sha256:')[:24]}") == identity


def test_an_image_of_a_bundle_replaces_none_that_is_there(engine: Engine, tmp_path: Path) -> None:
    name = f"harness-base:test-{secrets.token_hex(4)}"
    assert name.startswith(OWN_IMAGES)
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    first.write_bytes(saved(name, "stranger:2", text=b"first"))
    second.write_bytes(saved(name, text=b"second"))
    engine.load_image(first)
    before = engine.image_id(name)
    engine.load_image(second)
    assert engine.image_id(name) == before
    assert engine.image_id("stranger:2") is None
