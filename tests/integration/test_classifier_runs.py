"""What benchmarks of classification stand on: runs in this process, and the recipe of the first release beside them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import huffpost_years, new_labels
from benchmarks.classifier_runs import SETTINGS, Chain, Embeddings, Given
from benchmarks.former_recipe import FormerRecipe
from benchmarks.huffpost import Row
from perennial_artifact.sentence.head import Head
from tests.support.tiny_models import toy_rows
from trainers.compare.metrics.labels import accuracy
from trainers.learners.opening import open_model

pytestmark = pytest.mark.slow

_BEGAN = datetime(2024, 1, 1, tzinfo=UTC)


def rows(labels: list[str], per_label: int, *, seed: int) -> list[Row]:
    return [
        Row(row.example_id, row.text, str(row.target["label"]), _BEGAN + timedelta(days=seed, minutes=number))
        for number, row in enumerate(toy_rows(labels, per_label, seed=seed))
    ]


OLD = rows(["SPORT", "MARKETS"], 40, seed=1)
NEW = rows(["WEATHER"], 20, seed=2)
ASKED = rows(["SPORT", "MARKETS", "WEATHER"], 20, seed=3)
GOLD = [row.label for row in ASKED]


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    found = Embeddings(tmp_path_factory.mktemp("embeddings") / "file.npz")
    found.add(row.text for row in (*OLD, *NEW, *ASKED))
    return found


def right(answers: list[dict[str, float]]) -> float:
    return accuracy(GOLD, [next(iter(scores)) for scores in answers])


def test_a_refresh_learns_a_label_and_answers_from_embeddings_as_the_opened_model_does(
    embeddings: Embeddings, tmp_path: Path
) -> None:
    chain = Chain(tmp_path / "chain", embeddings, seed=1, training={"tuning": "never"})
    chain.run([Given(row) for row in OLD])
    texts = [row.text for row in ASKED]
    before = chain.answers(texts)
    copy = chain.fork(tmp_path / "copy")
    cost = copy.run([Given(row) for row in (*OLD, *NEW)], refresh=True)

    answers = copy.answers(texts)
    assert right(before) <= 2 / 3
    assert right(answers) > 0.9
    assert chain.answers(texts) == before
    assert cost.learning_s > 0
    (folder,) = (tmp_path / "copy").glob("artifacts/*/v*")
    assert Head.read(folder).solved.refreshes == 1
    opened = open_model(folder, SETTINGS).predict(texts)
    for scores, answer in zip(answers, opened, strict=True):
        assert answer["scores"] == pytest.approx(scores, abs=0.02)


def test_a_slow_run_tunes_and_the_next_finds_its_features_stored(embeddings: Embeddings, tmp_path: Path) -> None:
    chain = Chain(tmp_path / "chain", embeddings, seed=1, training={"tuning": "always"})
    chain.run([Given(row) for row in OLD])
    cost = chain.run([Given(row) for row in (*OLD, *NEW)])

    assert any(one.name.startswith("tuned for 1 epoch on 100 rows") for one in cost.tried)
    assert right(chain.answers([row.text for row in ASKED])) > 0.9


def test_the_former_recipe_learns_a_label_and_keeps_its_first_model(embeddings: Embeddings) -> None:
    texts = [row.text for row in ASKED]
    recipe = FormerRecipe(seed=1)
    recipe.run(OLD)
    before = recipe.answers(texts)
    other = recipe.fork()
    other.run([*OLD, *NEW])

    assert {name for scores in before for name in scores} == {"SPORT", "MARKETS"}
    assert {name for scores in other.answers(texts) for name in scores} == {"SPORT", "MARKETS", "WEATHER"}
    assert right(other.answers(texts)) > right(before)
    assert recipe.answers(texts) == before


def test_embeddings_are_kept_between_calls(tmp_path: Path) -> None:
    first = Embeddings(tmp_path / "kept.npz")
    first.add(["one text", "another text"])
    second = Embeddings(tmp_path / "kept.npz")
    second.add(["another text", "one text"])

    assert first.cpu_s > 0
    assert second.cpu_s == 0
    assert np.array_equal(first.of(["one text"]), second.of(["one text"]))


def test_every_arm_learns_a_new_label_and_tells_what_mistakes_cost(embeddings: Embeddings, tmp_path: Path) -> None:
    sets = new_labels.Sets(
        first=OLD,
        new=NEW,
        corrected=rows(["SPORT", "MARKETS"], 10, seed=4),
        asked_old=[row for row in ASKED if row.label != "WEATHER"],
        asked_new=[row for row in ASKED if row.label == "WEATHER"],
    )
    embeddings.add(row.text for row in sets.corrected)
    found = new_labels._of_seed(1, sets, [20], arms=new_labels.ARMS, embeddings=embeddings, folder=tmp_path)

    assert set(found) == set(new_labels.ARMS)
    for name, lines in found.items():
        assert lines["before"]["old"] > 0.8, name
        assert lines["after_20"]["new_f1"] > 0.6, name
        assert lines["after_20"]["cpu_s"] > 0, name
        assert lines["corrections_clean"]["old"] >= lines["corrections_wrong"]["old"] - 0.1, name
    means = new_labels._means([found, found])
    assert means["lr"]["after_20"]["old"] == pytest.approx(found["lr"]["after_20"]["old"])


def test_one_in_five_corrections_is_given_another_label() -> None:
    corrected = rows(["SPORT", "MARKETS"], 10, seed=4)
    sets = new_labels.Sets(first=OLD, new=NEW, corrected=corrected, asked_old=(), asked_new=())
    wrong = new_labels._with_mistakes(sets, seed=1)

    assert sum(one.label != other.label for one, other in zip(wrong, corrected, strict=True)) == 4
    assert {row.label for row in wrong} <= {"SPORT", "MARKETS"}


def test_no_text_of_a_year_is_both_learnt_and_asked() -> None:
    years = {
        year: [replace(row, at=row.at.replace(year=year)) for row in rows(["SPORT", "MARKETS"], 30, seed=year)]
        for year in range(huffpost_years.FIRST_YEAR, huffpost_years.RUNS[-1] + 2)
    }
    learnt, asked = huffpost_years._sets(years, huffpost_years.Size(20, 20), seed=0)

    assert learnt.keys() == asked.keys() == years.keys()
    for year in years:
        assert len(learnt[year]) == 20
        assert asked[year]
        assert not {row.text for row in learnt[year]} & {row.text for row in asked[year]}
