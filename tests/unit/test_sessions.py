"""Several sessions at once: what clients are given in turn, what comes back, and what each outcome means."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clients.features import try_features
from harness.clients.sessions import judged
from harness.control.servers import CellDatabase
from harness.control.sessions import answers_of, conducted
from harness.errors import InfrastructureError
from harness.model.context import Access
from harness.model.definitions import SqlFeature, SqlFeatures, SqlStep
from harness.model.sessions import SessionPlan, SessionStep, StepAnswer
from harness.system.process import Completed

ACCESS = Access(kind="d")

#: A client whose language is the shell's: what it is given is run, word by word, and it stays after an error.
CLIENT = r"""exec sh -c 'while IFS= read -r line; do
case "$line" in ("\! "*) sh -c "${line#???}";; (*) eval "$line" || echo "ERROR $?" >&2;; esac; done'"""


def conduct(folder: Path, *steps: tuple[str, str], client: str = CLIENT) -> list[StepAnswer]:
    given = tuple(SessionStep(session=session, sql=sql) for session, sql in steps)
    plan = SessionPlan(steps=given, look=0.5, bound=4)
    script = conducted(plan, client, r"\!")
    ran = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr == ""
    return answers_of(plan, ran.stdout)


def test_each_session_keeps_what_it_has_and_answers_for_itself(tmp_path: Path) -> None:
    answers = conduct(
        tmp_path, ("A", "x=甲"), ("B", "x=乙"), ("A", "echo $x"), ("B", "echo $x"), ("B", "false"), ("B", "echo 后")
    )
    assert [answer.rows for answer in answers] == [(), (), (("甲",),), (("乙",),), (), (("后",),)]
    assert [bool(answer.refusal) for answer in answers] == [False] * 4 + [True, False]


def test_texts_go_over_as_they_are(tmp_path: Path) -> None:
    odd = "echo 'it''s' \"$(printf 'a\\tb')\" '$HOME `id` \\ 𠀀'"
    answers = conduct(tmp_path, ("A", odd), ("A", "echo 1\necho 2"), ("A", "printf 'no end'"))
    assert answers[0].rows == (("its a", "b $HOME `id` \\ 𠀀"),)
    assert answers[1].rows == (("1",), ("2",))
    assert answers[2].rows == (("no end",),)


def test_what_waits_for_another_session_is_answered_once_that_is_done(tmp_path: Path) -> None:
    gate = tmp_path / "门"
    answers = conduct(
        tmp_path,
        ("A", f"until [ -e '{gate}' ]; do sleep 0.05; done; echo in"),
        ("B", f": >'{gate}'; echo opened"),
        ("A", "echo next"),
    )
    assert [(answer.waited, answer.rows) for answer in answers] == [
        (True, (("in",),)),
        (False, (("opened",),)),
        (False, (("next",),)),
    ]


def test_a_session_that_never_answers_ends_the_run_and_is_left_nowhere(tmp_path: Path) -> None:
    answers = conduct(tmp_path, ("A", "sleep 4321"), ("B", "echo 1"), ("A", "echo 2"), ("B", "echo 3"))
    assert [(answer.given, answer.answered) for answer in answers] == [
        (True, False),
        (True, True),
        (False, False),
        (False, False),
    ]


def test_a_session_that_ends_is_refused_from_then_on(tmp_path: Path) -> None:
    answers = conduct(tmp_path, ("A", "echo gone >&2; exit 2"), ("A", "echo 1"), ("B", "echo 2"))
    assert answers[0].refusal == "gone"
    assert "session ended" in answers[1].refusal
    assert answers[2].rows == (("2",),)


def test_a_client_that_is_not_there_is_no_answer_of_a_database(tmp_path: Path) -> None:
    answers = conduct(tmp_path, ("A", "echo 1"), client="exec no-such-client-here")
    assert "not found" in answers[0].refusal


@pytest.mark.parametrize("output", ["", "given 1\n", "given 1\nend 1 0\n", "Killed"])
def test_a_run_that_was_cut_off_says_nothing(output: str) -> None:
    plan = SessionPlan(steps=(SessionStep(session="A", sql="x"),), look=1, bound=1)
    if "given" in output:
        with pytest.raises(InfrastructureError, match="no answer that can be read"):
            answers_of(plan, output)
    else:
        assert not answers_of(plan, output)[0].given


FEATURE: dict[str, Any] = {"feature": "f", "case": "C-1", "title": "t", "standard": "s"}


def feature(*steps: dict[str, Any], **more: Any) -> SqlFeature:
    return SqlFeature.model_validate({**FEATURE, "steps": {"any": list(steps)}, **more})


def outcome(step: dict[str, Any], answer: StepAnswer, **more: Any) -> tuple[str, bool]:
    whole = feature({"session": "A", "sql": "S", **step}, **more)
    return judged(whole, whole.steps["any"], [answer])


