"""A misspelt name in waivers, policies, variants and templates is a fault with its place and the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.errors import DefinitionError, Fault, UsageError
from harness.planning import expand
from harness.reading.read import read
from harness.reading.templating import unknown_names
from tests.unit.test_gating import FAILS, campaign, cell, write

WAIVER = "- {case: 'CASE', because: b, approved_by: a, evidence: e, expires: 2099-01-01MORE}\n"


def waivers(case: str = "ISA-4", more: str = "") -> str:
    return (
        "waivers:\n"
        + WAIVER.replace("CASE", "LC-01").replace("MORE", "")
        + WAIVER.replace("CASE", case).replace("MORE", f", {more}" if more else "")
    )


WRONG = [
    ("ISA-44", "", "no such case", "ISA-4"),
    ("LC-1", "suite: compat/lifecycle", "no such case in compat/lifecycle", "LC-10"),
    ("*", "suite: compat/lifecicle", "no such suite", "compat/lifecycle"),
    ("*", "when: {cpu: kunpeng920}", "axis cpu has no such value", "kunpeng-920"),
    ("*", "when: {cpv: kunpeng-920}", "no such axis", "cpu"),
]


@pytest.mark.parametrize(("case", "more", "message", "hint"), WRONG)
def test_a_misspelt_name_in_waivers_is_a_fault_of_lint(
    folder: Any, case: str, more: str, message: str, hint: str
) -> None:
    path = folder.write("waivers", waivers(case, more))
    folder.change("matrix", waivers="waivers.yaml")
    for place in (folder.root, path):
        result = CliRunner().invoke(cli, ["lint", str(place)])
        assert isinstance(result.exception, DefinitionError), result.output
        (fault,) = result.exception.faults
        assert (Path(fault.file).name, fault.line, fault.message) == ("waivers.yaml", 3, message)
        assert fault.hint == f"did you mean {hint}?"


def test_waivers_for_another_matrix_of_the_product_are_no_fault(folder: Any) -> None:
    folder.write("waivers", waivers("ISA-4", "when: {cpu: loongson-3a5000, database: mariadb}"))
    folder.change("matrix", waivers="waivers.yaml")
    assert len(read(folder.root).waivers) == 2


def test_an_own_suite_beside_the_waivers_is_known(folder: Any) -> None:
    (folder.root / "own").mkdir()
    (folder.root / "own" / "test_x.py").write_text("def test_reads():\n    pass\n")
    path = folder.write("waivers", waivers("V-READS", "suite: own"))
    assert CliRunner().invoke(cli, ["lint", str(path)]).exit_code == 0


def test_an_expired_waiver_is_a_warning_of_lint_with_its_place(folder: Any) -> None:
    path = folder.write("waivers", waivers().replace("2099-01-01", "2020-01-01", 1))
    folder.change("matrix", waivers="waivers.yaml")
    for place in (folder.root, path):
        result = CliRunner().invoke(cli, ["lint", str(place)])
        assert result.exit_code == 0
        assert "waivers.yaml:2:" in result.output
        assert "expired" in result.output


GATE = [
    ("policy", "policy: p\ncells: [n=a, cpu=kunpeng920]\n", (2, "axis cpu has no such value", "kunpeng-920")),
    ("policy", "policy: p\ncells: [cpv=x86-64]\n", (2, "no such axis", "cpu")),
    ("policy", "policy: p\ncells: [x86-64]\n", (2, "not AXIS=VALUE", "")),
    ("waivers", waivers("C-11"), (3, "no such case", "C-1")),
    ("waivers", waivers("*", "when: {n: aa}"), (3, "axis n has no such value", "")),
]


@pytest.mark.parametrize(("kind", "text", "expected"), GATE)
def test_a_misspelt_name_opens_no_gate(tmp_path: Path, kind: str, text: str, expected: tuple[int, str, str]) -> None:
    record = write(tmp_path / "c.json", campaign(FAILS, cell(name="b")))
    path = tmp_path / f"{kind}.yaml"
    path.write_text(text)
    result = CliRunner().invoke(cli, ["gate", str(record), f"--{kind}", str(path)])
    assert isinstance(result.exception, DefinitionError), result.output
    fault = result.exception.faults[0]
    assert (fault.file, fault.line, fault.message) == (str(path), *expected[:2])
    assert not expected[2] or expected[2] in fault.hint


@pytest.mark.parametrize(
    ("name", "keys", "message", "hint"),
    [
        ("application", {"variants": [{"when": {"cpu": "kunpeng920"}, "set": {}}]}, "no such value", "kunpeng-920"),
        ("application", {"variants": [{"when": {"architecture": "arm64"}, "set": {}}]}, "no such value", ""),
        ("application", {"variants": [{"when": {"ox": "debian-12"}, "set": {}}]}, "no such axis", "os"),
        (
            "matrix",
            {"adjust": [{"when": {"cpu": "kunpeng920"}, "set": {}, "because": "b"}]},
            "no such value",
            "kunpeng-920",
        ),
    ],
)
def test_a_misspelt_condition_is_a_fault(folder: Any, name: str, keys: dict[str, Any], message: str, hint: str) -> None:
    folder.change(name, **keys)
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    (fault,) = caught.value.faults
    assert Path(fault.file).name == f"{name}.yaml"
    assert fault.line > 1
    assert message in fault.message
    assert hint in fault.hint


def template_faults(folder: Any) -> list[Fault]:
    with pytest.raises(DefinitionError) as caught:
        read(folder.root)
    return caught.value.faults


@pytest.mark.parametrize(
    ("keys", "found", "hint"),
    [
        ({"start": "run {{ ports.wbe }}"}, "ports.wbe", "ports.web"),
        ({"environment": {"A": "b", "B": "{{ db.hots }}"}}, "db.hots", "db.host"),
        ({"environment": {"A": "{{ secret.key }}"}}, "secret", "secrets"),
        ({"uninstall": ["true", "rm {{ params.plac }}"], "parameters": {"place": "x"}}, "params.plac", "params.place"),
        ({"schema": {"sqlite": [{"sql": "select '{{ cell.cpv }}'"}]}}, "cell.cpv", "cell.cpu"),
        ({"variants": [{"when": {"cpu": "x86-64"}, "set": {"start": "{{ ports['wbe'] }}"}}]}, "ports.wbe", "ports.web"),
    ],
)
def test_an_unknown_name_in_a_template_is_a_fault_with_its_line(
    folder: Any, keys: dict[str, Any], found: str, hint: str
) -> None:
    path = folder.change("application", **keys)
    (fault,) = template_faults(folder)
    assert (fault.found, fault.file) == (found, str(path))
    assert fault.line > 1
    assert hint in fault.hint


def test_an_unknown_name_in_a_template_file_is_a_fault_of_that_file(folder: Any) -> None:
    (folder.root / "app.conf").write_text(
        "port = {{ ports.web }}\n{% if cell.cpu %}\n  host = {{ db.hots }}\n{% endif %}\n"
    )
    folder.change("application", templates=[{"template": "app.conf", "path": "/etc/app.conf"}])
    (fault,) = template_faults(folder)
    assert (Path(fault.file).name, fault.line, fault.column) == ("app.conf", 3, 13)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16"])
def test_a_template_file_in_another_encoding_is_a_fault_with_its_place(folder: Any, encoding: str) -> None:
    for name in ("one.conf", "two.conf"):
        (folder.root / name).write_bytes("port = 1\ntitle =".encode("ascii") + "测试\n".encode(encoding))
    files = [{"template": name, "path": f"/etc/{name}"} for name in ("one.conf", "two.conf")]
    folder.change("application", templates=files)
    faults = template_faults(folder)
    assert [Path(fault.file).name for fault in faults] == ["one.conf", "two.conf"]
    assert all((fault.line, fault.column) == (2, 8) for fault in faults)
    assert all("at offset 16" in fault.found and "iconv -f GB18030" in fault.hint for fault in faults)


@pytest.mark.parametrize(
    "text",
    [
        "{{ db.host }}:{{ db['port'] }}",
        "{{ db.url | default('none') }}",
        "{% if db.url is defined %}x{% endif %}",
        "{% for name in ports %}{{ ports[name] }}{{ name.upper() }}{% endfor %}",
        "{% for name, port in ports.items() %}{{ loop.index }}{{ port }}{% endfor %}",
        "{% set db2 = db %}{{ db2.what }}",
        "plain $HOME {x}",
    ],
)
def test_what_a_template_may_use_is_no_fault(text: str) -> None:
    assert unknown_names(text, {"db": ("host", "port"), "ports": ("web",)}) == []


def test_a_file_is_checked_as_what_its_keys_say(folder: Any) -> None:
    path = folder.write("old-exceptions", waivers())
    result = CliRunner().invoke(cli, ["lint", str(path)])
    assert "kind waivers" in result.output
    renamed = (folder.root / "application.yaml").rename(folder.root / "mine.yaml")
    assert "kind application" in CliRunner().invoke(cli, ["lint", str(renamed)]).output
    with pytest.raises(UsageError, match="kind application, not a matrix"):
        read(renamed)
    nothing = folder.write("notes", {"a": 1})
    assert isinstance(CliRunner().invoke(cli, ["lint", str(nothing)]).exception, UsageError)


def test_two_suites_of_one_name_are_a_fault(folder: Any) -> None:
    for name in ("one", "two"):
        (folder.root / name).mkdir()
        (folder.root / name / "suite.yaml").write_text(
            "suite: mine\nversion: '1'\ntitle: t\nrunner: pytest\ncases:\n- {id: A-1, test: test_a, title: t, "
            "characteristic: reliability, clause: 5.3.5, blocker: true}\n"
        )
        (folder.root / name / "test_a.py").write_text("def test_a():\n    pass\n")
    folder.change("matrix", suites=["one", "two"])
    (fault,) = template_faults(folder)
    assert fault.message == "a second suite that calls itself mine"
    assert fault.line > 1


def test_a_folder_without_tests_is_not_called_missing(folder: Any) -> None:
    (folder.root / "checks").mkdir()
    (folder.root / "checks" / "helper.py").write_text("x = 1\n")
    folder.change("matrix", suites=["checks"])
    (fault,) = template_faults(folder)
    assert "holds no suite" in fault.message
    assert "test_*.py" in fault.expected


@pytest.mark.parametrize(
    ("name", "keys", "line", "words"),
    [
        ("application", {"limits": {"memory": "1 GB"}}, "memory", "512m"),
        ("application", {"http": {"port": "wbe"}}, "port: wbe", "not one of ports"),
        ("matrix", {"axes": {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["a", "b", "a"]}}, "- a", "twice"),
    ],
)
def test_a_fault_has_words_and_its_place(folder: Any, name: str, keys: dict[str, Any], line: str, words: str) -> None:
    path = folder.change(name, **keys)
    (fault,) = template_faults(folder)
    assert line in path.read_text().splitlines()[fault.line - 1]
    assert words in f"{fault.message} {fault.expected}"
    assert "^" not in fault.expected


@pytest.mark.parametrize(
    "keys",
    [
        {"exclude": [{"cpu": "kunpeng920", "because": "b"}]},
        {"strategy": {"kind": "pairwise", "must": [{"cpu": "kunpeng920"}]}},
    ],
)
def test_a_misspelt_value_of_an_exclude_or_a_must_has_the_nearest_one(folder: Any, keys: dict[str, Any]) -> None:
    folder.change("matrix", **keys)
    with pytest.raises(DefinitionError) as caught:
        expand(read(folder.root))
    assert [fault.hint for fault in caught.value.faults] == ["did you mean kunpeng-920?"]
