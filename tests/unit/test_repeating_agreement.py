"""When two results of one order must be equal to the last bit, when they may be apart, and what is held against each."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.operations.repeating import agreement
from trainers.compare.comparison import Comparison
from trainers.compare.parts.slices import Slice
from trainers.job.spec import JobResult

CPU = "CPU, fp32, 1 thread"


def result(score: float = 0.7, **changes: Any) -> JobResult:
    compared = Comparison(
        task="news-topics", metric="macro_f1", candidate_run="r", champion_version="news-topics/v3", opponent="news-topics/v3",
        rows=changes.pop("rows", 600), stories=600, champion_score=0.5, candidate_score=score, gain=0.2, confidence=0.95,
        lower_bound=0.1, upper_bound=0.3, standard_error=0.012, p_equal=0.0, discordant=0.3, required_gain=0.025,
        required_rows=500, slices=changes.pop("slices", ()),
    )  # fmt: skip
    values = {"hardware": CPU, "processor": "a chip", "code": "Python 3", "rows_new": 50, "tested": 600} | changes
    return JobResult(run_id="r", status="done", comparison=compared, **values)


def wanted(then: JobResult, now: JobResult) -> agreement.Expected:
    return agreement.expected(then, now, code_then=then.code)


def test_where_all_is_the_same_every_figure_must_be_equal() -> None:
    then, now = result(), result()
    expected = wanted(then, now)
    assert expected.equal
    assert all(figure.counts and figure.agrees for figure in agreement.figures(then, now, expected))
    off = {figure.name for figure in agreement.figures(then, result(0.7 + 1e-12), expected) if not figure.agrees}
    assert off == {"candidate"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hardware": "CPU, fp32, 2 threads"}, "hardware: CPU, fp32, 1 thread originally, CPU, fp32, 2 threads now"),
        ({"hardware": "CPU, bf16, 1 thread"}, "bf16"),
        ({"processor": "another chip"}, "processor: a chip originally, another chip now"),
        ({"code": "Python 4"}, "versions: Python 3 originally, Python 4 now"),
    ],
)
def test_what_differs_is_the_reason_for_a_tolerance(changes: dict[str, str], why: str) -> None:
    then, now = result(), result(0.715, **changes)
    expected = wanted(then, now)
    assert expected.tolerance == agreement.CLOSE
    assert any(why in reason for reason in expected.why)
    counted = {figure.name: figure.agrees for figure in agreement.figures(then, now, expected) if figure.counts}
    assert counted["candidate"]
    assert not next(
        figure.agrees for figure in agreement.figures(then, result(0.73, **changes), expected) if figure.name == "candidate"
    )


def test_what_was_not_recorded_then_is_no_reason_to_expect_equal_bits() -> None:
    then = result(processor="", code="")
    expected = wanted(then, result())
    assert expected.why == ("processor: not recorded in the original run", "versions: not recorded in the original run")


def test_a_gpu_adds_in_no_fixed_order() -> None:
    assert not wanted(result(hardware="NVIDIA H200, bf16, 1 thread"), result(hardware="NVIDIA H200, bf16, 1 thread")).equal


def test_on_few_rows_three_of_them_may_differ() -> None:
    then, now = result(rows=60), result(rows=60, processor="another chip")
    assert wanted(then, now).tolerance == pytest.approx(0.05)


def test_slices_count_where_all_must_be_equal_and_are_only_shown_elsewhere() -> None:
    def having(candidate: float) -> JobResult:
        return result(slices=(Slice(name="newest", rows=20, champion_score=0.5, candidate_score=candidate),))

    then, now = having(0.5), having(0.9)
    for expected, counts in ((wanted(then, now), True), (agreement.Expected(0.02, ("x",)), False)):
        found = {figure.name: figure for figure in agreement.figures(then, now, expected)}
        assert not found["newest, candidate"].agrees
        assert found["newest, candidate"].counts is counts
    assert not agreement.figures(then, result(), wanted(then, then))[-2].agrees, "a slice that is gone agrees with nothing"
