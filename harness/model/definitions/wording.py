"""The words of reports and certificates."""

from __future__ import annotations

from pydantic import ConfigDict, RootModel

from harness.model.definitions.base import Text


class WordingFile(RootModel[dict[str, dict[str, Text]]]):
    """``reports/wording.yaml``: group -> word of the results -> what is shown, in both languages."""

    model_config = ConfigDict(frozen=True, strict=True)
