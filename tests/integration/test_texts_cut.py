"""Texts that are longer than a model reads: told in answers, by import, on the card and in status."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import AutoTokenizer
from typer.testing import CliRunner

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_task
from daemon.cli.main import app
from daemon.serving.client import in_words
from perennial_artifact.transformer.reading import LONGEST_TOKEN_CHARS
from perennial_client import Prediction
from registry.reports.cut import texts_cut
from tests.support.ner_rows import training_set
from tests.support.opening import opened
from tests.support.tiny_models import TOPIC_WORDS, make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.job import spec as job_spec
from trainers.job import steps as job_steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import JobSpec
from trainers.learners.encoders import encoder
from trainers.learners.encoders.classification import ClassificationLearner
from trainers.learners.protocols import Example, TrainingStep
from trainers.learners.reading_length import reading_length

MAX_TOKENS = 32
LONG, SHORT = " ".join(["goal"] * 200), "the goal today"
AT_THE_LIMIT = " ".join(["goal"] * (MAX_TOKENS - 2))
TEXTS = {
    SHORT: False, "": False, AT_THE_LIMIT: False, AT_THE_LIMIT + "  \n": False, AT_THE_LIMIT + " goal": True, LONG: True,
    SHORT + " " * (MAX_TOKENS * LONGEST_TOKEN_CHARS): False,
    "x" * 1_000_000: True,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def model(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrainingStep]]:
    """A model learnt from 24 rows, 2 of which are too long, and what was reported meanwhile."""
    folder = tmp_path_factory.mktemp("model")
    steps: list[TrainingStep] = []
    rows = [*toy_rows(list(TOPIC_WORDS), 8), *(Example(f"long-{n}", LONG, {"label": "SPORT"}) for n in range(2))]
    spec = toy_spec(base, training={"full_epochs": 1, "max_tokens": MAX_TOKENS})
    ClassificationLearner().train(toy_plan(spec, rows, folder / "work", report=steps.append), folder / "model")
    return folder / "model", steps


def test_an_answer_says_whether_its_text_was_read_whole(model: tuple[Path, list[TrainingStep]]) -> None:
    folder, _steps = model
    served = opened(folder).predict(list(TEXTS))
    assert dict(zip(TEXTS, (one["truncated"] for one in served), strict=True)) == TEXTS


def test_what_is_told_is_what_the_tokenizer_leaves_out(model: tuple[Path, list[TrainingStep]]) -> None:
    opened = encoder.open_champion(model[0], max_tokens=MAX_TOKENS)
    chance = random.Random(4)
    words = [*TOPIC_WORDS["SPORT"], "unheard", "of", "—", "日本", "\u200b", "'s"]
    texts = [" ".join(chance.choices(words, k=chance.randint(1, 60))) for _ in range(200)]
    ids, cut = opened.read(texts)
    whole = AutoTokenizer.from_pretrained(model[0])(texts, truncation=False)["input_ids"]
    assert cut == [len(one) > MAX_TOKENS for one in whole]
    assert max(map(len, ids)) == MAX_TOKENS
    assert 20 < sum(cut) < 180


def test_a_tokenizer_that_tells_nothing_is_asked_again(
    model: tuple[Path, list[TrainingStep]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = encoder.open_champion(model[0], max_tokens=MAX_TOKENS)
    expected = opened.read(list(TEXTS))
    monkeypatch.setattr("transformers.tokenization_utils_base.BatchEncoding.encodings", None)
    assert opened.read(list(TEXTS)) == expected


def test_training_counts_the_texts_that_it_cuts(model: tuple[Path, list[TrainingStep]]) -> None:
    assert {step.texts_cut for step in model[1]} == {2}


def test_a_run_counts_what_was_cut_for_card_and_status(base: Path, tmp_path: Path) -> None:
    train = [*toy_rows(["SPORT", "MARKETS"], 10), Example("long", LONG, {"label": "SPORT"})]
    test = [*toy_rows(["SPORT", "MARKETS"], 10, seed=2), Example("long-2", LONG, {"label": "SPORT"})]
    training_set(tmp_path / "set", train=train, test=test)
    settings = load_settings().training.model_copy(update={"device": "cpu", "precision": "fp32", "threads": 1})
    order = JobSpec(
        run_id="r1", task=toy_spec(base, training={"full_epochs": 1, "max_tokens": MAX_TOKENS}), training=settings, full=True,
        training_set=tmp_path / "set", run_dir=tmp_path, champion=None, champion_version=None, batch_size=8,
    )  # fmt: skip
    result = job_steps.execute(order, StopRequest(), ProgressLog("r1", tmp_path / job_spec.HISTORY_FILE, None))
    assert (result.rows_cut, result.tested, result.tested_cut) == (1, 21, 1)
    assert texts_cut(result.model_dump()) == "1 of 21 training rows (5%), 1 of 21 scored rows (5%)"


def test_a_version_of_a_run_that_did_not_count_says_nothing() -> None:
    assert texts_cut({"rows_new": 20, "rows_replayed": 3}) is None


def test_texts_are_counted_as_the_model_will_cut_them(base: Path) -> None:
    spec = toy_spec(base, training={"full_epochs": 1, "max_tokens": MAX_TOKENS})
    counted = reading_length(spec)
    assert counted is not None
    for text in TEXTS:
        counted.add(text)
    counted.done()
    opened = encoder.open_base(str(base), max_tokens=MAX_TOKENS)
    assert (counted.texts, counted.cut) == (len(TEXTS), sum(opened.read(list(TEXTS))[1])) == (len(TEXTS), sum(TEXTS.values()))
    assert counted.max_tokens == opened.tokenizer.model_max_length == MAX_TOKENS


@pytest.mark.parametrize("name", ["minilm", "nowhere/such-model", "/no/such/folder", "not a name \x00"])
def test_a_model_that_is_not_here_is_not_counted_for(name: str) -> None:
    topics = load_task(SHIPPED_TASKS_DIR / "news-topics.yaml").model_copy(update={"base_model": name})
    counted = reading_length(topics)
    assert (counted is not None) == (name == "minilm")
    if counted is not None:
        assert counted.max_tokens == min(topics.training.max_tokens, 512)


def test_entities_are_read_whole() -> None:
    assert reading_length(load_task(SHIPPED_TASKS_DIR / "news-entities.yaml")) is None


def test_import_says_which_share_will_be_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = load_task(SHIPPED_TASKS_DIR / "news-topics.yaml")
    rows = [{"text": f"Report {n}", "label": "politics"} for n in range(9)]
    rows.append({"text": "Parliament votes on the budget again. " * 300, "label": "politics"})
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setenv("PERENNIAL_DATA_DIR", str(tmp_path / "data"))
    command = ["import", str(file), "--task", topics.name, "--dry-run"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    assert f"training.max_tokens ({topics.training.max_tokens}): 1 of 10 texts" in shown.output
    plain = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(plain.stdout)["texts_cut"] == 1


def test_the_command_marks_a_text_that_was_read_in_part() -> None:
    def shown(**answer: Any) -> str:
        console = Console(width=200, color_system=None)
        with console.capture() as captured:
            console.print(in_words("A text", {"label": "sport", "scores": {"sport": 0.9}, **answer}))
        return captured.get()

    assert "read in part" in shown(truncated=True)
    assert "read in part" not in shown(truncated=False)
    assert "read in part" not in shown()  # an older server


def test_a_prediction_of_an_older_server_counts_as_whole() -> None:
    assert Prediction.of("t", "t/v1", {"label": "a", "scores": {"a": 1.0}}).truncated is False
    said = Prediction.of("t", "t/v1", {"label": "a", "scores": {"a": 1.0}, "truncated": True, "prediction_id": "p"}, "p")
    assert (said.truncated, said.answer) == (True, {"label": "a", "scores": {"a": 1.0}})
