"""Small root file systems and images of them, made to order: a system that says of itself that it is a test."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from tests.elves import elf

RELEASE = 'ID=testlinux\nVERSION_ID="1.0"\nPRETTY_NAME="Test Linux 1.0, a test distribution"\nVENDOR_NAME=Tests\n'
LOADERS = {
    "x86_64": "usr/lib64/ld-linux-x86-64.so.2",
    "aarch64": "usr/lib/ld-linux-aarch64.so.1",
    "loongarch64": "usr/lib64/ld-linux-loongarch-lp64d.so.1",
}
DOCKER = {"x86_64": "amd64", "aarch64": "arm64", "loongarch64": "loong64"}
LIBC = b"GNU C Library (Tests 2.36) stable release version 2.36.\n"
#: Path -> content, or ``-> TARGET`` for a link; None leaves a member of the whole out.
Files = Mapping[str, bytes | str | None]


def files(architecture: str = "x86_64", **change: Any) -> dict[str, bytes | str | None]:
    """The files of a whole root. ``change``: by their last names, with _ for - and . ; None: not there."""
    program = elf(machine=architecture, kind="executable")
    whole: dict[str, bytes | str | None] = {
        "bin": "-> usr/bin",
        "lib": "-> usr/lib",
        "lib64": "-> usr/lib64",
        "usr/lib/os-release": RELEASE.encode(),
        "etc/os-release": "-> ../usr/lib/os-release",
        "usr/bin/dash": program,
        "usr/bin/sh": "-> dash",
        "usr/bin/sleep": program,
        "usr/bin/timeout": program,
        "usr/bin/apt-get": program,
        LOADERS.get(architecture, "usr/lib/ld.so"): program,
        "usr/lib/libc.so.6": program + LIBC,
        "var/lib/dpkg/status": b"Package: dpkg\n",
    }
    return {**whole, **change}


def tar_of(members: Files, extra: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """A tar archive; ``extra``: members as they are, behind the others."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            if content is None:
                continue
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content.removeprefix("-> ")
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return out.getvalue()


def config(layers: Sequence[bytes], architecture: str = "x86_64", system: str = "linux") -> bytes:
    """The configuration of an image of these layers."""
    contents = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    value = {
        "architecture": DOCKER.get(architecture, architecture),
        "os": system,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": contents},
    }
    return json.dumps(value).encode()


def saved(*images: tuple[str, Sequence[bytes], bytes]) -> bytes:
    """An archive of docker save: for each image its name, layers, configuration."""
    members: dict[str, bytes] = {}
    listed = []
    for name, layers, settings in images:
        names = [f"{hashlib.sha256(layer).hexdigest()}/layer.tar" for layer in layers]
        members |= dict(zip(names, layers, strict=True))
        member = f"{hashlib.sha256(settings).hexdigest()}.json"
        members[member] = settings
        listed.append({"Config": member, "RepoTags": [name] if name else None, "Layers": names})
    return tar_of({**members, "manifest.json": json.dumps(listed).encode()})


def laid_out(*images: tuple[str, Sequence[bytes], bytes], nested: bool = False) -> bytes:
    """An archive of the OCI image layout: for each image its name, layers, configuration; ``nested``: in an index
    within the index, beside a description of how it was built."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data), **more}

    manifests = [
        blob(
            json.dumps({"config": blob(settings), "layers": [blob(layer) for layer in layers]}).encode(),
            annotations={"io.containerd.image.name": name} if name else {},
        )
        for name, layers, settings in images
    ]
    if nested:
        described = blob(
            b'{"layers": [], "config": {}}', annotations={"vnd.docker.reference.type": "attestation-manifest"}
        )
        manifests = [blob(json.dumps({"manifests": [*manifests, described]}).encode())]
    index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    return tar_of({"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs})
