"""Files beside application.yaml that a product is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import DefinitionError, Fault
from harness.model.definitions import Application
from harness.reading.certificates import certificate_faults
from harness.reading.classes import class_faults
from harness.reading.confining import file_fault, links_out
from harness.reading.interfaces import interface_faults
from harness.reading.source import Loc, Source, read_source
from harness.system.files import digest_of_file

#: Keys of an application whose values name files: of a list of mappings, which key has the name.
_NAMING = {"templates": "template", "artifacts": "path", "wars": "path", "playbooks": "playbook"}
#: Where HTTPS names files.
_OF_TLS = (("authority", "file"), ("client", "certificate"), ("client", "key"))
#: Keys below which values of an application stand again.
_LAYERS = ("variants", "former")


def file_digests(application: Application, folder: Path) -> dict[str, str]:
    """Path below ``folder`` -> SHA-256 of every file that the application, a variant or a former version is made of.

    Raises:
        DefinitionError: a file cannot be read.
    """
    named = list(named_files(application.model_dump(by_alias=True)))
    names = [name for loc, name in named if "scan" not in loc]
    for beside in _folders_of_code(named, folder):  # what is there may use whatever lies beside it
        names += [str(path.relative_to(folder)) for path in sorted(beside.rglob("*")) if path.is_file()]
    for name in [name for loc, name in named if "scan" in loc]:
        below = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
        names += [str(path.relative_to(folder)) for path in below if path.is_file() and not path.is_symlink()]
    return {name: _digest(folder / name) for name in sorted(set(names))}


def named_files(values: Mapping[str, Any], at: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Every file that values of an application name, and where: its own, and those of variants and former versions,
    which replace its keys on some cells. Values of another shape are passed over: they are faults of their own."""
    for key, inner in _NAMING.items():
        for index, value in enumerate(_listed(values.get(key))):
            if isinstance(value, Mapping) and isinstance(name := value.get(inner), str):
                yield (*at, key, index, inner), name
    for index, task in enumerate(_listed(values.get("tasks"))):
        if isinstance(task, Mapping):
            yield from _of_task(task, (*at, "tasks", index))
    resource = values.get("resource")
    if isinstance(resource, Mapping) and isinstance(code := resource.get("python"), str):
        yield (*at, "resource", "python"), code.rpartition(":")[0]
    http = values.get("http")
    if isinstance(http, Mapping) and isinstance(tls := http.get("tls"), Mapping):
        for keys in _OF_TLS:
            if isinstance(part := tls.get(keys[0]), Mapping) and isinstance(name := part.get(keys[1]), str):
                yield (*at, "http", "tls", *keys), name
    interfaces = values.get("interfaces")
    for label, interface in interfaces.items() if isinstance(interfaces, Mapping) else ():
        if isinstance(interface, Mapping):
            yield from _of_interface(interface, (*at, "interfaces", label))
    for index, name in enumerate(_listed(values.get("scan"))):
        if isinstance(name, str):
            yield (*at, "scan", index), name
    for layer in _LAYERS:
        layers = values.get(layer)
        pairs: Iterable[tuple[str | int, Any]]
        pairs = layers.items() if isinstance(layers, Mapping) else enumerate(_listed(layers))
        for label, value in pairs:
            if isinstance(value, Mapping) and isinstance(inner_values := value.get("set"), Mapping):
                yield from named_files(inner_values, (*at, layer, label, "set"))


def _of_interface(interface: Mapping[str, Any], at: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(name := interface.get("points"), str):
        yield (*at, "points"), name
    client = interface.get("client")
    if isinstance(client, Mapping):
        for key in ("certificate", "key"):
            if isinstance(name := client.get(key), str):
                yield (*at, "client", key), name


def _of_task(task: Mapping[str, Any], at: Loc) -> Iterator[tuple[Loc, str]]:
    for number, name in enumerate(_listed(task.get("files"))):
        if isinstance(name, str):
            yield (*at, "files", number), name
    for number, output in enumerate(_listed(task.get("outputs"))):
        if isinstance(output, Mapping) and isinstance(name := output.get("expected"), str):
            yield (*at, "outputs", number, "expected"), name
    for number, file in enumerate(_listed(task.get("numbers"))):
        if isinstance(file, Mapping) and isinstance(name := file.get("reference"), str) and name:
            yield (*at, "numbers", number, "reference"), name


def missing_files(application: Application, path: Path) -> list[Fault]:
    """Files that ``path``, an application, names and that are not plain files below its folder."""
    source = read_source(path)
    if not isinstance(source.value, dict):
        return []
    named = list(named_files(source.value))
    faults = list(_former_faults(source, application))
    for loc, name in named:
        missing = _how_it_is_built(source, loc)
        fault = file_fault(source, loc, name, "the file", folders="scan" in loc, missing=missing)
        faults += [fault] if fault is not None else []
    if not faults:
        faults += certificate_faults(source, named)
        faults += class_faults(source, named)
        faults += interface_faults(source, named)
        for folder in _folders_of_code(named, path.parent):
            faults += links_out(folder, "the folder of code")
    return faults


def _how_it_is_built(source: Source, loc: Loc) -> str:
    """What a definition says of the making of a file that it names at ``loc``: ``built_by`` beside the name."""
    value = source.value
    for part in loc[:-1]:
        value = value[part]
    command = value.get("built_by") if isinstance(value, dict) else None
    return f"it is built and not shipped: run `{command}` in {source.path.parent}" if isinstance(command, str) else ""


def _former_faults(source: Source, application: Application) -> Iterator[Fault]:
    for name in application.former:
        try:
            application.before(name)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = f"a former version is no valid application: {first['msg']}"
            yield source.fault(("former", name), message, found=place)


def _folders_of_code(named: list[tuple[Loc, str]], folder: Path) -> list[Path]:
    """The folders of the playbooks and classes that lie in one of their own, each once."""
    besides = [(folder / name).parent for loc, name in named if loc[-1] in ("playbook", "python")]
    return [beside for beside in dict.fromkeys(besides) if beside.resolve() != folder.resolve()]


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _digest(path: Path) -> str:
    try:
        return digest_of_file(path)
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise DefinitionError([Fault(file=str(path), line=1, column=1, message=message)]) from error
