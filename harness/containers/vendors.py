"""Images of vendors that a server's machine is made of as they are: loaded from an archive, or pulled by digest."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from harness.attest.architecture import NAMES, emulator
from harness.containers.cache import is_own_image, mark_image_used, note_own_image
from harness.containers.engine import VENDOR_IMAGE
from harness.containers.engine_errors import engine_errors
from harness.containers.images import BaseImages
from harness.errors import AttestationMismatch, UsageError
from harness.model.ledger import Ledger
from harness.model.recipe import Environment, ImageStart, ServerImage
from harness.system.abandoning import abandonable
from harness.system.files import digest_of_file


def server_environment(images: BaseImages, image: ServerImage, architecture: str, ledger: Ledger) -> Environment:
    """What a server's machine is made of; nothing is installed, and the image is found again by its digest.

    Raises:
        UsageError: the archive is missing, is another file than declared, or holds no image or several.
        AttestationMismatch: the image is built for another architecture, or no machine can be made of it.
        InfrastructureError: the engine refuses, or the registry does not give the image.
    """
    started = time.monotonic()
    emulator(architecture)
    key = hashlib.sha256(f"{image.sha256 or image.reference} {architecture}".encode()).hexdigest()
    tag = f"{VENDOR_IMAGE}{key[:24]}"
    mark_image_used(images.cache, tag)
    with images.locked(f"vendor-{key[:24]}"):
        identity = images.engine.image_id(tag)
        cached = identity is not None and is_own_image(images.cache, tag, identity)
        if not cached:
            ledger.intent("image", tag)
            identity = _brought(images, image, architecture, tag)
            note_own_image(images.cache, tag, identity)
            ledger.created("image", tag, identity)
        assert identity is not None
    config = _config(images, identity)
    ledger.event("server-image", name=image.name, image=identity, sha256=image.sha256, reference=image.reference)
    return Environment(
        image=identity, key=key, cached=cached, seconds=time.monotonic() - started, started=_start(config)
    )


def _brought(images: BaseImages, image: ServerImage, architecture: str, tag: str) -> str:
    """Load or pull the image and name it; gives its id."""
    engine, wanted = images.engine, NAMES[architecture].docker
    if image.archive is None:
        here = engine.image_id(image.reference)
        if here is None:
            return abandonable(
                lambda: engine.pull(image.reference, wanted, tag),
                what=f"the registry for {image.reference}",
                cancel=images.cancel,
            )
        identity, shown = here, _attribute(images, here, "Architecture")
    else:
        archive = _checked(image.archive, image.sha256)
        loaded = abandonable(
            lambda: engine.vendor_images(archive), what=f"the engine to load {archive.name}", cancel=images.cancel
        )
        if len(loaded) != 1:
            raise UsageError(
                f"{archive.name} holds {len(loaded)} container images, expected one",
                advice="write it with: docker save NAME -o FILE",
            )
        identity, shown, lacking = loaded[0]
        if lacking and shown == wanted:
            raise AttestationMismatch(
                f"{archive.name}: the image has no {lacking}: no machine can be made of it",
                advice="take an image with a shell and coreutils",
            )
    if shown != wanted:
        raise AttestationMismatch(
            f"{image.name}: wrong architecture: the image is built for {shown or 'none'}, the database's machine is "
            f"{wanted} / 镜像架构不符",
            advice="correct `architecture` in databases.yaml, or name the vendor's image for it",
        )
    with engine_errors(f"naming {image.name}"):
        engine.client.images.get(identity).tag(tag)
    return identity


def _checked(archive: Path, declared: str) -> Path:
    """The archive, once its digest was compared."""
    if not archive.is_file():
        raise UsageError(f"no archive of an image at {archive}", advice="correct `archive` in databases.yaml")
    digest = digest_of_file(archive)
    if digest != declared:
        raise UsageError(
            f"{archive} has the SHA-256 {digest}, declared is {declared}",
            advice="see where the file comes from; correct `sha256` in databases.yaml if it is the right one",
        )
    return archive


def _attribute(images: BaseImages, identity: str, key: str) -> str:
    with engine_errors("looking at an image"):
        return str(images.engine.client.images.get(identity).attrs.get(key) or "")


def _config(images: BaseImages, identity: str) -> dict[str, Any]:
    with engine_errors("looking at an image"):
        return dict(images.engine.client.images.get(identity).attrs.get("Config") or {})


def _start(config: dict[str, Any]) -> ImageStart:
    return ImageStart(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        user=str(config.get("User") or ""),
        folder=str(config.get("WorkingDir") or ""),
        stop_signal=str(config.get("StopSignal") or "").removeprefix("SIG"),
    )
