"""A smaller model learns from a larger one, with the real training child: the champion teaches, and the gap is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from config.errors import UserError
from config.tasks import TaskSpec
from consumers.events.schemas import Erase
from consumers.training_set.snapshot import UNLABELLED, load_training_set
from daemon.operations.handing import exporting
from perennial_artifact.description import describe
from registry import promotion
from registry.removal import erasure
from registry.reports import cards
from registry.runs import Run
from tests.support import buffers, ner_rows
from tests.support.cycles import NAME, World, task
from tests.support.opening import ON_CPU, opened
from tests.support.runners import HereRunner
from tests.support.tiny_models import (
    TOY_TAGS,
    make_tiny_bert,
    toy_numbers,
    toy_plan,
    toy_rows,
    toy_rows_of_several,
    toy_signals,
    toy_signals_spec,
)
from trainers.job import spec as job_spec
from trainers.job.scoring.gap import Beside
from trainers.job.spec import JobSpec
from trainers.job.teaching import taught
from trainers.learners.catalog import learner_for
from trainers.learners.protocols import Example

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")
_METRICS = {
    "classification": "macro_f1", "multilabel": "micro_f1", "regression": "mae", "ner": "entity_f1", "signals": "signal_score",
}  # fmt: skip


def make_smaller(large: Path, folder: Path) -> Path:
    """A model of one layer, of the same words."""
    BertTokenizer.from_pretrained(large).save_pretrained(folder)
    config = BertConfig.from_pretrained(large)
    config.num_hidden_layers = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def rows_of(kind: str, count: int, seed: int) -> Sequence[Example]:
    if kind == "regression":
        return toy_numbers(count, seed=seed)
    if kind == "signals":
        return toy_signals(count, seed=seed)
    if kind == "ner":
        return ner_rows.examples(count, seed=seed)
    return toy_rows_of_several(LABELS, count, seed=seed) if kind == "multilabel" else toy_rows(LABELS, count // 3, seed=seed)


def spec_of(kind: str, base: Path, **training: Any) -> TaskSpec:
    steps = {"full_epochs": 8, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32}
    more = {
        "regression": {"dimensions": [{"name": "heat", "low": 1, "high": 5}, {"name": "mood", "low": -1, "high": 1}]},
        "signals": {"signals": toy_signals_spec(base).model_dump()["signals"]},
    }  # fmt: skip
    return task(
        kind=kind, base_model=str(base), training={**steps, **training},
        trigger={"min_new_examples": 10, "cooldown_minutes": 0, "weekly": False}, refresh={"enabled": False},
        promotion={"metric": _METRICS[kind], "min_test_examples": 5, "max_latency_ratio": 1000.0},
        **more.get(kind, {}),
    )  # fmt: skip


def learn(world: World, rows: Sequence[Example], prefix: str) -> None:
    found = [
        buffers.label(f"{prefix}-{row.example_id}", f"{row.text} {prefix}", task=NAME, target=dict(row.target)) for row in rows
    ]
    world.buffer.insert(buffers.stored(*found))
    buffers.enrich(world.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")


def publish_articles(world: World, rows: Sequence[Example]) -> None:
    found = [buffers.article(f"news-{at}", f"a-{at}", row.text) for at, row in enumerate(rows)]
    world.buffer.insert(buffers.stored(*found))
    buffers.enrich(world.buffer, "articles")


@dataclass
class Told:
    """What a first run on the larger base and one on the smaller left."""

    world: World
    kind: str
    large: Path
    small: Path
    first: Run
    student: Run

    @property
    def beside(self) -> Beside:
        assert self.student.version is not None
        return Beside.model_validate(self.world.registry.versions.get(self.student.version).metrics["teacher"])


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base, and one of fewer layers."""
    folder = tmp_path_factory.mktemp("bases")
    large = make_tiny_bert(folder / "large", ner_rows.PIECES)
    return large, make_smaller(large, folder / "small")