ROW = StepAnswer(rows=(("1", "x"),))
NO = StepAnswer(refusal="LINE 1\nERROR: deadlock detected")


@pytest.mark.parametrize(
    ("step", "answer", "words", "refused"),
    [
        ({}, ROW, "", False),
        ({"answer": ["1|x"]}, ROW, "", False),
        ({"answer": ["2|x"]}, ROW, "gave 1|x, expected 2|x", False),
        ({"answer": []}, ROW, "expected no row", False),
        ({"answer": ["1"]}, StepAnswer(), "gave no row", False),
        ({}, NO, "A: ERROR: deadlock detected", True),
        ({"refused": "may", "answer": ["7"]}, NO, "", False),
        ({"refused": "may", "answer": ["7"]}, ROW, "expected 7", False),
        ({"refused": True}, NO, "", False),
        ({"refused": True}, ROW, "was not refused", False),
        ({"waits": True}, ROW, "did not wait", False),
        ({"waits": False}, ROW.model_copy(update={"waited": True}), "waited", False),
        ({"waits": True}, ROW.model_copy(update={"waited": True}), "", False),
        ({"refused": "may"}, StepAnswer(answered=False), "had no answer within 30 s", False),
        ({"refused": True}, StepAnswer(given=False, answered=False), "had no answer", False),
    ],
)
def test_a_step_demands_what_it_says_and_nothing_else(
    step: dict[str, Any], answer: StepAnswer, words: str, refused: bool
) -> None:
    fault, is_refusal = outcome(step, answer)
    assert (words in fault, bool(fault), is_refusal) == (True, bool(words), refused)


def test_some_step_must_be_refused_where_the_feature_says_so() -> None:
    assert "0 statements were refused, expected 1" in outcome({"refused": "may"}, ROW, refusals=1)[0]
    assert outcome({"refused": "may"}, NO, refusals=1) == ("", False)


