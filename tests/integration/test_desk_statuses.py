"""The status of certificates at the desk: one proposes, another decides, the register publishes, and everybody sees."""

from __future__ import annotations

import datetime
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.desk import public, statuses
from harness.desk.refusing import Refusal
from harness.desk.standing import standings
from harness.desk.statuses import Proposal
from harness.register.register import Register
from tests.databases import cluster
from tests.desks import Desk, desk, seals_in

NUMBERS = (f"XC-2026-{n}号<b>" if n % 5 == 0 else f"XC-2026-{n:04d}" for n in itertools.count(1))
SUSPEND = Proposal(kind="suspend", reason="收到投诉，正在核实 (it's 5%)", opinion="见来函\n<b>x</b>")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with cluster() as server, desk(folder, server.database(), seals_in(folder)) as made:
        made.person("second", "approver")
        made.person("both", "reviewer", "approver")
        yield made


@pytest.fixture
def number(there: Desk) -> str:
    """A new certificate of ``applicant``, in the register."""
    new = next(NUMBERS)
    there.certificate(new)
    return new


def register(there: Desk) -> Register:
    assert there.office.seals is not None
    return there.office.seals.register


def lists(there: Desk) -> int:
    """How many status lists the register's log has."""
    return sum(json.loads(line)["kind"] == "status" for line in register(there).lines())


def propose(there: Desk, who: str, number: str, proposal: Proposal = SUSPEND) -> int:
    return statuses.propose(there.office, there.actors[who], number, proposal)


def decide(there: Desk, who: str, number: str, change: int, decision: str = "carried_out", answer: str = "") -> None:
    statuses.decide(there.office, there.actors[who], number, change, decision, answer)


def refused(call: Callable[[], Any]) -> tuple[int, str, dict[str, str]]:
    with pytest.raises(Refusal) as told:
        call()
    return told.value.status, told.value.word, told.value.faults


def change_to(there: Desk, number: str, proposal: Proposal) -> None:
    decide(there, "approver", number, propose(there, "reviewer", number, proposal))


def standing(there: Desk, number: str) -> str:
    return standings(there.office).of(number).status


def test_a_suspension_is_proposed_decided_published_and_taken_back(there: Desk, number: str) -> None:
    reviewer, approver = there.browser("reviewer"), there.browser("approver")
    page, before = f"/issued/{number}", lists(there)
    sent = reviewer.send(f"{page}/changes", {"kind": "suspend", "reason": SUSPEND.reason, "opinion": SUSPEND.opinion})
    assert sent.status_code == 303, sent.text
    assert standing(there, number) == "active", "a proposal publishes nothing"
    ((change,),) = there.sql("SELECT id FROM desk.status_changes WHERE certificate = %s", number)
    shown = approver.get(page).text
    assert "批准并公布" in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "批准并公布" not in reviewer.get(page).text
    assert approver.send(f"{page}/changes/{change}", {"decision": "carried_out"}).status_code == 303
    assert lists(there) == before + 1
    assert standing(there, number) == "suspended"
    listed = there.browser("nobody").get("/certificates", params={"q": number}).text
    assert "已暂停" in listed
    assert "正常" not in listed
    assert "收到投诉" in listed
    public = there.client.get(f"/certificates/{number}").text
    assert "暂停期间不可采信" in public
    assert 'class="verdict v-valid"' not in public
    (row,) = there.client.get("/certificates.json", params={"q": number}).json()["certificates"]
    assert (row["state"]["status"], row["state"]["reason"]) == ("suspended", SUSPEND.reason)
    one = there.client.get(f"/api/v1/certificates/{number}").json()
    assert one["state"]["status"] == "suspended"
    assert one["status"] != "valid"
    back = Proposal(kind="reinstate", reason="核实后问题不成立", opinion="x")
    decide(there, "second", number, propose(there, "approver", number, back))
    assert standing(there, number) == "active"
    trail = there.sql("SELECT action FROM desk.audit WHERE subject = %s ORDER BY seq", number)
    assert [action for (action,) in trail] == [
        "status-suspend-proposed",
        "status-suspend-carried_out",
        "status-reinstate-proposed",
        "status-reinstate-carried_out",
    ]
    for word in ("reviewer 某", "approver 某", "second 某", "见来函"):
        assert word in reviewer.get(page).text
    own = there.sql("SELECT application FROM desk.certificates WHERE number = %s", number)[0][0]
    vendor = there.browser("applicant").get(f"/applications/{own}").text
    assert "收到投诉" in vendor
    assert "见来函" not in vendor, "opinions are for the center"


