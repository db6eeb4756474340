"""What changed between two campaigns, and whether a release may pass. Works on records (``campaign.json``) alone."""

from harness.gating.decision import Decision, decide
from harness.gating.difference import Difference, compare
from harness.gating.record import CampaignRecord, read_record
from harness.gating.weighing import GateFinding

__all__ = ["CampaignRecord", "Decision", "Difference", "GateFinding", "compare", "decide", "read_record"]
