"""Removes entries of the cache that no run has used for long: disks, snapshots, kernels, native tools, images."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import docker.errors

from harness.containers.engine import OWN_IMAGES, VENDOR_IMAGE, Engine
from harness.containers.engine_errors import engine_errors
from harness.errors import InfrastructureError
from harness.system.files import write_whole

#: Below the cache; each entry is one thing, whose time of change is its last use.
PLACES = ("vms/snapshots", "vms/disks", "vms/kernels", "native")
USED = "used"
#: Ids of images that were made here, by their names.
OWN = "own"
#: Ids of images that came with bundles, by their names.
BROUGHT = "brought"
#: Ids that are kept of a name, the latest: one an engine.
MOST_IDS = 8
IMAGES = (*OWN_IMAGES, VENDOR_IMAGE)


def mark_used(path: Path) -> None:
    """Note that an entry of the cache is used now."""
    with contextlib.suppress(OSError):  # an entry can be used even where its use cannot be noted
        os.utime(path)


def mark_image_used(cache: Path, tag: str) -> None:
    """Note that an image is used now: the engine does not know when it was."""
    with contextlib.suppress(OSError):
        folder = cache / USED
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _plain(tag)).touch()


def note_own_image(cache: Path, tag: str, identity: str) -> None:
    """Note by what id this cache knows an image that was made here. Engines that share the cache have one each.

    Raises:
        OSError: it cannot be written.
    """
    known = [line for line in _ids(cache / OWN / _plain(tag)) if line != identity]
    _note(cache / OWN, tag, "\n".join([*known[1 - MOST_IDS :], identity]))


def note_brought_image(cache: Path, tag: str, identity: str) -> None:
    """Note that an image of this name and id came with a bundle: only its replay may use it.

    Raises:
        OSError: it cannot be written.
    """
    _note(cache / BROUGHT, tag, identity)


def _note(folder: Path, tag: str, identity: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _plain(tag), identity.encode())


def is_brought_image(cache: Path, tag: str, identity: str) -> bool:
    """Whether the image that has a name came with a bundle, and none was made here under it."""
    own, note = cache / OWN / _plain(tag), cache / BROUGHT / _plain(tag)
    return not own.is_file() and note.is_file() and note.read_text(encoding="utf-8").strip() == identity


def is_own_image(cache: Path, tag: str, identity: str, *, brought: bool = False) -> bool:
    """Whether the image that has a name is the one that was made here under it; with ``brought``, or one that came with
    a bundle. Where nothing was noted (an older harness made it), it is taken as it is and noted."""
    note = cache / OWN / _plain(tag)
    if note.is_file():
        return identity in _ids(note)
    if is_brought_image(cache, tag, identity):
        return brought
    note_own_image(cache, tag, identity)
    return True


def _ids(note: Path) -> list[str]:
    return note.read_text(encoding="utf-8").split() if note.is_file() else []


def _plain(tag: str) -> str:
    """An image's name as the name of a file."""
    return tag.replace(":", "=").replace("/", "=")


def remove_unused(cache: Path, engine: Engine, days: float) -> list[str]:
    """Remove entries that were not used for so many days; gives their names. They are made again when needed.

    Raises:
        InfrastructureError: the engine does not answer.
    """
    limit = time.time() - days * 86_400
    removed = []
    for place in PLACES:
        folder = cache / place
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name.startswith(".") or path.lstat().st_mtime > limit:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(f"{place}/{path.name}")
    return removed + _images(cache, engine, limit)


def _images(cache: Path, engine: Engine, limit: float) -> list[str]:
    with engine_errors("listing images"):
        tags = sorted(tag for image in engine.client.images.list() for tag in image.tags if tag.startswith(IMAGES))
    removed = []
    for tag in tags:
        note = cache / USED / _plain(tag)
        if not note.is_file():  # made by an older harness or elsewhere: its age counts from now
            mark_image_used(cache, tag)
            continue
        if note.stat().st_mtime > limit:
            continue
        try:
            with engine_errors(f"removing {tag}"):
                engine.client.images.remove(tag)
        except InfrastructureError as error:
            if isinstance(error.__cause__, docker.errors.APIError):  # a container is made of it
                continue
            raise
        note.unlink(missing_ok=True)
        for folder in (OWN, BROUGHT):
            (cache / folder / _plain(tag)).unlink(missing_ok=True)
        removed.append(f"image {tag}")
    return removed