def test_a_refusal_needs_a_reason_and_a_proposer_may_withdraw(there: Desk, number: str) -> None:
    before = lists(there)
    change = propose(there, "both", number)
    assert refused(lambda: decide(there, "approver", number, change, "refused"))[2] == {"answer": "needed"}
    assert refused(lambda: decide(there, "both", number, change))[1] == "second"
    assert refused(lambda: decide(there, "approver", number, change, "withdrawn"))[:2] == (403, "role")
    assert refused(lambda: decide(there, "approver", number, change, "none"))[2] == {"decision": "choice"}
    decide(there, "both", number, change, "withdrawn")
    change = propose(there, "both", number)
    decide(there, "approver", number, change, "refused", "理由不充分")
    assert refused(lambda: decide(there, "second", number, change))[1] == "decided"
    assert lists(there) == before
    assert "理由不充分" in there.browser("auditor").get(f"/issued/{number}").text


@pytest.mark.parametrize("people", [("approver", "second"), ("approver", "approver")])
def test_of_two_who_decide_at_once_one_wins_and_the_register_has_one_entry(
    there: Desk, number: str, people: tuple[str, str]
) -> None:
    change, before, barrier = propose(there, "reviewer", number), lists(there), threading.Barrier(2)

    def try_it(pair: tuple[str, str]) -> int:
        asker = there.program(pair[0])
        barrier.wait()
        path = f"/api/v1/certificates/{number}/changes/{change}"
        return asker.post(path, json={"decision": pair[1], "answer": "x"}).status_code

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(try_it, zip(people, ("carried_out", "carried_out"), strict=True)))
    assert sorted(codes) == [200, 409]
    assert lists(there) == before + 1
    assert there.sql("SELECT count(*) FROM desk.audit WHERE subject = %s", number) == [(2,)]


