"""The training child with the shipped example: a first run, and one that goes on from its champion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_task
from perennial_artifact.compute import Compute, Used
from perennial_artifact.formats import open_after
from tests.support.ner_rows import examples, training_set
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec

pytestmark = [pytest.mark.slow, pytest.mark.process]

SETTINGS = load_settings().training.model_copy(update={"device": "cpu", "precision": "fp32", "threads": 1, "nice": 0})


def carried_out(run_dir: Path, *, export: str = "none", **fields: Any) -> JobResult:
    shipped = load_task(SHIPPED_TASKS_DIR / "examples" / "news-entities-transformer.yaml").model_dump()
    training = {**shipped["training"], "epochs": 2, "full_epochs": 2, "replay_floor": 0}
    task = TaskSpec.model_validate({**shipped, "training": training, "export": export})
    run_dir.mkdir(parents=True)
    order = JobSpec.model_validate(
        {
            "run_id": run_dir.name, "task": task, "full": False, "run_dir": run_dir, "training": SETTINGS,
            "champion": None, "champion_version": None, "batch_size": 8,
        }
        | fields
    )  # fmt: skip
    (run_dir / job_spec.SPEC_FILE).write_text(order.model_dump_json())
    command = [sys.executable, "-m", "trainers.job", str(run_dir / job_spec.SPEC_FILE)]
    child = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert child.returncode == job_spec.EXIT_DONE, child.stderr
    result = job_spec.read_result(run_dir)
    assert result is not None
    return result


def test_a_first_run_and_the_next_one_are_compared_by_entity_f1(tmp_path: Path) -> None:
    test = examples(40, seed=9)
    training_set(tmp_path / "first", train=examples(80), test=test)
    first = carried_out(tmp_path / "r1", training_set=tmp_path / "first", full=True)
    assert first.comparison is not None
    assert first.comparison.metric == "entity_f1"
    assert first.comparison.candidate_score > 0.8
    assert first.comparison.opponent.startswith("baseline")
    assert first.labels == ("GPE", "NEWS_ORG", "PERSON")
    assert first.tested == 40
    assert first.tested_cut == first.rows_cut == 0
    assert first.refreshable
    assert first.model is not None
    training_set(tmp_path / "second", train=[*examples(80), *examples(30, seed=3)], test=test, old=80)
    again = carried_out(
        tmp_path / "r2", training_set=tmp_path / "second", champion=first.model, champion_version="news-entities-transformer/v1"
    )
    assert (again.rows_new, again.rows_replayed) == (30, 60)
    assert again.comparison is not None
    assert again.comparison.candidate_latency is not None
    assert again.comparison.champion_latency is not None


def test_a_run_publishes_the_variant_that_was_compared(tmp_path: Path) -> None:
    training_set(tmp_path / "set", train=examples(80), test=examples(40, seed=9))
    result = carried_out(tmp_path / "r1", export="openvino-fp32", training_set=tmp_path / "set", full=True)
    assert result.model is not None
    assert result.comparison is not None
    assert (result.variant, result.comparison.candidate_score > 0.8) == ("openvino-fp32", True)
    assert [one.chosen for one in result.tried if one.name.startswith("export openvino-fp32 (entity_f1 ")] == [True]
    assert (result.model / "export" / "openvino-fp32" / "model.xml").is_file()
    opened = open_after(result.model, Compute(), None)
    assert opened.used == Used("openvino-fp32")
