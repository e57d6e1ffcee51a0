"""CoNLL-2003 sentences arrive in portions, as labels and corrections, for a blank spaCy pipeline.

The daemon retrains and promotes automatically; after each portion the champion's entity F1 on the official test set stands beside
that of `spacy train` (its own defaults for speed, at most 1,500 steps, the same sentences our champion may learn from).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks
from consumers.events import schemas as events
from consumers.events.schemas import Feedback, Label
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from daemon.demo.installation import Installation
from daemon.serving.client import load_version
from perennial_artifact.predictor import Predictor
from registry.store import Registry
from trainers.compare.metrics import entities

TASK = "news-entities"
LABELS = ("PERSON", "ORG", "LOC", "MISC")
RENAMED = {"PER": "PERSON", "ORG": "ORG", "LOC": "LOC", "MISC": "MISC"}
# Printed with the result. The labels are the set's own; minutes stand for weeks, so no wall-clock pause between two runs.
OVERRIDES = {TASK: {"trigger.cooldown_minutes": 0.0, "trigger.weekly": False, "label_names": list(LABELS)}}
SETTINGS: dict[str, dict[str, Any]] = {
    "schedule": {"check_interval_s": 1.0, "weekly": False},
    "enrich": {"interval_s": 0.2},
    # Caps per day count by arrival, and weeks arrive in minutes here.
    "feedback": {"max_per_user_day": 0, "max_per_source_day": 0},
}
CORRECTED_SHARE = 5
"""One sentence in so many arrives as a user's correction instead of a label."""
_LIMIT_S = 1_200.0
_START = datetime(2024, 1, 1, tzinfo=UTC)


def main() -> None:
    """Stream the portions and print one line each."""
    arguments = report.parser(__doc__ or "").parse_args()
    portions = [1_450] if arguments.quick else [2_000, 3_000, 4_000, 5_000]
    # One run over the whole portion, instead of some that start before it has arrived.
    overrides = {TASK: OVERRIDES[TASK] | {"trigger.min_new_examples": 1_000}} if arguments.quick else OVERRIDES
    sentences = _sentences("eng.train")
    asked = _sentences("eng.testb")[: 1_000 if arguments.quick else None]
    started, at = time.monotonic(), 0
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder), task_overrides=overrides, serve=False, settings_overrides=SETTINGS)
        with installation:
            for number, size in enumerate(portions, start=1):
                portion = sentences[at : at + size]
                at += len(portion)
                portion_started = time.monotonic()
                installation.publish(_stream(portion, number))
                installation.wait_until_quiet(limit_s=_LIMIT_S)
                ours_s = time.monotonic() - portion_started
                champion = installation.task(TASK).champion
                last = installation.task(TASK).last_run
                line: dict[str, Any] = {
                    "sentences": at,
                    "champion": champion,
                    "champion_f1": _f1(_load(installation, champion), asked) if champion else 0.0,
                    "portion_s": ours_s,
                    "last_verdict": (last.verdict or last.state) if last else None,
                    "last_reason": next(iter(last.why), None) if last else None,
                }
                line |= _spacy_train(_learnable(installation), Path(folder) / f"spacy-{number}", asked, quick=arguments.quick)
                line["ratio_f1"] = line["champion_f1"] / max(1e-9, line["spacy_f1"])
                lines.append(line)
                print(
                    f"{at} sentences: {champion} F1 {line['champion_f1']:.3f} ({ours_s:.0f} s from events to decision), "
                    f"spacy train {line['spacy_f1']:.3f} ({line['spacy_s']:.0f} s); {line['last_verdict']}: {line['last_reason']}"
                )
    results = {
        "overrides": {**overrides[TASK], **SETTINGS},
        "test_sentences": len(asked),
        "final_ratio_f1": lines[-1]["ratio_f1"],
        "wall_s": time.monotonic() - started,
        "portions": {str(line["sentences"]): line for line in lines},
    }
    report.write("conll_stream", arguments, results, arguments.json)


