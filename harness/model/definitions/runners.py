"""The kinds of suites: what ``runner`` of a suite may say, and what follows from it.

This table holds data only, because definitions and reports read it. ``harness.runners.runner`` maps each name that is
run against a product to the code that runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from harness.model.definitions.base import Text

#: ``deployment``: the steps of a deployment, observed while they are carried out. ``files``: the product's files are
#: read, nothing runs. ``product``: the deployed product is exercised.
Stage = Literal["deployment", "files", "product"]


@dataclass(frozen=True, kw_only=True)
class RunnerKind:
    """What is true of all suites of a runner.

    ``alone``: the machine must do nothing else meanwhile, because times are measured. ``profile``: the suite has a load
    profile. ``before``: the precondition of its cases, for reports.
    """

    stage: Stage
    before: Text
    alone: bool = False
    profile: bool = False

    @property
    def reads_files(self) -> bool:
        """Whether its results rest on files only, so that no fidelity of a target applies."""
        return self.stage == "files"


_DEPLOYED = Text(zh="目标已核验，产品已部署就绪", en="the target is attested, the product deployed and ready")

RUNNER_KINDS: Mapping[str, RunnerKind] = MappingProxyType(
    {
        "deployment": RunnerKind(stage="deployment", before=Text(zh="目标已核验", en="the target is attested")),
        "scan": RunnerKind(
            stage="files",
            before=Text(zh="样品的文件可读，未运行", en="files of the item are read, nothing runs"),
        ),
        "pytest": RunnerKind(stage="product", before=_DEPLOYED),
        "locust": RunnerKind(stage="product", alone=True, profile=True, before=_DEPLOYED),
    }
)
