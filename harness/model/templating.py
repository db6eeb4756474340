"""Templates of definitions: Jinja2 in its sandbox, undefined names are faults, no access to files."""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.errors import DefinitionError, Fault

_environment = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
)


def render(template: str, values: dict[str, Any], *, where: str) -> str:
    """Render ``template``; ``where`` names it in a fault.

    Raises:
        DefinitionError: a syntax fault or an unknown name, with the line inside the template.
    """
    try:
        return _environment.from_string(template).render(values)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None) or 1
        known = ", ".join(sorted(values))
        raise DefinitionError(
            [
                Fault(
                    file=where,
                    line=line,
                    column=1,
                    message=f"template fault: {error.message or error}",
                    expected=f"names below {known}",
                )
            ]
        ) from error


def render_all(value: Any, values: dict[str, Any], *, where: str) -> Any:
    """``value`` with every text inside it rendered."""
    if isinstance(value, str):
        return render(value, values, where=where)
    if isinstance(value, dict):
        return {key: render_all(child, values, where=where) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [render_all(child, values, where=where) for child in value]
    return value
