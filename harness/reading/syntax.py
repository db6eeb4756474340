"""Python of somebody else, read and never run."""

from __future__ import annotations

import ast
from pathlib import Path

from harness.errors import Fault
from harness.system.files import read_plain

#: Bytes of a file of Python that is read.
MAX_BYTES = 5_000_000


def tree_of(path: Path) -> ast.Module | Fault:
    """The syntax tree of a file, or the fault that it has none."""
    try:
        return ast.parse(read_plain(path, MAX_BYTES).decode("utf-8"), str(path))
    except OSError as error:
        return Fault(file=str(path), line=1, column=1, message=f"the file cannot be read: {error.strerror}")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1  # the parser gives MemoryError for what is nested too deeply
        return Fault(file=str(path), line=line, column=1, message=f"not valid Python: {error}")
