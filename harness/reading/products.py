"""Files beside application.yaml that a product is made of."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from harness.errors import Fault
from harness.model.definitions import Application
from harness.reading.source import Loc, read_source


def file_digests(application: Application, folder: Path) -> dict[str, str]:
    """Path below ``folder`` -> SHA-256 of every file that the application is made of."""
    names = [name for _, name in _named_files(application)]
    for playbook in application.playbooks:  # a playbook of its own folder may use whatever lies there
        beside = (folder / playbook.playbook).parent
        if beside.resolve() != folder.resolve():
            names += [str(path.relative_to(folder)) for path in sorted(beside.rglob("*")) if path.is_file()]
    for name in application.scan:
        below = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
        names += [str(path.relative_to(folder)) for path in below if path.is_file() and not path.is_symlink()]
    names = list(dict.fromkeys(names))
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def _named_files(application: Application) -> list[tuple[Loc, str]]:
    """Files that the application and its former versions are made of, and where they are named."""
    named: list[tuple[Loc, str]] = []
    versions: list[tuple[Loc, Application]] = [((), application)]
    versions += [(("former", name, "set"), application.before(name)) for name in application.former]
    for place, version in versions:
        named += [((*place, "templates", i, "template"), t.template) for i, t in enumerate(version.templates)]
        named += [((*place, "artifacts", i, "path"), a.path) for i, a in enumerate(version.artifacts)]
        named += [((*place, "playbooks", i, "playbook"), p.playbook) for i, p in enumerate(version.playbooks)]
    return list({name: (loc, name) for loc, name in reversed(named)}.values())[::-1]


def missing_files(application: Application, path: Path) -> list[Fault]:
    """Files that ``path``, an application, names and that are not below its folder."""
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
