"""Campaigns: run a plan here, resume what was cut off, render, sweep what a killed run left."""

from harness.campaigns.bundling import Replayed, bundle, replay
from harness.campaigns.choosing import check_choice, chosen, expected_target, plan_of
from harness.campaigns.estimating import expected_seconds, makespan
from harness.campaigns.history import flaky_cases
from harness.campaigns.options import RunOptions, cache_folder, databases_at, inventory_at
from harness.campaigns.preparing import build_base_images
from harness.campaigns.running import resume_campaign, run_campaign
from harness.campaigns.sweeping import sweep
from harness.campaigns.watching import cancel, evidence_of, machine_of, status_of
from harness.issuing.certifying import certify, verify
from harness.issuing.delivering import deliver
from harness.issuing.exporting import word_report
from harness.issuing.outcome import Finished, Progress
from harness.issuing.papers import Office
from harness.issuing.proving import ProvedRecord, proved_record
from harness.issuing.rendering import finish, latest, outputs_in, verified_view, view_of
from harness.planning.lockfile import check_lock, lock_path, write_lock

__all__ = [
    "Finished",
    "Office",
    "Progress",
    "ProvedRecord",
    "Replayed",
    "RunOptions",
    "build_base_images",
    "bundle",
    "cache_folder",
    "cancel",
    "certify",
    "check_choice",
    "check_lock",
    "chosen",
    "databases_at",
    "deliver",
    "evidence_of",
    "expected_seconds",
    "expected_target",
    "finish",
    "flaky_cases",
    "inventory_at",
    "latest",
    "lock_path",
    "machine_of",
    "makespan",
    "outputs_in",
    "plan_of",
    "proved_record",
    "replay",
    "resume_campaign",
    "run_campaign",
    "status_of",
    "sweep",
    "verified_view",
    "verify",
    "view_of",
    "word_report",
    "write_lock",
]
