"""Runs one cell, from environment to verdict."""

from harness.execution.attempt import cases_of
from harness.execution.cell import block_cell, run_cell
from harness.execution.services import AttemptRecord, Lab

__all__ = ["AttemptRecord", "Lab", "block_cell", "cases_of", "run_cell"]
