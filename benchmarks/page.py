"""How long the web page takes where buffer and registry are large, what a first view weighs, and what an open page costs.

Synthetic: examples of one task with labels in turns, runs that compared models on all labels, versions, answers. No embedding
is stored: no page reads one.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import yaml

from benchmarks import report
from config.clock import utc_now
from config.settings import Settings, environment_of, load_settings
from consumers.buffer.open import open_writer
from consumers.dead_letters.store import DeadLetters
from consumers.log.open import open_event_log
from consumers.tables.columns import SCHEMAS
from consumers.tables.library import lancedb
from registry import promotion
from registry.database.engine import insert_many
from registry.database.schema import runs as run_table
from registry.store import Registry
from registry.versions import Lineage

TASK = "page-topics"
OWED_MS, OWED_BYTES = 200.0, 150_000
_PORTION = 100_000
_LIMIT_S = 120.0
_WORDS = (
    "council", "budget", "vote", "match", "goal", "season", "storm", "harvest", "court", "trial", "market", "shares", "school",
    "hospital", "bridge", "election",
)  # fmt: skip
_NOW = utc_now()  # the pages show the last weeks


def build(folder: Path, *, examples: int, runs: int, labels: int) -> Settings:
    """Fill `folder` and return the settings that lead there."""
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    spec = {
        "name": TASK,
        "kind": "classification",
        "backend": "transformer",
        "base_model": "minilm",
        "labels": "open",
        "promotion": {"metric": "macro_f1"},
    }
    (tasks / "page.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    settings = load_settings(data_dir=folder / "data", tasks_dir=str(tasks))
    _complete(settings)
    with closing(open_event_log(settings)), closing(DeadLetters(settings.dead_letter_file)):
        pass
    for start in range(0, examples, _PORTION):
        _store(settings, range(start, min(examples, start + _PORTION)), labels, examples)
    _record(settings, runs, labels)
    return settings


def _complete(settings: Settings) -> None:
    """Make the tables, or the columns that a newer version has added."""
    with closing(open_writer(settings.buffer_dir, settings.buffer, tasks={})):
        pass


def _store(settings: Settings, numbers: range, labels: int, of: int) -> None:
    """Add the examples of these numbers, with their findings, and an answer to every tenth; the first `of` lie in the past.

    Numbers go on where the last ended, as those of events do: readers keep lists by number, and a gap costs them memory.
    """
    at = random.Random(numbers.start)
    ids = [f"e-{number}" for number in numbers]
    texts = [" ".join(at.choices(_WORDS, k=30)) for _ in numbers]
    hashes = [sha256(text.encode()).hexdigest() for text in texts]
    names = [f"label {number % labels}" for number in numbers]
    answers = [sha256(name.encode()).hexdigest() for name in names]
    times = [_NOW - timedelta(minutes=max(0, of - number) * 120_000 / of) for number in numbers]
    seqs = [number + 1 for number in numbers]
    same: dict[str, Any] = {
        "task": TASK, "origin": "gold", "selected_by": "gold", "payload_sha256": "0" * 64, "topic": "perennial.feedback",
        "partition": 0, "anchor": False, "quality": 1.0, "language": "en",
    }  # fmt: skip
    columns: dict[str, list[Any]] = {
        "row_id": ids, "text": texts, "text_sha256": hashes, "target": [json.dumps({"label": name}) for name in names],
        "answer_sha256": answers, "offset": seqs, "stored_seq": seqs, "enriched_seq": seqs, "event_time": times,
        "stored_at": times,
        "split": ["test" if number % 10 == 0 else "train" for number in numbers], "story_id": ids,
    }  # fmt: skip
    for table in ("examples", "example_enrichment"):
        _add(settings, table, columns, same)
    tenth = {name: values[::10] for name, values in columns.items()}
    said = [json.dumps({"label": name, "scores": {name: 0.7}}) for name in names[::10]]
    predicted = {
        **tenth, "prediction_id": [f"p-{one}" for one in tenth["row_id"]], "event_id": [f"p-{one}" for one in tenth["row_id"]],
        "answer": said,
    }  # fmt: skip
    _add(settings, "predictions", predicted, {**same, "model_version": f"{TASK}/v1"})


def _stored(settings: Settings) -> int:
    return int(lancedb.connect(settings.buffer_dir).open_table("examples").count_rows())


def _add(settings: Settings, table: str, columns: dict[str, Any], same: dict[str, Any]) -> None:
    schema, count = SCHEMAS[table], len(columns["row_id"])
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns
        else pa.array([same[field.name]] * count, field.type) if field.name in same
        else pa.nulls(count, field.type)
        for field in schema
    ]  # fmt: skip
    lancedb.connect(settings.buffer_dir).open_table(table).add(pa.Table.from_arrays(arrays, schema=schema))


def _record(settings: Settings, runs: int, labels: int) -> None:
    """Record decided runs, each with a comparison that has every label as a slice, and a version of the newest twenty."""
    slices = [
        {"name": f"label:label {number}", "rows": 50, "champion_score": 0.7, "candidate_score": 0.71} for number in range(labels)
    ]
    comparison = {
        "metric": "macro_f1", "opponent": f"{TASK}/v1", "champion_version": f"{TASK}/v1", "rows": 5_000, "stories": 4_000,
        "champion_score": 0.70, "candidate_score": 0.71, "gain": 0.01, "lower_bound": 0.0, "upper_bound": 0.02,
        "confidence": 0.95, "required_gain": 0.05, "looks": 1, "slices": slices,
    }  # fmt: skip
    with Registry.open(settings.registry_url, clock=lambda: _NOW) as registry:
        rows = []
        for number in range(runs):
            began = _NOW - timedelta(hours=(runs - number) / 2)
            rows.append({
                "run_id": f"{TASK}-{number:06}", "task": TASK, "trigger_key": f"threshold:{number}", "reason": "100 new examples",
                "full": False, "promote": True, "state": "decided", "attempt": 1, "created_at": began, "started_at": began,
                "finished_at": began + timedelta(minutes=9), "verdict": "keep", "reasons": ["not better enough"],
                "comparison": comparison, "max_seq": number, "cpu_s": 600.0,
            })  # fmt: skip
        with registry.database.write() as connection:
            insert_many(connection, run_table, rows)
        lineage = Lineage(training_set_sha256="0" * 64, seed=1, settings={}, code="", counts={"train": 1_000})
        for number, row in enumerate(rows[-20:], 1):
            registry.versions.add(
                TASK, number, run_id=str(row["run_id"]), artifact_id=f"{TASK}/v{number}-0", manifest_sha256="0" * 64,
                size_bytes=1 << 26, parent=None, lineage=lineage, metrics={}, learnt=[f"e-{number}"],
            )  # fmt: skip
            registry.runs.update(str(row["run_id"]), version=f"{TASK}/v{number}")
        promotion.promote_by_hand(registry, f"{TASK}/v20", actor="benchmark", reason="to have one")


@contextmanager
def page_of(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """Serve the page in a process of its own; yield its address and the process."""
    program = [sys.executable, "-P", "-m", "daemon.serving.alone"]
    environment = environment_of(settings.model_copy(update={"serving": settings.serving.model_copy(update={"port": 0})}))
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=psutil.Process().environ() | environment) as child:
        assert child.stdout is not None
        try:
            yield json.loads(child.stdout.readline())["address"].removesuffix("/ui"), psutil.Process(child.pid)
        finally:
            child.terminate()


def paths(settings: Settings) -> list[str]:
    """Return the address of every page that exists once."""
    with Registry.open(settings.registry_url, read_only=True) as registry:
        run = registry.runs.list(TASK, 1)[0].run_id
    task = f"/ui/tasks/{TASK}"
    return [
        "/ui", task, f"{task}/scores.json", f"{task}/labels.part", "/ui/runs", "/ui/runs?page=150", f"/ui/runs/{run}",
        "/ui/versions", f"/ui/versions/{TASK}/20", "/ui/history", "/ui/ingest", "/ui/feedback", "/ui/dead-letters", "/ui/system",
    ]  # fmt: skip


def measure(settings: Settings, rounds: int, *, examples: int, labels: int) -> dict[str, Any]:
    """Return for each page the first look, the median of `rounds`, and that where rows come in before each; wall and CPU ms."""
    found: dict[str, Any] = {}
    coming = itertools.count(examples)
    with page_of(settings) as (address, process), httpx.Client(base_url=address, timeout=_LIMIT_S) as client:

        def look(path: str) -> tuple[float, float]:
            before, began = _cpu_s(process), time.perf_counter()
            client.get(path).raise_for_status()
            return 1_000 * (time.perf_counter() - began), 1_000 * (_cpu_s(process) - before)

        for path in paths(settings):
            first = look(path)
            again = [look(path) for _ in range(rounds)]
            moving = []
            for number in itertools.islice(coming, rounds):
                _store(settings, range(number, number + 1), labels, examples)
                time.sleep(1.1)  # else the look of a moment ago is shown
                moving.append(look(path))
            found[path] = {
                "first_ms": first[0], "first_cpu_ms": first[1], "median_ms": statistics.median(ms for ms, _cpu in again),
                "median_cpu_ms": statistics.median(cpu for _ms, cpu in again),
                "while_rows_come_ms": statistics.median(ms for ms, _cpu in moving),
                "while_rows_come_cpu_ms": statistics.median(cpu for _ms, cpu in moving),
            }  # fmt: skip
            sys.stderr.write(f"{path}: {found[path]}\n")
    return found


def weight(settings: Settings) -> int:
    """Return the bytes of a first view of Flow: the page, and all that it loads."""
    with page_of(settings) as (address, _process), httpx.Client(base_url=address, timeout=_LIMIT_S) as client:
        page = client.get("/ui")
        loaded = set(re.findall(r'(?:href|src)="(/ui/static/[^"]+)"', page.text))
        return len(page.content) + sum(len(client.get(one.replace("&amp;", "&")).content) for one in loaded)


def open_page(settings: Settings, seconds: float, *, labels: int) -> dict[str, float]:
    """Return the share of a core that the process of the page takes with no page open, with one, and with one while rows come."""
    coming = itertools.count(_stored(settings))

    def comes() -> None:
        number = next(coming)
        _store(settings, range(number, number + 1), labels, number)

    with page_of(settings) as (address, process), httpx.Client(base_url=address, timeout=_LIMIT_S) as client:
        client.get("/ui").raise_for_status()
        shares = {"none": _share(process, seconds)}
        with client.stream("GET", "/ui/live") as live:
            parts = live.iter_bytes()
            next(parts)
            shares["one"] = _share(process, seconds)
            shares["one_while_rows_come"] = _share(process, seconds, each_second=comes)
    return shares


def _share(process: psutil.Process, seconds: float, *, each_second: Callable[[], None] = lambda: None) -> float:
    before, began = _cpu_s(process), time.monotonic()
    while time.monotonic() < began + seconds:
        each_second()
        time.sleep(1)
    return (_cpu_s(process) - before) / (time.monotonic() - began)


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def main() -> None:
    """Build, look, and write."""
    arguments = report.parser(__doc__ or "")
    arguments.add_argument("--examples", type=int, help="examples in the buffer (default 1,000,000, quick 20,000)")
    arguments.add_argument("--runs", type=int, default=10_000)
    arguments.add_argument("--labels", type=int, default=200)
    arguments.add_argument(
        "--folder", type=Path, help="build there, keep it, and use what an earlier run built (default: neither)"
    )
    chosen: Namespace = arguments.parse_args()
    examples = chosen.examples or (20_000 if chosen.quick else 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        place = chosen.folder or Path(folder)
        if (place / "data").exists():
            settings = load_settings(data_dir=place / "data", tasks_dir=str(place / "tasks"))
            _complete(settings)
        else:
            settings = build(place, examples=examples, runs=500 if chosen.quick else chosen.runs, labels=chosen.labels)
        built_s = time.monotonic() - began
        sys.stderr.write(f"built in {built_s:.0f} s\n")
        pages = measure(settings, 3 if chosen.quick else 5, examples=_stored(settings), labels=chosen.labels)
        results: dict[str, Any] = {
            "examples": examples, "labels": chosen.labels, "built_s": built_s, "pages": pages,
            "slowest_median_ms": max(page["median_ms"] for page in pages.values()),
            "most_median_cpu_ms": max(page["median_cpu_ms"] for page in pages.values()), "owed_ms": OWED_MS,
            "first_view_bytes": weight(settings), "owed_bytes": OWED_BYTES,
            "share_of_a_core": open_page(settings, 10 if chosen.quick else 60, labels=chosen.labels),
            "at": utc_now().isoformat(timespec="seconds"),
        }  # fmt: skip
    report.write("page", chosen, results, chosen.json)


if __name__ == "__main__":
    main()
