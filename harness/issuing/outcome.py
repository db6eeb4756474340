"""The outputs of a campaign, and the progress that a person sees while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.model.plan import Cell
from harness.model.results import Verdict
from harness.model.view import CampaignView
from harness.report import campaign_summary


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a person sees while it runs: ``step`` per stage, ``verdict`` per cell, ``note`` for the rest.

    ``begin`` takes the cells that are left, the seconds that they may take, and how many run at once.
    """

    step: Callable[[Cell, str], None] = lambda _c, _w: None
    verdict: Callable[[Cell, Verdict, str], None] = lambda _c, _v, _m: None
    note: Callable[[str], None] = lambda _w: None
    begin: Callable[[list[Cell], dict[str, float], int], None] = lambda _c, _e, _j: None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A campaign that came to its end (or was interrupted)."""

    view: CampaignView
    outputs: dict[str, str]
    interrupted: bool
    uncertified: str = ""

    def summary(self) -> dict[str, Any]:
        """The campaign in short, with its outputs, as commands print it in JSON."""
        return campaign_summary(self.view, self.outputs)
