"""A registry of container images on this machine, for the time of a test."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from harness.containers.engine import Engine
from harness.system.wait import wait_until


@contextlib.contextmanager
def registry_in(folder: Path) -> Iterator[str]:
    """Its address, ``127.0.0.1:PORT``; what it holds lies in ``folder``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config.yml").write_text(
        yaml.safe_dump(
            {
                "version": 0.1,
                "log": {"level": "error"},
                "http": {"addr": f"127.0.0.1:{port}"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            }
        )
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port), seconds=20, what="the registry")
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def answers(port: int) -> bool:
    """Whether a registry answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def push(engine: Engine, image: str, name: str, tag: str) -> str:
    """Push an image (id) as ``name:tag``; gives ``name@sha256:…``."""
    engine.client.images.get(image).tag(name, tag)
    engine.client.images.push(name, tag)
    digests = engine.client.images.get(image).attrs["RepoDigests"]
    engine.client.images.remove(f"{name}:{tag}")
    return str(next(digest for digest in digests if digest.startswith(f"{name}@")))
