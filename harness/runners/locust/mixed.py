"""The user of a load that creates, reads, changes and removes, and holds what it reads against what it wrote.

The driver imports locust before. The product is asked by its resource, as suites ask it: sessions, tokens and forms
that the application declares are used as they are there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from locust import User, task

from harness.clients.opening import open_resource
from harness.clients.resource import ProductResource
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.model.context import CellContext
from harness.runners.locust.support import ENVIRONMENT
from harness.system.canonical import read_json

#: Resources that a user keeps at most, and those that it has before the load begins.
MOST, FIRST = 20, 2


class WrongText(Exception):
    """A read gave something else than the text whose writing the product acknowledged last."""


@functools.cache
def prepared_mix() -> tuple[Deployment, dict[str, float]]:
    """The product, and the weight of each action."""
    prepared = read_json(Path(os.environ[ENVIRONMENT]).read_bytes())
    return Deployment.of(CellContext.model_validate_json(prepared["context"])), prepared["mix"]


class ResourceMix(User):
    """Each task is one action, chosen by the weights of the profile's ``mix``; a read is always of its own resources,
    which nobody else changes."""

    abstract = True

    def on_start(self) -> None:
        """Create what is read first."""
        deployment, self.weights = prepared_mix()
        resource = open_resource(deployment)
        assert resource is not None, "the runner asks for a resource"
        self.resource: ProductResource = resource
        self.kept: dict[str, str] = {}  #: text by key, as acknowledged
        self.created: set[str] = set()  #: every key that may be there
        for _ in range(FIRST):
            self._create()

    def on_stop(self) -> None:
        """Remove what there is, as far as the product lets it."""
        for key in self.created:
            with contextlib.suppress(ProductFault):
                self.resource.discard(key)
        self.resource.close()

    @task
    def act(self) -> None:
        """One action. Where it needs a resource and there is none, it creates one."""
        actions = {"create": self._create, "read": self._read, "update": self._update, "delete": self._delete}
        (name,) = random.choices(list(self.weights), list(self.weights.values()))  # noqa: S311  # no secret
        if name == "create" and len(self.kept) >= MOST:
            name = "delete"
        self._timed(name if self.kept else "create", actions[name if self.kept else "create"])

    def _timed(self, name: str, action: Callable[[], None]) -> None:
        began, error = time.time(), None
        clock = time.perf_counter()
        try:
            action()
        except (ProductFault, WrongText) as fault:
            error = fault
        self.environment.events.request.fire(
            request_type="resource",
            name=name,
            response_time=1000 * (time.perf_counter() - clock),
            response_length=0,
            exception=error,
            context={},
            start_time=began,
        )

    def _create(self) -> None:
        key, text = self.resource.fresh_key(), f"load {secrets.token_hex(8)}"
        self.created.add(key)
        self.resource.create(key, text)
        self.kept[key] = text

    def _read(self) -> None:
        key = random.choice(list(self.kept))  # noqa: S311
        texts = self.resource.texts(key)
        if self.kept[key] not in texts:
            wrong = self.kept.pop(key)
            raise WrongText(
                f"a read of {key} gave not the text that was acknowledged last ({wrong}), but {texts!s:.200}"
            )

    def _update(self) -> None:
        key = random.choice(list(self.kept))  # noqa: S311
        text = f"load {secrets.token_hex(8)}"
        del self.kept[key]  # without an acknowledgement nobody knows what it holds
        self.resource.update(key, text)
        self.kept[key] = text

    def _delete(self) -> None:
        key = next(iter(self.kept))
        del self.kept[key]
        self.resource.delete(key)
        self.created.remove(key)
