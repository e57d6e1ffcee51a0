"""Classifiers of the first release as encoder and head: the same answers, and a head that can be refreshed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from config.settings import load_settings
from consumers.enrichment.feature_store import FeatureStore
from daemon.training.preparing.features import Features
from perennial_artifact.compute import Compute
from perennial_artifact.description import Description, Input, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import open_model
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.layout import FORMAT
from tests.support.ner_rows import training_set
from tests.support.tiny_models import make_tiny_bert, toy_rows, toy_spec
from trainers.job import spec as job_spec
from trainers.job import steps as job_steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import JobSpec
from trainers.learners.heads.published.conversion import convert

NAMES = ("SPORT", "MARKETS", "WEATHER")
TEXTS = [row.text for row in toy_rows(NAMES, 10)] + ["", "goal " * 500]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert") / "base")


def old(model: PreTrainedModel, vocabulary: Path, folder: Path) -> Path:
    """Write a classifier as the first release did."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - only here

    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(vocabulary)
    tokenizer.model_max_length = 24
    tokenizer.save_pretrained(folder)
    LabelSet(NAMES, frozenset({"SPORT", "WEATHER"})).write(folder)
    Description("classification", "transformer", "transformers-classification", "tiny", ("SPORT", "WEATHER"), Input(24)).write(
        folder
    )
    return folder


def architectures() -> dict[str, PreTrainedModel]:
    torch.manual_seed(4)
    common = {"vocab_size": 60, "max_position_embeddings": 64, "num_labels": 3}
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.2,
    }
    return {
        "bert": BertForSequenceClassification(BertConfig(**common, **sizes)),
        "roberta": RobertaForSequenceClassification(RobertaConfig(**common, **sizes, pad_token_id=0)),
        "distilbert": DistilBertForSequenceClassification(
            DistilBertConfig(**common, dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.2)
        ),
    }


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_a_converted_classifier_gives_the_same_answers(name: str, vocabulary: Path, tmp_path: Path) -> None:
    before = old(architectures()[name], vocabulary, tmp_path / "old")
    said = convert(before, tmp_path / "new")
    assert (said.format, said.labels) == (FORMAT, ("SPORT", "WEATHER"))
    assert describe(tmp_path / "new") == said
    expected = open_model(before, Compute()).predict(TEXTS)
    found = open_model(tmp_path / "new", Compute()).predict(TEXTS)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours["label"], ours["truncated"]) == (theirs["label"], theirs["truncated"])
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-5)


def test_the_weights_are_not_stored_twice_and_sentence_transformers_opens_the_folder(vocabulary: Path, tmp_path: Path) -> None:
    before = old(architectures()["bert"], vocabulary, tmp_path / "old")
    convert(before, tmp_path / "new")
    assert (tmp_path / "new" / "model.safetensors").samefile(before / "model.safetensors")
    logits = SentenceTransformer(str(tmp_path / "new"), device="cpu").encode(["the striker says goal"])[0]
    ours = open_model(tmp_path / "new", Compute()).predict(["the striker says goal"])[0]["scores"]
    both = torch.tensor([logits[0], logits[2]]).softmax(-1).tolist()
    assert [ours["SPORT"], ours["WEATHER"]] == pytest.approx(both, abs=1e-4)


def test_what_is_not_known_is_refused_by_name(vocabulary: Path, tmp_path: Path) -> None:
    sizes = GPT2Config(vocab_size=60, n_positions=64, n_embd=32, n_layer=1, n_head=2, num_labels=3, pad_token_id=0)
    other = old(GPT2ForSequenceClassification(sizes), vocabulary, tmp_path / "gpt2")
    with pytest.raises(UnusableError, match="gpt2"):
        convert(other, tmp_path / "new")
    torn = old(architectures()["bert"], vocabulary, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:500])
    with pytest.raises(UnusableError, match="cannot be read"):
        convert(torn, tmp_path / "new")
    converted = tmp_path / "twice"
    convert(old(architectures()["bert"], vocabulary, tmp_path / "old"), converted)
    with pytest.raises(UnusableError, match="only transformers-classification"):
        convert(converted, tmp_path / "again")


def test_the_head_of_a_champion_of_the_first_release_is_refreshed(vocabulary: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    champion = old(architectures()["bert"], vocabulary, run_dir / job_spec.CHAMPION_FOLDER)
    answers = open_model(champion, Compute()).predict(TEXTS[:30])
    rows = toy_rows(("SPORT", "MARKETS"), 40, seed=2)
    training_set(run_dir / job_spec.TRAINING_SET_FOLDER, train=rows, test=toy_rows(NAMES[:2], 15), old=70)
    settings = load_settings().training.model_copy(update={"device": "cpu", "precision": "fp32", "threads": 1})
    order = JobSpec(
        run_id="r1", task=toy_spec(vocabulary), training=settings, full=False, refresh=True, run_dir=run_dir,
        training_set=run_dir / job_spec.TRAINING_SET_FOLDER, champion=champion, champion_version="toy-topics/v1", batch_size=8,
    )  # fmt: skip
    store = FeatureStore(tmp_path)
    Features(store, settings, threading.Event()).for_run(order)
    store.close()
    assert open_model(champion, Compute()).predict(TEXTS[:30]) == [
        {**answer, "scores": pytest.approx(answer["scores"], abs=1e-5)} for answer in answers
    ]
    result = job_steps.execute(order, StopRequest(), ProgressLog("r1", run_dir / job_spec.HISTORY_FILE, None))
    assert result.comparison is not None
    assert result.comparison.rows == 30
    assert result.comparison.candidate_score > result.comparison.champion_score
    assert result.model is not None
    assert describe(result.model).format == FORMAT
    assert describe(result.model).base == "tiny"
