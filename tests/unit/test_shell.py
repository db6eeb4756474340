"""Shell text: values are quoted whatever is in them, and a command stays what its author wrote."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import harness
from harness.system import shell

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def sh(text: str) -> str:
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    return done.stdout.decode()


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_words_arrive_as_they_are(words: list[str]) -> None:
    assert sh(f"printf '%s\\0' {shell.join(words)}").split("\0")[:-1] == words


@given(st.dictionaries(st.from_regex(r"HARNESS_[A-Z]{1,5}", fullmatch=True), WORDS, min_size=1, max_size=3))
def test_variables_arrive_as_they_are(values: dict[str, str]) -> None:
    printed = sh(f'{shell.exports(values)}for n in {" ".join(values)}; do eval "printf \'%s\\0\' \\"\\$$n\\""; done')
    assert printed.split("\0")[:-1] == list(values.values())


@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=80))
@example("H股\nH\x80\naH股")
@example("".join(f"{letter}中\n" for letter in "HabcdXYZ"))
def test_a_here_document_arrives_as_it_is(text: str) -> None:
    assert sh(f"cat {shell.here(text)}").rstrip("\n") == text.rstrip("\n")


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        shell.quote("a\0b")
    with pytest.raises(ValueError, match="not a name"):
        shell.exports({"A-B": "x"})
    with pytest.raises(ValueError, match="mark"):
        shell.here("a\nHARNESS_END\nb")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("prog a b", "exec prog a b"),
        ("cd /x && prog", "cd /x && exec prog"),
        ("cd /x; ./run --a='b;c'", "cd /x; exec ./run --a='b;c'"),
        ("VAR=1 prog", "VAR=1 exec prog"),
        ("A=1 B='x y' prog $Z", "A=1 B='x y' exec prog $Z"),
        ("ulimit -n 100\nprog\n", "ulimit -n 100\nexec prog\n"),
        ("test -f x || prog >log 2>&1", "test -f x || exec prog >log 2>&1"),
        ('"${JAVA_HOME}/bin/java" -jar x', 'exec "${JAVA_HOME}/bin/java" -jar x'),
        ("cd /x && exec prog", "cd /x && exec prog"),
        ("sh -c 'trap x TERM; y & wait'", "exec sh -c 'trap x TERM; y & wait'"),
        *(
            (command, None)
            for command in (
                "prog | tee log",
                "prog &",
                "prog $(cat options)",
                "prog `cat options`",
                "(cd /x; prog)",
                "{ prog; }",
                "while true; do prog; done",
                "if true; then prog; fi",
                "trap 'stop' TERM; prog",
                "set -e; prog",
                ". /etc/default/prog; prog",
                "prog # comment",
                "prog <<E\nx\nE",
                "prog || true",
                "! prog",
                "A=1",
                "'unclosed",
                "",
            )
        ),
    ],
)
def test_only_a_last_program_takes_the_place_of_the_shell(command: str, expected: str | None) -> None:
    assert shell.replacing(command) == expected


@pytest.mark.parametrize(
    "command",
    [
        "cd / && pwd",
        "A='b c' env | grep ^A=",
        "A='b c' env",
        "umask 027; sh -c umask",
        "printf '%s|' \"a;b\" 'c && d' e\\;f",
        "export A=1; sh -c 'echo $A'",
        "false || echo one",
        "echo ${HOME}",
    ],
)
def test_a_command_with_exec_prints_what_it_prints_without(command: str) -> None:
    assert sh(f"env -i HOME=/h sh -c {shell.quote(shell.replacing(command) or command)}") == sh(
        f"env -i HOME=/h sh -c {shell.quote(command)}"
    )


def test_shell_text_is_built_in_one_room() -> None:
    """What is not quoted there would be quoted in another way: names of products hold whatever they like."""
    package = Path(harness.__file__).parent
    users = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) shlex", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    # The inventory takes a command line apart, which is no text for a shell.
    assert users == {"system/shell.py", "hosts/inventory.py"}
