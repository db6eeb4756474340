"""Pipeline files that users copy: in the shape that each service demands, with commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from harness.cli.entry import cli

FOLDER = Path(__file__).parents[2] / "docs" / "pipelines"

#: What the services' own documentation demands of the parts that are used here.
GITHUB = {
    "type": "object",
    "required": ["name", "on", "jobs"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "on": {"type": "object"},
        "jobs": {
            "additionalProperties": {
                "required": ["runs-on", "steps"],
                "additionalProperties": False,
                "properties": {
                    "runs-on": {"type": "string"},
                    "timeout-minutes": {"type": "integer"},
                    "steps": {
                        "items": {
                            "additionalProperties": False,
                            "minProperties": 1,
                            "oneOf": [{"required": ["uses"]}, {"required": ["run"]}],
                            "properties": {
                                "uses": {"pattern": "^[^@]+@v[0-9]+$"},
                                "run": {"type": "string"},
                                "if": {},
                                "name": {"type": "string"},
                                "with": {"type": "object"},
                            },
                        }
                    },
                },
            }
        },
    },
}
GITLAB = {
    "required": ["stages", "adaptation"],
    "additionalProperties": False,
    "properties": {
        "stages": {"items": {"type": "string"}},
        "adaptation": {
            "required": ["stage", "script"],
            "additionalProperties": False,
            "properties": {
                "stage": {"const": "adaptation"},
                "tags": {"type": "array"},
                "timeout": {"type": "string"},
                "before_script": {"items": {"type": "string"}},
                "script": {"items": {"type": "string"}},
                "artifacts": {
                    "additionalProperties": False,
                    "properties": {
                        "when": {"enum": ["always", "on_success", "on_failure"]},
                        "paths": {"items": {"type": "string"}},
                        "reports": {
                            "additionalProperties": False,
                            "properties": {"junit": {"type": "string"}, "codequality": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
}
GITEE = {
    "required": ["version", "name", "displayName", "stages"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": "1.0"},
        "name": {"type": "string"},
        "displayName": {"type": "string"},
        "triggers": {"type": "object"},
        "stages": {
            "minItems": 1,
            "items": {
                "required": ["name", "steps"],
                "additionalProperties": False,
                "properties": {
                    "name": {},
                    "displayName": {},
                    "strategy": {"enum": ["naturally", "fast"]},
                    "trigger": {"enum": ["auto", "manual"]},
                    "steps": {
                        "items": {
                            "required": ["step", "name", "script"],
                            "properties": {
                                "step": {"const": "shell@agent"},
                                "script": {"items": {"type": "string"}},
                            },
                        }
                    },
                },
            },
        },
    },
}


class _Words(yaml.SafeLoader):
    """YAML 1.2, as the services read it: ``on`` is a word."""


_Words.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.mark.parametrize(
    ("name", "schema"), [("github-actions.yml", GITHUB), ("gitlab-ci.yml", GITLAB), ("gitee-go.yml", GITEE)]
)
def test_the_shape_is_that_of_the_service(name: str, schema: Any) -> None:
    value = yaml.load((FOLDER / name).read_text(encoding="utf-8"), Loader=_Words)  # a safe loader
    jsonschema.validate(value, schema)


def test_the_jenkinsfile_is_balanced_and_declarative() -> None:
    text = re.sub(r"'[^']*'|//.*", "", (FOLDER / "Jenkinsfile").read_text(encoding="utf-8"))
    assert text.strip().startswith("pipeline {")
    assert text.count("{") == text.count("}")
    assert [word for word in ("agent", "stages", "steps", "post") if not re.search(rf"\b{word}\b", text)] == []


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_every_command_exists_with_its_options(path: Path) -> None:
    lines = re.findall(
        r"(?:^|[\s'/])harness ((?:lint|plan|run|gate|doctor)\b[^|>'\n]*)", path.read_text(encoding="utf-8")
    )
    verbs = []
    for line in lines:
        words = shlex.split(line)
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None
        command.make_context(words[0], words[1:], resilient_parsing=False)
        verbs.append(words[0])
    assert {"lint", "plan", "run", "gate"} <= set(verbs)
