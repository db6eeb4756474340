"""Container images that strangers made, as ``docker save`` writes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile


def saved(*names: str, architecture: str = "amd64", text: bytes = b"a stranger's") -> bytes:
    """An archive of one image with one file, and with these names in every place that may hold one."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, "etc/stranger", text)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    index = {"manifests": [{"digest": "sha256:0", "annotations": {"io.containerd.image.name": " ".join(names)}}]}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, name, config)
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "repositories", json.dumps(dict.fromkeys(names, "0")).encode())
        _add(tar, "index.json", json.dumps(index).encode())
        manifest = [{"Config": name, "RepoTags": list(names), "Layers": ["layer.tar"]}]
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
