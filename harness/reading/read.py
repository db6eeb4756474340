"""Reads definitions from files into the models of ``harness.model.definitions``; gathers every fault.

Usage::

    definitions = read(Path("matrices/powerdns"))
    definitions.matrix, definitions.cpus["kunpeng-920"], definitions.suites["compat/http"].folder
"""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import DefinitionError, Fault, UsageError
from harness.model.definitions import (
    Application,
    Case,
    Cpu,
    Database,
    Matrix,
    Middleware,
    Os,
    Rule,
    Rules,
    Runtime,
    Suite,
    Text,
    Waivers,
)
from harness.model.plan import FRESH, ROLE_AXES, SAME, UPGRADE, Definitions, LocatedSuite
from harness.reading.catalogue import Catalogue as Catalogue
from harness.reading.sheets import fill_from_sheets
from harness.reading.source import Loc, Source, read_source
from harness.system.canonical import digest_of

ModelT = TypeVar("ModelT", bound=BaseModel)


def parse(path: Path, model: type[ModelT]) -> ModelT:
    """Read one file as ``model``.

    Raises:
        DefinitionError: with every fault of the file.
    """
    return _validate(read_source(path), model)


def read(folder: Path, catalogue: Catalogue | None = None) -> Definitions:
    """Read the matrix in ``folder`` (or the matrix file itself) and everything that it names.

    Raises:
        UsageError: there is no matrix.
        DefinitionError: with every fault of every file.
    """
    path = folder / "matrix.yaml" if folder.is_dir() else folder
    if not path.is_file():
        raise UsageError(
            f"no matrix at {folder}: expected a folder with matrix.yaml, or the file itself",
            advice="name a folder such as matrices/powerdns",
        )
    catalogue = catalogue or Catalogue.standard()
    faults: list[Fault] = []

    def gather(work: Callable[[], ModelT]) -> ModelT | None:
        try:
            return work()
        except DefinitionError as error:
            faults.extend(error.faults)
            return None

    source = read_source(path)
    fill_from_sheets(source)
    matrix = gather(lambda: _validate(source, Matrix))
    if matrix is None:
        raise DefinitionError(faults)
    application_path = path.parent / matrix.application
    application = gather(lambda: parse(application_path, Application))

    by_host = "host" in matrix.prefer and "prefer" in matrix.model_fields_set

    def load(kind: str, model: type[ModelT]) -> dict[str, ModelT]:
        """Everything of a kind that its own axis names, or an axis of a role."""
        loaded: dict[str, ModelT] = {}
        for axis in (kind, *(role for role, of in ROLE_AXES.items() if of == kind and role in matrix.axes)):
            named: list[tuple[Loc, str]] = [(("axes", axis, i), name) for i, name in enumerate(matrix.axes[axis])]
            named += [(("include", i, axis), cell[axis]) for i, cell in enumerate(matrix.include) if axis in cell]
            for loc, name in named:
                if name not in loaded and (axis == kind or name != SAME):
                    loaded |= one(kind, name, model, loc)
        return loaded

    def one(axis: str, name: str, model: type[ModelT], loc: Loc) -> dict[str, ModelT]:
        file = catalogue.find("targets", axis, f"{name}.yaml")
        if file is None:
            known = catalogue.names(f"targets/{axis}")
            faults.append(
                source.fault(
                    loc,
                    f"no such {axis}",
                    expected=f"one of {', '.join(known)}",
                    found=name,
                    hint=_nearest(name, known),
                )
            )
            return {}
        value = gather(lambda: parse(file, model))
        if value is not None and getattr(value, axis) != name:
            faults.append(
                Fault(
                    file=str(file),
                    line=1,
                    column=1,
                    message=f"{axis} differs from the file's name",
                    expected=name,
                    found=getattr(value, axis),
                )
            )
        # A lab host may run what no image can be made of; whether there is one is seen when the cell is planned.
        if (obstacle := getattr(value, "obstacle", "")) and not (axis in ("cpu", "os") and by_host):
            faults.append(
                source.fault(
                    loc,
                    f"nothing can serve {axis} {name}: {obstacle}",
                    expected="an entry that can be served",
                    found=name,
                    hint=f"write how in targets/{axis}/{name}.yaml of your own folder"
                    + (", or prefer: [host] in the matrix where a lab host is one" if axis in ("cpu", "os") else ""),
                )
            )
        return {name: value} if value is not None else {}

    cpus, systems, databases = load("cpu", Cpu), load("os", Os), load("database", Database)
    runtimes = load("runtime", Runtime) if "runtime" in matrix.axes else {}
    middlewares = load("middleware", Middleware) if "middleware" in matrix.axes else {}
    waivers = gather(lambda: parse(path.parent / str(matrix.waivers), Waivers)) if matrix.waivers else None
    suites: dict[str, LocatedSuite] = {}
    wanted: list[tuple[Loc, str]] = [(("suites", i), name) for i, name in enumerate(matrix.suites)]
    for i, adjust in enumerate(matrix.adjust):
        wanted += [(("adjust", i, "set", "suites", j), name) for j, name in enumerate(adjust.set.suites or ())]
    for loc, name in wanted:
        located = gather_suite(name, path.parent, catalogue)
        if isinstance(located, list):
            faults.extend(located)
        elif located is None:
            known = catalogue.suites()
            faults.append(
                source.fault(
                    loc,
                    "no such suite",
                    expected=f"one of {', '.join(known)}, or a folder beside the matrix",
                    found=name,
                    hint=_nearest(name, known),
                )
            )
        else:
            suites[name] = located
    if application is not None:
        faults += _missing_files(application, application_path)
        for i, name in enumerate(matrix.axes.get(UPGRADE, ())):
            if name != FRESH and name not in application.former:
                known = [FRESH, *application.former]
                faults.append(
                    source.fault(
                        ("axes", UPGRADE, i),
                        "the application names no such former version",
                        expected=f"one of {', '.join(known)}",
                        found=name,
                    )
                )
    if faults or application is None:
        raise DefinitionError(faults)
    return Definitions(
        matrix=matrix,
        application=application,
        cpus=cpus,
        systems=systems,
        databases=databases,
        suites=suites,
        runtimes=runtimes,
        middlewares=middlewares,
        waivers=waivers.waivers if waivers is not None else (),
        folder=path.parent.resolve(),
        application_folder=application_path.parent.resolve(),
        matrix_places=dict(source.places),
        matrix_path=path,
        files=_file_digests(application, application_path.parent),
    )


