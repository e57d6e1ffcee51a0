"""Several labels a text with the real training child: a first champion, then both clocks, to answers in process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daemon.flow.answering import answer_of, labels_of
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.formats import open_after, open_model
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import MULTILABEL_FORMAT
from registry.people.corrections import Answering
from tests.support import buffers
from tests.support.cycles import NAME, Refreshed, World, task
from tests.support.runners import HereRunner
from tests.support.tiny_models import make_tiny_bert, toy_rows_of_several

pytestmark = pytest.mark.slow

LABELS = ("MARKETS", "SPORT", "WEATHER")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refreshed]:
    folder = tmp_path_factory.mktemp("several")
    spec = task(
        kind="multilabel",
        base_model=str(make_tiny_bert(folder / "bert")),
        training={"full_epochs": 6, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32},
        trigger={"min_new_examples": 300, "cooldown_minutes": 0, "max_age_days": 3650},
        refresh={"min_new_examples": 10, "cooldown_minutes": 0},
        promotion={"metric": "macro_f1", "min_improvement": 0.0, "min_test_examples": 30, "max_latency_ratio": 1000.0},
    )
    with World(folder, spec, runner=HereRunner()) as world:
        _learn(world, "test", 240, seed=1)
        _learn(world, "train", 60, seed=2)
        first = world.ask(full=True)
        _learn(world, "train-later", 200, seed=3)
        world.cycle.step()
        yield Refreshed(world, first, world.registry.runs.list(limit=1)[0])


def _learn(world: World, prefix: str, count: int, *, seed: int) -> None:
    """Store and enrich labels, the first of them 90 days old and the last of today."""
    made = (
        buffers.label(
            f"{prefix}-{row.example_id}", row.text, task=NAME, target=dict(row.target), hours=24 * 90 * (1 - at / count)
        )
        for at, row in enumerate(toy_rows_of_several(LABELS, count, seed=seed))
    )
    world.buffer.insert(buffers.stored(*made))
    buffers.enrich(world.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")


def _in_force(*labels: str) -> Answering:
    return Answering(NAME, "0" * 64, "feedback-1", {"labels": list(labels)}, accepted=False, answers_since=buffers.NOW)


def test_a_first_version_beats_the_most_frequent_label_and_is_promoted(told: Refreshed) -> None:
    assert (told.first.refresh, told.first.verdict, told.first.error) == (False, "promote", None)
    folder = told.folder(told.first)
    said = describe(folder)
    assert (said.kind, said.format, said.labels) == ("multilabel", MULTILABEL_FORMAT, LABELS)
    thresholds = Head.read(folder).thresholds
    assert thresholds is not None
    assert len(thresholds) == len(LABELS)


def test_a_refresh_learns_from_stored_features_chooses_thresholds_and_keeps_the_encoder(told: Refreshed) -> None:
    assert (told.refresh.refresh, told.refresh.verdict, told.refresh.error) == (True, "promote", None)
    before = open_after(told.folder(told.first), Compute(), None)
    after = open_after(told.folder(told.refresh), Compute(), before)
    assert after.shares
    thresholds = Head.read(told.folder(told.refresh)).thresholds
    assert thresholds is not None
    assert len(set(thresholds.tolist())) > 1, "newer rows have chosen"
    texts = [row.text for row in toy_rows_of_several(LABELS, 20, seed=8)]
    answers = after.predictor.predict(texts)
    assert answers == open_model(told.folder(told.refresh), Compute()).predict(texts)
    assert len({len(answer["labels"]) for answer in answers}) > 1, "some texts have more labels than others"


def test_the_report_knows_each_label(told: Refreshed) -> None:
    assert told.refresh.version is not None
    comparison = told.world.registry.versions.get(told.refresh.version).metrics["comparison"]
    assert {"label:SPORT", "label:MARKETS", "label:WEATHER"} <= {part["name"] for part in comparison["slices"]}
    assert comparison["metric"] == "macro_f1"
    for side in ("candidate", "champion"):
        found = comparison[f"{side}_probabilities"]
        assert found["of_each_label"]
        assert sum(found["reliability"]["rows"]) == comparison["rows"] * len(LABELS)
        assert 0.0 <= found["calibration_error"] < 0.5


def test_a_correction_answers_with_the_labels_that_it_gives(told: Refreshed) -> None:
    spec, known = told.world.tasks[NAME], labels_of(told.folder(told.refresh))
    assert answer_of(_in_force("SPORT", "WEATHER"), spec, known) == {
        "labels": ["SPORT", "WEATHER"],
        "scores": {"SPORT": 1.0, "WEATHER": 1.0},
    }
    assert answer_of(_in_force(), spec, known) == {"labels": [], "scores": {}}
    assert answer_of(_in_force("SPORT", "ARTS"), spec, known) is None
