"""Accounts of the product: how a user logs in, which passwords are refused, what wrong ones lead to, what is logged."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Definition, PlacedError, Strings, demand_pattern, listed
from harness.model.definitions.http import Request


class Account(Definition):
    """An account that the product has on every cell."""

    name: str = Field(min_length=1, max_length=256)
    password: str = Field(description="template of the right password, such as {{ secrets.admin }}")
    defaults: Strings = Field(
        default=(), description="passwords with which the product is delivered; it must refuse them once it is set up"
    )


class WrongPasswords(Definition):
    """What the product does after wrong passwords in a row."""

    after: int = Field(ge=1, le=50, description="wrong passwords in a row")
    then: Literal["locked", "delayed"] = Field(
        description="locked: the right password is refused too; delayed: the next answer takes longer"
    )
    seconds: float = Field(gt=0, le=3600, description="for at least so long, or longer by at least so much")
    account: str | None = Field(default=None, description="name of the account that is tried; else the last one")


class Accounts(Definition):
    """The accounts of a product with an HTTP interface, and how a user logs in.

    Templates of ``login`` and ``inside`` see what templates of the product see, ``user``, ``password``, and ``got``
    (what earlier requests captured). They carry neither ``http.headers`` nor a session.
    """

    login: Request = Field(description="who gets another status, or an answer without what it captures, is refused")
    inside: Request | None = Field(
        default=None,
        description="asked after it: who gets another status is not logged in; for products that answer both alike",
    )
    users: Annotated[tuple[Account, ...], BeforeValidator(listed)] = Field(min_length=1, max_length=32)
    wrong_passwords: WrongPasswords | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        names = [user.name for user in self.users]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise PlacedError(f"twice in users: {', '.join(twice)}", "users")
        wrong = self.wrong_passwords
        if wrong is not None and wrong.account is not None and wrong.account not in names:
            raise PlacedError(f"users has no {wrong.account}", "wrong_passwords", "account")
        return self

    @property
    def tried(self) -> Account:
        """The account with which wrong passwords are tried in a row."""
        wanted = self.wrong_passwords.account if self.wrong_passwords is not None else None
        return next((user for user in self.users if user.name == wanted), self.users[-1])


class Audit(Definition):
    """Where the product records who did what, and what a line looks like: regular expressions, which are templates too.

    They see ``user`` (of a login) and ``key`` (of the resource).
    """

    file: str = Field(pattern=r"^/", description="on the product's machine; new lines are added at its end")
    login: str | None = Field(default=None, description="of a login")
    refused: str | None = Field(default=None, description="of a login with a wrong password")
    create: str | None = Field(default=None, description="of the resource; with the name of whoever did it")
    update: str | None = None
    delete: str | None = None

    @property
    def patterns(self) -> dict[str, str]:
        """Each declared action with its pattern."""
        every = ("login", "refused", "create", "update", "delete")
        return {action: pattern for action in every if (pattern := getattr(self, action)) is not None}

    @model_validator(mode="after")
    def _patterned(self) -> Self:
        if not self.patterns:
            raise ValueError("give at least one of login, refused, create, update and delete")
        for action, pattern in self.patterns.items():
            demand_pattern(pattern, action)
        return self
