"""Commands of a vendor that may install something on a machine that runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import UsageError
from harness.provision.installing import ADVICE, in_vain


@contextlib.contextmanager
def repositories(control: Deployment) -> Iterator[None]:
    """While the context lasts, commands on the product's machine reach the repositories of its system.

    Raises:
        UsageError: they failed, and asked for other places before.
        InfrastructureError: the way is not opened.
    """
    with control.outlet() as refused:
        try:
            yield
        except ProductFault as fault:
            if not refused:
                raise
            raise UsageError(f"{fault}; {in_vain(refused)}\n{fault.log}".rstrip(), advice=ADVICE) from fault
