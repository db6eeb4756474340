"""Logs into the product as its declared accounts, each time as somebody new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from harness.clients.http import HttpClient
from harness.clients.requesting import captured
from harness.control.fault import ProductFault
from harness.model.definitions import Account, Request
from harness.model.templating import render
from harness.system.wait import Deadline

#: Sends a declared request with values for its templates; the text names it in a fault.
Sender = Callable[[Request, dict[str, Any], str], httpx.Response]


@dataclass(frozen=True)
class LoginAnswer:
    """What the product made of a login: whether the user is in, in words, and after how many seconds of wall time."""

    let_in: bool
    words: str
    seconds: float


class Logins:
    """Logins by the section ``accounts`` of the application."""

    def __init__(self, http: HttpClient) -> None:
        context = http.deployment.context
        if context.application.accounts is None:
            raise LookupError("the application declares no accounts")
        self.http = http
        self.definition = context.application.accounts
        self._values = context.values()

    def right(self, account: Account) -> str:
        """The right password of an account."""
        return render(account.password, self._values, where="accounts.users.password")

    def attempt(self, account: Account, password: str) -> LoginAnswer:
        """Try to log in, without cookies and sessions of earlier logins.

        Raises:
            ProductFault: no answer, or an error (status 500 and above), which is no refusal.
        """
        with self.http.apart() as send:
            start = Deadline(0)
            let_in, words = self._tried(send, account, password)
            return LoginAnswer(let_in, words, start.passed)

    def demand(self, account: Account) -> LoginAnswer:
        """Log in with the right password. Raises ProductFault where that is refused."""
        answer = self.attempt(account, self.right(account))
        if not answer.let_in:
            raise ProductFault(
                f"the declared password of {account.name} is refused: {answer.words}",
                f"账户 {account.name} 的声明口令被拒绝：{answer.words}",
                self.http.deployment.log(15),
            )
        return answer

    def _tried(self, send: Sender, account: Account, password: str) -> tuple[bool, str]:
        values = {**self._values, "user": account.name, "password": password, "got": {}}
        steps = [*self.definition.login.before, self.definition.login]
        for number, request in enumerate(steps):
            last = request is self.definition.login
            where = "accounts.login" if last else f"accounts.login.before.{number}"
            answer = send(request, values, where)
            words = f"{request.method} {request.path} gave status {answer.status_code}"
            if answer.status_code >= 500 or (not last and answer.status_code not in request.status):
                raise ProductFault(
                    f"{words}: {answer.text[:300]}", f"{request.method} {request.path} 返回 {answer.status_code}"
                )
            if answer.status_code not in request.status:
                return False, words
            try:
                values["got"] = {**values["got"], **captured(request, answer, where)}
            except ProductFault as error:
                if not last:
                    raise
                return False, error.en
        inside = self.definition.inside
        if inside is None:
            return True, words
        answer = send(inside, values, "accounts.inside")
        words += f", then {inside.method} {inside.path} status {answer.status_code}"
        return answer.status_code in inside.status, words
