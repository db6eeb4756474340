"""The words of results keep their promises."""

import pytest

from harness.model.results import Cause, Observation, Result, SkipReason, Verdict


@pytest.mark.parametrize("word", [Result.PASS, Result.FAIL, Verdict.CONFORMANT, Cause.INFRA])
def test_no_word_has_a_truth_value(word):
    with pytest.raises(TypeError, match="no truth value"):
        bool(word)


@pytest.mark.parametrize("result", [Result.ERROR, Result.MISS])
def test_error_and_miss_need_a_cause(result):
    with pytest.raises(ValueError, match="needs a cause"):
        Observation(case="c", suite="s", result=result)
    assert Observation(case="c", suite="s", result=result, cause=Cause.INFRA).cause is Cause.INFRA


@pytest.mark.parametrize("result", [Result.PASS, Result.FAIL])
def test_known_results_carry_no_cause(result):
    with pytest.raises(ValueError, match="carries no cause"):
        Observation(case="c", suite="s", result=result, cause=Cause.TEST)


def test_a_skip_and_only_a_skip_carries_a_reason():
    with pytest.raises(ValueError, match="reason code"):
        Observation(case="c", suite="s", result=Result.SKIP)
    with pytest.raises(ValueError, match="reason code"):
        Observation(case="c", suite="s", result=Result.PASS, skip_reason=SkipReason.OPERATOR)
