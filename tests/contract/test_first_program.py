"""A container whose first program ends by itself is told from one that others end, by each engine."""

from __future__ import annotations

import contextlib
import io
import secrets
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.first_program import ended, first_program
from harness.containers.images import BaseImages
from harness.errors import AttestationMismatch, InfrastructureError
from harness.system.wait import wait_until
from tests.labs import Notes, podman, system

MIND = b"#!/bin/sh\necho it has no mind to wait >&2\nexit 3\n"


def archive(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("sleep")
        info.size, info.mode = len(data), 0o755
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["docker", pytest.param("podman", marks=pytest.mark.full)])
def test_a_system_whose_sleep_does_not_wait_is_named_with_what_it_said(kind: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(podman(tmp_path)) if kind == "podman" else Engine("contract")
        base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
        changed = engine.client.containers.create(base.id, ["true"])
        stack.callback(changed.remove, force=True)
        changed.put_archive("/usr/bin", archive(MIND))
        broken = str(changed.commit().id)
        stack.callback(engine.client.images.remove, broken)

        def started(image: str) -> Any:
            container = engine.client.containers.create(
                image,
                name=f"harness-contract-{secrets.token_hex(4)}",
                init=True,
                network_mode="none",
                ulimits=engine.ulimits(),
                **engine.waiting(image),
            )
            stack.callback(container.remove, force=True)
            container.start()
            return container

        good, bad, killed = started(base.id), started(broken), started(base.id)
        killed.kill()
        for container in (bad, killed):
            container.wait(timeout=60)
        wait_until(lambda: ended(engine, bad.id) or None, seconds=30, what="the end of a container")
        assert "status 3" in ended(engine, bad.id)
        assert "it has no mind to wait" in ended(engine, bad.id)
        assert [ended(engine, each.id) for each in (good, killed)] == ["", ""]
        cannot = InfrastructureError("it cannot be joined")
        both = {"application": str(good.id), "database": str(bad.id)}
        with (
            pytest.raises(AttestationMismatch, match=r"database: its first program .* with status 3"),
            first_program(engine, both, brought=frozenset(both)),
        ):
            raise cannot
        assert not [
            each for each in engine.client.containers.list(all=True) if str(each.name).startswith("harness-look-")
        ]
