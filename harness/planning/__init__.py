"""From a matrix to a plan that is proved: axes, exclude, include, adjust, strategy, in that order. No input or output.

``combinations`` reads excludes, includes and musts, ``space`` holds the valid combinations, ``covering`` chooses among
them, ``proof`` proves the result without using either, ``expansion`` puts them together.
"""

from harness.planning.covering import covering_array
from harness.planning.expansion import definitions_digest, expand
from harness.planning.proof import faults_of
from harness.planning.space import Space

__all__ = ["Space", "covering_array", "definitions_digest", "expand", "faults_of"]
