"""A tiny random BERT and a toy problem, so that training tests take moments."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from config.tasks import TaskSpec
from trainers.hardware import Hardware
from trainers.learners.protocols import Example, TrainingPlan

CPU = Hardware(device="cpu", precision="fp32", threads=1)
TOPIC_WORDS: Mapping[str, tuple[str, ...]] = {
    "SPORT": ("goal", "match", "coach", "league", "striker"),
    "MARKETS": ("shares", "bond", "profit", "index", "trader"),
    "WEATHER": ("storm", "rain", "wind", "snow", "flood"),
}
TOY_TAGS: Mapping[str, Mapping[str, tuple[float, tuple[str, ...]]]] = {
    "sports": {"win": (1.0, ("goal", "striker")), "loss": (-1.0, ("coach", "league"))},
    "weather": {"wet": (1.0, ("rain", "flood")), "windy": (-1.0, ("storm", "wind"))},
}
"""Of each signal its tags, with the sign of the score and the words."""
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
_COMMON_WORDS = ("the", "a", "in", "after", "today", "new", "big", "says", "week", "city")


def dated(rows: Sequence[Example]) -> list[Example]:
    """Return the rows with a time each, an hour apart."""
    return [replace(row, event_time=_SINCE + timedelta(hours=number)) for number, row in enumerate(rows)]


def make_tiny_bert(folder: Path, further: Sequence[str] = ()) -> Path:
    """Write a random BERT (2 layers, hidden size 32) into `folder` and return it; it knows whole words, and `further` pieces."""
    folder.mkdir(parents=True)
    topic_words = [word for words in TOPIC_WORDS.values() for word in words]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = list(dict.fromkeys([*special, *_COMMON_WORDS, *topic_words, *further]))
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    BertTokenizer(vocab=str(vocabulary)).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.1,  # the usual 0.02 is too faint for so small a model
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def toy_rows(labels: Sequence[str], per_label: int, *, seed: int = 1) -> list[Example]:
    """Return rows whose label can be told from one of its words; lengths vary."""
    chance = random.Random(seed)
    rows = []
    for label in labels:
        for number in range(per_label):
            words = [chance.choice(_COMMON_WORDS) for _ in range(chance.randint(2, 12))]
            words.insert(chance.randrange(len(words) + 1), chance.choice(TOPIC_WORDS[label]))
            rows.append(Example(f"{label}-{seed}-{number}", " ".join(words), {"label": label}))
    chance.shuffle(rows)
    return rows


def toy_rows_of_several(labels: Sequence[str], count: int, *, seed: int = 1) -> list[Example]:
    """Return rows with a word for each of their labels, of which they have none, some or all."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        own = sorted(label for label in labels if chance.random() < 0.4)
        words = [chance.choice(_COMMON_WORDS) for _ in range(chance.randint(2, 12))] + [
            chance.choice(TOPIC_WORDS[label]) for label in own
        ]
        chance.shuffle(words)
        rows.append(Example(f"several-{seed}-{number}", " ".join(words), {"labels": own}))
    return rows


def toy_numbers(count: int, *, seed: int = 1) -> list[Example]:
    """Return rows whose two numbers follow from their words; every fifth row lacks the second."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        words = [chance.choice(_COMMON_WORDS) for _ in range(chance.randint(2, 8))]
        hot, glad = chance.randint(0, 3), chance.randint(0, 3)
        words += [chance.choice(TOPIC_WORDS["WEATHER"]) for _ in range(hot)] + [
            chance.choice(TOPIC_WORDS["SPORT"]) for _ in range(glad)
        ]
        chance.shuffle(words)
        values = {"heat": 1.0 + hot, "mood": -1.0 + glad / 2}
        if number % 5 == 0:
            del values["mood"]
        rows.append(Example(f"n-{seed}-{number}", " ".join(words), {"values": values}))
    return rows


def toy_signals(count: int, *, seed: int = 1) -> list[Example]:
    """Return rows with a signal of sport and of weather, which follow from their words; every fifth row lacks the second."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        words = [chance.choice(_COMMON_WORDS) for _ in range(chance.randint(2, 8))]
        said: dict[str, dict[str, object]] = {}
        for name, tags in TOY_TAGS.items():
            tag = chance.choice(("none", *tags))
            strength = 0 if tag == "none" else chance.randint(1, 3)
            words += [chance.choice(tags[tag][1]) for _ in range(strength)] if tag != "none" else []
            said[name] = {"score": 0.0 if tag == "none" else tags[tag][0] * strength / 3, "tag": tag}
        if number % 5 == 0:
            del said["weather"]
        chance.shuffle(words)
        rows.append(Example(f"signal-{seed}-{number}", " ".join(words), {"signals": said}))
    return rows


