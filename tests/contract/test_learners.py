"""What every learner and every format of published models keeps, with tiny models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from config.errors import RunFailedError
from config.kinds import catalog as kinds
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from daemon.serving.sandbox.examining import examine
from daemon.training.sandbox.order import Asked, Order
from daemon.training.sandbox.texts import ODD
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.description import MODEL_FILE, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.predictor import Divides, Predictor
from perennial_artifact.warming import warm
from registry.artifacts import manifest
from tests.support import ner_rows
from tests.support.curated_pipeline import make_curated_pipeline
from tests.support.tiny_models import (
    make_tiny_bert,
    toy_entities,
    toy_numbers,
    toy_numbers_spec,
    toy_plan,
    toy_rows,
    toy_rows_of_several,
    toy_signals,
    toy_signals_spec,
    toy_spec,
)
from trainers.learners import catalog
from trainers.learners.protocols import Example, TrainingStep
from trainers.learners.taught import ask, names_of, numbers_of, silver, tags_of

LABELS = ("SPORT", "MARKETS", "WEATHER")
TYPES = ("GPE", "NEWS_ORG", "PERSON")
LONG = "The Morning Herald reports that Ada Lovelace left Oslo .\n\n" * 500


@dataclass(frozen=True)
class Learnt:
    """A task, the rows that were learnt, and what came out."""

    spec: TaskSpec
    rows: Sequence[Example]
    labels: tuple[str, ...]
    folder: Path

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    def model(self) -> Predictor:
        return formats.open_model(self.folder, Compute())


CURATED = ("ner", "spacy", "curated transformer")
"""The same learner, and a format of its own."""


@pytest.fixture(scope="module", params=[*catalog.known(), CURATED], ids=" on ".join)
def learnt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    folder = tmp_path_factory.mktemp("learnt")
    if request.param in {("ner", "spacy"), CURATED}:
        base = str(make_curated_pipeline(folder / "base", pipes=())) if request.param == CURATED else "blank:xx"
        spec = TaskSpec.model_validate({
            "name": "entities", "kind": "ner", "backend": "spacy", "base_model": base, "labels": "open",
            "training": {"full_epochs": 3}, "promotion": {"metric": "entity_f1"},
        })  # fmt: skip
        rows, labels = ner_rows.examples(40), TYPES
    elif request.param == ("multilabel", "transformer"):
        shipped = load_task(SHIPPED_TASKS_DIR / "examples" / "news-tags.yaml").model_dump()
        training = {**shipped["training"], "full_epochs": 2, "full_learning_rate": 5e-3, "max_tokens": 32}
        base = make_tiny_bert(folder / "base")
        spec = TaskSpec.model_validate({**shipped, "base_model": str(base), "training": training})
        rows, labels = toy_rows_of_several(LABELS, 40), LABELS
    elif request.param == ("ner", "transformer"):
        spec = toy_entities(make_tiny_bert(folder / "base", ner_rows.PIECES), training={"full_epochs": 12})
        rows, labels = ner_rows.examples(40), TYPES
    elif request.param == ("regression", "transformer"):
        spec = toy_numbers_spec(
            make_tiny_bert(folder / "base"), training={"full_epochs": 2, "full_learning_rate": 5e-3, "max_tokens": 32}
        )
        rows, labels = toy_numbers(60), ("heat", "mood")
    elif request.param == ("signals", "transformer"):
        spec = toy_signals_spec(make_tiny_bert(folder / "base"))
        rows, labels = toy_signals(60), ("sports", "weather")
    else:
        assert request.param == ("classification", "transformer"), "a new learner needs a tiny task here"
        spec = toy_spec(
            make_tiny_bert(folder / "base"), training={"full_epochs": 2, "full_learning_rate": 5e-3, "max_tokens": 32}
        )
        rows, labels = toy_rows(LABELS, 12), LABELS
    catalog.learner_for(spec).train(toy_plan(spec, rows, folder / "work", full=True), folder / "model")
    return Learnt(spec, rows, labels, folder / "model")


def test_a_model_says_what_it_is(learnt: Learnt) -> None:
    said = describe(learnt.folder)
    assert (said.kind, said.backend, said.base) == (learnt.spec.kind, learnt.spec.backend, learnt.spec.base_model)
    assert sorted(said.labels) == sorted(learnt.labels)
    assert said.libraries
    assert formats.find(said.format) is not None


def test_a_model_may_be_published(learnt: Learnt) -> None:
    assert MODEL_FILE in manifest.publishable(learnt.folder)


def test_every_text_is_answered_in_order_with_what_json_holds(learnt: Learnt) -> None:
    model = learnt.model()
    warm(model)
    assert model.predict([]) == []
    answers = model.predict(learnt.texts)
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers
    again = learnt.model().predict(learnt.texts[::-1])[::-1]
    assert all(alike(one, other) for one, other in zip(again, answers, strict=True))


def alike(one: object, other: object) -> bool:
    """Return whether two answers say the same: a batch of other texts adds up numbers in another order."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=1e-4)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    return one == other


