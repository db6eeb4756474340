"""The desk over a real database: logins and their brakes, sessions, artifacts, steps that do more than lead on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from harness.desk import people, sessions, tables, uploads
from harness.desk.database import note
from harness.desk.refusing import Refusal
from harness.desk.uploads import scan_waiting
from tests.databases import cluster
from tests.desks import FORM, Desk, desk
from tests.journals import campaign, whole

WORDS = "a good password 口令"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with cluster() as server, desk(tmp_path_factory.mktemp("desk"), server.database()) as made:
        yield made


def person(there: Desk, account: str) -> str:
    """A new tester with a password of their own; gives the session."""
    once = people.add_person(
        there.office.desk,
        there.actors["administrator"],
        organisation=1,
        account=account,
        name=account,
        roles=["tester"],
    )
    entered = sessions.log_in(there.office.desk, account, once, address="::1")
    assert entered.must_change
    actor = sessions.actor_of(there.office.desk, entered.session)
    sessions.change_password(there.office.desk, actor, once, WORDS, WORDS)
    return entered.session


def attempt(there: Desk, account: str, password: str, address: str, device: str = "") -> int:
    try:
        sessions.log_in(there.office.desk, account, password, address=address, device=device)
    except Refusal as refusal:
        return refusal.status
    return 200


def test_the_first_start_is_the_first_only(there: Desk) -> None:
    assert people.first_start(there.office.desk, "another") is None


def test_another_password_ends_every_other_session(there: Desk) -> None:
    first = person(there, "changer")
    second = sessions.log_in(there.office.desk, "Changer ", WORDS, address="::1").session
    actor = sessions.actor_of(there.office.desk, second)
    for new, again, field in (
        ("short", "short", "new"),
        ("changer 123456", "changer 123456", "new"),
        (WORDS, "x", "again"),
    ):
        with pytest.raises(Refusal) as told:
            sessions.change_password(there.office.desk, actor, WORDS, new, again)
        assert told.value.faults.keys() == {field}
    sessions.change_password(there.office.desk, actor, WORDS, WORDS[::-1], WORDS[::-1])
    assert sessions.actor_of(there.office.desk, first).person is None
    assert sessions.actor_of(there.office.desk, second).person == actor.person
    sessions.log_out(there.office.desk, sessions.actor_of(there.office.desk, second))
    assert sessions.actor_of(there.office.desk, second).person is None


@pytest.mark.parametrize("column", ["seen", "created"])
def test_a_session_ends_by_rest_and_by_age(there: Desk, column: str) -> None:
    asker = there.browser("tester")
    assert asker.get("/applications").status_code == 200
    there.sql(f"UPDATE desk.sessions SET {column} = now() - interval '13 hours'")
    assert asker.get("/applications").headers["location"] == "/login?next=/applications"


def test_a_person_who_is_let_out_is_out_at_once(there: Desk) -> None:
    person(there, "leaver")
    session = sessions.log_in(there.office.desk, "leaver", WORDS, address="::1").session
    actor = sessions.actor_of(there.office.desk, session)
    assert actor.person is not None
    people.set_active(there.office.desk, there.actors["administrator"], actor.person, active=False)
    assert sessions.actor_of(there.office.desk, session).person is None
    assert attempt(there, "leaver", WORDS, "::1") == 401


def test_who_guesses_is_braked_and_locks_nobody_out(there: Desk) -> None:
    """Ten wrong passwords close the account to strangers; the browser that knows it still comes in."""
    person(there, "victim")
    device = sessions.log_in(there.office.desk, "victim", WORDS, address="10.0.0.1").device
    tries = [attempt(there, "victim", f"guess {number}", f"10.0.1.{number}") for number in range(12)]
    assert tries == [401] * 10 + [429] * 2
    assert attempt(there, "victim", WORDS, "10.0.2.1") == 429, "a stranger with the right password is braked too"
    assert attempt(there, "victim", WORDS, "10.0.0.1", device) == 200
    assert attempt(there, "victim", WORDS, "10.0.0.1", "another device") == 429
    there.sql("UPDATE desk.failures SET first = now() - interval '16 minutes'")
    assert attempt(there, "victim", WORDS, "10.0.2.1") == 200


def test_an_address_that_tries_many_accounts_is_braked(there: Desk) -> None:
    there.sql(
        "INSERT INTO desk.failures (key, count, first) VALUES ('address 10.9.9.9', %s, now())",
        sessions.MOST_ADDRESS - 1,
    )
    assert [attempt(there, f"nobody-{n}", "x", "10.9.9.9") for n in range(3)] == [401, 429, 429]


def test_a_login_makes_a_new_session_and_says_not_what_was_wrong(there: Desk) -> None:
    person(there, "logger")
    visitor = there.browser("nobody")
    planted = visitor.send("/login", {"account": "logger", "password": WORDS, "next": "//evil.example"})
    assert planted.headers["location"] == "/"
    cookies = planted.headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("desk_session="))
    assert visitor.cookie not in session
    for word in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert word in session
    texts = [
        re.sub(r'value="[^"]*"', "", visitor.send("/login", {"account": account, "password": "wrong"}).text)
        for account in ("logger", "no such person")
    ]
    assert texts[0] == texts[1]


def test_no_password_and_no_token_is_in_the_trail_or_in_the_tables(there: Desk) -> None:
    session = person(there, "quiet")
    asker = there.browser("tester")
    page = asker.send("/tokens", {"name": "ci", "scopes": "read", "days": "3"})
    token = re.search(r'id="once">(xcd_[^<]+)<', page.text)
    assert token is not None
    assert token[1] not in asker.get("/tokens").text, "it is shown once"
    for table in ("audit", "sessions", "tokens", "people", "devices"):
        text = str(there.sql(f"SELECT to_jsonb(t)::text FROM desk.{table} t"))
        assert WORDS not in text
        assert session not in text
        assert token[1] not in text
    program = httpx.get(
        f"{there.client.base_url}/api/v1/applications", headers={"Authorization": f"Bearer {token[1]}"}, trust_env=False
    )
    assert program.status_code == 200


# --- artifacts ---


def test_an_artifact_lies_in_quarantine_until_it_was_scanned(there: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.desk.web.pages.uploads.scan_waiting", lambda _: 0)
    application, asker = there.application(), there.browser("applicant")
    name = "../../<b>'名 1.0'.sh"
    sent = asker.send(f"/applications/{application}/artifacts", files={"artifact": (name, b"#!/bin/sh\nuname -m\n")})
    assert sent.status_code == 303, sent.text
    number, kept, state = there.sql("SELECT id, name, state FROM desk.uploads WHERE application = %s", application)[0]
    assert (kept, state) == ("<b>'名 1.0'.sh", "quarantine")
    place = f"/applications/{application}/artifacts/{number}"
    assert there.browser("tester").get(place).status_code == 409
    assert there.take("applicant", application, "submit").json()["faults"] == {"artifacts": "artifacts_needed"}
    assert scan_waiting(there.office) == 1
    page = asker.get(f"/applications/{application}").text
    assert "<b>" not in page.partition("artifact-list")[2].partition("</ul>")[0]
    assert "&lt;b&gt;" in page
    assert there.browser("tester").get(place).content == b"#!/bin/sh\nuname -m\n"
    assert there.take("applicant", application, "submit").json() == {"state": "plan_review"}
    assert asker.send(f"/applications/{application}/artifacts", files={"artifact": ("b", b"x")}).status_code == 409


def test_a_scan_that_breaks_off_is_told_and_counts_for_nothing(there: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SCAN_MEMORY_KIB", 20_000)
    application = there.application()
    there.program("applicant").ask("PUT", f"/api/v1/applications/{application}/artifacts/a.sh", content=b"#!/bin/sh\n")
    scan_waiting(there.office)
    assert there.sql("SELECT state FROM desk.uploads WHERE application = %s", application) == [("unread",)]
    assert "扫描未完成" in there.browser("applicant").get(f"/applications/{application}").text
    assert there.take("applicant", application, "submit").status_code == 422


def test_what_is_too_big_or_empty_is_refused_and_leaves_nothing(there: Desk) -> None:
    application, most = there.application(), there.office.most_bytes
    for size, status in ((0, 422), (most + 1, 413), (most + 3 * 2**20, 413)):
        program = there.program("applicant")
        path = f"/api/v1/applications/{application}/artifacts/a.bin"
        assert program.ask("PUT", path, content=bytes(size)).status_code == status
        chunks = iter([b"x" * 2**16] * (size // 2**16 + 1)) if size else iter(())
        assert program.ask("PUT", path, content=chunks).status_code == status, "a body that does not say how long it is"
    assert there.sql("SELECT * FROM desk.uploads WHERE application = %s", application) == []
    assert not list((there.office.folder / "quarantine").glob(".*"))
    long = there.browser("applicant").ask("POST", "/applications", content=b"x" * 2**20 + b"x")
    assert long.status_code == 413


# --- steps ---


def at_testing(there: Desk, **form: object) -> int:
    application = there.application(**form)
    there.artifact(application)
    for who, action in (("applicant", "submit"), ("reviewer", "accept_plan")):
        assert there.take(who, application, action).status_code == 200
    return application


def test_a_campaign_is_that_of_one_application(there: Desk) -> None:
    journal = there.office.center.journal
    campaign(journal, "c-one")
    first, second = at_testing(there), at_testing(there)
    assert there.take("tester", first, "bind_campaign", campaign="none").json()["faults"] == {
        "campaign": "campaign_unknown"
    }
    assert there.take("tester", first, "finish_testing").json()["faults"] == {"campaign": "needed"}
    assert there.take("reviewer", first, "bind_campaign", campaign="c-one").status_code == 403
    assert there.take("tester", first, "bind_campaign", campaign="c-one").status_code == 200
    assert there.take("tester", second, "bind_campaign", campaign="c-one").status_code == 409
    ended = there.take("tester", first, "finish_testing")
    assert ended.json() == {"state": "testing"}, "a campaign that runs is passed back by the machine"
    steps = there.program("applicant").get(f"/api/v1/applications/{first}").json()["steps"]
    assert [(step["who"], step["opinion"]) for step in steps[-1:]] == [("machine", "campaign_open")]
    assert "测试任务尚未结束" in there.browser("applicant").get(f"/applications/{first}").text


def test_nobody_takes_the_steps_of_the_machine(there: Desk) -> None:
    application = at_testing(there)
    for who in ("tester", "reviewer", "applicant", "approver"):
        for action in ("machine_pass", "machine_return", "issue", "make_draft"):
            assert there.take(who, application, action, reason="machine", opinion="x").status_code in (403, 409)
    assert there.state(application) == "testing"


def test_an_applicant_sees_no_words_of_the_laboratory(there: Desk) -> None:
    journal = there.office.center.journal
    whole(journal, "c-words")
    application = at_testing(there)
    there.take("tester", application, "bind_campaign", campaign="c-words")
    answer = there.program("applicant").get(f"/api/v1/applications/{application}/cells").json()
    assert "message" not in str(answer)
    for kind in ("report", "json", "certificate"):
        assert there.program("applicant").get(f"/api/v1/applications/{application}/papers/{kind}").status_code == 404


def test_lists_come_in_pages_and_each_row_once(there: Desk) -> None:
    numbers = {there.application("stranger", product=f"P{n} %_") for n in range(5)}
    program, after, seen = there.program("stranger"), 0, []
    while True:
        page = program.get("/api/v1/applications", params={"size": 2, "after": after, "q": "%_"}).json()
        seen += [row["id"] for row in page["applications"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == sorted(numbers)
    assert there.program("applicant").get("/api/v1/applications", params={"q": "%_"}).json()["applications"] == []


def test_forms_are_held_to_their_limits_in_both_faces(there: Desk) -> None:
    program, asker = there.program("applicant"), there.browser("applicant")
    for wrong in ({"product": "x" * 65}, {"kind": "none"}, {"platforms": [{}] * 9}, {"more": 1}, {"product": "a\nb"}):
        assert program.post("/api/v1/applications", json={**FORM, **wrong}).status_code == 422, wrong
    page = asker.send("/applications", {"product": "x" * 65, "version": "1"})
    assert page.status_code == 422
    assert "product-fault" in page.text
    assert 'value="1"' in page.text, "what was right is still there"


def test_pages_are_in_chinese_unless_english_is_chosen(there: Desk) -> None:
    asker = there.browser("nobody")
    assert 'lang="zh-CN"' in asker.get("/verify").text
    chosen = asker.get("/language/en", params={"back": "//evil.example"})
    assert chosen.headers["location"] == "/"
    asker.headers["Cookie"] += "; desk_language=en"
    text = asker.get("/verify").text
    assert "Verify a certificate" in text
    assert asker.get("/certificates/XC-NONE").status_code == 404
    assert "not to be relied on" in asker.get("/certificates/XC-NONE").text


def test_a_step_may_take_longer_than_a_writer_of_the_record_and_a_restart_is_met(tmp_path: Path) -> None:
    """Signing takes as long as it takes; and nobody at the desk sees that the server was started again."""
    with cluster() as server:
        url = f"{server.database()}&options=-c%20idle_in_transaction_session_timeout%3D4000"
        with desk(tmp_path, url) as own:
            actor = own.actors["auditor"]
            with own.office.desk.acting(actor) as connection:
                time.sleep(6)
                note(connection, actor, "thought", "for long")
            server.stop()
            server.start()
            for _ in range(2):
                with own.office.desk.acting(actor) as connection:
                    query = sa.select(tables.audit.c.subject).where(tables.audit.c.action == "thought")
                    assert connection.execute(query).scalars().all() == ["for long"]
