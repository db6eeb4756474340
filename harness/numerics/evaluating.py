"""What a formula gives, to more digits than any quantity of a program has."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import mpmath

from harness.model.formula import COLUMN, COUNT, INDEX

#: Decimal digits that are computed with: those of a quadruple (34), and as many that rounding may take.
DIGITS = 60
#: Arguments beyond which a value is not computed: its exponent alone would fill the memory.
_MOST_EXPONENT, _MOST_ARGUMENT = 10**6, mpmath.mpf(10) ** 300
_GROWING = ("exp", "expm1", "sinh", "cosh", "gamma")


class NoValue(ValueError):
    """A formula has no real value at a place: a division by zero, a root of a negative number."""


def evaluate(tree: ast.expr, source: str, columns: Mapping[str, Decimal], index: int, count: int) -> Decimal:
    """The value of a formula (``harness.model.formula``) whose text is ``source``, where columns have these values.

    Raises:
        NoValue: there is none.
    """
    with mpmath.workdps(DIGITS):
        try:
            value = _value(tree, source, {**columns, INDEX: Decimal(index), COUNT: Decimal(count)})
        except (ZeroDivisionError, ValueError, OverflowError) as error:
            raise NoValue(str(error) or "there is none") from error
        if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
            raise NoValue("it is no finite real number")
        if value and abs(mpmath.mag(value)) > _MOST_EXPONENT:
            raise NoValue("it is too large or too small to be written")
        return Decimal(mpmath.nstr(value, DIGITS, min_fixed=0, max_fixed=0))


def _value(tree: ast.expr, source: str, names: Mapping[str, Decimal]) -> Any:
    match tree:
        case ast.Constant(value=float()):
            # The digits as they were written: 0.1 is a tenth here, and not the double beside it.
            return mpmath.mpf((ast.get_source_segment(source, tree) or "").replace("_", ""))
        case ast.Constant(value=int(whole)):
            return mpmath.mpf(whole)
        case ast.Name(id=name):
            return _named(name, names)
        case ast.UnaryOp(op=operator, operand=operand):
            value = _value(operand, source, names)
            return -value if isinstance(operator, ast.USub) else value
        case ast.BinOp(left=left, op=operator, right=right):
            return _binary(operator, _value(left, source, names), _value(right, source, names))
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(column))]) if name == COLUMN:
            return _named(column, names)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _called(name, [_value(argument, source, names) for argument in arguments])
    raise NoValue(f"{type(tree).__name__} is no part of a formula")


def _named(name: str, names: Mapping[str, Decimal]) -> Any:
    if name in names:
        return mpmath.mpf(str(names[name]))
    return {"pi": +mpmath.pi, "e": +mpmath.e}[name]


def _binary(operator: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(operator, ast.Pow):
        if left and abs(right) * (1 + abs(mpmath.log(abs(left)))) > _MOST_EXPONENT:
            raise NoValue("a power is too large")
        return left**right
    work: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
        ast.Add: lambda a, b: a + b,
        ast.Sub: lambda a, b: a - b,
        ast.Mult: lambda a, b: a * b,
        ast.Div: lambda a, b: a / b,
    }
    return work[type(operator)](left, right)


def _called(name: str, arguments: list[Any]) -> Any:
    largest = max(abs(argument) for argument in arguments)
    if largest > (_MOST_EXPONENT if name in _GROWING else _MOST_ARGUMENT):
        raise NoValue(f"the argument of {name} is too large")
    if name == "log2":
        return mpmath.log(arguments[0], 2)
    return getattr(mpmath, name)(*arguments)
