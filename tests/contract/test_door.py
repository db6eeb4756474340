"""A container without a network gets one listener, which this process holds, from each engine."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import pytest

from harness.campaigns.options import cache_folder
from harness.containers.door import PORT, listener_in
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.errors import InfrastructureError
from tests.labs import Notes, podman, system


@pytest.mark.parametrize("kind", ["docker", pytest.param("podman", marks=pytest.mark.full)])
def test_two_containers_without_a_network_have_a_listener_each(kind: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(podman(tmp_path)) if kind == "podman" else Engine("contract")
        base = BaseImages(engine, cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
        pairs = []
        for number in range(2):
            options = {"network_mode": "none", "ulimits": engine.ulimits(), "detach": True}
            container = engine.client.containers.run(base.id, ["sleep", "infinity"], **options)  # type: ignore[call-overload]
            stack.callback(container.remove, force=True)
            name = f"harness-door-{secrets.token_hex(6)}"
            listener = stack.enter_context(
                listener_in(engine, str(container.id), name, engine.labels("c", name, "door"))
            )
            listener.settimeout(60)
            pairs.append((container, listener, f"{number}"))
            assert not engine.remove_container(name)  # it is gone
        for container, listener, word in pairs:
            script = f"exec 3<>/dev/tcp/127.0.0.1/{PORT}; echo {word} >&3"
            assert container.exec_run(["bash", "-c", script]).exit_code == 0
            end, _ = listener.accept()
            with end:
                assert end.recv(10) == f"{word}\n".encode()
            assert container.exec_run(["bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/80"]).exit_code != 0


def test_the_image_of_a_harness_in_a_container_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_IMAGE", "none.invalid/none:1")
    engine = Engine("contract")
    with pytest.raises(InfrastructureError, match="the engine has no image none") as told:
        listener_in(engine, "none", "harness-door-none", engine.labels("c", "none", "door"))
    assert "name the image that this container was made of" in told.value.advice
