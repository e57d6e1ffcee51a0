"""Rows whose labels others contradict weigh less: wrong ones, not a new label or a user's answer, and none while it is off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from registry.reports import cards
from registry.store import Registry
from registry.versions import Lineage
from tests.support.tiny_models import CPU, toy_spec
from tests.unit.test_heads import NAMES, rows
from trainers.learners.contradicted import Contradicted
from trainers.learners.features import FeatureSet
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.validation.contradictions import contradicted, lightened, own_probability
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.protocols import Example, TrainingPlan

PLAIN = Choice(None, None, 30.0)
WRONG = [10, 60, 111, 250]


def some(wrong: list[int] = WRONG) -> HeadRows:
    """Rows that are easy to tell apart, four of them under another label."""
    right = rows(300, noise=0.1)
    labels = right.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    return replace(right, labels=labels)


def plan_of(found: HeadRows, weight: float, *, dependent: tuple[int, ...] = ()) -> tuple[TrainingPlan, list[Contradicted]]:
    examples = [
        Example(
            example_id=f"e-{at}", text=f"text {at}", target={"label": NAMES.names[label]}, weight=0.8,
            event_time=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=at), independent=at not in dependent,
        )
        for at, label in enumerate(found.labels)
    ]  # fmt: skip
    told: list[Contradicted] = []
    plan = TrainingPlan(
        spec=toy_spec("minilm", training={"contradicted_weight": weight}), rows=examples, full=True, warm_start=None, seed=1,
        hardware=CPU, batch_size=8, work_dir=Path(), report=lambda _step: None, note_contradicted=told.append,
    )  # fmt: skip
    return plan, told


def features(found: HeadRows) -> FeatureSet:
    return FeatureSet.of([f"e-{at}" for at in range(len(found))], found.features)


def test_wrong_labels_are_found_and_right_ones_are_not() -> None:
    assert sorted(contradicted(own_probability(some(), PLAIN))) == WRONG
    assert contradicted(own_probability(some([]), PLAIN)) == []


def test_the_same_rows_are_found_every_time() -> None:
    assert contradicted(own_probability(some(), PLAIN)) == contradicted(own_probability(some(), PLAIN))


def test_they_keep_a_share_of_their_weight_and_the_report_names_the_strongest() -> None:
    found = some()
    plan, told = plan_of(found, 0.25)
    light = lightened(plan, plan.rows, features(found), NAMES, PLAIN)
    assert [row.example_id for row in light] == [row.example_id for row in plan.rows]
    assert [at for at, row in enumerate(light) if row.weight != 0.8] == WRONG
    assert light[10].weight == pytest.approx(0.2)
    [report] = told
    assert (report.rows, report.judged, report.weight) == (4, 300, 0.25)
    assert set(report.strongest) == {f"e-{at}" for at in WRONG}


def test_off_is_off() -> None:
    found = some()
    plan, told = plan_of(found, 1.0)
    assert lightened(plan, plan.rows, features(found), NAMES, PLAIN) == list(plan.rows)
    assert told == []


@pytest.mark.parametrize("stored", [None, FeatureSet.of([], np.empty((0, 8), dtype=np.float32))], ids=["none", "empty"])
def test_without_features_nothing_is_judged(stored: FeatureSet | None) -> None:
    plan, told = plan_of(some(), 0.3)
    assert lightened(plan, plan.rows, stored, NAMES, PLAIN) == list(plan.rows)
    assert told == []


def test_answers_of_users_are_not_doubted() -> None:
    found = some()
    plan, told = plan_of(found, 0.3, dependent=(10, 60))
    light = lightened(plan, plan.rows, features(found), NAMES, PLAIN)
    assert [at for at, row in enumerate(light) if row.weight != 0.8] == [111, 250]
    assert told[0].judged == 298


def test_a_label_of_few_rows_is_not_doubted_however_it_looks() -> None:
    found = rows(300, labels=2, noise=0.1)
    labels = found.labels.copy()
    newest = np.arange(285, 300)
    labels[newest] = 2
    judged = own_probability(replace(found, labels=labels), PLAIN)
    assert np.isnan(judged[0][newest]).all()
    assert not set(contradicted(judged)) & set(newest.tolist())


def test_the_parts_of_a_document_do_not_vouch_for_each_other() -> None:
    found = some()
    # Twenty copies of one wrong row, all of one document: whoever had seen one would confirm the others.
    copies = np.full(20, 10)
    both = replace(
        found.take(np.concatenate([np.arange(300), copies])),
        documents=np.concatenate([found.documents, np.full(20, found.documents[10])]),
    )
    assert set(range(300, 320)) <= set(contradicted(own_probability(both, PLAIN)))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_rows_are_not_judged(count: int) -> None:
    few = some([]).take(np.arange(count))
    assert contradicted(own_probability(few, PLAIN)) == []


def test_one_label_is_not_judged() -> None:
    alike = replace(some([]), labels=np.zeros(300, dtype=np.intp))
    assert np.isnan(own_probability(alike, PLAIN)[0]).all()


def test_the_card_counts_them_and_an_erasure_takes_out_what_it_erases(tmp_path: Path) -> None:
    from registry.removal import erasure  # noqa: PLC0415 - only this test

    told = Contradicted(rows=4, judged=300, weight=0.3, strongest=("e-10", "e-60"))
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        version = registry.versions.add(
            "topics", 1, run_id="r", artifact_id=f"topics/v1-{0:012x}", manifest_sha256="0" * 64, size_bytes=1, parent=None,
            lineage=Lineage(training_set_sha256="", seed=1, settings={}, code=""),
            metrics={"contradicted": told.model_dump(mode="json"), "train_s": 1.0}, learnt=["e-10", "e-60"],
        )  # fmt: skip
        line = "| Rows that others contradict | 4 of 300, weight x 0.3; the strongest: `e-10`, `e-60` |"
        assert line in cards.card(registry, version.name)
        erasure.mark_versions(registry, ["e-10"])
        after = registry.versions.get(version.name)
        assert after.metrics["contradicted"]["strongest"] == ["e-60"]
        assert after.metrics["train_s"] == 1.0
        assert after.affected_at is not None