def gather_suite(name: str, beside: Path, catalogue: Catalogue) -> LocatedSuite | list[Fault] | None:
    """The suite ``name``: a folder beside the matrix wins over the catalogue; faults as a list; None if absent.

    A folder of pytest files (or with a locustfile.py) needs no suite.yaml: its cases are then the test functions
    found in it, each a blocker, under the clause for functional suitability.
    """
    for folder in (beside / name, catalogue.find("suites", name)):
        if folder is None or not folder.is_dir():
            continue
        try:
            if (folder / "suite.yaml").is_file():
                definition = parse(folder / "suite.yaml", Suite)
                if definition.runner == "scan":
                    definition = definition.model_copy(update={"cases": cases_of_rules(rules_of(folder))})
            else:
                found = derive_suite(name, folder)
                if found is None:
                    continue
                definition = found
        except DefinitionError as error:
            return error.faults
        if outside := _links_out(folder):
            return outside
        return LocatedSuite(definition=definition, folder=folder.resolve(), digest=_folder_digest(folder))
    return None


def rules_of(folder: Path) -> tuple[Rule, ...]:
    """The rules of a suite that is a static scan: all files of its folder ``rules``.

    Raises:
        DefinitionError: a file is wrong, an id is used in two of them, or there is no rule.
    """
    found: dict[str, Rule] = {}
    faults: list[Fault] = []
    for path in sorted((folder / "rules").glob("*.yaml")):
        try:
            for rule in parse(path, Rules).rules:
                if rule.id in found:
                    faults.append(
                        Fault(file=str(path), line=1, column=1, message=f"rule {rule.id} is in another file too")
                    )
                found[rule.id] = rule
        except DefinitionError as error:
            faults += error.faults
    if not found and not faults:
        faults.append(
            Fault(
                file=str(folder / "suite.yaml"),
                line=1,
                column=1,
                message="a scan without rules",
                expected=f"files in {folder / 'rules'}",
            )
        )
    if faults:
        raise DefinitionError(faults)
    return tuple(found.values())


