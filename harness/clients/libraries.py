"""Libraries that only some users need: an extra of this package brings them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from harness.errors import InfrastructureError

EXTRA = "industrial"


def library(module: str, package: str, top: str = "") -> Any:
    """A module of a package that the extra ``industrial`` brings; ``top``: its first module, where named otherwise.

    Raises:
        InfrastructureError: it is not installed on this machine.
    """
    if importlib.util.find_spec(top or package) is None:
        raise InfrastructureError(
            f"the library {package} is not installed on this machine / 本机未安装 {package}",
            advice=f"pip install 'xinchuang-harness[{EXTRA}]'",
        )
    return importlib.import_module(module)
