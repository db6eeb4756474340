"""Templates of definitions: what they may take, however they are written."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness.errors import DefinitionError
from harness.model import templating
from harness.model.templating import costly_line, render

VALUES: dict[str, Any] = {
    "db": {"host": "database", "port": 5432, "password": "p"},
    "params": {"a": "1", "b": "2"},
    "ports": {"web": 80},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no braces at all", "no braces at all"),
        ("{{ db.host }}:{{ db['port'] }}", "database:5432"),
        ("{% if db.port == 5432 and not db.none is defined %}yes{% else %}no{% endif %}", "yes"),
        ("{% for k, v in params.items() %}{{ k }}={{ v }};{% endfor %}", "a=1;b=2;"),
        ("{{ db.user | default('app') | upper }}{{ ports.web + 1 }}", "APP81"),
        ("{{ params | tojson }}", '{"a": "1", "b": "2"}'),
    ],
)
def test_a_template_that_names_values_is_rendered_here(template: str, text: str) -> None:
    assert costly_line(template) == 0
    assert render(template, VALUES, where="start") == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 'ab' * 3 }}", "ababab"),
        ("{% for a in params %}{% for b in params %}{{ a }}{{ b }} {% endfor %}{% endfor %}", "aa ab ba bb "),
        ("{% set x = db.host %}{{ x | replace('a', 'A') }}", "dAtAbAse"),
        ("{{ '%s-%s' | format(db.host, 1) }}{{ range(3) | list }}", "database-1[0, 1, 2]"),
    ],
)
def test_any_other_is_rendered_with_limits_and_gives_the_same(template: str, text: str) -> None:
    assert costly_line(template) == 1
    assert render(template, VALUES, where="start") == text


@pytest.mark.parametrize(
    "bomb",
    [
        "{{ 'a' * 5000000000 }}",
        "{{ 'a' * 300000000 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='aa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ '{:9999999999}'.format(1) }}",
        "{{ 'a'.ljust(9999999999) }}",
        "{{ 'a' | center(9999999999) }}",
        "{{ 9 ** (9 ** 9) }}",
        "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        "{% include 'x' %}",
        "{% import '/etc/passwd' as x %}",
        "{% extends db.host %}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_a_template_that_takes_too_much_is_a_fault_with_its_line(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templating, "CPU_SECONDS", 1)
    started = time.process_time()
    with pytest.raises(DefinitionError) as caught:
        render(f"first line\n{bomb}", VALUES, where="p/application.yaml")
    (fault,) = caught.value.faults
    assert (fault.file, fault.line) == ("p/application.yaml", 2)
    assert fault.message.startswith("template fault: ")
    assert time.process_time() - started < 2, "none of the work is done in this process"


@pytest.mark.parametrize("text", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ db.port + 'x' }}", "{{ absent }}"])
def test_whatever_a_template_raises_is_a_fault(text: str) -> None:
    with pytest.raises(DefinitionError, match="template fault"):
        render(text, VALUES, where="start")


def test_a_text_of_a_megabyte_is_no_fault() -> None:
    assert len(render("x" * 2**20 + "{{ db.host }}", VALUES, where="t")) == 2**20 + 8
