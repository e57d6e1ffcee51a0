"""Swedish entities from `blank:sv`: Swedish rules for words, learnt from a few marked rows alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from config.settings import SHIPPED_TASKS_DIR
from config.tasks import TaskSpec, load_task
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from tests.support.ner_rows import example
from tests.support.tiny_models import toy_plan
from trainers.learners.protocols import Example
from trainers.learners.spacy.ner import SpacyNerLearner

pytestmark = pytest.mark.slow

PEOPLE = ("Åsa Öberg", "Märta Sjöström", "Örjan Åkesson", "Björn Älvdal", "Sölve Hägg", "Ängla Björk")
PLACES = ("Malmö", "Örebro", "Åmål", "Västerås", "Älmhult", "Södertälje")
FORMS = (
    "{person} kom till {place} i måndags.",
    "I {place} mötte polisen {person}.",
    "Enligt {person} är {place} störst, bl.a. i länet.",
)


def rows(count: int, seed: int) -> list[Example]:
    chance = random.Random(seed)
    found = []
    for number in range(count):
        person, place = chance.choice(PEOPLE), chance.choice(PLACES)
        text = chance.choice(FORMS).format(person=person, place=place)
        found.append(example(text, (person, "PER"), (place, "LOC"), number=number))
    return found


def test_a_few_swedish_rows_make_a_recogniser(tmp_path: Path) -> None:
    shipped = load_task(SHIPPED_TASKS_DIR / "news-entities.yaml").model_dump()
    training = shipped["training"] | {"full_epochs": 10, "full_learning_rate": 4e-3}
    spec = TaskSpec.model_validate(
        shipped
        | {"base_model": "blank:sv", "labels": "open", "label_names": (), "new_label_min_examples": 3, "training": training}
    )
    SpacyNerLearner().train(toy_plan(spec, rows(60, 1), tmp_path / "work", full=True), tmp_path / "model")
    model = formats.open_model(tmp_path / "model", Compute())
    asked = rows(20, 2)
    answers = model.predict([row.text for row in asked])
    right = sum(
        {(one["start"], one["end"], one["label"]) for one in answer["spans"]}
        == {(one["start"], one["end"], one["label"]) for one in row.target["spans"]}
        for row, answer in zip(asked, answers, strict=True)
    )
    assert right >= 18
    assert (tmp_path / "model" / "config.cfg").read_text().count('lang = "sv"') == 1
