"""What systems were imported from: kept by its content in the cache, and made into base images.

It cannot be made again from anywhere, so nothing here removes it.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

from harness.attest.architecture import NAMES
from harness.containers.engine import Engine
from harness.containers.engine_errors import engine_errors
from harness.containers.layers import load_layer
from harness.errors import ProvisionError
from harness.model.definitions import Imported, Os
from harness.model.recipe import BROUGHT_FROM
from harness.system.abandoning import abandonable
from harness.system.files import digest_of_file
from harness.system.makers import own_name

FOLDER = "imported"
NOTE = BROUGHT_FROM[0] + "{os}: {origin}; kept file SHA-256 {sha256}"


def kept_file(cache: Path, sha256: str) -> Path:
    """Where the file with this SHA-256 (hex) is kept, or would be."""
    return cache / FOLDER / "sha256" / f"{sha256}.tar"


def keep(cache: Path, part: Path, sha256: str) -> None:
    """Move a whole file, whose content has this SHA-256 (hex), to where it is kept.

    Raises:
        OSError: the disk refuses.
    """
    target = kept_file(cache, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def note_of(system: Os, imported: Imported) -> str:
    """What evidence says of a base image that was made of an import."""
    return NOTE.format(os=system.os, origin=imported.origin, sha256=imported.sha256)


def load_imported(
    engine: Engine, cache: Path, imported: Imported, architecture: str, tag: str, cancel: threading.Event
) -> None:
    """Make the base image ``tag`` of what was imported.

    Raises:
        ProvisionError: the kept file is missing, or was changed.
        InfrastructureError: the engine refuses it.
    """
    path = kept_file(cache, imported.sha256)
    if not path.is_file():
        raise ProvisionError(
            f"{tag} is made of what was imported ({imported.origin}), and this machine does not have it: {path}",
            advice="import the same again here (harness targets import); its SHA-256 must be the one of the definition",
        )
    if (digest := digest_of_file(path)) != imported.sha256:
        raise ProvisionError(
            f"{path} was changed: SHA-256 {digest}",
            advice="remove it, and import the same again: harness targets import",
        )
    names = NAMES[architecture]
    with engine_errors(f"loading image {tag}"):
        if imported.form == "root":
            scratch = cache / "tmp" / f"import-{secrets.token_hex(4)}-{own_name()}.load"
            scratch.parent.mkdir(parents=True, exist_ok=True)
            load_layer(engine, path, tag, names.docker, {}, scratch, cancel)
            return
        with path.open("rb") as file:
            images = abandonable(
                lambda: engine.client.images.load(file), what=f"the engine to load {tag}", cancel=cancel
            )
        (image,) = images  # it was written with one
        image.tag(tag)
