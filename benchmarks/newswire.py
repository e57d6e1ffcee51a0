"""Is the figure true? Newswire articles (CoNLL-2003) are imported sentence by sentence, and a recogniser learns from them.

Its entity F1 on the held-out rows, which is what the gate sees, stands beside that of the same model on the official second test
set, articles it cannot know. Once with the documents left out, so that each sentence is split by itself, and once with them. A
second candidate, trained on the same rows with another seed and so equally good, shows what the gate makes of it.
"""

from __future__ import annotations

import logging
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import structlog

from benchmarks import report
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.enrichment.enrich import Enricher
from consumers.events.schemas import TOPIC_OF_TYPE, Label
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from registry.judging import gate
from trainers.compare.metrics import entities
from trainers.job import steps as job_steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import HISTORY_FILE, LINEAGE_FILE, MODEL_FOLDER, JobResult, JobSpec
from trainers.learners.opening import open_model
from trainers.learners.spacy.ner import SpacyNerLearner

TASK = "news-entities"
LABELS = ("PERSON", "ORG", "LOC", "MISC")
RENAMED = {"PER": "PERSON", "ORG": "ORG", "LOC": "LOC", "MISC": "MISC"}
_SETTINGS = load_settings()


def main() -> None:
    """Measure both ways of splitting, for each seed, and print the means and every single run."""
    arguments = report.parser(__doc__ or "").parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    documents, seeds, asked = (60, (1,), 1_000) if arguments.quick else (160, (1, 2, 3), None)
    task = load_tasks(SHIPPED_TASKS_DIR)[TASK].model_copy(update={"label_names": LABELS})
    everything = _sentences("eng.train", task)
    unseen = _sentences("eng.testb", task)[:asked]
    runs: dict[str, Any] = {}
    for seed in seeds:
        sentences = _of_documents(everything, documents, seed)
        for way in ("by_sentence", "by_document"):
            given = sentences if way == "by_document" else [one.model_copy(update={"document_id": None}) for one in sentences]
            with tempfile.TemporaryDirectory() as folder:
                runs[f"{way}.seed_{seed}"] = run = measure(task, given, unseen, Path(folder), seed)
            print(
                f"{way}, seed {seed}: held out {run['held_out_f1']:.3f}, unseen articles {run['unseen_f1']:.3f}; {run['equal']}"
            )
    results: dict[str, Any] = {"documents": documents, "seeds": list(seeds), "unseen_sentences": len(unseen)}
    for way in ("by_sentence", "by_document"):
        own = [run for name, run in runs.items() if name.startswith(way)]
        results[way] = {name: statistics.mean(run[name] for run in own) for name in ("held_out_f1", "unseen_f1", "too_good_by")}
    report.write("newswire", arguments, results | {"runs": runs}, arguments.json)


def measure(task: TaskSpec, sentences: Sequence[Label], unseen: Sequence[Label], folder: Path, seed: int) -> dict[str, Any]:
    """Import, split, freeze and train as the daemon does; return what the gate was told, and what is true."""
    began = time.process_time()
    buffer = open_writer(folder / "buffer", _SETTINGS.buffer, tasks={TASK: task})
    try:
        buffer.insert([Stored(label, Position(TOPIC_OF_TYPE["label"], 0, at)) for at, label in enumerate(sentences)])
        enricher = Enricher(buffer, _SETTINGS.enrich, _SETTINGS.feedback)
        while enricher.step().examples:
            pass
        buffer.hold_out_more(task, test_fraction=_SETTINGS.enrich.test_fraction, learnt=frozenset())
        first = _train(buffer, task, folder / "first", seed, champion=None, learnt=frozenset())
        learnt = frozenset(pq.read_table(folder / "first" / LINEAGE_FILE)["example_id"].to_pylist())
        # Equally good: it learns the same rows by another seed.
        second = _train(buffer, task, folder / "second", seed + 1_000, champion=folder / "first" / MODEL_FOLDER, learnt=learnt)
    finally:
        buffer.close()
    assert first.comparison is not None
    assert second.comparison is not None
    truth, other = _f1(folder / "first", unseen), _f1(folder / "second", unseen)
    told = first.comparison.candidate_score
    decision = gate.decide(second.comparison, task.promotion)
    return {
        "sentences": len(sentences),
        "rows_learnt": first.rows_new,
        "rows_held_out": first.comparison.rows,
        "clusters": first.comparison.stories,
        "held_out_f1": told,
        "unseen_f1": truth,
        "too_good_by": told - truth,
        "equal": f"equal candidate {decision.verdict}: {decision.reasons[0]}",
        "equal_gain_held_out": second.comparison.gain,
        "equal_gain_unseen": other - truth,
        "cpu_s": time.process_time() - began,
    }


def _train(
    buffer: BufferWriter, task: TaskSpec, run_dir: Path, seed: int, *, champion: Path | None, learnt: frozenset[str]
) -> JobResult:
    run_dir.mkdir()
    buffer.freeze(task, run_id=run_dir.name, folder=run_dir / "training_set", learnt=learnt)
    spec = JobSpec(
        run_id=run_dir.name, task=task, training=_SETTINGS.training.model_copy(update={"seed": seed}), full=True,
        training_set=run_dir / "training_set", run_dir=run_dir, champion=champion,
        champion_version=f"{TASK}/v1" if champion else None, batch_size=task.training.batch_size,
    )  # fmt: skip
    return job_steps.execute(spec, StopRequest(), ProgressLog(spec.run_id, run_dir / HISTORY_FILE, None))


def _f1(run_dir: Path, rows: Sequence[Label]) -> float:
    model = open_model(run_dir / MODEL_FOLDER, _SETTINGS.training)
    texts = [row.text or "" for row in rows]
    align = SpacyNerLearner().aligner(model)
    pairs = [align(text, (row.target, answer)) for text, row, answer in zip(texts, rows, model.predict(texts), strict=True)]
    return entities.entity_scores([gold for gold, _ in pairs], [answer for _, answer in pairs]).overall.f1


def _sentences(name: str, task: TaskSpec) -> list[Label]:
    options = ImportOptions(format="conll", labels=RENAMED)
    return [row for row in import_events(report.data(f"conll2003/{name}.xz"), task, options=options) if isinstance(row, Label)]


def _of_documents(sentences: Sequence[Label], count: int, seed: int) -> list[Label]:
    """Return the sentences of `count` documents drawn by `seed`, in their order, half a day apart: as a wire would bring them."""
    every = list(dict.fromkeys(sentence.document_id for sentence in sentences))
    drawn = set(random.Random(seed).sample(every, count))
    order = [document for document in every if document in drawn]
    day = {document: number for number, document in enumerate(order)}
    newest = max(sentence.occurred_at for sentence in sentences)
    return [
        sentence.model_copy(update={"occurred_at": newest - timedelta(hours=12 * (count - day[sentence.document_id]))})
        for sentence in sentences
        if sentence.document_id in day
    ]


if __name__ == "__main__":
    main()
