"""The verbs of a machine: what a machine without them says, and how they are noted."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from harness.errors import UnsupportedVerb
from harness.model.verbs import UnsupportedVerbs, Verb, Verbs, deeds, in_effect, note_deed

CALLS = {
    "cut_network": (),
    "heal_network": (),
    "fill_disk": (),
    "free_disk": (),
    "move_clock": (5.0,),
    "restore_clock": (),
    "limit_memory": (1 << 20,),
    "restore_memory": (),
    "pause": (),
    "resume": (),
    "slow_network": (),
    "lose_names": (),
}


def test_a_machine_without_a_verb_says_which_and_what_to_do() -> None:
    for name, arguments in CALLS.items():
        with pytest.raises(UnsupportedVerb, match=r"this machine has no verb \w+; it has: none"):
            getattr(UnsupportedVerbs(), name)(*arguments)
    UnsupportedVerbs().undo()  # nothing can be in effect


def test_every_verb_of_the_protocol_is_refused_by_what_has_none() -> None:
    asked = {name for name, _ in inspect.getmembers(Verbs, inspect.isfunction) if not name.startswith("_")}
    assert asked - {"undo"} == set(CALLS)


def test_deeds_of_two_machines_are_kept_apart_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "deeds"
    note_deed(file, "application", Verb.CUT, peer="database")
    note_deed(file, "database", Verb.PAUSE)
    with file.open("a") as broken:
        broken.write('{"machine": "appl\n')  # a process was killed while it wrote
    note_deed(file, "application", Verb.CUT, ends=True)
    note_deed(file, "application", Verb.LOSS, loss=0.1)
    assert [(deed.machine, deed.verb.value, deed.ends) for deed in deeds(file)] == [
        ("application", "cut", False),
        ("database", "pause", False),
        ("application", "cut", True),
        ("application", "loss", False),
    ]
    assert in_effect(deeds(file), "application") == {Verb.LOSS}
    assert in_effect(deeds(file), "database") == {Verb.PAUSE}
    note_deed(Path(), "application", Verb.CUT)  # a machine outside of a cell notes nothing
    assert deeds(Path()) == []