@pytest.fixture(scope="module")
def told(bases: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    kind, folder, (large, small) = "classification", tmp_path_factory.mktemp("students"), bases
    with World(folder, spec_of(kind, large), runner=HereRunner()) as world:
        learn(world, rows_of(kind, 30, 1), "test")
        learn(world, rows_of(kind, 90, 2), "train")
        publish_articles(world, rows_of(kind, 30, 3))
        first = world.ask()
        assert (first.error, first.verdict) == (None, "promote")
        world.tasks[NAME] = spec_of(kind, small, teacher="champion", teacher_rows=20)
        yield Told(world, kind, large, small, first, world.ask("request:student"))


def test_the_champion_teaches_a_model_on_the_smaller_base(told: Told) -> None:
    assert (told.student.error, told.student.state) == (None, "decided")
    assert told.student.comparison is not None
    assert told.student.comparison["champion_version"] == told.first.version, "the gate stays the gate"
    assert told.student.version is not None
    artifact = told.world.registry.versions.get(told.student.version).artifact_id
    assert describe(told.world.artifacts.folder(artifact)).base == str(told.small)
    answers = opened(told.world.artifacts.folder(artifact)).predict(["goal match coach"])
    assert len(answers) == 1


def test_the_gap_is_told_on_the_same_rows(told: Told) -> None:
    found = told.beside
    assert (found.teacher, found.metric) == (told.first.version, _METRICS[told.kind])
    comparison = told.student.comparison
    assert comparison is not None
    assert found.rows == comparison["rows"]
    assert found.of_teacher.score == pytest.approx(comparison["champion_score"])
    assert found.of_student.score == pytest.approx(comparison["candidate_score"])
    assert found.gap == pytest.approx(-comparison["gain"])
    assert 0 < found.of_student.size_mib < found.of_teacher.size_mib
    assert min(found.of_student.texts_per_s, found.of_teacher.texts_per_s) > 0
    assert found.unlabelled == 20
    assert found.answered == 90
    assert told.student.version is not None
    card = cards.card(told.world.registry, told.student.version)
    assert "## Teacher" in card
    assert f"`{told.first.version}`" in card


def test_articles_without_a_label_are_in_the_set_and_in_the_lineage(told: Told) -> None:
    frozen = load_training_set(told.world.run_folder(told.student) / job_spec.TRAINING_SET_FOLDER)
    assert frozen.manifest.counts[UNLABELLED] == 20
    ids = set(frozen.rows(UNLABELLED)["example_id"].to_pylist())
    assert all(one.startswith("article:news-") for one in ids)
    assert told.student.version is not None
    assert ids <= told.world.registry.versions.learnt(told.student.version)
    first = load_training_set(told.world.run_folder(told.first) / job_spec.TRAINING_SET_FOLDER)
    assert UNLABELLED not in first.manifest.counts
    assert not (told.world.run_folder(told.student) / job_spec.TEACHER_FOLDER).exists()


def test_once_the_student_is_champion_runs_have_no_teacher(told: Told) -> None:
    world = told.world
    assert told.student.version is not None
    promotion.promote_by_hand(world.registry, told.student.version, actor="test", reason="smaller")
    learn(world, rows_of(told.kind, 12, 8), "train-more")
    after = world.ask("request:after")
    assert (after.error, after.state) == (None, "decided")
    assert after.version is not None
    assert world.registry.versions.get(after.version).metrics["teacher"] is None
    assert after.parent == told.student.version


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ("toy-topics/v99", "cannot be had"),
        ("/nowhere/at-all", "neither `champion`, nor a version"),
        ("toy-topics/v1", "as the student does"),
    ],
)
def test_a_teacher_of_no_use_fails_the_run_and_the_champion_stays(told: Told, teacher: str, said: str) -> None:
    world, before = told.world, told.world.champion()
    world.tasks[NAME] = spec_of(told.kind, told.large, teacher=teacher)
    failed = world.ask(f"request:{teacher}", full=True)
    assert failed.state == "failed"
    assert said in (failed.error or "")
    assert world.champion() == before


