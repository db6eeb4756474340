"""The parser in C reads what the parser in Python reads, and as that; what only the one in C takes is named here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import DefinitionError
from harness.reading import source
from harness.reading.source import read_source

#: What definitions are made of, and what divides parsers.
BITS = st.sampled_from(
    [
        *"[]{}:,-?&*!|>%@`#'\"\n \\~a1é中😀",
        *("\t", "\n  ", "- ", ": ", "a: ", "|\n ", ">-\n ", "\r\n", "\x85", "\u2028", "\ufeff", "---\n", "...\n"),
        *("&a ", "*a", "!!str ", "'x'", '"\\n"', "{a: 1}", "[x, y]", "# c\n", "\n! ", "! ", "<<: *a"),
    ]
)
REFUSED = "refused"
TEXTS = st.lists(BITS, max_size=24).map("".join)


def shape(node: yaml.Node | None, depth: int = 0) -> object:
    """Tags and values of a node and of all below."""
    if node is None or depth > 60:
        return None
    if isinstance(node, yaml.ScalarNode):
        return node.tag, node.value
    if isinstance(node, yaml.MappingNode):
        return node.tag, [(shape(key, depth + 1), shape(value, depth + 1)) for key, value in node.value]
    return node.tag, [shape(child, depth + 1) for child in node.value]


def in_python(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=yaml.SafeLoader)


def read(compose: Callable[[str], yaml.Node | None], text: str) -> object:
    try:
        return shape(compose(text))
    except (yaml.YAMLError, RecursionError):
        return REFUSED


@given(TEXTS)
@example("a:\tb")
@example("a: |#")
def test_both_parsers_read_the_same(text: str) -> None:
    expected, found = (read(compose, text) for compose in (in_python, source._compose))
    if expected == REFUSED != found:
        # A question mark inside of a text of a flow, as in YAML 1.2; a tag, which is refused when its value is made.
        assert "?" in text or "!" in text
    elif "!" not in text:
        assert found == expected


@pytest.mark.parametrize(
    "text", ["a:\tb\n", "a: b\tc\n", "a: [1,\t2]\n", "texts:\n  - a\n\t- b\n", "a: b\n\tc\n", "a:\n\tb: 1\n"]
)
def test_a_tab_outside_of_quotes_is_a_fault_whichever_parser_is_there(tmp_path: Path, text: str) -> None:
    path = tmp_path / "矩阵 matrix.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        read_source(path)
    assert "tab" in caught.value.faults[0].hint


def test_an_exclamation_mark_alone_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text("a: !\nb: 'x!'\n")
    assert read_source(path).value == {"a": None, "b": "x!"}