def test_a_long_text_is_answered_in_parts_or_as_one_of_bounded_length(learnt: Learnt) -> None:
    model = learnt.model()
    [whole] = model.predict([LONG])
    if isinstance(model, Divides):
        parts = model.divide(LONG)
        assert [start for start, _end in parts] == [0, *(end for _start, end in parts[:-1])]
        assert model.join([start for start, _end in parts], model.predict([LONG[start:end] for start, end in parts])) == whole
    else:
        assert whole["truncated"] is True


def test_gold_and_answers_are_aligned_once_and_for_all(learnt: Learnt) -> None:
    model = learnt.model()
    align = catalog.learner_for(learnt.spec).aligner(model)
    for row, answer in zip(learnt.rows, model.predict(learnt.texts), strict=True):
        first = align(row.text, [row.target, answer])
        assert len(first) == 2
        assert list(align(row.text, first)) == list(first)


def test_the_sandbox_finds_nothing_wrong_with_what_a_learner_publishes(learnt: Learnt) -> None:
    model = learnt.model()
    align = catalog.learner_for(learnt.spec).aligner(model)
    asked = [
        Asked(text=text, recorded=dict(align(text, [answer])[0]))
        for text, answer in zip(learnt.texts, model.predict(learnt.texts), strict=True)
    ]
    settings = load_settings(training={"device": "cpu", "precision": "fp32", "threads": 1})
    found = examine(
        Order(
            version="toy/v1", kind=learnt.spec.kind, backend=learnt.spec.backend, folder=learnt.folder,
            training=settings.training, threads=1, text_time_s=settings.serving.text_time_s, memory_limit_mib=0,
            asked=(*asked, *(Asked(text=text) for text in ODD)), task=learnt.spec.model_dump(mode="json"),
        )
    )  # fmt: skip
    assert (found.outcome, found.reason) == ("passed", "")
    assert (found.texts, found.compared, found.differ) == (len(asked) + len(ODD), len(asked), 0)


def test_a_model_tells_a_student_what_its_task_asks_for(learnt: Learnt) -> None:
    said, task = describe(learnt.folder), learnt.spec
    names = (*names_of(said, task), *tags_of(learnt.folder, said, task))
    assert set(learnt.labels) <= set(names)
    found = list(ask(learnt.model(), learnt.rows[:5], lambda _told: None))
    assert [row.example_id for row, _answer in found] == [row.example_id for row in learnt.rows[:5]]
    if kinds.get(task.kind).positional:
        assert all(silver(row, answer, names, task).scope == frozenset(names) for row, answer in found)
        return
    numbers = np.array([numbers_of(answer, names, {}) for _row, answer in found])
    assert numbers.shape == (5, len(names))
    assert np.isfinite(numbers).all()
    assert (numbers != 0).any(axis=0).all(), "of each name something is said"


def test_a_baseline_answers_without_a_model(learnt: Learnt) -> None:
    baseline = catalog.learner_for(learnt.spec).baseline(learnt.spec, learnt.rows)
    answers = baseline.predict(learnt.texts)
    assert len(answers) == len(learnt.rows)
    assert {key for answer in answers for key in answer} >= learnt.rows[0].target.keys()


