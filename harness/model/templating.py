"""Templates of definitions: Jinja2 in its sandbox, undefined names are faults, no access to files, bounded work.

Nearly all templates only name values: what they take is bounded by their own length, and they are rendered here. All
others (products of texts, loops in loops, calls, assignments) are rendered in a process with limits of memory and time.
"""

from __future__ import annotations

import functools
import json
import resource
import sys
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.errors import DefinitionError, Fault, StepTimeout
from harness.system.process import run

#: Bytes of memory, seconds of CPU and of time, and characters of text that a template may take.
MEMORY, CPU_SECONDS, SECONDS, CHARACTERS = 512 * 2**20, 4, 8.0, 4 * 2**20
_environment = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
)
#: What a template may be made of whose work is bounded by its length.
_PLAIN: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.If,
    nodes.CondExpr,
    nodes.Test,
    nodes.For,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
    nodes.Concat,
    nodes.Tuple,
    nodes.List,
)
_PLAIN_FILTERS = frozenset(
    "abs capitalize count d default dictsort e escape first float int items join last length list lower round sort "
    "string title tojson trim unique upper".split()
)
_PLAIN_CALLS = frozenset(("items", "keys", "values"))


def render(template: str, values: dict[str, Any], *, where: str) -> str:
    """Render ``template``; ``where`` names it in a fault.

    Raises:
        DefinitionError: a syntax fault, an unknown name, or more work than a template may take, with the line inside
            the template.
    """
    try:
        line = costly_line(template)
        if line:
            return _limited(template, values, where, line)
        return _environment.from_string(template).render(values)
    except jinja2.TemplateError as error:
        known = ", ".join(sorted(values))
        raise _fault(where, _line_of(error) or 1, f"{error.message or error}", f"names below {known}") from error
    except RecursionError as error:
        raise _fault(where, 1, "it is nested too deep", "fewer brackets in brackets") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise _fault(
            where, _line_of(error) or 1, f"{type(error).__name__}: {error}", "values that fit together"
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


@functools.lru_cache(maxsize=512)
def costly_line(template: str) -> int:
    """The line of the first thing in a template whose work its length does not bound; 0 where there is none.

    Raises:
        jinja2.TemplateSyntaxError: it is no template.
    """
    if "{" not in template:
        return 0
    tree = _environment.parse(template)
    lines = [node.lineno for node in _costly(tree, in_loop=False)]
    return min(lines, default=0)


def _costly(node: nodes.Node, *, in_loop: bool) -> list[nodes.Node]:
    costly: list[nodes.Node] = []
    for child in node.iter_child_nodes():
        match child:
            case nodes.For():
                plain = not in_loop and not child.recursive
            case nodes.Filter():
                plain = child.name in _PLAIN_FILTERS
            case nodes.Call(node=nodes.Getattr(attr=called)):
                plain = called in _PLAIN_CALLS and not (child.args or child.kwargs)
            case _:
                plain = isinstance(child, _PLAIN)
        costly += [] if plain else [child]
        costly += _costly(child, in_loop=in_loop or isinstance(child, nodes.For))
    return costly


def _limited(template: str, values: Mapping[str, Any], where: str, line: int) -> str:
    """Render in a process of its own, within the limits of a template."""
    request = json.dumps({"template": template, "values": values, "seconds": CPU_SECONDS}, default=str).encode()
    limit = f"a text of at most {CHARACTERS} characters, made in {CPU_SECONDS} s with {MEMORY >> 20} MiB"
    try:
        completed = run([sys.executable, "-P", "-m", "harness.model.templating"], timeout=SECONDS, stdin=request)
    except StepTimeout as error:
        raise _fault(where, line, "it takes too long", limit) from error
    try:
        answer = json.loads(completed.out)
    except ValueError as error:  # the kernel ended it
        raise _fault(where, line, "it takes more time or memory than a template may", limit) from error
    if "text" in answer:
        return str(answer["text"])
    raise _fault(where, answer["line"] or line, answer["message"], answer["expected"] or limit)


def _fault(where: str, line: int, message: str, expected: str) -> DefinitionError:
    return DefinitionError(
        [Fault(file=where, line=line, column=1, message=f"template fault: {message}", expected=expected)]
    )


def _line_of(error: BaseException) -> int:
    """The line of the template at which something was raised, which Jinja2 puts into the traceback; 0 if unknown."""
    number = int(getattr(error, "lineno", None) or 0)
    trace = error.__traceback__
    while trace is not None and not number:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            number = trace.tb_lineno
        trace = trace.tb_next
    return number


def _answer(template: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the process with limits says."""
    try:
        text = _environment.from_string(template).render(values)
        if len(text) <= CHARACTERS:
            return {"text": text}
        return {"message": f"its text has {len(text)} characters", "line": 0, "expected": ""}
    except MemoryError:
        return {"message": "it takes more memory than a template may", "line": 0, "expected": ""}
    except jinja2.TemplateError as error:
        known = f"names below {', '.join(sorted(values))}"
        return {"message": str(error.message or error), "line": _line_of(error), "expected": known}
    except Exception as error:  # noqa: BLE001  # a template of somebody else, whatever it does
        words = f"{type(error).__name__}: {error}"[:500]
        return {"message": words, "line": _line_of(error), "expected": "what Jinja2 offers without files"}


def main() -> None:
    """Render the request of the standard input, within the limits."""
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps(_answer(request["template"], request["values"])))


if __name__ == "__main__":
    main()
