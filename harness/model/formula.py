"""Formulas in a definition: an expression of numbers, names and functions of mathematics, and nothing else.

It is Python's grammar of expressions, of which few kinds of nodes are taken: no attributes, no indices, no texts but
names of columns. So nothing of a formula can reach anything but the numbers that it is given.
"""

from __future__ import annotations

import ast

#: Functions that a formula may call -> how many arguments each takes.
FUNCTIONS = {
    **dict.fromkeys(
        "acos acosh asin asinh atan atanh cbrt ceil cos cosh erf erfc exp expm1 fabs floor gamma log log10 log1p log2 "
        "sin sinh sqrt tan tanh".split(),
        1,
    ),
    "atan2": 2,
    "hypot": 2,
}
CONSTANTS = ("pi", "e")
#: Names that stand for the place of a value: its index from 0, and the number of values.
INDEX, COUNT = "i", "n"
#: ``column("v(out)")`` is the value of a column whose name is no name in a formula.
COLUMN = "column"
MOST_CHARACTERS = 400
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd)


def parse_formula(text: str) -> ast.expr:
    """The expression of a formula.

    Raises:
        ValueError: it is none, with the reason.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a formula has at most {MOST_CHARACTERS} characters, this one {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"no formula: {error.msg} at character {error.offset}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise ValueError("no formula: it is nested too deeply, or has characters that no formula has") from error
    _check(tree)
    return tree


def columns_of(tree: ast.expr) -> tuple[str, ...]:
    """Names of the columns whose values a formula needs."""
    names: list[str] = []
    stack: list[ast.expr] = [tree]
    while stack:
        match stack.pop():
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(column))]) if name == COLUMN:
                names.append(column)
            case ast.Call(args=arguments):
                stack += arguments
            case ast.BinOp(left=left, right=right):
                stack += [left, right]
            case ast.UnaryOp(operand=operand):
                stack.append(operand)
            case ast.Name(id=name) if name not in (*CONSTANTS, INDEX, COUNT):
                names.append(name)
    return tuple(dict.fromkeys(names))


def _check(tree: ast.expr) -> None:
    stack: list[ast.expr] = [tree]
    while stack:
        match stack.pop():
            case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _OPERATORS):
                stack += [left, right]
            case ast.UnaryOp(op=operator, operand=operand) if isinstance(operator, _OPERATORS):
                stack.append(operand)
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str())], keywords=[]) if name == COLUMN:
                pass
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                if len(arguments) != FUNCTIONS[name]:
                    raise ValueError(f"{name} takes {FUNCTIONS[name]} argument(s), {len(arguments)} are given")
                stack += arguments
            case ast.Call(func=ast.Name(id=name)):
                known = ", ".join((*FUNCTIONS, f'{COLUMN}("NAME")'))
                raise ValueError(f"a formula knows no function {name}; it knows {known}")
            case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
                pass
            case ast.Name():
                pass
            case other:
                kind = type(other).__name__
                raise ValueError(f"a formula has numbers, names, + - * / **, parentheses and functions, and no {kind}")