def toy_signals_spec(base_model: Path | str, **changes: object) -> TaskSpec:
    """Return a task of two signals that the tiny model learns in a few steps, with keywords for half of it."""
    signals = [
        {
            "name": name,
            "tags": [{"name": tag, "score": sign, "keywords": {"en": list(words[:1])}} for tag, (sign, words) in tags.items()],
        }
        for name, tags in TOY_TAGS.items()
    ]
    training = {"full_epochs": 3, "full_learning_rate": 5e-3, "learning_rate": 2e-3, "batch_size": 16, "max_tokens": 32}
    promotion = {"metric": "signal_score", "min_test_examples": 1, "baseline": "keywords"}
    return TaskSpec.model_validate(
        {
            "name": "city", "kind": "signals", "backend": "transformer", "base_model": str(base_model), "signals": signals,
            "training": training, "promotion": promotion,
        }
        | changes
    )  # fmt: skip


def toy_numbers_spec(base_model: Path | str, **changes: object) -> TaskSpec:
    """Return a task of two numbers that the tiny model learns in a few steps."""
    dimensions = [{"name": "heat", "low": 1, "high": 5, "weight": 2}, {"name": "mood", "low": -1, "high": 1}]
    values: dict[str, object] = {
        "name": "toy-numbers", "kind": "regression", "backend": "transformer", "base_model": str(base_model),
        "dimensions": dimensions, "promotion": {"metric": "mae"},
        "training": {"epochs": 6, "full_epochs": 10, "learning_rate": 5e-3, "full_learning_rate": 5e-3, "max_tokens": 32},
    }  # fmt: skip
    return TaskSpec.model_validate(values | changes)


def toy_spec(base_model: Path | str, **changes: object) -> TaskSpec:
    """Return a task that the tiny model learns in a few steps."""
    values: dict[str, object] = {
        "name": "toy-topics", "kind": "classification", "backend": "transformer", "base_model": str(base_model), "labels": "open",
        "training": {"epochs": 6, "full_epochs": 10, "learning_rate": 5e-3, "full_learning_rate": 5e-3, "max_tokens": 32},
        "promotion": {"metric": "macro_f1"},
    }  # fmt: skip
    return TaskSpec.model_validate(values | changes)


def toy_entities(base_model: Path | str, *, training: Mapping[str, object], **changes: object) -> TaskSpec:
    """Return a task of entity recognition that the tiny model learns in a few steps."""
    values: dict[str, object] = {
        "name": "toy-entities", "kind": "ner", "backend": "transformer", "base_model": str(base_model), "labels": "open",
        "training": {"learning_rate": 5e-3, "full_learning_rate": 5e-3, "max_tokens": 32, **training},
        "promotion": {"metric": "entity_f1"},
    }  # fmt: skip
    return TaskSpec.model_validate(values | changes)


def toy_plan(spec: TaskSpec, rows: Sequence[Example], work_dir: Path, **changes: object) -> TrainingPlan:
    """Return a plan for a run on one thread; `steps` in `changes` collects its progress."""
    steps = changes.pop("steps", [])
    values: dict[str, object] = {
        "spec": spec, "rows": rows, "full": False, "warm_start": None, "seed": 5, "hardware": CPU, "batch_size": 16,
        "work_dir": work_dir, "report": steps.append,  # type: ignore[attr-defined]  # a list
    }  # fmt: skip
    return TrainingPlan(**(values | changes))  # type: ignore[arg-type]  # the keys are the fields