@pytest.fixture
def copy(learnt: Learnt, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    for path in learnt.folder.rglob("*"):
        if path.is_file():
            target = tmp_path / "copy" / path.relative_to(learnt.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "copy"


def test_what_is_torn_is_not_opened(copy: Path) -> None:
    largest = max((path for path in copy.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    with pytest.raises(UnusableError, match=str(copy)):
        formats.open_model(copy, Compute())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format_version": 2}, "format 2"),
        ({"format": "abc"}, "'abc' is not known"),
        ({"labels": 3}, "cannot be read"),
        ({"input": {"max_tokens": -1}}, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_description_that_is_not_understood_is_named(copy: Path, change: dict[str, object] | None, word: str) -> None:
    file = copy / MODEL_FILE
    content = json.loads(file.read_bytes())
    file.write_text("{" if change is None else json.dumps(content | change), encoding="utf-8")
    with pytest.raises(UnusableError, match=word):
        formats.open_model(copy, Compute())


def test_the_input_recipe_is_obeyed(learnt: Learnt, copy: Path) -> None:
    said = describe(copy)
    if said.input.piece_chars is None:
        replace(said, input=replace(said.input, max_tokens=4)).write(copy)
        assert all(answer["truncated"] for answer in formats.open_model(copy, Compute()).predict(["goal " * 9]))
    else:
        replace(said, input=replace(said.input, piece_chars=100)).write(copy)
        model = formats.open_model(copy, Compute())
        assert isinstance(model, Divides)
        assert max(end - start for start, end in model.divide(LONG)) <= 100


def _spoken(learnt: Learnt) -> Mapping[str, object]:
    """Return a target that tells nothing apart, or says nothing."""
    return {
        "ner": {"spans": [], "partial": True}, "classification": {"label": "SPORT"}, "multilabel": {"labels": ["SPORT"]},
        "regression": {"values": {}}, "signals": {"signals": {}},
    }[learnt.spec.kind]  # fmt: skip


@pytest.mark.parametrize("what", ["no row", "no weight", "nothing told apart"])
def test_rows_that_teach_nothing_fail_the_run_by_name_and_leave_no_model(learnt: Learnt, what: str, tmp_path: Path) -> None:
    rows = {
        "no row": [],
        "no weight": [replace(row, weight=0.0) for row in learnt.rows],
        "nothing told apart": [replace(row, target=_spoken(learnt)) for row in learnt.rows],
    }[what]
    learner = catalog.learner_for(learnt.spec)
    with pytest.raises(RunFailedError, match=learnt.spec.name) as failed:
        learner.train(toy_plan(learnt.spec, rows, tmp_path / "work", full=True), tmp_path / "model")
    assert "end" in str(failed.value), "what to do: send, label, amend"
    assert not (tmp_path / "model" / MODEL_FILE).exists()


def test_a_text_longer_than_any_window_is_learnt_beside_the_others(learnt: Learnt, tmp_path: Path) -> None:
    giant = replace(learnt.rows[0], example_id="giant", text=f"{learnt.rows[0].text} {'the ' * 20_000}")
    steps: list[TrainingStep] = []
    training = learnt.spec.training.model_copy(update={"full_epochs": 1})
    spec = learnt.spec.model_copy(update={"training": training})
    plan = toy_plan(spec, [*learnt.rows, giant], tmp_path / "work", full=True, report=steps.append)
    catalog.learner_for(spec).train(plan, tmp_path / "model")
    cuts = describe(tmp_path / "model").input.piece_chars is None
    assert steps[-1].texts_cut == (1 if cuts else 0), "read in part, and said; or read whole, in pieces"
    assert len(formats.open_model(tmp_path / "model", Compute()).predict([giant.text])) == 1


def test_another_class_under_a_known_name_is_refused(learnt: Learnt) -> None:
    name = describe(learnt.folder).format
    with pytest.raises(ValueError, match="already"):
        formats.register(name, "elsewhere:Other")
