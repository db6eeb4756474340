"""What is known of a cell travels whole, and shows no secret."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from harness.control.deployment import Deployment
from harness.model.context import Access


def test_a_password_is_shown_by_no_print_and_travels_in_json() -> None:
    access = Access(kind="mariadb", host="database", port=3306, password=SecretStr("s3cret-value"))
    assert "s3cret-value" not in f"{access} {access!r} {access.model_dump()}"
    assert Access.model_validate_json(access.model_dump_json()) == access
    assert access.values()["password"] == "s3cret-value"


@pytest.mark.parametrize(
    ("host", "url_host"),
    [
        ("database", "database"),
        ("10.0.0.7", "10.0.0.7"),
        ("fd00::12", "[fd00::12]"),
        ("[fd00::12]", "[fd00::12]"),
        ("", ""),
    ],
)
def test_a_host_stands_in_a_url_as_urls_want_it(host: str, url_host: str) -> None:
    access = Access(kind="mariadb", host=host, port=3306)
    assert access.values()["host"] == host
    assert access.values()["url_host"] == url_host
    assert access.values().keys() == Access.names()  # what is given is what lint knows
    http = SimpleNamespace(port="http", tls=None, base="/app")
    context = SimpleNamespace(application=SimpleNamespace(http=http), ports={"http": (host, 8080)})
    deployment: Any = SimpleNamespace(context=context)
    url = Deployment.url(deployment, "/x")
    assert url == f"http://{url_host}:8080/app/x"
    if host:
        assert httpx.URL(url).host == host.strip("[]")
