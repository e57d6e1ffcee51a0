"""The training child as the daemon starts it: a process of its own, told by a file, heard by lines, judged by its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from tests.support.ner_rows import examples, training_set
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec, Progress

SETTINGS = load_settings().training.model_copy(update={"threads": 1, "nice": 0})


def order(run_dir: Path, frozen: Path, *, epochs: int = 10, settings: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    values = load_task(SHIPPED_TASKS_DIR / "news-entities.yaml").model_dump()
    values["training"] |= {
        "full_epochs": epochs,
        "epochs": 3,
        "full_learning_rate": 4e-3,
        "learning_rate": 2e-3,
        "replay_ratio": 1.0,
        "replay_floor": 0,
    }
    spec = JobSpec.model_validate(
        {
            "run_id": "r1", "task": TaskSpec.model_validate(values), "full": True, "training_set": frozen, "run_dir": run_dir,
            "training": SETTINGS.model_copy(update=settings or {}),
            "champion": None, "champion_version": None, "batch_size": 4,
        }
        | fields
    )  # fmt: skip
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / job_spec.SPEC_FILE).write_text(spec.model_dump_json())
    return spec


def start(spec: JobSpec) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainers.job", str(spec.run_dir / job_spec.SPEC_FILE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def carry_out(spec: JobSpec) -> tuple[int, list[Progress], JobResult, str]:
    child = start(spec)
    out, err = child.communicate(timeout=300)
    lines = [Progress.model_validate_json(line) for line in out.splitlines()]
    return child.returncode, lines, result_of(spec), err


def result_of(spec: JobSpec) -> JobResult:
    result = job_spec.read_result(spec.run_dir)
    assert result is not None
    return result


def history(spec: JobSpec) -> list[Progress]:
    path = spec.run_dir / job_spec.HISTORY_FILE
    return [Progress.model_validate_json(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobSpec, int, list[Progress], JobResult]:
    """A first run, carried out."""
    folder = tmp_path_factory.mktemp("first")
    training_set(folder / "set", train=examples(60), test=examples(40, seed=1), anchor=examples(6, seed=2))
    spec = order(folder / "run", folder / "set")
    code, lines, result, err = carry_out(spec)
    assert code == job_spec.EXIT_DONE, err
    return spec, code, lines, result


def test_a_first_run_leaves_a_model_a_comparison_and_its_lineage(first: tuple[JobSpec, int, list[Progress], JobResult]) -> None:
    spec, _code, _lines, result = first

    assert result.status == "done"
    assert result.error is None
    assert result.model == spec.run_dir / job_spec.MODEL_FOLDER
    assert result.model is not None
    assert (result.model / "config.cfg").is_file()
    assert (result.rows_new, result.rows_replayed) == (60, 0)
    assert result.labels == ("GPE", "NEWS_ORG", "PERSON")
    assert result.train_s > 0
    assert result.examples_per_s > 0
    assert result.peak_memory_mib > 50
    assert result.hardware == "CPU, fp32, 1 thread"
    learnt = pq.read_table(spec.run_dir / job_spec.LINEAGE_FILE)["example_id"].to_pylist()
    assert learnt == [f"train-{number:05d}" for number in range(60)]

    found = result.comparison
    assert found is not None
    assert (found.opponent, found.champion_version) == ("baseline: finds no entity", None)
    assert (found.rows, found.stories, found.champion_score) == (40, 20, 0.0)
    assert found.candidate_score > 0.8
    assert found.anchor is not None
    assert found.anchor.rows == 6
    assert found.candidate_latency is not None
    assert 0 < found.candidate_latency.p50_ms <= found.candidate_latency.p99_ms
    assert found.champion_latency is None
    assert found.size_mib > 1


def test_both_answers_to_every_held_out_row_are_kept(first: tuple[JobSpec, int, list[Progress], JobResult]) -> None:
    spec = first[0]
    scores = pq.read_table(spec.run_dir / job_spec.SCORES_FILE)
    assert scores.column_names == [
        "example_id", "role", "story_id", "document_id", "event_time", "language", "source", "length", "gold", "candidate",
        "opponent",
    ]  # fmt: skip
    assert scores["role"].to_pylist() == ["test"] * 40 + ["anchor"] * 6
    assert set(scores["opponent"].to_pylist()) == {'{"spans": []}'}
    assert all("spans" in json.loads(row) for name in ("gold", "candidate") for row in scores[name].to_pylist())


def test_progress_is_on_standard_output_and_in_the_history(first: tuple[JobSpec, int, list[Progress], JobResult]) -> None:
    spec, _code, lines, _result = first
    assert lines == history(spec)
    phases = [line.phase for line in lines]
    assert phases[0] == "starting"
    assert phases[-1] == "done"
    assert phases == sorted(phases, key=["starting", "training", "scoring", "done"].index)
    last = [line for line in lines if line.phase == "training"][-1]
    assert last.step == last.steps > 0
    assert last.loss is not None


def test_a_complete_model_is_not_trained_again(first: tuple[JobSpec, int, list[Progress], JobResult]) -> None:
    spec, _code, _lines, before = first
    model = spec.run_dir / job_spec.MODEL_FOLDER / "ner" / "model"
    written = model.stat().st_mtime_ns
    again = order(spec.run_dir, spec.training_set, attempt=2)

    code, lines, result, err = carry_out(again)

    assert code == job_spec.EXIT_DONE, err
    assert [line.message for line in lines if line.phase == "training"] == [
        "the model was complete already; going on with scoring"
    ]
    assert model.stat().st_mtime_ns == written
    assert (result.train_s, result.rows_new) == (before.train_s, before.rows_new)
    assert result.comparison is not None
    assert before.comparison is not None
    assert result.comparison.candidate_score == before.comparison.candidate_score


def test_an_incremental_run_starts_from_the_champion_and_is_compared_with_it(
    first: tuple[JobSpec, int, list[Progress], JobResult], tmp_path: Path
) -> None:
    champion = first[3].model
    training_set(tmp_path / "set", train=examples(70), old=60)
    spec = order(tmp_path / "run", tmp_path / "set", full=False, champion=champion, champion_version="news-entities/v1", looks=3)

    code, _lines, result, err = carry_out(spec)

    assert code == job_spec.EXIT_DONE, err
    assert (result.rows_new, result.rows_replayed) == (10, 10)
    learnt = set(pq.read_table(spec.run_dir / job_spec.LINEAGE_FILE)["example_id"].to_pylist())
    assert {f"train-{number:05d}" for number in range(60, 70)} < learnt
    assert len(learnt) == 20
    found = result.comparison
    assert found is not None
    assert (found.opponent, found.champion_version, found.looks) == ("news-entities/v1", "news-entities/v1", 3)
    assert found.rows == 0  # nothing is held out yet: the gate says insufficient evidence
    assert found.champion_latency is not None


def test_sigterm_stops_politely_and_the_next_attempt_starts_over_in_a_fresh_folder(tmp_path: Path) -> None:
    training_set(tmp_path / "set", train=examples(60), test=examples(10, seed=1))
    spec = order(tmp_path / "run", tmp_path / "set", epochs=5_000)
    child = start(spec)
    # Readable while it runs.
    wait_for(lambda: sum(line.phase == "training" for line in history(spec)) >= 2, child)
    assert child.poll() is None

    child.send_signal(signal.SIGTERM)
    _out, err = child.communicate(timeout=30)

    assert child.returncode == job_spec.EXIT_STOPPED, err
    assert result_of(spec).status == "stopped"
    assert "SIGTERM" in (result_of(spec).error or "")
    assert not (spec.run_dir / job_spec.MODEL_FOLDER).exists()

    (spec.run_dir / "model.building-1").mkdir()
    with (spec.run_dir / job_spec.HISTORY_FILE).open("a") as file:
        file.write('{"run_id": "torn li')
    code, lines, result, err = carry_out(order(spec.run_dir, spec.training_set, epochs=1, attempt=2))
    assert code == job_spec.EXIT_DONE, err
    assert result.status == "done"
    assert not list(spec.run_dir.glob("model.building*"))
    assert (spec.run_dir / job_spec.HISTORY_FILE).read_text().splitlines()[-len(lines) :] == [
        line.model_dump_json() for line in lines
    ]


def test_above_the_memory_limit_it_ends_with_the_code_that_asks_for_half_the_batch(tmp_path: Path) -> None:
    training_set(tmp_path / "set", train=examples(20))
    spec = order(tmp_path / "run", tmp_path / "set", epochs=5_000, settings={"memory_limit_mib": 300})

    code, lines, result, err = carry_out(spec)

    assert code == job_spec.EXIT_OUT_OF_MEMORY, err
    assert result.status == "out_of_memory"
    assert "batch size 4" in (result.error or "")
    assert lines[-1].phase == "failed"


def test_a_changed_training_set_is_refused(tmp_path: Path) -> None:
    frozen = training_set(tmp_path / "set", train=examples(20))
    rows = frozen.folder / "rows.parquet"
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 0xFF
    rows.write_bytes(content)

    code, lines, result, _err = carry_out(order(tmp_path / "run", frozen.folder))

    assert code == job_spec.EXIT_FAILED
    assert result.status == "failed"
    assert str(rows) in (result.error or "")
    assert "the next one freezes a new set" in (result.error or "")
    assert (lines[-1].phase, lines[-1].message) == ("failed", result.error)


def test_an_incremental_run_without_anything_new_fails_with_the_remedy(
    first: tuple[JobSpec, int, list[Progress], JobResult], tmp_path: Path
) -> None:
    training_set(tmp_path / "set", train=examples(20), old=20)
    spec = order(tmp_path / "run", tmp_path / "set", full=False, champion=first[3].model, champion_version="news-entities/v1")
    code, _lines, result, _err = carry_out(spec)
    assert code == job_spec.EXIT_FAILED
    assert "no training row is new since news-entities/v1" in (result.error or "")


@pytest.mark.parametrize("content", ["", "{}", '{"training": {"threads": 1}}'])
def test_an_unreadable_order_ends_at_once_with_a_log_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(content)
    child = subprocess.run(
        [sys.executable, "-m", "trainers.job", str(tmp_path / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert child.returncode == job_spec.EXIT_FAILED
    assert child.stdout == ""
    assert "Traceback" not in child.stderr
    assert "order_" in child.stderr
