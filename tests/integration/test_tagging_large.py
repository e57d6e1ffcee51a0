"""Three layers of BERT-large, as wide as they are, with random weights: a step of training, published, opened and asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, BertConfig, BertForTokenClassification

from config.settings import SHIPPED_TASKS_DIR
from config.tasks import TaskSpec, load_task
from perennial_artifact.labels import LabelSet
from tests.support.ner_rows import examples
from tests.support.opening import opened
from tests.support.tiny_models import toy_plan
from trainers.learners.encoders.bases import source_of
from trainers.learners.protocols import TrainingStep
from trainers.learners.tagging.ner import TaggingLearner

_NEEDED_GIB = 3
_DISK_GIB = 2
_LAYERS = 3
"""The others are the same again, at eight times the cost."""
CONLL = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")


@pytest.mark.slow
def test_bert_large_with_a_head_for_conll_learns_a_step_and_answers(tmp_path: Path) -> None:
    """The documented checkpoint has this shape and these tags."""
    if psutil.virtual_memory().available < _NEEDED_GIB << 30:
        pytest.skip(f"needs {_NEEDED_GIB} GiB of free memory")
    if shutil.disk_usage(tmp_path).free < _DISK_GIB << 30:
        pytest.skip(f"needs {_DISK_GIB} GiB of free disk")
    base = tmp_path / "base"
    config = BertConfig(
        vocab_size=AutoConfig.from_pretrained(source_of("minilm")).vocab_size, hidden_size=1024, num_hidden_layers=24,
        num_attention_heads=16, intermediate_size=4096, id2label=dict(enumerate(CONLL)),
    )  # fmt: skip
    with torch.device("meta"):
        assert sum(weights.numel() for weights in BertForTokenClassification(config).parameters()) > 330_000_000
    config.num_hidden_layers = _LAYERS
    torch.manual_seed(0)
    made = BertForTokenClassification(config)
    made.save_pretrained(base)
    del made
    AutoTokenizer.from_pretrained(source_of("minilm")).save_pretrained(base)
    shipped = load_task(SHIPPED_TASKS_DIR / "examples" / "news-entities-transformer.yaml").model_dump()
    spec = TaskSpec.model_validate({
        **shipped, "base_model": str(base), "renames": {"PER": "PERSON"}, "labels": "open", "label_names": ["NEWS_ORG"],
        "training": {**shipped["training"], "full_epochs": 1, "full_learning_rate": 3e-5, "max_tokens": 64},
    })  # fmt: skip
    steps: list[TrainingStep] = []
    model = tmp_path / "model"
    plan = toy_plan(spec, examples(4), tmp_path / "work", full=True, batch_size=4, steps=steps)
    TaggingLearner().train(plan, model)
    assert [step.steps for step in steps] == [1]
    assert LabelSet.read(model).names == ("MISC", "PERSON", "ORG", "LOC", "NEWS_ORG")
    [answer] = opened(model).predict(["Ada Lovelace arrived in Oslo on Monday ."])
    assert {span["label"] for span in answer["spans"]} <= LabelSet.read(model).seen
