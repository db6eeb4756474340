"""The engine's word on an import: it makes the base image of it before the entry is written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from harness.errors import InfrastructureError
from harness.importing.importing import Prove
from harness.model.definitions import Os


class Unrecorded:
    """A ledger of nothing: an import is part of no campaign, and what it made stands in the entry."""

    def intent(self, kind: str, name: str) -> None:
        pass

    def created(self, kind: str, name: str, engine_id: str) -> None:
        pass

    def removed(self, kind: str, name: str) -> None:
        pass

    def event(self, kind: str, **data: Any) -> None:
        pass

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        return ""


def by_engine(engine: Engine, cache: Path) -> Prove:
    """Proves an entry by making its base image, which later cells find."""

    def prove(system: Os, architecture: str) -> None:
        BaseImages(engine, cache).ensure(system, architecture, Unrecorded())

    return prove


@contextlib.contextmanager
def without_campaign() -> Iterator[None]:
    """Advice of errors that goes for a campaign is made to go for an import, which is repeated and not resumed.

    Raises:
        InfrastructureError: what was raised within.
    """
    try:
        yield
    except InfrastructureError as error:
        error.advice = error.advice.replace("then: harness resume", "then repeat the import")
        raise
