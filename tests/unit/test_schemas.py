"""JSON Schemas: in step with the models, named by every shipped definition, and agreeing with them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.errors import DefinitionError
from harness.model.results import Result
from harness.reading.classes import METHODS
from harness.reading.kinds import KINDS, MODELINE, kind_of, schema_of, schema_text, with_modeline
from harness.reading.parsing import parse
from harness.reading.read import read
from harness.report import full_record, record_schema
from harness.report.spreadsheet import compatibility_list
from tests.opcua_product import POINTS as NODES
from tests.unit.test_report import view

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path
    for folder in ("targets", "suites", "matrices", "examples", "reports")
    for path in (ROOT / folder).rglob("*.yaml")
    if path.parent.name != "templates"  # of a product: a compose file
)


def plain(value: Any) -> Any:
    """As an editor sees it: JSON types only."""
    return json.loads(json.dumps(value, default=str))


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_that_of_the_model(kind: str) -> None:
    assert (ROOT / "schemas" / f"{kind}.schema.json").read_text(encoding="utf-8") == schema_text(kind), (
        "next: harness schema --out schemas"
    )
    jsonschema.Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_definition_names_its_schema_and_agrees_with_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    assert first.startswith(MODELINE)
    schema = (path.parent / first.removeprefix(MODELINE)).resolve()
    kind = kind_of(path)
    assert kind is not None
    assert schema == ROOT / "schemas" / f"{kind}.schema.json"
    jsonschema.validate(plain(yaml.safe_load(text)), json.loads(schema.read_text(encoding="utf-8")))
    parse(path, KINDS[kind])
    assert with_modeline(path, text, ROOT / "schemas") == text


def test_the_schema_refuses_what_the_model_refuses() -> None:
    matrix = {"matrix": "m", "axes": {"os": ["a"], "cpu": ["b"], "database": ["c"]}, "suites": ["s"]}
    jsonschema.validate(matrix, schema_of("matrix"))
    jsonschema.validate({**matrix, "title": "one text for both"}, schema_of("matrix"))
    for wrong in ({"colour": 1}, {"suites": "s"}, {"strategy": {"kind": "some"}}, {"title": {"zh": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**matrix, **wrong}, schema_of("matrix"))


def test_the_command_writes_and_prints(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["schema", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {f"{kind}.schema.json" for kind in KINDS}
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["campaign.schema.json"]
    assert json.loads(CliRunner().invoke(cli, ["schema", "cpu"]).output)["title"] == "cpu"


GOOD: dict[str, Any] = {
    "hosts": {
        "hosts": [
            {"host": "kp-1", "address": "10.0.0.7", "key": "env:LAB_KEY", "labels": {"cpu": "kunpeng-920"}},
            {"host": "ft-1", "address": "10.0.0.8", "password": "file:/run/secrets/ft", "jump": "kp-1", "labels": {}},
        ]
    },
    "waivers": {
        "waivers": [{"case": "COMP-1", "because": "x", "approved_by": "y", "evidence": "z", "expires": "2027-01-31"}]
    },
    "policy": {"policy": "release", "unsteady": "fail", "slower_percent": 20.0},
    "runtime": {
        "runtime": "r",
        "name": "R",
        "vendor": "V",
        "packages": ["p"],
        "version": "p -V",
        "certainty": "general",
        "source": "s",
    },
    "middleware": {
        "middleware": "r",
        "name": "R",
        "vendor": "V",
        "packages": ["p"],
        "version": "p -V",
        "certainty": "general",
        "source": "s",
    },
    "profile": {"rate": 1.0, "p95_ms": 5.0, "error_rate": 0.5},
}
WRONG = [
    ("hosts", lambda v: v["hosts"].append(v["hosts"][0]), "host named twice"),
    ("hosts", lambda v: v["hosts"][1].update(jump="nowhere"), "no other host"),
    ("hosts", lambda v: v["hosts"][0].update(password="env:X"), "one of key and password"),
    ("hosts", lambda v: v["hosts"][0].update(key="-----BEGIN"), "the form that is wanted"),
    ("waivers", lambda v: v["waivers"][0].update(expires="soon"), "isoformat"),
    ("waivers", lambda v: v["waivers"][0].pop("approved_by"), "is missing"),
    ("policy", lambda v: v.update(verdicts=["nonconformant"]), "not one of the values"),
    ("runtime", lambda v: v.update(packages=[]), "packages and version belong together"),
    ("middleware", lambda v: v.update(certainty="sure"), "not one of the values"),
    ("profile", lambda v: v.update(rate=0.0), "greater than 0"),
]


def write(path: Path, value: Any) -> Path:
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", GOOD)
def test_kinds_without_a_shipped_file_are_read(kind: str, tmp_path: Path) -> None:
    parse(write(tmp_path / f"{kind}.yaml", GOOD[kind]), KINDS[kind])
    jsonschema.validate(GOOD[kind], schema_of(kind))


@pytest.mark.parametrize(("kind", "change", "told"), WRONG, ids=[f"{kind}-{told}" for kind, _, told in WRONG])
def test_their_faults_are_told(kind: str, change: Any, told: str, tmp_path: Path) -> None:
    value = plain(GOOD[kind])
    change(value)
    with pytest.raises(DefinitionError) as caught:
        parse(write(tmp_path / f"{kind}.yaml", value), KINDS[kind])
    assert told in caught.value.message


def test_init_makes_a_product_that_lints(tmp_path: Path) -> None:
    folder = tmp_path / "My Product"
    result = CliRunner().invoke(cli, ["init", str(folder)])
    assert result.exit_code == 0, result.output
    definitions = read(folder)
    assert definitions.application.application == "my-product"
    for path in folder.glob("*.yaml"):
        schema = path.parent / path.read_text().partition("\n")[0].removeprefix(MODELINE)
        jsonschema.validate(plain(yaml.safe_load(path.read_text())), json.loads(schema.read_text()))
    again = CliRunner().invoke(cli, ["init", str(folder)])
    assert "already" in str(again.exception)


BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks() -> list[Any]:
    return [
        pytest.param(text, id=f"{path.relative_to(ROOT)}:{number}")
        for path in DOCUMENTS
        for number, text in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), 1)
    ]


#: A sheet with a point for each function that documents declare.
POINTS = (
    "name,area,address,type,range,access\na,holding,0,int16,0..9,rw\nb,coil,0,bool,,rw\nc,discrete,0,bool\n"
    "d,input,0,int16\n"
)


@pytest.mark.parametrize("text", blocks())
def test_every_yaml_block_of_the_documents_is_right(text: str, folder: Any) -> None:
    """A block says in its first line what it is: ``# KIND.yaml``, with ``, part`` if other keys are left out."""
    told = re.match(r"# ([a-z]+)\.yaml(, part)?\b", text)
    assert told, "its first line must name its kind, such as: # matrix.yaml, part"
    kind, part = told[1], told[2]
    value = yaml.safe_load(text)
    if part and {"wars", "compose", "services"} & value.keys():  # in place of a start
        whole = yaml.safe_load((folder.root / f"{kind}.yaml").read_text())
        folder.write(kind, {key: given for key, given in {**whole, **value}.items() if key != "start"})
    elif part:
        folder.change(kind, **value)
    else:
        folder.write(kind, value)
    if kind in ("application", "matrix"):
        for name in value.get("suites", []):
            if not (ROOT / "suites" / name).is_dir():
                (folder.root / name).mkdir(exist_ok=True)
                (folder.root / name / "test_it.py").write_text("def test_it():\n    pass\n")
        # What it names lies beside the definition.
        for name in re.findall(
            r"(?:path: |template: |files: \[|\{file: |expected: |reference: )([\w.-][\w./-]*)", text
        ):
            if "." not in name and not name.startswith("build/"):
                continue
            (folder.root / name).parent.mkdir(exist_ok=True)
            (folder.root / name).touch()
        for name in re.findall(r"points: (\S+\.csv)", text):
            (folder.root / name).write_text(NODES if "protocol: opcua" in text else POINTS)
        for name, own in re.findall(r"python: ([\w./-]+\.py):(\w+)", text):
            (folder.root / name).parent.mkdir(exist_ok=True)
            methods = "\n".join(f"    def {method}(self, *_): ..." for method in METHODS)
            (folder.root / name).write_text(f"class {own}:\n{methods}\n")
        read(folder.root)
    else:
        parse(folder.root / f"{kind}.yaml", KINDS[kind])


