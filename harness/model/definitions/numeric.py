"""Numbers that a task writes into a file: which quantities they are, and how near they must come to what is right."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.model.definitions.base import Bilingual, Definition, PlacedError, Strings, demand_pattern, listed
from harness.model.formula import columns_of, parse_formula

NumberFormat = Literal["csv", "columns", "rows", "json"]
Invariant = Literal["sum", "mean", "minimum", "maximum", "norm", "count", "sorted"]


class Quantity(Definition):
    """A quantity in a file of numbers, and its tolerance.

    A value is right where it differs from what is expected by no more than ``absolute``, or ``relative`` times the
    expected value, or ``scale`` times the largest expected value of the quantity, or ``ulps`` units in the last place
    of a double (IEEE 754-2019, 3.4). Where none of them is given it must be the same number.
    """

    quantity: str = Field(
        min_length=1,
        max_length=200,
        description="csv, columns: name of a column, or its number from 1 where the file has no header. rows: first "
        "word of its lines. json: JSON Pointer (RFC 6901) to a number or to lists of numbers",
    )
    title: Bilingual | None = None
    unit: str = Field(default="1", max_length=20)
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0, lt=1)
    scale: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="of the largest expected value of the quantity: for sums in which much cancels out",
    )
    ulps: int = Field(default=0, ge=0, le=2**40)
    invariant: Invariant | None = Field(
        default=None,
        description="compare this of all values in place of each: where any order, sign or direction is right. norm: "
        "square root of the sum of squares. sorted: each, by size",
    )
    along: str = Field(
        default="",
        description="another quantity of the file, which grows: values are compared at its expected places, "
        "interpolated in between; for steps that adapt",
    )
    formula: str = Field(
        default="",
        description='what each value is: of the other columns (by name, or column("v(out)")), `i` from 0, `n` values',
    )
    repeat: Literal["exact", "tolerance"] = Field(
        default="exact", description="what a second run on the same target must give: the same, or within the tolerance"
    )
    not_finite: bool = Field(default=False, description="true: NaN and infinity are right where they are expected")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.formula:
            try:
                columns = columns_of(parse_formula(self.formula))
            except ValueError as error:
                raise PlacedError(str(error), "formula") from error
            if self.quantity in columns:
                raise PlacedError(f"the formula of {self.quantity} needs {self.quantity} itself", "formula")
            if self.along:
                raise PlacedError("a formula gives a value at every place: `along` is for files", "along")
        if self.along and self.invariant:
            raise PlacedError("give `along` or `invariant`, not both", "along")
        if self.along == self.quantity:
            raise PlacedError("a quantity does not lie along itself", "along")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of what else of the file is read for it."""
        columns = columns_of(parse_formula(self.formula)) if self.formula else ()
        return (*columns, *filter(None, [self.along]))


class NumberFile(Definition):
    """A file of numbers that a task writes; for the suite numeric/consistency."""

    file: str = Field(
        pattern=r"^[^/].*$", description="path below the task's folder; `stdout` is what the command prints"
    )
    format: NumberFormat = Field(
        description="csv: with a header. columns: words between blanks. rows: the name, then its numbers. json"
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="of csv")
    header: bool = Field(default=True, description="of csv and columns: the first line names the columns")
    ignore: Strings = Field(
        default=(), description="of csv, columns and rows: regular expressions of lines that do not count"
    )
    reference: str = Field(default="", description="file beside application.yaml, of the same format")
    quantities: Annotated[tuple[Quantity, ...], BeforeValidator(listed)] = Field(min_length=1)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        lines = self.format in ("csv", "columns", "rows")
        for key, fits in {
            "delimiter": self.format == "csv",
            "header": self.format in ("csv", "columns"),
            "ignore": lines,
        }.items():
            if getattr(self, key) != type(self).model_fields[key].default and not fits:
                raise PlacedError(f"`{key}` does not belong to `format: {self.format}`", key)
        for index, pattern in enumerate(self.ignore):
            demand_pattern(pattern, "ignore", index)
        if ".." in self.file.split("/"):
            raise PlacedError("a file of numbers lies below the task's folder", "file")
        for index, quantity in enumerate(self.quantities):
            at = ("quantities", index)
            names = (quantity.quantity, *quantity.needs)
            if not self.header and any(re.fullmatch("[1-9][0-9]{0,5}", name) is None for name in names):
                raise PlacedError("without a header a column is named by its number, from 1", *at)
            if self.format == "json" and any(not name.startswith("/") for name in names):
                raise PlacedError("a JSON Pointer begins with / (RFC 6901)", *at)
            if [other.quantity for other in self.quantities].count(quantity.quantity) > 1 and not quantity.invariant:
                raise PlacedError(f"{quantity.quantity} is declared twice; only invariants may stand beside it", *at)
        return self
