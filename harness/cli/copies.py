"""Whether what systems were imported from is still on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.containers.imported import kept_file
from harness.errors import InfrastructureError
from harness.model.definitions import Os
from harness.system.makers import cache_folder


def has_image(system: Os, architecture: str) -> bool:
    """Whether the engine has the base image that was made of an import; not where no engine answers."""
    try:
        engine = Engine("import")
        with contextlib.closing(engine.client):
            return BaseImages(engine, cache_folder()).is_there(system, architecture)
    except InfrastructureError:
        return False


def lost_copies(system: Os, has: Callable[[Os, str], bool] = has_image) -> dict[str, str]:
    """Architecture -> words, where the kept copy of an import is gone, and no base image of it is left (``has``)."""
    lost = {}
    for architecture, imported in system.imported.items():
        path = kept_file(cache_folder(), imported.sha256)
        if not path.is_file() and not has(system, architecture):
            lost[str(architecture)] = (
                f"the copy of what was imported for {architecture} is not on this machine ({path}): "
                "import the same again"
            )
    return lost
