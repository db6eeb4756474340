"""Collects the faults of a matrix, each with its place in the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.errors import DefinitionError, Fault, UsageError
from harness.model.plan import Definitions
from harness.reading.parsing import nearest


class Faults:
    """The faults of a matrix that were noticed so far, each once."""

    def __init__(self, definitions: Definitions) -> None:
        self._file = str(definitions.matrix_path)
        self._places = definitions.matrix_places
        self._faults: dict[Fault, None] = {}

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, loc: tuple[str | int, ...], message: str, *, expected: str = "", actual: str = "") -> None:
        """Add a fault at the key ``loc`` of the matrix, or at the nearest key above that the file has.

        Where ``expected`` lists names, the nearest to ``actual`` becomes its hint.
        """
        while loc and loc not in self._places:
            loc = loc[:-1]
        line, column = self._places.get(loc, (1, 1))
        listed = expected.removeprefix("one of ")
        hint = nearest(actual, listed.split(", ")) if actual and listed != expected else ""
        self._add(
            Fault(
                file=self._file,
                line=line,
                column=column,
                message=message,
                expected=expected,
                found=actual,
                hint=hint,
            )
        )

    def add_to(self, file: str, message: str, *, expected: str, actual: str) -> None:
        """Add a fault of another file, as a whole."""
        self._add(Fault(file=file, line=1, column=1, message=message, expected=expected, found=actual))

    @contextlib.contextmanager
    def at(self, loc: tuple[str | int, ...]) -> Iterator[None]:
        """What is refused meanwhile is a fault at the key ``loc``, and ends the planning.

        Raises:
            DefinitionError: something was refused.
        """
        try:
            yield
        except UsageError as error:
            self.add(loc, error.message, expected=error.advice)
            raise self.error() from error

    def error(self) -> DefinitionError:
        """The error that holds every fault."""
        return DefinitionError(list(self._faults))

    def refuse(self) -> None:
        """End the planning where there is a fault.

        Raises:
            DefinitionError: there is one; it holds all of them.
        """
        if self._faults:
            raise self.error()

    def _add(self, fault: Fault) -> None:
        self._faults[fault] = None
