"""Campaigns: run a plan here, resume what was cut off, render, sweep what a killed run left."""

from harness.campaigns.choosing import expected_fidelity, plan_of
from harness.campaigns.options import Finished, Progress, RunOptions, cache_folder
from harness.campaigns.rendering import finish, latest, view_of
from harness.campaigns.running import resume_campaign, run_campaign
from harness.campaigns.sweeping import sweep

__all__ = [
    "Finished", "Progress", "RunOptions", "cache_folder", "expected_fidelity", "finish", "latest", "plan_of",
    "resume_campaign", "run_campaign", "sweep", "view_of",
]  # fmt: skip