def cases_of_rules(rules: tuple[Rule, ...]) -> tuple[Case, ...]:
    """A case for each rule; it may block where the rule may."""
    return tuple(
        Case(
            id=rule.id,
            test=rule.id.lower(),
            title=rule.title,
            purpose=rule.why,
            expected=Text(zh="未发现", en="nothing of it is found"),
            characteristic=rule.characteristic,
            clause=rule.clause,
            blocker=rule.severity == "blocker" or rule.detect == "unread",
        )
        for rule in rules
    )


def derive_suite(name: str, folder: Path) -> Suite | None:
    """A suite for a plain folder of pytest files or a locustfile; None where there is neither.

    Raises:
        DefinitionError: a test file is no Python, or a name is used twice.
    """
    title = name.rstrip("/").rpartition("/")[2]
    if (folder / "locustfile.py").is_file():
        path = Catalogue.standard().find("suites", "load/http", "suite.yaml")
        if path is None:
            return None
        return parse(path, Suite).model_copy(update={"suite": name, "title": Text(zh=title, en=title)})
    functions: dict[str, str] = {}
    faults: list[Fault] = []
    for path in sorted(folder.rglob("test_*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        except (SyntaxError, UnicodeDecodeError) as error:
            line = getattr(error, "lineno", None) or 1
            faults.append(Fault(file=str(path), line=line, column=1, message=f"not valid Python: {error}"))
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                if node.name in functions:
                    faults.append(
                        Fault(
                            file=str(path),
                            line=node.lineno,
                            column=1,
                            message=f"{node.name} is in {functions[node.name]} too",
                            expected="names that are used once in the folder",
                            hint="or describe the suite in a suite.yaml",
                        )
                    )
                functions[node.name] = path.name
    if faults:
        raise DefinitionError(faults)
    if not functions:
        return None
    return Suite.model_validate(
        {
            "suite": name,
            "version": "0",
            "runner": "pytest",
            "title": title,
            "method": "vendor",
            "cases": [
                {
                    "id": f"V-{test.removeprefix('test').strip('_').upper().replace('_', '-') or 'TEST'}",
                    "test": test,
                    "title": test.removeprefix("test").strip("_").replace("_", " ") or test,
                    "characteristic": "functional_suitability",
                    "clause": "5.3.1",
                    "blocker": True,
                }
                for test in functions
            ],
        }
    )


def _links_out(folder: Path) -> list[Fault]:
    """Symbolic links of a suite that lead out of it: what they lead to is not what the digest names elsewhere."""
    root = folder.resolve()
    return [
        Fault(
            file=str(path),
            line=1,
            column=1,
            message="a symbolic link that leads out of the suite",
            expected=f"a file below {folder}",
            found=str(path.readlink()),
            hint="copy the file instead",
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() and not path.resolve().is_relative_to(root)
    ]


def _folder_digest(folder: Path) -> str:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    return digest_of({str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files})


def _file_digests(application: Application, folder: Path) -> dict[str, str]:
    names = [name for _, name in _named_files(application)]
    for playbook in application.playbooks:  # a playbook of its own folder may use whatever lies there
        beside = (folder / playbook.playbook).parent
        if beside.resolve() != folder.resolve():
            names += [str(path.relative_to(folder)) for path in sorted(beside.rglob("*")) if path.is_file()]
    for one in application.scan:
        found = [folder / one] if (folder / one).is_file() else sorted((folder / one).rglob("*"))
        names += [str(path.relative_to(folder)) for path in found if path.is_file() and not path.is_symlink()]
    names = list(dict.fromkeys(names))
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def _named_files(application: Application) -> list[tuple[Loc, str]]:
    """Files that the application and its former versions are made of, and where they are named."""
    named: list[tuple[Loc, str]] = []
    versions: list[tuple[Loc, Application]] = [((), application)]
    versions += [(("former", name, "set"), application.before(name)) for name in application.former]
    for place, one in versions:
        named += [((*place, "templates", i, "template"), t.template) for i, t in enumerate(one.templates)]
        named += [((*place, "artifacts", i, "path"), a.path) for i, a in enumerate(one.artifacts)]
        named += [((*place, "playbooks", i, "playbook"), p.playbook) for i, p in enumerate(one.playbooks)]
    return list({name: (loc, name) for loc, name in reversed(named)}.values())[::-1]


def _missing_files(application: Application, path: Path) -> list[Fault]:
    source = read_source(path)
    faults = []
    try:
        named = _named_files(application)
    except ValidationError as error:
        first = error.errors()[0]
        return [
            source.fault(
                ("former",),
                f"a former version is no valid application: {first['msg']}",
                found=".".join(str(part) for part in first["loc"]),
            )
        ]
    named += [(("scan", i), path) for i, path in enumerate(application.scan)]
    root = path.parent.resolve()
    for loc, name in named:
        file = (root / name).resolve()
        if not file.is_relative_to(root):
            message = "the file lies outside the application's folder"
            faults.append(source.fault(loc, message, expected=f"a path below {root}", found=name))
        elif not file.is_file() and not (loc[0] == "scan" and file.is_dir()):
            faults.append(source.fault(loc, "no such file", expected=f"a file in {root}", found=name))
    return faults


# --- pydantic's errors, told as ours ---


def _validate(source: Source, model: type[ModelT]) -> ModelT:
    if not isinstance(source.value, dict):
        raise DefinitionError([source.fault((), "not a mapping", expected=f"a mapping of {_keys(model)}")])
    try:
        return model.model_validate(source.value)
    except ValidationError as error:
        raise DefinitionError([_fault(source, model, detail) for detail in error.errors()]) from error


def _fault(source: Source, model: type[BaseModel], detail: ErrorDetails) -> Fault:
    loc: Loc = tuple(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _keys_at(model, loc[:-1])
        found = str(loc[-1])
        return source.fault(
            loc,
            f"unknown key {found!r}",
            key=True,
            expected=f"one of {', '.join(known)}",
            found=found,
            hint=_nearest(found, known),
        )
    if kind == "missing":
        return source.fault(loc[:-1], f"key {loc[-1]!r} is missing", expected=f"{loc[-1]}: …", found="nothing")
    found = repr(detail["input"])
    found = found if len(found) <= 80 else found[:77] + "…"
    if kind in ("literal_error", "enum"):
        words = [word.strip("' ") for word in str(context.get("expected", "")).replace(" or ", ",").split(",")]
        return source.fault(
            loc,
            "not one of the values known here",
            expected=", ".join(words),
            found=found,
            hint=_nearest(str(detail["input"]), words),
        )
    message = detail["msg"].removeprefix("Value error, ")
    expected = str(context["pattern"]) if "pattern" in context else ""
    return source.fault(loc, message[0].lower() + message[1:], expected=expected, found=found)


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(_keys_at(model, ()))


def _keys_at(model: Any, loc: Loc) -> list[str]:
    """Names of the keys that are valid at ``loc`` below ``model``."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        for inner in getattr(model, "__args__", ()):
            if keys := _keys_at(inner, loc[1:] if loc and isinstance(loc[0], int) else loc):
                return keys
        return []
    if not loc:
        return [field.alias or name for name, field in model.model_fields.items()]
    for name, field in model.model_fields.items():
        if loc[0] in (name, field.alias):
            return _keys_at(field.annotation, loc[1:])
    return []


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else ""
