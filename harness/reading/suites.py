"""Suites: of a folder with suite.yaml, of a plain folder of pytest files, of the rules of a static scan."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from harness.errors import DefinitionError, Fault
from harness.model.definitions import Case, Rule, Rules, Suite, Text
from harness.model.plan import LocatedSuite
from harness.model.testnames import select
from harness.reading.catalogue import Catalogue
from harness.reading.collection import collected, numbered_id, shortest_names
from harness.reading.confining import links_out
from harness.reading.parsing import parse
from harness.system.canonical import digest_of
from harness.system.files import digest_of_file


def gather_suite(name: str, beside: Path, catalogue: Catalogue) -> LocatedSuite | None:
    """The suite ``name``: a folder beside the matrix wins over the catalogue; None where there is no such suite.

    A folder of pytest files (or with a locustfile.py) needs no suite.yaml: its cases are then the test functions
    found in it, each a blocker, under the clause for functional suitability.

    Raises:
        DefinitionError: with every fault of its files.
    """
    for folder in (beside / name, catalogue.find("suites", name)):
        if folder is None or not folder.is_dir():
            continue
        if unfit := list(_unfit_files(folder)):
            raise DefinitionError(unfit)
        if (folder / "suite.yaml").is_file():
            definition = parse(folder / "suite.yaml", Suite)
            digest = folder_digest(folder)
            shipped = digest == shipped_digest(name)
            if definition.runner == "scan":
                definition = definition.model_copy(update={"cases": cases_of_rules(rules_of(folder))})
            elif definition.runner == "pytest" and (
                faults := _complete(definition, folder, trusted=shipped or catalogue.trusts_code)
            ):
                raise DefinitionError(faults)
        elif (derived := derive_suite(name, folder, catalogue)) is not None:
            definition, digest, shipped = derived, folder_digest(folder), False
        else:
            continue
        return LocatedSuite(definition=definition, folder=folder.resolve(), digest=digest, shipped=shipped)
    return None


def rules_of(folder: Path) -> tuple[Rule, ...]:
    """The rules of a suite that is a static scan: all files of its folder ``rules``.

    Raises:
        DefinitionError: a file is wrong, an id is used in two of them, or there is no rule.
    """
    rules_by_id: dict[str, Rule] = {}
    faults: list[Fault] = []
    for path in sorted((folder / "rules").glob("*.yaml")):
        try:
            for rule in parse(path, Rules).rules:
                if rule.id in rules_by_id:
                    faults.append(
                        Fault(file=str(path), line=1, column=1, message=f"rule {rule.id} is in another file too")
                    )
                rules_by_id[rule.id] = rule
        except DefinitionError as error:
            faults += error.faults
    if not rules_by_id and not faults:
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
    return tuple(rules_by_id.values())


def cases_of_rules(rules: tuple[Rule, ...]) -> tuple[Case, ...]:
    """A case for each rule; it may block where the rule may."""
    return tuple(
        Case(
            id=rule.id,
            test=rule.id.lower(),
            title=rule.checks or Text(zh=f"检查：{rule.title.zh}", en=f"Looked for: {rule.title.en}"),
            severity="serious" if rule.severity == "blocker" else "minor",
            purpose=rule.why,
            preconditions=Text(zh="样品的文件可读，未运行", en="files of the item are read, nothing runs"),
            steps=Text(
                zh=f"以规则 {rule.id} 检查样品的每个文件与其包内文件",
                en=f"look by rule {rule.id} at each file of the item and at the files in its packages",
            ),
            expected=Text(zh="未发现", en="nothing of it is found"),
            evidence=Text(
                zh="findings.json：文件、位置、说明；SARIF", en="findings.json: file, place and reason; SARIF"
            ),
            characteristic=rule.characteristic,
            clause=rule.clause,
            blocker=rule.severity == "blocker" or rule.detect == "unread",
        )
        for rule in rules
    )


def derive_suite(name: str, folder: Path, catalogue: Catalogue) -> Suite | None:
    """A suite for a plain folder of pytest files or a locustfile; None where there is neither.

    Raises:
        DefinitionError: a test file is no Python.
    """
    title = name.rstrip("/").rpartition("/")[2]
    if (folder / "locustfile.py").is_file():
        path = catalogue.find("suites", "load/http", "suite.yaml")
        if path is None:
            return None
        return parse(path, Suite).model_copy(update={"suite": name, "title": Text(zh=title, en=title)})
    names = shortest_names(collected(folder, trusted=catalogue.trusts_code).tests)
    if not names:
        return None
    taken: set[str] = set()
    return Suite.model_validate(
        {
            "suite": name,
            "version": "0",
            "runner": "pytest",
            "title": title,
            "method": "vendor",
            "cases": [
                {
                    "id": numbered_id(test, taken),
                    "test": test,
                    "title": test.removeprefix("test").strip("_").replace("_", " ") or test,
                    "characteristic": "functional_suitability",
                    "clause": "5.3.1",
                    "blocker": True,
                }
                for test in names
            ],
        }
    )


def _complete(suite: Suite, folder: Path, *, trusted: bool) -> list[Fault]:
    """Tests of the folder that no case means, and cases that mean no test or several."""
    known = collected(folder, trusted=trusted)
    chosen = select(known.tests, [case.test for case in suite.cases])
    faults = [
        Fault(
            file=str(folder / known.tests[index].path),
            line=max(1, known.tests[index].line),
            column=1,
            message=f"{'::'.join(known.tests[index].names)} has no case in suite.yaml, so it would not be run",
            hint="add a case, or call what is no test by another name",
        )
        for index in chosen.unlisted
    ]
    text = (folder / "suite.yaml").read_text(encoding="utf-8").splitlines()
    for case in suite.cases:
        line = next(
            (n for n, words in enumerate(text, 1) if re.search(rf"test:\s*['\"]?{re.escape(case.test)}\b", words)), 1
        )
        functions = chosen.ambiguous.get(case.test, [])
        if functions:
            message, expected = f"{case.id}: {case.test} means several tests", " or ".join(functions)
        elif not chosen.items[case.test] and not known.broken and "[" not in case.test:
            message = f"{case.id}: the folder has no test {case.test}"
            expected = "one of " + ", ".join(sorted(shortest_names(known.tests))[:20])
        else:
            continue
        faults.append(Fault(file=str(folder / "suite.yaml"), line=line, column=1, message=message, expected=expected))
    return faults


def _unfit_files(folder: Path) -> Iterator[Fault]:
    """What a suite's folder may not hold: links out of it, and what is neither a file nor a folder."""
    yield from links_out(folder, "the suite")
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() and not path.is_file() and not path.is_dir():
            yield Fault(file=str(path), line=1, column=1, message="no regular file", expected="files and folders alone")


@functools.cache
def shipped_digest(name: str) -> str:
    """The digest of the suite ``name`` that comes with this harness; empty where there is none."""
    folder = Catalogue.shipped() / "suites" / name
    return folder_digest(folder) if (folder / "suite.yaml").is_file() else ""


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    return digest_of({str(p.relative_to(folder)): digest_of_file(p) for p in files})
