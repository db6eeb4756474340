"""Accounts of the product: default and empty passwords, many wrong ones, and who did what in the log."""

from __future__ import annotations

import contextlib
import re
import secrets
import time

import pytest

from harness.clients.logins import Logins
from harness.errors import StepTimeout
from harness.model.templating import render
from harness.system import shell
from harness.system.wait import Deadline, wait_until

#: Wrong passwords that are tried where no policy is declared; seconds of a lock that are waited for.
UNDECLARED, USUAL, LONGEST_WAIT = 10, 3, 60.0


@pytest.fixture
def logins(http):
    if http.deployment.context.application.accounts is None:
        pytest.skip("not-applicable: the application declares no accounts / 产品未声明账户")
    return Logins(http)


def test_default_passwords_are_refused(logins, note):
    wrong, tried = [], 0
    for account in logins.definition.users:
        logins.demand(account)
        right = logins.right(account)
        guesses = {
            "an empty password": "",
            "its own name as password": account.name,
            "any password": secrets.token_hex(12),
            **{f"the default password {guess}": guess for guess in account.defaults},
        }
        for what, guess in guesses.items():
            tried += 1
            if guess == right:
                wrong.append(f"the password of {account.name} is {what.removeprefix('any ')}")
                continue
            answer = logins.attempt(account, guess)
            if answer.let_in:
                wrong.append(f"{account.name} is let in with {what} ({answer.words})")
            else:  # wrong passwords in a row may lock the account, and a lock would look like a refusal
                logins.demand(account)
    assert not wrong, "; ".join(wrong)
    names = ", ".join(account.name for account in logins.definition.users)
    note(
        f"{tried} passwords of {names} were refused: empty, the name, defaults, any / "
        "空口令、账户名、默认口令、任意口令均被拒绝"
    )


def test_wrong_passwords_have_consequences(logins, measure, note):
    policy, account = logins.definition.wrong_passwords, logins.definition.tried
    # The first login of a product that was just started is slow, and would hide a delay.
    usual = min(logins.demand(account).seconds for _ in range(USUAL))
    if policy is None:
        _undeclared(logins, account)
    since = Deadline(policy.seconds)
    for number in range(policy.after):
        since = Deadline(policy.seconds)
        answer = logins.attempt(account, secrets.token_hex(12))
        assert not answer.let_in, f"{account.name} is let in with any password (try {number + 1}: {answer.words})"
    if policy.then == "locked":
        _locked(logins, account, policy, since, note)
        return
    # Twice: an answer may be late by chance.
    longer = min(logins.attempt(account, secrets.token_hex(12)).seconds for _ in range(2)) - usual
    measure("delay", longer, "s")
    assert longer >= policy.seconds * 0.9, (
        f"after {policy.after} wrong passwords the next answer took {longer:.1f} s longer than a usual login "
        f"({usual:.2f} s); declared are {policy.seconds:g} s"
    )
    note(f"after {policy.after} wrong passwords an answer took {longer:.1f} s longer / 应答推迟 {longer:.1f} 秒")


def _locked(logins, account, policy, since, note):
    """``since``: when the last wrong password was sent, so that a slow target makes no lock look short."""
    right, tries = logins.right(account), 0
    while (answer := logins.attempt(account, right)).let_in is False:
        tries += 1
        if since.passed > min(policy.seconds, LONGEST_WAIT):
            break
        time.sleep(min(policy.seconds, LONGEST_WAIT) / 5)
    if answer.let_in and since.passed >= policy.seconds and not tries:
        pytest.skip("capability: the target is so slow that the lock may have ended before it was asked for")
    assert tries, (
        f"after {policy.after} wrong passwords in a row {account.name} is still let in ({answer.words}): "
        "it is not locked"
    )
    early = answer.let_in and since.passed < policy.seconds * 0.95
    assert not early, f"the lock of {account.name} ended after {since.passed:.1f} s, declared are {policy.seconds:g} s"
    words = f"after {policy.after} wrong passwords the right one was refused {tries} times in {since.passed:.1f} s"
    note(f"{words} / {policy.after} 次错误口令后，正确口令在 {since.passed:.1f} 秒内被拒绝 {tries} 次")
    if since.passed < policy.seconds:
        note(f"the rest of the declared {policy.seconds:g} s was not waited for / 未等待至声明的 {policy.seconds:g} 秒")


def _undeclared(logins, account):
    answers = [logins.attempt(account, secrets.token_hex(12)) for _ in range(UNDECLARED)]
    right = logins.attempt(account, logins.right(account))
    state, state_zh = ("let in", "仍可登录") if right.let_in else ("refused", "被拒绝")
    pytest.skip(
        f"not-applicable: the application declares no accounts.wrong_passwords. After {UNDECLARED} wrong passwords for "
        f"{account.name} the right one was {state}; the first answer took {answers[0].seconds:.2f} s, the last "
        f"{answers[-1].seconds:.2f} s / 产品未声明 accounts.wrong_passwords；"
        f"{UNDECLARED} 次错误口令后，正确口令{state_zh}"
    )


def test_actions_are_recorded(application, target, request, keep, note):
    audit = target.application.audit
    if audit is None:
        pytest.skip("not-applicable: the application declares no audit / 产品未声明审计日志")
    machine, seconds = application.machine, 60 * target.factor
    file = shell.quote(audit.file)
    size = machine.run(f"[ ! -e {file} ] || wc -c <{file}; echo .", timeout=seconds)
    assert size.ok, f"the log {audit.file} cannot be read: {size.text.strip()[-200:]}"
    begin = int((re.findall(r"\d+", size.out) or ["0"])[0])
    words, wanted = _act(request, audit.patterns)

    def lines():
        return machine.run(f"[ ! -e {file} ] || tail -c +{begin + 1} {file}", timeout=seconds).out.splitlines()

    def lacking():
        every = lines()
        return [action for action, pattern in wanted.items() if not any(re.search(pattern, line) for line in every)]

    with contextlib.suppress(StepTimeout):
        wait_until(lambda: not lacking(), seconds=10 * target.factor, what="the log")
    text = lines()
    keep("audit.log", "\n".join(text[-200:]))
    lost = [f"{action}: no new line matches {wanted[action]}" for action in lacking()]
    assert not lost, f"{audit.file} does not record who did what: {'; '.join(lost)} ({len(text)} new lines)"
    open_words = [what for what, word in words.items() if any(word in line for line in text)]
    assert not open_words, f"{audit.file} holds {', '.join(open_words)}"
    note(f"recorded in {audit.file}: {', '.join(wanted)} / 已记录")


def _act(request, patterns):
    """Do what the log must record; gives passwords that it must not hold, and action -> regular expression."""
    words, values = {}, {"user": "", "key": ""}
    if {"login", "refused"} & patterns.keys():
        logins = request.getfixturevalue("logins")
        account = logins.definition.users[0]
        values["user"], wrong = account.name, secrets.token_hex(12)
        if "refused" in patterns:
            assert not logins.attempt(account, wrong).let_in, f"{account.name} is let in with any password"
        logins.demand(account)
        words = {"a wrong password": wrong, "the password of " + account.name: logins.right(account)}
    if {"create", "update", "delete"} & patterns.keys():
        resource = request.getfixturevalue("resource")
        values["key"] = key = resource.fresh_key()
        resource.create(key, "first text")
        if "update" in patterns:
            resource.update(key, "second text")
        resource.delete(key)
    escaped = {name: re.escape(value) for name, value in values.items()}
    return words, {action: render(pattern, escaped, where=f"audit.{action}") for action, pattern in patterns.items()}
