"""Has the users of a locustfile verify a product over HTTPS; imported after locust, which patches ``ssl``."""

from __future__ import annotations

from typing import Any

import locust
from locust.contrib.fasthttp import FastHttpUser
from requests.adapters import HTTPAdapter

from harness.system.tls import ProductContext, context_of


class _Adapter(HTTPAdapter):
    """Connections of requests with a context of the harness."""

    def __init__(self, context: ProductContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **given: Any) -> None:
        super().init_poolmanager(*args, **{**given, "ssl_context": self._context})


def verify(user: type[locust.User], *, product: str, authority: str, client: str, host: str) -> None:
    """Give a class of users the product's authority and name, and the client's certificate; ``host`` is their header.

    locust's fast client verifies nothing by itself, and requests by the authorities of this machine.
    """
    context = context_of(product, authority, client)
    kind: Any = user
    if issubclass(user, FastHttpUser):
        kind.insecure = False
        kind.ssl_context_factory = staticmethod(lambda **_: context)
        kind.default_headers = {"Host": host, **(kind.default_headers or {})}
    elif issubclass(user, locust.HttpUser):
        begin = kind.on_start

        def on_start(instance: Any) -> None:
            instance.client.mount("https://", _Adapter(context))
            instance.client.headers.setdefault("Host", host)
            begin(instance)

        kind.on_start = on_start
