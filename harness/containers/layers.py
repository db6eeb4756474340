"""A root file system as an image of the engine: one layer, with a configuration of ours."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path

from harness.containers.engine import Engine
from harness.system.abandoning import abandonable
from harness.system.files import digest_of_file


def load_layer(
    engine: Engine,
    layer: Path,
    tag: str,
    architecture: str,
    labels: Mapping[str, str],
    scratch: Path,
    cancel: threading.Event,
) -> None:
    """Give the engine an image of one layer (a plain tar), by a name. ``architecture`` as the engine calls it;
    ``scratch``: a file for the archive, removed afterwards.

    Raises:
        Canceled: the campaign was stopped meanwhile.
        OSError: the disk refuses.
        docker.errors.DockerException: the engine does.
    """
    # `docker import --platform` of older engines ignores the platform; an archive's own config is honoured.
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
                "Cmd": ["/bin/sh"],
                "Labels": dict(labels),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest_of_file(layer)}"]},
            "history": [{"created_by": "harness"}],
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    try:
        with tarfile.open(scratch, "w") as tar:
            for member, data in (("config.json", config), ("manifest.json", manifest)):
                entry = tarfile.TarInfo(member)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
            tar.add(layer, "layer.tar")
        with scratch.open("rb") as file:
            abandonable(lambda: engine.client.images.load(file), what=f"the engine to load {tag}", cancel=cancel)
    finally:
        scratch.unlink(missing_ok=True)
