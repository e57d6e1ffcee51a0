"""Absolute limits: what they say of a candidate, what they stop, and which of them a task file may not have."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from config.errors import UserError
from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from registry.judging import gate
from tests.support.cycles import task
from tests.unit.test_registry_views import COMPARISON
from trainers.compare import readiness
from trainers.compare.metrics import catalog


def policy(**limits: dict[str, float]) -> Promotion:
    return Promotion.model_validate({"metric": "macro_f1", "limits": limits})


@pytest.mark.parametrize(
    ("score", "level"),
    [(0.99, "DEPLOY"), (1.0, "REVIEW"), (1.2, "REVIEW"), (1.21, "FAIL"), (math.nan, "FAIL"), (math.inf, "FAIL")],
)
def test_an_error_is_good_below_its_limit_and_looked_at_up_to_the_next(score: float, level: str) -> None:
    [found] = readiness.judge({"mae": score}, policy(mae={"deploy": 1.0, "review": 1.2}).limits)
    assert (found.level, found.lower_is_better) == (level, True)
    assert "MAE" in found.title or "absolute error" in found.title
    assert readiness.Judged.model_validate_json(found.model_dump_json()).level == level, (
        "infinity and what is no number come back"
    )


@pytest.mark.parametrize(("score", "level"), [(0.81, "DEPLOY"), (0.8, "FAIL"), (0.2, "FAIL")])
def test_without_a_review_there_is_nothing_between(score: float, level: str) -> None:
    [found] = readiness.judge({"macro_f1": score}, policy(macro_f1={"deploy": 0.8}).limits)
    assert found.level == level


def test_the_worst_of_several_limits_counts() -> None:
    judged = readiness.judge(
        {"macro_f1": 0.9, "accuracy": 0.7},
        policy(macro_f1={"deploy": 0.8}, accuracy={"deploy": 0.75, "review": 0.6}, micro_f1={"deploy": 0.1}).limits,
    )
    assert ([one.metric for one in judged], readiness.worst(judged)) == (["macro_f1", "accuracy"], "REVIEW")
    assert readiness.worst(()) == "DEPLOY"


@pytest.mark.parametrize(
    ("limits", "verdict", "level"),
    [
        ({}, "promote", "DEPLOY"),
        ({"macro_f1": {"deploy": 0.6}}, "promote", "DEPLOY"),
        ({"macro_f1": {"deploy": 0.7, "review": 0.6}}, "promote", "REVIEW"),
        ({"macro_f1": {"deploy": 0.9, "review": 0.8}}, "keep", "FAIL"),
    ],
)
def test_the_gate_promotes_nothing_that_is_beyond_a_limit(limits: dict[str, dict[str, float]], verdict: str, level: str) -> None:
    found = gate.decide(COMPARISON, policy(**limits))
    assert found.readiness is not None
    assert (found.verdict, found.readiness.level) == (verdict, level)
    if level == "FAIL":
        assert "0.68" in found.reasons[0]
        assert "promotion.limits" in found.reasons[0]


def test_a_candidate_that_is_not_better_fails_and_one_that_is_undecided_waits_for_a_person() -> None:
    worse = COMPARISON.model_copy(update={"candidate_score": 0.6, "gain": -0.01, "lower_bound": -0.03, "upper_bound": 0.01})
    few = COMPARISON.model_copy(update={"rows": 20})
    levels = [gate.decide(seen, policy()).readiness for seen in (worse, few)]
    assert [level and level.level for level in levels] == ["FAIL", "REVIEW"]


def test_a_limit_that_the_run_could_not_measure_is_named_and_not_broken() -> None:
    found = gate.decide(COMPARISON, policy(accuracy={"deploy": 0.99}))
    assert (found.verdict, found.readiness) == ("promote", readiness.Readiness(level="DEPLOY"))
    assert "accuracy" in found.reasons[-1]


@pytest.mark.parametrize(
    "limits",
    [
        {"mae": {"deploy": 1.2, "review": 1.0}},
        {"macro_f1": {"deploy": 0.6, "review": 0.7}},
        {"macro_f1": {"deploy": 60.0}},
        {"mae": {"deploy": -1.0}},
    ],
)
def test_limits_that_cannot_be_read_on_the_scale_are_refused(limits: dict[str, dict[str, float]]) -> None:
    with pytest.raises(UserError, match=r"promotion\.limits\."):
        readiness.check(policy(**limits))


def test_limits_that_can_be_read_pass() -> None:
    readiness.check(
        policy(mae={"deploy": 1.0, "review": 1.2}, macro_f1={"deploy": 0.8, "review": 0.7}, spearman={"deploy": -0.1})
    )


@pytest.mark.parametrize("limits", [{"mae": {"deploy": 1.0}}, {"macro_f1": {"deploy": math.nan}}, {"macro_f1": {"review": 0.5}}])
def test_a_task_file_with_a_limit_of_another_kind_or_without_a_number_is_refused(limits: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValidationError, match="limits"):
        task(promotion={"metric": "macro_f1", "limits": limits})


def test_a_limit_is_measured_as_the_task_weighs_its_dimensions() -> None:
    spec = TaskSpec.model_validate({
        "name": "t", "kind": "regression", "backend": "transformer", "base_model": "minilm",
        "dimensions": [{"name": "a", "low": 0, "high": 5, "weight": 3}, {"name": "b", "low": 0, "high": 5}],
        "promotion": {"metric": "spearman", "limits": {"mae": {"deploy": 1.0, "review": 1.2}}},
    })  # fmt: skip
    gold, said = [{"values": {"a": 1.0, "b": 1.0}}], [{"values": {"a": 2.0, "b": 3.0}}]
    assert catalog.named("mae", spec).pair(gold, said, said).scores()[0] == pytest.approx((3 * 1.0 + 2.0) / 4)
