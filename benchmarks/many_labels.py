"""100,000 labels in an open task, one row each: what parsing, storing, freezing, the choice of labels and a comparison cost.

Enrichment never looks at labels, so every text gets the same findings here without a model. It ends with an error when the model
would get more than `max_labels` labels, when the manifest grows with the labels, or when memory does.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import report
from config.clock import utc_now
from config.settings import SHIPPED_TASKS_DIR, shipped_settings
from config.tasks import load_tasks
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.events.parsing import parse
from consumers.events.schemas import FEEDBACK_TOPIC, Label, to_bytes
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from consumers.rows.enrichment_rows import Enrichment
from trainers.compare.answers import Answers
from trainers.compare.metrics.f1 import MACRO_F1
from trainers.learners.label_set import grow

MEMORY_MIB = 2_000
MANIFEST_BYTES = 20_000
_PORTION = 5_000


def main() -> None:
    """Read the arguments, measure, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--labels", type=int, help="labels (default 100,000; quick 5,000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.labels or (5_000 if arguments.quick else 100_000))
    report.write("many_labels", arguments, results, arguments.json)


def measure(folder: Path, labels: int) -> dict[str, Any]:
    """Return seconds per stage, the size of the manifest and the peak of memory."""
    tasks, took = load_tasks(SHIPPED_TASKS_DIR), {}
    task = tasks["news-topics"]

    def timed(stage: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the stage returns
        began = time.monotonic()
        done = work()
        took[f"{stage}_s"] = round(time.monotonic() - began, 2)
        return done

    # Two labels that can be learnt, beside those that cannot.
    names = [*(f"tag-{number}" for number in range(labels)), *(("economy", "sport")[number % 2] for number in range(500))]
    now = utc_now()
    lines = [
        to_bytes(Label(event_id=f"l-{n}", occurred_at=now, task=task.name, text=f"Text {n} of the desk", target={"label": name}))
        for n, name in enumerate(names)
    ]
    events = timed("parse", lambda: [parse(line, tasks=tasks, now=now) for line in lines])
    settings = shipped_settings("training", data_dir=folder)
    buffer = open_writer(folder / "buffer", settings.buffer, tasks=tasks)
    try:
        timed("insert", lambda: _insert(buffer, events))
        timed("find", lambda: _enrich(buffer))
        timed("hold_out_more", lambda: buffer.hold_out_more(task, test_fraction=0.2, learnt=frozenset()))
        frozen = timed("freeze", lambda: buffer.freeze(task, run_id="r", folder=folder / "set", learnt=frozenset()))
        timed("count", lambda: buffer.counts(task.name))
    finally:
        buffer.close()
    # As an impatient task would have it: every label may join at its first row.
    eager = task.model_copy(update={"new_label_min_examples": 1})
    chosen = timed("choose_labels", lambda: grow(eager, dict.fromkeys(names, 1), None, from_base=True))
    answers = [f'{{"label": "{name}"}}' for name in names]
    scores = pa.table({"gold": answers, "candidate": [answers[-1]] * len(names), "opponent": [answers[-2]] * len(names)})
    counted = timed("tally", lambda: MACRO_F1.pair(*Answers.read(scores).columns))
    results = {
        "labels": labels,
        **took,
        "manifest_bytes": (frozen.folder / "manifest.json").stat().st_size,
        "model_labels": len(chosen.names),
        "tally_columns": counted.shared.shape[1],
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if results["manifest_bytes"] > MANIFEST_BYTES or results["peak_mib"] > MEMORY_MIB or len(chosen.names) > task.max_labels:
        message = f"a bound was broken: {results}"
        raise SystemExit(message)
    return results


def _insert(buffer: BufferWriter, events: list[Any]) -> None:
    for start in range(0, len(events), _PORTION):
        portion = enumerate(events[start : start + _PORTION], start)
        buffer.insert([Stored(event, Position(FEEDBACK_TOPIC, 0, offset)) for offset, event in portion])
    buffer.sync()


def _enrich(buffer: BufferWriter) -> None:
    while rows := buffer.unenriched("examples", _PORTION):
        buffer.apply_enrichment(
            "examples",
            [
                Enrichment(
                    row_id=row.row_id, language="en", quality=1.0, quality_reasons=(), encoder_id="none", embedding=[0.0] * 4,
                    story_id=f"story-{row.row_id}", split="test" if row.row_id.endswith("0") else "train",
                )
                for row in rows
            ],
        )  # fmt: skip


if __name__ == "__main__":
    main()