def test_a_version_is_exported_into_a_folder_of_its_own(told: Told, tmp_path: Path) -> None:
    world, name = told.world, told.first.version
    assert name is not None
    assert not exporting.export(world.settings, world.registry, name, tmp_path / "out").merged, "it has no adapter"
    texts = ["goal match coach", "storm in the city"]
    published = world.artifacts.folder(world.registry.versions.get(name).artifact_id)
    assert opened(tmp_path / "out").predict(texts) == opened(published).predict(texts)
    with pytest.raises(UserError, match="not an empty folder"):
        exporting.export(world.settings, world.registry, name, tmp_path / "out")
    with pytest.raises(UserError):
        exporting.export(world.settings, world.registry, f"{NAME}/v99", tmp_path / "other")


def test_erasing_an_article_that_a_teacher_labelled_marks_its_student(told: Told) -> None:
    world, student = told.world, told.student.version
    assert student is not None
    labelled = next(one for one in world.registry.versions.learnt(student) if one.startswith("article:news-"))
    article_id = f"a-{labelled.removeprefix('article:news-')}"
    world.erasures.request(Erase(event_id="erase-1", occurred_at=world.clock(), article_id=article_id))
    world.buffer.erase()
    assert labelled in world.erasures.work("example")
    assert labelled not in world.buffer.article_ids()
    erasure.mark_versions(world.registry, world.erasures.work("example"))
    assert world.registry.versions.get(student).affected_at is not None


@pytest.mark.parametrize("kind", [*_METRICS])
def test_a_student_of_any_kind_comes_to_answer_as_its_teacher_does(kind: str, bases: tuple[Path, Path], tmp_path: Path) -> None:
    large, small = bases
    teacher = spec_of(kind, large)
    learner_for(teacher).train(toy_plan(teacher, rows_of(kind, 120, 1), tmp_path / "work", full=True), tmp_path / "teacher")
    student = spec_of(kind, small, teacher="somewhere", teacher_share=1.0, full_epochs=6)
    gold, texts = rows_of(kind, 18, 2), [replace(row, target={}) for row in rows_of(kind, 120, 3)]
    order = JobSpec(
        run_id="r", task=student, training=ON_CPU, full=True, training_set=tmp_path, run_dir=tmp_path, champion=None,
        champion_version=None, teacher=tmp_path / "teacher", teacher_name="teacher", batch_size=16,
    )  # fmt: skip
    (tmp_path / job_spec.WORK_FOLDER).mkdir(exist_ok=True)
    said = taught(order, gold, texts, lambda _told: None)
    assert said is not None
    again = taught(order, gold, texts, lambda _told: None)
    assert again is not None
    assert again.key == said.key
    among = kind == "ner"
    rows = [*gold, *said.unlabelled] if among else gold
    plan = toy_plan(student, rows, tmp_path / "taught-work", full=True, taught=None if among else said)
    learner_for(student).train(plan, tmp_path / "taught")
    learner_for(student).train(toy_plan(student, gold, tmp_path / "alone-work", full=True), tmp_path / "alone")
    fresh = [row.text for row in rows_of(kind, 60, 4)]
    model, taught_one, alone = (opened(tmp_path / name).predict(fresh) for name in ("teacher", "taught", "alone"))
    assert agreement(model, taught_one) > agreement(model, alone)


def agreement(answers: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> float:
    """The share of the same answers; of numbers the error, negative."""
    if "values" in answers[0]:
        return -float(
            np.mean([abs(one["values"]["heat"] - other["values"]["heat"]) for one, other in zip(answers, others, strict=True)])
        )
    if "signals" in answers[0]:
        pairs = [
            (one["signals"][name], other["signals"][name])
            for one, other in zip(answers, others, strict=True)
            for name in TOY_TAGS
        ]
        return float(np.mean([(one["tag"] == other["tag"]) - abs(one["score"] - other["score"]) for one, other in pairs]))
    key = next(key for key in ("labels", "label", "spans") if key in answers[0])
    return float(np.mean([one[key] == other[key] for one, other in zip(answers, others, strict=True)]))
