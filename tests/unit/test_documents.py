"""Documents name only what exists: paths, names of the code, links, keys of definitions."""

from __future__ import annotations

import json
import pkgutil
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

import harness
from harness.model.definitions import Application, Matrix
from harness.reading.kinds import KINDS

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "docs/guide/guide.md", ROOT / "docs/guide/guide.zh.md"]
PAGES = sorted((ROOT / "docs/guide").rglob("*.md"))
DEVELOPERS = [ROOT / "docs/architecture.md", ROOT / "CONTRIBUTING.md"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[A-Za-z_.-][\w.-]*(?:/[\w.-]+)*/?")
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
#: Where a path in these two documents may begin.
BASES = (ROOT, ROOT / "harness")
#: Words that stand for a name of the reader's own.
PLACEHOLDERS = re.compile(r"NAME|NNNN|FOLDER|CAMPAIGN")
ROOMS = {module.name for module in pkgutil.iter_modules(harness.__path__)}
#: Programs, values and patterns that are quoted, and are no names of this package.
FOREIGN = {"Raises", "mypy", "tox", "self"}


DEFINITION = re.compile(r"(?m)^\s*(?:async def|def|class)\s+(\w+)|^\s*(\w+)\s*[:=]")
#: What each module defines (classes, functions, fields, constants), and what the modules of rooms hand on.
DEFINED: dict[Path, set[str]] = {}
for module in sorted((ROOT / "harness").rglob("*.py")):
    source = module.read_text(encoding="utf-8")
    words = {word for match in DEFINITION.findall(source) for word in match if word}
    if module.name == "__init__.py":
        words |= set(re.findall(r"\w+", " ".join(re.findall(r"import (\([^)]*\)|.*)", source))))
    DEFINED[module.relative_to(ROOT / "harness")] = words


def name_exists(name: str) -> bool:
    """Whether ``name`` is in the package: ``room.module.object``, ``room.object``, ``Class.method``, or a word."""
    parts = name.removeprefix("harness.").split(".")
    if parts[0] in ROOMS:
        for length in range(len(parts), 0, -1):
            for place in (Path(*parts[:length]).with_suffix(".py"), Path(*parts[:length], "__init__.py")):
                if place in DEFINED:
                    return set(parts[length:]) <= DEFINED[place]
    return any(set(parts) <= words for words in DEFINED.values()) or any(place.stem == name for place in DEFINED)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def quoted(path: Path) -> list[str]:
    return QUOTED.findall(re.sub(r"```.*?```", "", text(path), flags=re.DOTALL))


@pytest.mark.parametrize("document", DEVELOPERS, ids=lambda path: path.name)
def test_every_path_that_developers_are_sent_to_exists(document: Path) -> None:
    paths = [word for word in quoted(document) if "/" in word and PATH.fullmatch(word)]
    assert paths, "the pattern finds no paths any more"
    real = [word for word in paths if not PLACEHOLDERS.search(word)]
    assert [word for word in real if not any((base / word).exists() for base in BASES)] == []


def test_every_name_of_the_architecture_exists() -> None:
    words = [re.sub(r"\(.*\)$", "", word) for word in quoted(ROOT / "docs/architecture.md")]
    names = {word for word in words if DOTTED.fullmatch(word) and not word.endswith((".toml", ".yaml", ".json"))}
    assert {"run_cell", "machines.placing.place", "Provisioner.hold"} <= names, "the pattern finds no names any more"
    missing = {name for name in names - FOREIGN if not (name in ROOMS or name_exists(name))}
    assert sorted(name for name in missing if not any((base / name).exists() for base in BASES)) == []


def test_every_room_has_its_row() -> None:
    table = text(ROOT / "docs/architecture.md").split("\n## ")[0]
    assert sorted(ROOMS - {"__main__"} - set(QUOTED.findall(table))) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(document))
    own = [link for link in links if "://" not in link]
    assert [link for link in own if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("guide", PAGES, ids=lambda path: path.name)
def test_examples_of_the_guide_are_valid_definitions(guide: Path) -> None:
    blocks = re.findall(r"```yaml\n# (\w+)\.yaml(, part)?[^\n]*\n(.*?)```", text(guide), re.DOTALL)
    assert len(re.findall("```yaml", text(guide))) == len(blocks), "an example does not say which file it is of"
    for kind, part, block in blocks:
        model: type[BaseModel] = KINDS[kind]
        given = yaml.safe_load(block)
        started = {"wars", "compose", "services"} & given.keys()  # by something else than a command
        whole = {key: value for key, value in WHOLE[kind].items() if not started or key != "start"} if part else {}
        model.model_validate_json(json.dumps({**whole, **given}, default=str))


#: What completes an example that is a part of a file.
WHOLE = {
    "application": {
        "application": "notes",
        "name": {"zh": "笔记", "en": "Notes"},
        "vendor": "Example",
        "version": "1.0",
        "start": "/opt/notes/run",
        "ready": {"path": "/", "seconds": 5},
        "ports": {"web": 8080},
        "http": {"port": "web"},
        "limits": {"memory": "128m", "cpus": 1, "processes": 64},
    },
    "matrix": {
        "matrix": "part",
        "axes": {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"]},
        "suites": ["compat/lifecycle"],
    },
}


def test_both_guides_have_the_same_chapters_in_the_same_order() -> None:
    chapters = [re.findall(r"^## (\d)\. ", text(guide), re.MULTILINE) for guide in GUIDES]
    assert chapters[0] == chapters[1] == ["1", "2", "3", "4", "5"]
    assert sections(GUIDES[0]) == sections(GUIDES[1])


def sections(guide: Path) -> list[int]:
    """How many sections each chapter has."""
    return [chapter.count("\n### ") for chapter in text(guide).split("\n## ")]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_guides_tables_have_every_key_that_is_in_use(guide: Path) -> None:
    """A key that the model has and that no guide names cannot be found by whoever writes a product."""
    words = set(re.findall(r"[a-z_]+", text(guide)))
    for model in (Application, Matrix):
        keys = {field.alias or name for name, field in model.model_fields.items()}
        assert sorted(keys - words) == []


def test_every_decision_stands_in_the_index_with_a_status() -> None:
    folder = ROOT / "docs/decisions"
    index = text(folder / "README.md")
    for path in sorted(folder.glob("0*.md")):
        (row,) = [line for line in index.splitlines() if f"]({path.name})" in line]
        assert re.search(r"accepted|superseded", row), row
