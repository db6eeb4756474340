"""Entries of the catalogue that a matrix names on its axes."""

from __future__ import annotations

from typing import TypeVar

from harness.errors import DefinitionError, Fault
from harness.model.definitions import Database, Entry, Matrix
from harness.model.plan import ROLES, SAME, role_axes
from harness.reading.catalogue import Catalogue
from harness.reading.parsing import nearest, validate
from harness.reading.source import Loc, Source, read_source
from harness.reading.templating import SERVER_WORDS, server_faults

EntryT = TypeVar("EntryT", bound=Entry)


class TargetReader:
    """Reads entries of the catalogue; faults are appended to ``faults``."""

    def __init__(self, source: Source, matrix: Matrix, catalogue: Catalogue, faults: list[Fault]) -> None:
        self._source, self._matrix, self._catalogue, self._faults = source, matrix, catalogue, faults
        self._lab = "host" in matrix.prefer and "prefer" in matrix.model_fields_set

    def load(self, model: type[EntryT]) -> dict[str, EntryT]:
        """Entries of a kind by name: those that its own axis names, and axes of roles."""
        kind = model.__name__.lower()
        loaded: dict[str, EntryT] = {}
        roles = [role for role, catalogue in ROLES.items() if catalogue == kind and role != kind]
        for axis in (kind, *roles, *(axis for axis, catalogue in role_axes().items() if catalogue == kind)):
            for loc, name in self._named(axis):
                if name not in loaded and (axis == kind or name != SAME):
                    entry = self._entry(kind, name, model, loc)
                    loaded |= {name: entry} if entry is not None else {}
        return loaded

    def in_modes(self, databases: dict[str, Database]) -> dict[str, Database]:
        """Databases in the modes that the matrix names."""
        placed = dict(databases)
        for name, mode in self._matrix.modes.items():
            entry = databases.get(name)
            known = list(databases) if entry is None else list(entry.modes)
            wrong = name if entry is None else mode
            if entry is not None and mode in entry.modes:
                placed[name] = entry.in_mode(mode)
                continue
            self._faults.append(
                self._source.fault(
                    ("modes", name),
                    f"no axis names the database {name}" if entry is None else f"{name} has no such mode",
                    expected=f"one of {', '.join(known)}" if known else "a database whose entry names modes",
                    found=wrong,
                    hint=nearest(wrong, known),
                )
            )
        return placed

    def _named(self, axis: str) -> list[tuple[Loc, str]]:
        matrix = self._matrix
        if axis not in matrix.axes:
            return []
        named: list[tuple[Loc, str]] = [(("axes", axis, i), name) for i, name in enumerate(matrix.axes[axis])]
        return named + [(("include", i, axis), cell[axis]) for i, cell in enumerate(matrix.include) if axis in cell]

    def _entry(self, kind: str, name: str, model: type[EntryT], loc: Loc) -> EntryT | None:
        path = self._catalogue.find("targets", kind, f"{name}.yaml")
        if path is None:
            known = self._catalogue.names(f"targets/{kind}")
            expected, hint = f"one of {', '.join(known)}", self._where(kind, name, nearest(name, known))
            self._faults.append(self._source.fault(loc, f"no such {kind}", expected=expected, found=name, hint=hint))
            return None
        try:
            source = read_source(path)
            entry = validate(source, model)
        except DefinitionError as error:
            self._faults.extend(error.faults)
            return None
        written = str(getattr(entry, kind))
        if written != name:
            message = f"{kind} differs from the file's name"
            self._faults.append(Fault(file=str(path), line=1, column=1, message=message, expected=name, found=written))
        if kind in SERVER_WORDS:
            self._faults.extend(server_faults(source, SERVER_WORDS[kind]))
        self._servable(kind, name, getattr(entry, "obstacle", ""), loc)
        return entry

    def _where(self, kind: str, name: str, hint: str) -> str:
        """Where entries of the user's own are looked for, behind the hint at a name."""
        file, beside = f"targets/{kind}/{name}.yaml", self._source.path.parent
        own = [root for root in self._catalogue.roots if root != Catalogue.shipped()]
        words = [f"entries of your own are looked for in targets/{kind} of the current folder, {own[0]}"] if own else []
        if (beside / file).is_file() and beside.resolve() not in (root.resolve() for root in own):
            words.append(f"{beside / file} is there, but that folder is not the current one: go there first")
        return "; ".join(filter(None, [hint, *words]))

    def _servable(self, kind: str, name: str, obstacle: str, loc: Loc) -> None:
        """A lab host may run what no image can be made of; whether there is one is seen when the cell is planned."""
        of_host = kind in ("cpu", "os")
        if not obstacle or (of_host and self._lab):
            return
        hint = f"write how in targets/{kind}/{name}.yaml of your own folder"
        if of_host:
            hint += ", or prefer: [host] in the matrix where a lab host is one"
        self._faults.append(
            self._source.fault(
                loc,
                f"nothing can serve {kind} {name}: {obstacle}",
                expected="an entry that can be served",
                found=name,
                hint=hint,
            )
        )
