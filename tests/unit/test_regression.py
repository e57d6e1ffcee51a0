"""Numbers in named dimensions: what a task may say, what is refused, what an import reads, and how heads are solved."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import Ridge

from config.errors import DeadLetterError, RunFailedError
from config.kinds.regression.dimensions import score_of, tier_of
from config.tasks import TaskSpec
from consumers.events.schemas import Label
from consumers.events.targets import read_target
from consumers.formats.importing import import_events
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import BadRow
from consumers.training_set.targets import usable_target
from daemon.flow.answering import answer_of
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.head import Solved
from perennial_artifact.sentence.layout import HEAD_FOLDER
from perennial_artifact.sentence.numbers import DIMENSIONS_FILE, Measured, NumberHead
from registry.people.corrections import Answering
from tests.support.tiny_models import toy_numbers, toy_plan
from trainers.learners.ridge import choosing
from trainers.learners.ridge.choosing import Choice
from trainers.learners.ridge.rows import number_rows, usable
from trainers.learners.ridge.solving import solve

TASK: dict[str, Any] = {
    "name": "emotions", "kind": "regression", "backend": "transformer", "base_model": "minilm",
    "dimensions": [{"name": "valence", "low": 1, "high": 5, "weight": 3}, {"name": "arousal", "low": 1, "high": 5}],
    "tiers": {"low": 1, "medium": 2.5, "high": 4}, "promotion": {"metric": "mae"},
}  # fmt: skip
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPEC = TaskSpec.model_validate(TASK)


def test_a_task_of_numbers_needs_no_key_for_labels() -> None:
    assert [dimension.name for dimension in SPEC.dimensions] == ["valence", "arousal"]
    assert SPEC.training.loss == "mse"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dimensions": []}, "needs dimensions"),
        ({"dimensions": [{"name": "a", "low": 2, "high": 2}]}, "low must be below high"),
        ({"dimensions": [{"name": "a", "low": 0, "high": float("nan")}]}, "finite"),
        ({"dimensions": [{"name": "text", "low": 0, "high": 1}]}, "cannot be called text"),
        ({"dimensions": [{"name": "a", "low": 0, "high": 1}] * 2, "tiers": {}}, "twice"),
        ({"dimensions": [{"name": "a", "low": 0, "high": 1}, {"name": "b", "low": 0, "high": 2}]}, "one range"),
        ({"tiers": {"low": 2}}, "no tier holds values from 1 to 2"),
        ({"tiers": {"low": 1, "high": 1}}, "two tiers"),
        ({"tiers": {"low": 1, "high": 6}}, "begins at 6"),
        ({"labels": "closed", "label_names": ["a"]}, "no labels"),
        ({"training": {"loss": "l1"}}, "mse"),
        ({"training": {"class_weights": "balanced"}}, "no labels of whole texts"),
        ({"promotion": {"metric": "accuracy"}}, "mae, rmse, spearman"),
        ({"promotion": {"metric": "mae", "slices": [{"slice": "dimension:joy", "max_drop": 0.1}]}}, "dimension:joy"),
        ({"kind": "classification", "promotion": {"metric": "accuracy"}, "labels": "open"}, "kinds that measure"),
    ],
)
def test_what_does_not_fit_a_task_of_numbers_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TaskSpec.model_validate(TASK | change)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"valence": 7}, "is 7, and ranges from 1 to 5"),
        ({"valence": 5.0000001}, r"is 5\.0000001, and ranges from 1 to 5"),
        ({"joy": 2}, "not one of the task's: valence, arousal"),
        ({}, "at least 1"),
        ({"valence": None}, "no dimension has a number"),
        ({"valence": "3"}, "number"),
        ({"valence": True}, "number"),
        ({"valence": float("nan")}, "finite|greater than or equal"),
        ({"valence": float("inf")}, "finite|less than or equal"),
        ({f"d{number}": 1.0 for number in range(101)}, "at most 100"),
        ([1, 2], "dictionary|object"),
    ],
)
def test_a_target_out_of_range_unknown_or_missing_is_a_dead_letter(values: object, said: str) -> None:
    with pytest.raises(DeadLetterError, match=said) as refused:
        read_target(SPEC, {"values": values})
    assert str(refused.value.field).startswith("target")


def test_a_missing_number_is_left_out() -> None:
    assert read_target(SPEC, {"values": {"valence": 3, "arousal": None}}) == {"values": {"valence": 3.0}}


def test_rows_of_a_task_that_measured_otherwise_keep_what_it_measures_now() -> None:
    stored = json.dumps({"values": {"valence": 3.0, "arousal": 9.0, "joy": 1.0}})
    assert json.loads(usable_target(stored, SPEC, ()) or "") == {"values": {"valence": 3.0}}
    assert usable_target('{"values":{"joy":1.0}}', SPEC, ()) is None
    assert usable_target('{"label":"A"}', SPEC, ()) is None


def imported(tmp_path: Path, text: str, **columns: str) -> list[Any]:
    file = tmp_path / ("rows.jsonl" if text.startswith("{") else "rows.csv")
    file.write_text(text)
    return list(import_events(file, SPEC, ColumnMapping(text="text", others=tuple(columns.items()))))


def test_an_import_reads_a_column_for_each_dimension(tmp_path: Path) -> None:
    rows = imported(
        tmp_path, "text,V,arousal\nfine day,4.5,2\ndull day,,NaN\ngrey day,NA,1\nodd day,nine,1\nbig day,9,1\n", valence="V"
    )
    assert [row.target for row in rows if isinstance(row, Label)] == [
        {"values": {"valence": 4.5, "arousal": 2.0}}, {"values": {"arousal": 1.0}},
    ]  # fmt: skip
    reasons = [row.reason for row in rows if isinstance(row, BadRow)]
    assert "none of the dimensions valence, arousal" in reasons[0]
    assert "'V' (valence)" in reasons[1]
    assert "valence is 9" in reasons[2]


def test_an_import_reads_an_object_of_numbers_and_leaves_its_other_keys(tmp_path: Path) -> None:
    lines = [
        {"text": "one", "analysis": {"valence": 3, "arousal": None, "stage": "early"}},
        {"text": "two", "analysis": {"stage": "late"}},
    ]
    rows = imported(tmp_path, "\n".join(map(json.dumps, lines)), values="analysis")
    assert isinstance(rows[0], Label)
    assert rows[0].target == {"values": {"valence": 3.0}}
    assert isinstance(rows[1], BadRow)


def test_a_correction_answers_only_where_it_says_everything() -> None:
    whole = Answering("emotions", "0" * 64, "e", {"values": {"valence": 5.0, "arousal": 2.0}}, accepted=False, answers_since=NOW)
    assert answer_of(whole, SPEC, ()) == {"values": {"valence": 5.0, "arousal": 2.0}, "score": 4.25, "tier": "high"}
    part = replace(whole, target={"values": {"valence": 5.0}})
    assert answer_of(part, SPEC, ()) is None


def test_tiers_are_of_the_weighted_mean_of_what_is_known() -> None:
    weights = {"valence": 3.0, "arousal": 1.0}
    assert score_of({"valence": 1.0, "arousal": 5.0}, weights) == 2.0
    assert score_of({"arousal": 5.0, "joy": 9.0}, weights) == 5.0
    assert score_of({"joy": 9.0}, weights) is None
    assert [tier_of(score, SPEC.tiers) for score in (0.0, 1.0, 2.5, 3.99, 4.0, 9.0)] == [
        "low", "low", "medium", "medium", "high", "high",
    ]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), strength=st.sampled_from([0.03, 1.0, 10.0]))
def test_each_dimension_is_scikit_learns_ridge_on_the_rows_that_know_it(seed: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 5)).astype(np.float32)
    values = rng.normal(size=(40, 3)) + features[:, :3]
    values[rng.random((40, 3)) < 0.3] = np.nan
    values[:, 2] = np.nan
    weights = rng.uniform(0.1, 1.0, 40)
    found = solve(features, values, weights, strength=strength)
    for column in range(2):
        known = ~np.isnan(values[:, column])
        other = Ridge(alpha=1 / strength).fit(features[known], values[known, column], sample_weight=weights[known])
        np.testing.assert_allclose(found.weight[column], other.coef_, atol=1e-4)
        np.testing.assert_allclose(found.bias[column], other.intercept_, atol=1e-4)
    assert not found.weight[2].any()


def test_huber_is_not_drawn_away_by_a_few_wild_numbers() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    true = features @ np.array([1.0, -2.0, 0.5, 0.0])
    values = (true + rng.normal(0, 0.1, 300))[:, None]
    values[:15] += 40
    errors = {loss: np.abs(solve(features, values, np.ones(300), strength=10, loss=loss).values(features)[:, 0] - true).mean()
              for loss in ("mse", "huber")}  # fmt: skip
    assert errors["huber"] < 0.1
    assert errors["mse"] > 1.0


def test_features_that_are_not_finite_fail_the_run() -> None:
    features = np.ones((3, 2), dtype=np.float32)
    features[1] = np.nan
    with pytest.raises(RunFailedError, match="not finite"):
        solve(features, np.ones((3, 1)), np.ones(3), strength=1.0)


def test_a_dimension_that_no_row_has_is_said_and_not_answered(tmp_path: Path) -> None:
    spec = TaskSpec.model_validate(
        TASK | {"dimensions": [{"name": name, "low": -1, "high": 9} for name in ("heat", "joy")], "tiers": {}}
    )
    found = usable(toy_plan(spec, toy_numbers(10), tmp_path))
    assert [one.name for one in found.dimensions] == ["heat"]
    assert "joy" in found.note
    with pytest.raises(RunFailedError, match="no usable row"):
        usable(toy_plan(SPEC, toy_numbers(10), tmp_path))


def test_strength_is_chosen_by_newer_rows_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 8)).astype(np.float32)
    rows = number_rows(toy_numbers(600), features, (Measured("heat", 1.0, 5.0),))
    rows = replace(rows, days=np.arange(600.0), values=np.clip(3 + features[:, :1].astype(np.float64), 1, 5))
    tried: list[Any] = []
    chosen = choosing.choose(rows, Choice(None, 1e-4), tried.append)
    assert chosen.strength == 3.0, "the signal has no noise, so the weakest penalty is best"
    assert sum(one.chosen for one in tried) == 1
    few = rows.take(np.arange(20))
    assert choosing.choose(few, Choice(None, 1e-4), tried.append) == Choice(None, 1e-4)


def test_a_dimension_has_a_strength_of_its_own_where_that_is_clearly_better(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 400)).astype(np.float32) / 20
    sure, dim = 3 + 20 * features[:, 0], 3 + rng.normal(scale=1.0, size=800)
    dimensions = (Measured("sure", 1.0, 5.0), Measured("dim", 1.0, 5.0), Measured("rare", 1.0, 5.0))
    values = np.clip(np.column_stack([sure, dim, np.where(np.arange(800) < 10, 3.0, np.nan)]), 1, 5)
    rows = replace(number_rows(toy_numbers(800), features, dimensions), days=np.arange(800.0), values=values)
    tried: list[Any] = []
    chosen = choosing.choose(rows, Choice(None, 3.0), tried.append)
    strengths = dict(zip(("sure", "dim", "rare"), chosen.strengths(dimensions).tolist(), strict=True))
    assert strengths["sure"] > strengths["dim"]
    assert strengths["rare"] == chosen.strength, "ten rows choose nothing"
    assert "for dim" in chosen.name or "for sure" in chosen.name
    assert sum(one.chosen for one in tried) == 1
    head = choosing.build(rows, chosen, "mse", {}, Solved())
    head.write(tmp_path)
    assert choosing.choice_of(NumberHead.read(tmp_path)) == chosen


def test_one_strength_for_each_is_what_each_has_alone() -> None:
    rng = np.random.default_rng(1)
    features, values = rng.normal(size=(100, 6)).astype(np.float32), rng.normal(size=(100, 2))
    together = solve(features, values, np.ones(100), strength=np.array([0.1, 3.0]))
    for at, strength in enumerate((0.1, 3.0)):
        alone = solve(features, values[:, at : at + 1], np.ones(100), strength=strength)
        assert together.weight[at] == pytest.approx(alone.weight[0], abs=1e-5)


@pytest.fixture
def head() -> NumberHead:
    dimensions = (Measured("valence", 1.0, 5.0, 3.0), Measured("arousal", 1.0, 5.0))
    return NumberHead(
        np.array([[9.0], [0.0]], np.float32), np.array([3.0, 2.0], np.float32), dimensions, {"low": 1.0, "high": 3.0}
    )


def test_answers_stay_within_their_ranges_and_carry_their_tier(head: NumberHead) -> None:
    up, down = head.answers(np.array([[1.0], [-1.0]], np.float32), [False, True])
    assert up == {"values": {"valence": 5.0, "arousal": 2.0}, "score": 4.25, "tier": "high", "truncated": False}
    assert down == {"values": {"valence": 1.0, "arousal": 2.0}, "score": 1.25, "tier": "low", "truncated": True}


def test_a_head_is_read_as_it_was_written(head: NumberHead, tmp_path: Path) -> None:
    head.write(tmp_path)
    again = NumberHead.read(tmp_path)
    assert (again.dimensions, again.tiers, again.solved) == (head.dimensions, head.tiers, head.solved)
    np.testing.assert_array_equal(again.weight, head.weight)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"dimensions": []},
        {"dimensions": [{"name": "a", "low": 2, "high": 1, "weight": 1}] * 2},
        {"tiers": {"a": "x"}},
    ],
)
def test_a_damaged_head_is_not_opened(head: NumberHead, tmp_path: Path, change: dict[str, Any]) -> None:
    head.write(tmp_path)
    file = tmp_path / HEAD_FOLDER / DIMENSIONS_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UnusableError):
        NumberHead.read(tmp_path)