def test_one_carries_out_while_another_refuses(there: Desk, number: str) -> None:
    for _ in range(3):
        change, before, barrier = propose(there, "reviewer", number), lists(there), threading.Barrier(2)
        outcome: dict[str, str] = {}

        def try_it(who: str, decision: str, change: int = change, barrier: Any = barrier, told: Any = outcome) -> None:
            barrier.wait()
            try:
                decide(there, who, number, change, decision, "x")
                told[decision] = "done"
            except Refusal as refusal:
                told[decision] = refusal.word

        threads = [
            threading.Thread(target=try_it, args=pair) for pair in (("approver", "carried_out"), ("second", "refused"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcome.values()) == ["decided", "done"]
        carried = outcome["carried_out"] == "done"
        assert lists(there) == before + carried
        assert standing(there, number) == ("suspended" if carried else "active")
        if carried:
            change_to(there, number, Proposal(kind="reinstate", reason="r", opinion="o"))


def test_two_certificates_at_once_are_both_published(there: Desk) -> None:
    numbers = ["XC-A", "XC-B"]
    for each in numbers:
        there.certificate(each, product=f"两个 {each}")
    changes = [propose(there, "reviewer", each) for each in numbers]
    barrier, before = threading.Barrier(2), lists(there)

    def try_it(which: int) -> None:
        barrier.wait()
        decide(there, ("approver", "second")[which], numbers[which], changes[which])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(try_it, range(2)))
    assert [standing(there, each) for each in numbers] == ["suspended", "suspended"]
    assert lists(there) == before + 2


def test_a_transaction_lost_after_the_signature_is_finished_by_the_next_try(
    there: Desk, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, other = propose(there, "reviewer", number), "XC-UNTOUCHED"
    there.certificate(other)

    def lost(*_: Any, **__: Any) -> None:
        raise OSError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(statuses, "note", lost)
        with pytest.raises(OSError, match="gone"):
            decide(there, "approver", number, change)
    assert there.sql("SELECT decision FROM desk.status_changes WHERE id = %s", change) == [(None,)]
    assert "待批准" in there.browser("auditor").get(f"/issued/{number}").text
    assert "工作台尚未记录完成" in there.browser("auditor").get(f"/issued/{number}").text
    assert "已暂停" in there.browser("nobody").get("/certificates", params={"q": number}).text, "it is public"
    for who, decision in (("second", "refused"), ("reviewer", "withdrawn")):
        assert refused(lambda w=who, d=decision: decide(there, w, number, change, d, "x"))[1] == "published"
    decide(there, "second", number, change)
    assert standing(there, number) == "suspended"
    assert standing(there, other) == "active"
    assert "工作台尚未记录完成" not in there.browser("auditor").get(f"/issued/{number}").text


def test_a_register_that_cannot_be_written_leaves_nothing_decided(there: Desk, number: str) -> None:
    change, note_file = propose(there, "reviewer", number), register(there).checkpoint_path
    good = note_file.read_bytes()
    note_file.write_bytes(b"no checkpoint")
    try:
        status, word, _ = refused(lambda: decide(there, "approver", number, change))
        assert (status, word) == (503, "unpublished")
        page = there.browser("approver").send(f"/issued/{number}/changes/{change}", {"decision": "carried_out"})
        assert page.status_code == 503
        assert "登记册未能写入" in page.text
    finally:
        note_file.write_bytes(good)
    assert standing(there, number) == "active"
    assert there.sql("SELECT decision FROM desk.status_changes WHERE id = %s", change) == [(None,)]
    decide(there, "approver", number, change)


def test_a_list_that_cannot_be_read_or_is_overdue_shows_nothing_as_active(
    there: Desk, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = register(there).status_path
    good = place.read_bytes()
    place.write_bytes(b"{}")
    try:
        for path in ("/certificates", "/issued"):
            text = there.browser("auditor").get(path, params={"q": number}).text.partition("<tbody>")[2]
            assert "未能查明" in text
            assert "正常" not in text
        assert refused(lambda: propose(there, "reviewer", number))[1] == "unknown_status"
    finally:
        place.write_bytes(good)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=40)
    monkeypatch.setattr("harness.desk.standing._now", lambda: later)
    assert "未能查明" in there.browser("nobody").get("/certificates", params={"q": number}).text
    propose(there, "reviewer", number)  # what is published next is fresh


def test_the_public_sees_no_place_of_this_machine(there: Desk, number: str) -> None:
    """Files of a certificate that are gone, a register without a list, a file that is no PDF: said by their names."""
    place = register(there).status_path
    good = place.read_bytes()
    place.write_bytes(b"{}")
    try:
        said = [public.certificate(there.office, number), public.check_file(there.office, "a.pdf", b"%PDF-1.7 broken")]
        texts = [json.dumps(said), there.browser("nobody").get(f"/certificates/{number}").text]
    finally:
        place.write_bytes(good)
    assert all("adaptation.dsse.json: No such file" in text for text in texts)
    for folder in (there.office.workspace.root, register(there).folder, Path("/dev/shm"), Path("/tmp")):
        assert not any(f"{folder}/" in text for text in texts), texts


def test_what_was_changed_on_the_command_line_is_told_and_gone_on_from(there: Desk, number: str) -> None:
    seals = there.office.seals
    assert seals is not None
    change = propose(there, "reviewer", number)
    seals.register.set_state(number, "revoked", "elsewhere", "", seals.signing)
    assert refused(lambda: decide(there, "approver", number, change))[1] == "moved"
    decide(there, "approver", number, change, "refused", "it was revoked elsewhere")
    assert "以登记册为准" in there.browser("auditor").get(f"/issued/{number}").text
    assert refused(lambda: propose(there, "reviewer", number))[1] == "status"
    seals.register.set_state(number, "suspended", "elsewhere", "", seals.signing)
    change_to(there, number, Proposal(kind="reinstate", reason="r", opinion="o"))
    assert standing(there, number) == "active"


def test_a_successor_is_another_certificate_of_the_register_that_holds(there: Desk, number: str) -> None:
    good, bad = "XC-GOOD", "XC-BAD"
    for each in (good, bad):
        there.certificate(each)
    change_to(there, bad, Proposal(kind="revoke", reason="r", opinion="o"))
    for successor, word in (
        ("", "needed"),
        (number, "another"),
        ("XC-UNKNOWN", "number_unknown"),
        (bad, "number_ended"),
        ("x\0y", "number_unknown"),
    ):
        wrong = Proposal(kind="supersede", reason="r", opinion="o", successor=successor)
        assert refused(lambda w=wrong: propose(there, "reviewer", number, w))[2] == {"successor": word}
    both = Proposal(kind="revoke", reason="r", opinion="o", successor=good)
    assert refused(lambda: propose(there, "reviewer", number, both))[2] == {"successor": "only_supersede"}
    change_to(there, number, Proposal(kind="supersede", reason="已换证", opinion="o", successor=good))
    for who, path in (("nobody", "/certificates"), ("nobody", "/certificates/"), ("auditor", "/issued")):
        asker = there.browser(who)
        text = (asker.get(path + number) if path.endswith("/") else asker.get(path, params={"q": number})).text
        assert f'href="/certificates/{good}"' in text
        assert "已被替代" in text or "请使用新证书" in text
    change_to(there, number, Proposal(kind="revoke", reason="假的", opinion="o"))
    assert standing(there, number) == "revoked"
    assert there.client.get(f"/api/v1/certificates/{number}").json()["state"]["by"] == ""


@pytest.mark.parametrize(
    ("proposal", "faults"),
    [
        (Proposal(kind="none", reason="r", opinion="o"), {"kind": "choice"}),
        (Proposal(kind="suspend"), {"reason": "needed", "opinion": "needed"}),
        (Proposal(kind="suspend", reason='say "x"', opinion="o"), {"reason": "one_line"}),
        (Proposal(kind="suspend", reason="a\nb", opinion="o"), {"reason": "one_line"}),
        (Proposal(kind="suspend", reason="a\u202eb", opinion="o"), {"reason": "one_line"}),
        (Proposal(kind="suspend", reason="x" * 201, opinion="o" * 4001), {"reason": "length", "opinion": "length"}),
        (Proposal(kind="suspend", reason="r", opinion="a\0b"), {"opinion": "characters"}),
    ],
)
def test_words_that_do_not_fit_are_told_in_both_faces(
    there: Desk, number: str, proposal: Proposal, faults: dict[str, str]
) -> None:
    assert refused(lambda: propose(there, "reviewer", number, proposal))[2] == faults
    values = {"kind": proposal.kind, "reason": proposal.reason, "opinion": proposal.opinion}
    page = there.browser("reviewer").send(f"/issued/{number}/changes", values)
    assert page.status_code == 422
    assert "请更正以下内容" in page.text
    answer = there.program("reviewer").post(f"/api/v1/certificates/{number}/changes", json=values)
    assert answer.status_code == 422


def test_a_number_that_no_text_can_hold_is_no_trouble_of_the_database(there: Desk) -> None:
    for path in (
        "/issued/%00",
        "/issued?q=%00",
        "/certificates/%00",
        "/certificates?q=a%00b",
        "/api/v1/issued?after=%00",
    ):
        asker = there.program("auditor") if path.startswith("/api") else there.browser("auditor")
        assert asker.get(path).status_code == 400, path


def test_the_list_of_the_center_is_filtered_and_comes_in_pages(there: Desk) -> None:
    names = [f"XC-PAGE-{letter}" for letter in "abcde"]
    for each in names:
        there.certificate(each, product="分页 %_")
    change_to(there, names[0], Proposal(kind="suspend", reason="r", opinion="o"))
    propose(there, "reviewer", names[1])
    program, after, seen = there.program("auditor"), "", []
    while True:
        answer = program.get("/api/v1/issued", params={"size": 2, "after": after, "q": "%_"}).json()
        seen += [row["number"] for row in answer["certificates"]]
        after = answer["next"]
        if after is None:
            break
    assert sorted(seen) == names
    for status, found in (("suspended", names[:1]), ("open", names[1:2]), ("active", names[1:]), ("revoked", [])):
        rows = program.get("/api/v1/issued", params={"status": status, "q": "%_"}).json()["certificates"]
        assert sorted(row["number"] for row in rows) == found, status
        assert there.browser("auditor").get("/issued", params={"status": status, "q": "%_"}).status_code == 200
