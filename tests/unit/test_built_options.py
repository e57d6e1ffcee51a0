"""What is not built for a kind on a backend is refused by name, with what it is built for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from config.kinds import catalog
from config.task_files.built import BUILT, SHIPPED, Pair
from config.task_files.sections.training import Training
from config.tasks import TaskSpec
from daemon.views.kinds import kinds
from trainers.learners import catalog as learners

OTHER: dict[str, Any] = {
    "tuning": "never", "tuning_rows": 7, "full_tuning_rows": 7, "epochs": 7, "full_epochs": 7, "learning_rate": 0.5,
    "full_learning_rate": 0.5, "batch_size": 7, "gradient_accumulation": 7, "max_tokens": 77, "replay_ratio": 0.5,
    "replay_floor": 7, "replay_epochs": 7, "max_rows": 7, "contradicted_weight": 0.5, "feature_blocks": ["ngrams"],
    "exclude_labels": ["A"], "majority_share": 0.5, "max_rows_per_label": 7, "class_weights": "balanced", "dropout": 0.5,
    "lora_rank": 7, "loss": "huber", "layer_decay": 0.5, "gradient_checkpointing": True, "auto_batch_size": True, "processes": 2,
    "early_stopping": 2, "teacher": "champion", "teacher_share": 0.7, "teacher_temperature": 7.0, "teacher_rows": 7,
    "lora_alpha": 7, "lora_targets": ["query"],
}  # fmt: skip
"""A value of every option of `training` that is not its default."""
PAIRS = sorted((kind.name, backend) for kind in catalog.every() for backend in kind.backends)


def task(pair: Pair, **changes: Any) -> dict[str, Any]:
    kind, backend = pair
    values: dict[str, Any] = {
        "name": "t", "kind": kind, "backend": backend, "base_model": "blank:en" if backend == "spacy" else "minilm",
        "labels": "open", "promotion": {"metric": catalog.get(kind).metrics[0]},
    }  # fmt: skip
    if kind == "regression":
        values["dimensions"] = [{"name": "a", "low": 0, "high": 1}]
    if kind == "signals":
        values["signals"] = [{"name": "crime", "tags": [{"name": "theft", "score": -0.5}]}]
    return values | changes


@pytest.mark.parametrize("pair", sorted(SHIPPED), ids=" on ".join)
@pytest.mark.parametrize("option", sorted(BUILT))
def test_each_option_is_obeyed_or_refused_by_name(pair: Pair, option: str) -> None:
    rank = {"lora_rank": 7} if option.startswith("lora_") else {}
    values = task(pair, training={**rank, option: OTHER[option]})
    if pair in BUILT[option]:
        assert getattr(TaskSpec.model_validate(values).training, option) != Training.model_fields[option].default
        return
    with pytest.raises(ValidationError, match=rf"training\.({option}|lora_rank)\b.*; remove it"):
        TaskSpec.model_validate(values)


def test_every_option_says_where_it_is_built_and_every_learner_has_options() -> None:
    assert BUILT.keys() == Training.model_fields.keys()
    assert set(learners.known()) >= SHIPPED
    assert all(pairs <= SHIPPED for pairs in BUILT.values())


def test_what_an_option_is_built_for_is_named() -> None:
    with pytest.raises(ValidationError, match="only for classification, multilabel, regression on transformer; remove it"):
        TaskSpec.model_validate(task(("ner", "transformer"), training={"feature_blocks": ["ngrams"]}))
    with pytest.raises(ValidationError, match="only for ner on spacy and ner on transformer"):
        TaskSpec.model_validate(task(("classification", "transformer"), training={"replay_floor": 0}))


@pytest.mark.parametrize("kind", [kind.name for kind in catalog.every()])
@pytest.mark.parametrize("backend", ["spacy", "transformer", "abacus"])
def test_a_backend_that_is_not_built_for_a_kind_is_refused_with_those_that_are(kind: str, backend: str) -> None:
    if (kind, backend) in PAIRS:
        TaskSpec.model_validate(task((kind, backend)))
        return
    built = ", ".join(map(repr, catalog.get(kind).backends))
    with pytest.raises(ValidationError, match=f"runs on backend {built}; '{backend}' is not built"):
        TaskSpec.model_validate(task((kind, backend)))


@pytest.mark.parametrize("kind", [kind.name for kind in catalog.every()])
@pytest.mark.parametrize("metric", sorted({metric for kind in catalog.every() for metric in kind.metrics}))
def test_a_metric_of_another_kind_is_refused_with_those_of_its_own(kind: str, metric: str) -> None:
    own = catalog.get(kind).metrics
    values = task((kind, catalog.get(kind).backends[0]), promotion={"metric": metric})
    if metric in own:
        TaskSpec.model_validate(values)
        return
    with pytest.raises(ValidationError, match=f"choose one of {', '.join(own)}"):
        TaskSpec.model_validate(values)


def test_the_list_of_kinds_tells_what_task_files_may_ask_for() -> None:
    for seen in kinds():
        assert seen.about
        for backend in seen.backends:
            TaskSpec.model_validate(task((seen.name, backend)))
            assert (seen.name, backend) in learners.known()
        assert set(seen.refreshed_on) <= set(seen.backends)
        assert seen.metrics == catalog.get(seen.name).metrics