def _sentences(name: str) -> list[Label]:
    task = load_tasks(SHIPPED_TASKS_DIR)[TASK].model_copy(update={"label_names": LABELS})
    options = ImportOptions(format="conll", labels=RENAMED)
    return [row for row in import_events(report.data(f"conll2003/{name}.xz"), task, options=options) if isinstance(row, Label)]


def _stream(portion: Sequence[Label], number: int) -> Iterator[events.AnyEvent]:
    for index, label in enumerate(portion):
        at = _START + timedelta(days=7 * number, seconds=index)
        if index % CORRECTED_SHARE:
            yield label.model_copy(update={"occurred_at": at})
        else:
            yield Feedback(
                event_id=f"{label.event_id}:corrected", occurred_at=at, task=TASK, text=label.text, target=label.target,
                user_id=f"reader-{index % 50}", verdict="correction",
            )  # fmt: skip


def _learnable(installation: Installation) -> list[Mapping[str, Any]]:
    """Return text and spans of the newest frozen set's training rows."""
    import json

    from consumers.training_set.snapshot import load_training_set

    with Registry.open(installation.settings.registry_url, read_only=True) as registry:
        run = registry.runs.list(TASK, limit=1)[0]
    rows = load_training_set(installation.settings.runs_dir / run.run_id / "training_set").rows("train").to_pylist()
    return [{"text": row["text"], "spans": json.loads(row["target"])["spans"]} for row in rows]


def _spacy_train(rows: Sequence[Mapping[str, Any]], folder: Path, asked: Sequence[Label], *, quick: bool) -> dict[str, Any]:
    """Train by spaCy's own command line on the same rows; its development set is every tenth of them."""
    import spacy
    from spacy.tokens import DocBin

    folder.mkdir()
    nlp = spacy.blank("en")
    bins = {"train": DocBin(), "dev": DocBin()}
    for index, row in enumerate(rows):
        doc = nlp(row["text"])
        spans = [doc.char_span(span["start"], span["end"], label=span["label"], alignment_mode="expand") for span in row["spans"]]
        doc.ents = spacy.util.filter_spans([span for span in spans if span is not None])
        bins["dev" if index % 10 == 0 else "train"].add(doc)
    for name, found in bins.items():
        found.to_disk(folder / f"{name}.spacy")
    started = time.monotonic()
    command = [sys.executable, "-m", "spacy"]
    config = [
        *command,
        "init",
        "config",
        str(folder / "config.cfg"),
        "--lang",
        "en",
        "--pipeline",
        "ner",
        "--optimize",
        "efficiency",
    ]
    subprocess.run(config, check=True, capture_output=True)
    # Its default patience is 1,600 steps without a gain, which here costs minutes a portion and gains nothing.
    limit = ["--training.max_steps", "600" if quick else "1500", "--training.patience", "600"]
    subprocess.run(
        [*command, "train", str(folder / "config.cfg"), "--output", str(folder / "out"),
         "--paths.train", str(folder / "train.spacy"),
         "--paths.dev", str(folder / "dev.spacy"), *limit],
        check=True, capture_output=True,
    )  # fmt: skip
    seconds = time.monotonic() - started
    trained = spacy.load(folder / "out" / "model-best")
    texts = [label.text or "" for label in asked]
    answers = [
        {"spans": [{"start": ent.start_char, "end": ent.end_char, "label": ent.label_} for ent in doc.ents]}
        for doc in trained.pipe(texts)
    ]
    return {"spacy_f1": entities.entity_scores([label.target for label in asked], answers).overall.f1, "spacy_s": seconds}


def _f1(predictor: Predictor, asked: Sequence[Label]) -> float:
    answers = predictor.predict([label.text or "" for label in asked])
    return entities.entity_scores([label.target for label in asked], answers).overall.f1


def _load(installation: Installation, name: str) -> Predictor:
    settings = installation.settings
    with Registry.open(settings.registry_url, read_only=True) as registry:
        return load_version(settings, registry.versions.get(name))


if __name__ == "__main__":
    main()
