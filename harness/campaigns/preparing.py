"""Base images, made before any campaign needs them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.evidence import Recorder, Workspace
from harness.model.definitions import Os


def build_base_images(
    system: Os, architectures: Sequence[str], workspace: Workspace, mirror: str
) -> Iterator[tuple[str, str, float]]:
    """Build what is missing; gives architecture, name of the image, and the seconds that it took, as each is done.

    Raises:
        InfrastructureError: the engine, the mirror or the disk refuses.
    """
    images = BaseImages(Engine(workspace.id), cache_folder(), mirror)
    record = Recorder.of_campaign(workspace.journal, workspace.store)
    for architecture in architectures:
        started = time.monotonic()
        images.prepare(system, architecture, record)
        yield architecture, images.name_of(system, architecture), time.monotonic() - started
