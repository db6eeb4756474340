"""What is known of a cell travels whole, and shows no secret."""

from __future__ import annotations

from pydantic import SecretStr

from harness.model.context import Access


def test_a_password_is_shown_by_no_print_and_travels_in_json() -> None:
    access = Access(kind="mariadb", host="database", port=3306, password=SecretStr("s3cret-value"))
    assert "s3cret-value" not in f"{access} {access!r} {access.model_dump()}"
    assert Access.model_validate_json(access.model_dump_json()) == access
    assert access.values()["password"] == "s3cret-value"
