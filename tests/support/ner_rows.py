"""Small made-up entity rows and training sets for the tests of the trainers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from consumers.training_set.snapshot import SCHEMA, TrainingSet, write_training_set
from trainers.learners.protocols import Example

PEOPLE = (
    "Ada Lovelace",
    "Alan Turing",
    "Grace Hopper",
    "Kurt Goedel",
    "Emmy Noether",
    "Mary Shelley",
    "Niels Bohr",
    "Lise Meitner",
)
PLACES = ("London", "Paris", "Vienna", "Oslo", "Madrid", "Lisbon", "Geneva", "Dublin")
PAPERS = ("Morning Herald", "Evening Post", "Daily Courier", "Northern Echo", "Weekly Ledger")
_FORMS = (
    "{person} arrived in {place} on Monday .",
    "The {paper} reports that {person} left {place} .",
    "In {place} , {person} spoke to the {paper} .",
    "Officials in {place} refused to comment .",
    "{person} wrote a letter to the {paper} .",
)
PIECES = ("love", "##lace", *(
    word
    for text in (*PEOPLE[1:], "ada", *PLACES, *PAPERS, *_FORMS)
    for word in text.lower().split()
    if not word.startswith("{")
))  # fmt: skip
"""The words of all these sentences, for a vocabulary; one of them in two pieces."""
_START = datetime(2026, 1, 1, tzinfo=UTC)


def example(text: str, *spans: tuple[str, str], partial: bool = False, weight: float = 1.0, number: int = 0) -> Example:
    """Return a row whose spans are given by their words (first place in the text) and type."""
    found = [{"start": text.index(words), "end": text.index(words) + len(words), "label": label} for words, label in spans]
    target: dict[str, Any] = {"spans": sorted(found, key=lambda span: span["start"])}
    return Example(f"e{number}", text, target | ({"partial": True} if partial else {}), weight)


def examples(count: int, *, seed: int = 0, types: Sequence[str] = ("PERSON", "GPE", "NEWS_ORG")) -> list[Example]:
    """Return `count` made-up sentences with the entities of `types` marked."""
    choose = random.Random(seed)
    rows = []
    for number in range(count):
        words = {"person": choose.choice(PEOPLE), "place": choose.choice(PLACES), "paper": choose.choice(PAPERS)}
        form = choose.choice(_FORMS)
        labels = {"person": "PERSON", "place": "GPE", "paper": "NEWS_ORG"}
        spans = [(words[part], label) for part, label in labels.items() if f"{{{part}}}" in form and label in types]
        rows.append(example(form.format(**words), *spans, number=number))
    return rows


def training_set(
    folder: Path, *, train: Sequence[Example], test: Sequence[Example] = (), anchor: Sequence[Example] = (), old: int = 0
) -> TrainingSet:
    """Write a frozen training set; the first `old` train rows are those the champion has learnt."""
    rows = []
    for role, members in (("train", train), ("test", test), ("anchor", anchor)):
        for number, row in enumerate(members):
            rows.append(
                {
                    "example_id": f"{role}-{number:05d}",
                    "text": row.text,
                    "target": json.dumps(row.target),
                    "weight": row.weight,
                    "origin": "gold",
                    "selected_by": "gold",
                    "story_id": f"{role}-story-{number // 2}",
                    "event_time": _START + timedelta(minutes=number),
                    "language": "en",
                    "is_new": role == "train" and number >= old,
                    "role": role,
                    "embedding": [float(number), 1.0],
                }
            )
    return write_training_set(
        folder,
        pa.Table.from_pylist(rows, schema=SCHEMA),
        run_id="r1",
        task="news-entities",
        created_at=_START,
        max_seq=len(rows),
        table_versions={"examples": 1},
        labels={},
    )