def test_no_yaml_block_hides_behind_another_spelling() -> None:
    for path in DOCUMENTS:
        assert not re.findall(r"^```(?:yml|YAML)", path.read_text(encoding="utf-8"), re.MULTILINE), path


def test_git_ignores_none_of_the_schemas() -> None:
    done = subprocess.run(
        ["git", "check-ignore", "schemas/cpu.schema.json"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 1


def test_lint_takes_any_one_definition(folder: Any) -> None:
    run = CliRunner().invoke
    assert "kind application" in run(cli, ["lint", str(folder.root / "application.yaml")]).output
    path = folder.write("policy", {"policy": "p", "verdict": []})
    assert isinstance(run(cli, ["lint", str(path)]).exception, DefinitionError)
    assert "cells" in run(cli, ["lint", str(folder.root / "matrix.yaml")]).output


def test_faults_as_json_and_as_sarif(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.root.parent)
    folder.change("matrix", colour="red", axes={"os": ["debian-12"], "cpu": ["x87"], "database": ["sqlite"]})
    result = CliRunner().invoke(cli, ["lint", "product", "--format", "json"])
    assert result.exit_code == 2
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault["message"] == "unknown key 'colour'"
    assert fault["line"] > 1
    result = CliRunner().invoke(cli, ["lint", "product", "--format", "sarif"])
    assert result.exit_code == 2
    (run,) = json.loads(result.stdout)["runs"]
    (found,) = run["results"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "product/matrix.yaml", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": fault["line"], "startColumn": fault["column"]}
    assert found["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    folder.change("matrix", colour="red")
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"]}
    good = folder.write("matrix", {"matrix": "m", "axes": axes, "suites": ["compat/http"]})
    result = CliRunner().invoke(cli, ["lint", str(good), "--format", "sarif"])
    assert (result.exit_code, json.loads(result.stdout)["runs"][0]["results"]) == (0, [])


def test_the_schema_of_the_record_is_that_of_the_view_and_the_record_agrees() -> None:
    path = ROOT / "schemas" / "outputs" / "campaign.schema.json"
    shipped = json.loads(path.read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(record_schema())), "next: harness schema --out schemas"
    for shown in (view(), view({1: Result.FAIL, 2: Result.ERROR, 3: Result.SKIP}, tested=7)):
        record = json.loads(json.dumps(full_record(shown)))
        record["cells"] = record["cells"][:4]  # one of each kind
        jsonschema.validate(record, shipped)
        jsonschema.validate({**record, "cells": []}, shipped)
        for wrong in ({"verdict": "good"}, {"more": 1}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**record, "cells": [], **wrong}, shipped)


def test_the_compatibility_list_is_what_its_schema_says() -> None:
    schema = json.loads((ROOT / "schemas" / "outputs" / "compatibility.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(compatibility_list(view()), schema)
    jsonschema.validate(compatibility_list(view(tested=3)), schema)


@pytest.mark.parametrize("path", sorted((ROOT / "schemas" / "outputs").glob("*.json")), ids=lambda path: path.name)
def test_schemas_of_outputs_are_schemas(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"].startswith("https://xinchuang-harness/")
