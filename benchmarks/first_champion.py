"""From an import to a champion that answers, for each shipped task, beside a script that trains a scikit-learn pipeline.

A file's rows are published as `perennial import` does, the daemon is started with the shipped settings, and the clock runs from
the first row until `/predict` answers. The script (TF-IDF and logistic regression, AG News alone) is a process of its own too:
it reads the same rows, trains, saves, loads and answers. Owed: under 180 s for each task on a quiet machine.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.first_champion_script import read_rows
from config.clock import utc_now
from config.errors import PerennialError
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks
from consumers.events.schemas import Label
from consumers.formats.importing import import_events
from consumers.formats.options import ImportOptions
from daemon.demo.installation import Installation
from registry.runs import Run
from registry.store import Registry

TOPICS, ENTITIES = "news-topics", "news-entities"
OWED_S = 180.0
_RENAMED = {"PER": "PERSON", "ORG": "ORG", "LOC": "LOC", "MISC": ""}
_LIMIT_S = 1_800.0
_ASKED = 200
_SHORTEST_SENTENCE = 20


def main() -> None:
    """Measure one task after the other, each on an installation of its own."""
    arguments = report.parser(__doc__ or "").parse_args()
    topics, entities = (1_300, 0) if arguments.quick else (1_300, 2_000)
    results: dict[str, Any] = {"owed_s": OWED_S}
    rows = read_rows(report.data("ag_news/train_30k.csv.xz"), topics)
    asked = read_rows(report.data("ag_news/test.csv.xz"), _ASKED)
    labels = [_label(number, text, name) for number, (text, name) in enumerate(rows)]
    results[TOPICS] = _measure(TOPICS, labels, [text for text, _name in asked], [name for _text, name in asked])
    results["script"] = _script(topics)
    results["ratio_to_the_script"] = results[TOPICS]["import_to_answer_s"] / results["script"]["wall_s"]
    if entities:
        sentences = _sentences(entities)
        results[ENTITIES] = _measure(ENTITIES, sentences, [str(one.text) for one in sentences[:_ASKED]], None)
    report.write("first_champion", arguments, results, arguments.json)


def _measure(task: str, labels: Sequence[Label], asked: Sequence[str], gold: Sequence[str] | None) -> dict[str, Any]:
    cpu_before = _cpu_of_children_s()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder))
        began_at, began = utc_now(), time.monotonic()
        installation.publish(labels)
        published_s = time.monotonic() - began
        with installation:
            started_s = time.monotonic() - began
            answers: list[Any] = []

            def answered() -> bool:
                try:
                    answers[:] = installation.predict(task, list(asked))["predictions"]
                except PerennialError:
                    return False
                return True

            # Asking in vain takes what enrichment and training need: only once there is a champion.
            installation.wait_until(lambda: installation.task(task).champion is not None, limit_s=_LIMIT_S, what="a champion")
            installation.wait_until(answered, limit_s=60, what="it to answer")
            seconds = time.monotonic() - began
            with Registry.open(installation.settings.registry_url, read_only=True) as registry:
                runs = registry.runs.list(task)[::-1]
    last = runs[-1]
    correct = sum(answer["label"] == name for answer, name in zip(answers, gold, strict=True)) if gold else None
    return {
        "rows": len(labels),
        "import_to_answer_s": seconds,
        "within_what_is_owed": seconds < OWED_S,
        "published_after_s": published_s,
        "daemon_up_after_s": started_s,
        "runs": [_told(run) for run in runs],
        "run_began_after_s": (last.created_at - began_at).total_seconds(),
        "run_took_s": (last.finished_at - last.created_at).total_seconds() if last.finished_at else None,
        "held_out_rows": (last.comparison or {}).get("rows"),
        "held_out_score": (last.comparison or {}).get("candidate_score"),
        "accuracy_on_official_test": correct / len(asked) if correct is not None else None,
        "asked": len(asked),
        "cpu_s": _cpu_of_children_s() - cpu_before,
    }


def _told(run: Run) -> str:
    return f"{run.reason}: {run.verdict or run.state}"


def _script(rows: int) -> dict[str, Any]:
    cpu_before, began = _cpu_of_children_s(), time.monotonic()
    command = [sys.executable, "-m", "benchmarks.first_champion_script", str(report.DATA_DIR / "ag_news"), str(rows), str(_ASKED)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - began
    return {"wall_s": seconds, "cpu_s": _cpu_of_children_s() - cpu_before, **json.loads(done.stdout)}


def _label(number: int, text: str, name: str) -> Label:
    return Label(
        event_id=f"ag-news:{number}", occurred_at=utc_now(), source="ag_news", task=TOPICS, text=text, origin="import",
        target={"label": name},
    )  # fmt: skip


def _sentences(count: int) -> list[Label]:
    task = load_tasks(SHIPPED_TASKS_DIR)[ENTITIES]
    options = ImportOptions(format="conll", labels=_RENAMED)
    rows = import_events(report.data("conll2003/eng.train.xz"), task, options=options)
    usable = (row for row in rows if isinstance(row, Label) and len(row.text or "") >= _SHORTEST_SENTENCE)
    return list(islice(usable, count))


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