@pytest.mark.parametrize(
    "raw",
    [
        {"steps": {}},
        {"steps": {"any": []}},
        {"steps": {"any": [{"session": "AB", "sql": "x"}]}},
        {"steps": {"any": [{"session": "A", "sql": ""}]}},
        {"steps": {"any": [{"session": "A", "sql": "x", "refused": True, "answer": ["1"]}]}},
        {"steps": {"any": [{"session": "A", "sql": "x", "refused": "maybe"}]}},
        {"steps": {"any": [{"session": "A", "sql": "{begin}"}]}},
        {"steps": {"any": [{"session": "A", "sql": "x"}]}, "levels": ["serializable"]},
        {"steps": {"any": [{"session": "A", "sql": "{begin}"}]}, "levels": ["snapshot"]},
        {"steps": {"any": [{"session": "A", "sql": "x"}]}, "answer": ["1"]},
        {"sql": {"any": "x"}, "answer": ["1"], "refusals": 1},
        {"answer": ["1"]},
        {"sql": {"any": "x"}, "answer": ["1"], "characters": ["9FFF-4E00"]},
        {"sql": {"any": "x"}, "answer": ["1"], "characters": ["4E00"]},
        {"sql": {"any": "x"}, "answer": ["1"], "characters": ["D7FF-E000", "D800-D801"]},
        {"sql": {"any": "x"}, "answer": ["1"], "characters": ["20-7E"]},
    ],
)
def test_odd_steps_are_faults_of_the_definition(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SqlFeature.model_validate({**FEATURE, **raw})


class Sessions:
    """A database that answers each step as it was said; the outer edge."""

    name, by_driver, has_sessions = "d", False, True

    def __init__(self, family: str, answers: list[StepAnswer]) -> None:
        self.definition = SimpleNamespace(sql=family)
        self.answers, self.given, self.asked = answers, [], []

    def query(self, sql: str) -> list[list[str]]:
        self.asked.append(sql)
        return []

    def sessions(self, steps: list[SessionStep]) -> list[StepAnswer]:
        self.given = [(step.session, step.sql) for step in steps]
        return self.answers


def tried(database: Any, whole: SqlFeature) -> Any:
    features = SqlFeatures(begin={"mysql": "SET {level}; BEGIN;"}, features=(whole,))
    return try_features(database, features, "C-1", itertools.count(7))


def test_a_level_is_begun_as_the_family_does_and_the_statement_shows_what_was_run() -> None:
    whole = feature(
        {"session": "A", "sql": "{begin}"},
        {"session": "B", "sql": "SELECT a FROM {t};", "answer": ["1|x"]},
        levels=["repeatable read"],
        sql={"any": "CREATE TABLE {t} (a INTEGER);"},
    )
    database = Sessions("mysql", [StepAnswer(), ROW.model_copy(update={"waited": True})])
    (result,) = tried(database, whole)
    assert (result.feature, result.state, result.en) == ("f-repeatable-read", "yes", "t (REPEATABLE READ)")
    assert database.given == [("A", "SET REPEATABLE READ; BEGIN;"), ("B", "SELECT a FROM xct7;")]
    assert result.statement.splitlines() == [
        "CREATE TABLE t (a INTEGER);",
        "A: SET REPEATABLE READ; BEGIN;",
        "B: SELECT a FROM t; (waited 等待) → 1|x",
    ]
    assert "DROP TABLE IF EXISTS xct7" in database.asked[-1]


@pytest.mark.parametrize(
    ("family", "more", "words"),
    [
        ("oracle", {"levels": ["serializable"]}, "how a level is set is not known"),
        ("sqlite", {"without": {"sqlite": {"zh": "无", "en": "it has none"}}}, "it has none / 无"),
    ],
)
def test_what_was_not_asked_is_unknown_and_no_lack_of_the_database(
    family: str, more: dict[str, Any], words: str
) -> None:
    sql = "{begin}" if "levels" in more else "x"
    (result,) = tried(Sessions(family, []), feature({"session": "A", "sql": sql}, **more))
    assert (result.state, words in result.words) == ("unknown", True)


def test_a_client_that_cannot_stay_leaves_it_unknown() -> None:
    database: Any = Sessions("mysql", [])
    database.has_sessions = False
    (result,) = tried(database, feature({"session": "A", "sql": "x"}))
    assert (result.state, "no client is known" in result.words) == ("unknown", True)


def test_a_step_for_several_sessions_is_given_to_each_and_the_refused_one_is_named() -> None:
    steps = ({"session": "A", "sql": "x", "times": 2}, {"session": "B", "sql": "y"})
    database = Sessions("mysql", [StepAnswer(), StepAnswer(), StepAnswer()])
    (result,) = tried(database, feature(*steps))
    assert (result.state, database.given) == ("yes", [("A1", "x"), ("A2", "x"), ("B", "y")])
    too_many = StepAnswer(refusal="ERROR 1040 (HY000): Too many connections")
    (result,) = tried(Sessions("mysql", [StepAnswer(), too_many, StepAnswer()]), feature(*steps))
    assert (result.state, result.words) == ("no", "A2: ERROR 1040 (HY000): Too many connections")


def test_a_refusal_that_nobody_expects_is_a_statement_that_is_not_offered() -> None:
    (result,) = tried(Sessions("mysql", [NO]), feature({"session": "A", "sql": "x"}))
    assert (result.state, result.words) == ("no", "A: ERROR: deadlock detected")


@pytest.mark.parametrize(("factor", "look"), [(1.0, 1), (3.0, 3), (20.0, 4)])
def test_a_slow_target_is_given_longer_but_not_until_a_server_ends_the_wait_itself(factor: float, look: int) -> None:
    scripts: list[str] = []

    def run(script: str, *, timeout: float, user: str) -> Completed:
        scripts.append(script)
        return Completed(rc=0, out="given 1\nend 1 0 0\nout A \nerr A \n")

    session = SimpleNamespace(command="exec client", shell=r"\!")
    definition: Any = SimpleNamespace(session=session, placement="server", endpoint=None)
    database = CellDatabase(machine=SimpleNamespace(run=run), definition=definition, access=ACCESS, factor=factor)
    assert database.sessions([SessionStep(session="A", sql="x")])[0].answered
    assert f"look={look} bound={30 * factor:.0f} " in scripts[0]


def test_a_database_without_a_recipe_for_sessions_has_none() -> None:
    definition: Any = SimpleNamespace(session=None, placement="server")
    database = CellDatabase(machine=Any, definition=definition, access=Any)
    assert not database.has_sessions
    assert SqlStep(session="A", sql="x").refused is False


def test_what_many_sessions_are_given_at_once_runs_side_by_side(tmp_path: Path) -> None:
    """Each waits until the last of them is there; looked at in turn, none would come to that."""
    meet = f"touch {tmp_path}/$PPID-$$; until [ $(ls {tmp_path} | grep -c -- -) -ge 12 ]; do sleep 0.05; done; echo met"
    given = [SessionStep(session=f"A{n}", sql=meet, at_once=True) for n in range(1, 13)]
    plan = SessionPlan(steps=(*given, SessionStep(session="B", sql="echo beside")), look=0.5, bound=4)
    (folder := tmp_path / "d").mkdir()
    ran = subprocess.run(
        ["sh", "-c", conducted(plan, CLIENT, r"\!")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    answers = answers_of(plan, ran.stdout)
    assert [answer.rows for answer in answers] == [(("met",),)] * 12 + [(("beside",),)]
    assert not any(answer.waited for answer in answers[:12])
