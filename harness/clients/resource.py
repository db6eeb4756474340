"""What suites create, read, change and remove in a product: they ask a resource, and it knows the protocol."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from typing import Literal, Protocol

from harness.control.fault import ProductFault
from harness.model.templating import render

Action = Literal["create", "read", "update", "delete"]
_numbers = itertools.count(1)


class NoAnswer(ProductFault):
    """The product does not answer at all, or not in time."""


class ProductResource(Protocol):
    """A resource of a product, by keys and texts. Clients of other protocols keep this and nothing more.

    Methods may be called by several threads at once. Where nothing else is said, what the product does not do as it
    should raises ProductFault, and what the application declares wrong raises UsageError.
    """

    @property
    def knows_strangers(self) -> bool:
        """Whether ``let_in`` can be asked."""
        ...

    def fresh_key(self) -> str:
        """A key that no earlier call has returned."""
        ...

    def create(self, key: str, text: str) -> object:
        """Create the resource ``key`` with ``text``."""
        ...

    def read(self, key: str) -> object:
        """Read the resource ``key``, which must be there."""
        ...

    def update(self, key: str, text: str) -> object:
        """Replace the text of the resource ``key``."""
        ...

    def delete(self, key: str) -> object:
        """Delete the resource ``key``."""
        ...

    def texts(self, key: str) -> list[str]:
        """Every text that a read of the resource ``key`` gives."""
        ...

    def try_texts(self, key: str) -> list[str]:
        """As ``texts``; empty where the product does not answer well."""
        ...

    def try_create(self, key: str, text: str) -> str:
        """As ``create``; gives how the product refused, in words; empty where it has created it. Where the product does
        not answer, ProductFault is raised."""
        ...

    def remains(self, key: str) -> str:
        """What a read shows of a resource that must not be there, in words; empty where it is not there."""
        ...

    def let_in(self, action: Action, key: str, text: str) -> str:
        """Try an action as a stranger; gives what the product did in place of a refusal; empty where it refused."""
        ...

    def discard(self, key: str) -> None:
        """Delete the resource ``key`` if it can be."""
        ...

    def made(self, text: str) -> contextlib.AbstractContextManager[str]:
        """A resource with ``text`` for the time of a test; gives its key."""
        ...

    def stored(self, key: str) -> str:
        """SQL that reads the stored text; empty where the application declares none."""
        ...

    def close(self) -> None:
        """End what the resource holds."""
        ...


def fresh_key(template: str, where: str) -> str:
    """A key of the template that no earlier call has returned, in any process."""
    return render(template, {"n": f"{next(_numbers)}{secrets.token_hex(3)}"}, where=where)


@contextlib.contextmanager
def temporary(resource: ProductResource, text: str) -> Iterator[str]:
    """``ProductResource.made`` for every client."""
    key = resource.fresh_key()
    resource.create(key, text)
    yield key
    resource.delete(key)
