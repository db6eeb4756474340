"""What the cache keeps and nobody uses is removed when that is asked for; what is used stays."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.cache import remove_unused
from harness.containers.engine import VENDOR_IMAGE, Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.model.recipe import Recipe
from tests.labs import Notes, system

DAY = 86_400


def aged(path: Path, days: float) -> Path:
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_what_was_not_used_for_long_is_removed(tmp_path: Path) -> None:
    engine = Engine("integration")
    base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    names = {age: f"harness-env:unused-{age}-{secrets.token_hex(4)}" for age in ("old", "new", "unknown", "taken")}
    vendors = {age: f"{VENDOR_IMAGE}{secrets.token_hex(8)}" for age in ("old", "new")}
    names |= {f"vendor's {age}": tag for age, tag in vendors.items()}
    for tag in names.values():
        engine.client.images.get(base.id).tag(tag)
    folder = tmp_path / "used"
    folder.mkdir()
    for age, days in (("old", 40), ("new", 2), ("vendor's old", 40), ("vendor's new", 2)):
        path = folder / names[age].replace(":", "=")
        path.touch()
        aged(path, days)
    for place in ("vms/disks", "vms/snapshots", "native"):
        for name, days in (("one", 40), ("two", 2), (".part", 40)):
            path = tmp_path / place / name
            path.mkdir(parents=True)
            (path / "file").write_text("x")
            aged(path, days)
    try:
        removed = remove_unused(tmp_path, engine, 30)
        images = [f"image {tag}" for tag in sorted((names["old"], vendors["old"]))]
        assert removed == ["vms/snapshots/one", "vms/disks/one", "native/one", *images]
        assert (tmp_path / "vms/disks/two/file").is_file()
        assert engine.image_id(names["old"]) is engine.image_id(vendors["old"]) is None
        assert engine.image_id(vendors["new"]) == base.id
        assert engine.image_id(names["new"]) == engine.image_id(names["unknown"]) == base.id
        assert (folder / names["unknown"].replace(":", "=")).is_file(), "counted from now on"
        assert remove_unused(tmp_path, engine, 30) == []
    finally:
        for tag in names.values():
            if engine.image_id(tag) is not None:
                engine.client.images.remove(tag)


def test_use_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine("integration")
    images = BaseImages(engine, cache_folder())
    recipe = Recipe(name="hello", os="debian-12", architecture="x86_64", packages=("hello",))
    made = Environments(engine, images).ensure(recipe, system("debian-12"), Notes())
    notes = cache_folder() / "used"
    base = images.name_of(system("debian-12"), "x86_64")
    for tag in (f"harness-env:{made.key[:24]}", base):
        note = notes / tag.replace(":", "=")
        aged(note, 40)
        Environments(engine, images).ensure(recipe, system("debian-12"), Notes())
        assert time.time() - note.stat().st_mtime < DAY
