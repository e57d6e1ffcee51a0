"""What views of runs tell beyond their records: the time that is left, the end of the log, both models' answers, the course."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.views import history
from daemon.views.models import logs, scores
from daemon.views.models.comparison import Comparison, LabelFigures, LabelMeasures, Part
from daemon.views.models.runs import Progress, left_s
from registry import promotion
from registry.reports import answers
from registry.store import Registry
from tests.support.registries import TASK, Clock, add_version
from trainers.job import files

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def line(step: int, *, phase: str = "training", at_s: float | None = None, steps: int = 100) -> Progress:
    at = NOW + timedelta(seconds=step if at_s is None else at_s)
    return Progress(phase=phase, step=step, steps=steps, at=at)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([], None),
        ([line(10)], None),
        ([line(0, steps=0), line(10, steps=0)], None),
        ([line(10), line(20), line(50)], 50.0),
        ([line(90, at_s=0), line(5, at_s=40), line(45, at_s=80)], 55.0),
        ([line(50), line(10, phase="scoring", at_s=60), line(60, phase="scoring", at_s=110)], 40.0),
        ([line(10), line(10, at_s=30)], None),
    ],
    ids=["none", "one", "no steps", "steady", "killed before", "next phase", "stands"],
)
def test_what_is_left_follows_from_the_pace_of_the_present_phase(lines: list[Progress], left: float | None) -> None:
    now = lines[-1].at if lines and lines[-1].at else NOW
    assert left_s(lines, now) == (None if left is None else pytest.approx(left))


def test_what_is_left_shrinks_between_two_lines_and_never_below_nothing() -> None:
    lines = [line(10), line(50)]
    assert left_s(lines, NOW + timedelta(seconds=70)) == pytest.approx(30.0)
    assert left_s(lines, NOW + timedelta(hours=1)) == 0.0


def test_the_end_of_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    assert logs.tail(tmp_path) is None
    (tmp_path / files.LOG_FILE).write_bytes(b"".join(b"line %06d \xff\n" % number for number in range(2_000)))
    told = logs.tail(tmp_path)
    assert told is not None
    assert len(told) < 20_000
    assert told.startswith("line ")
    assert told.endswith("line 001999 \\xff\n")


def leave(folder: Path, gold: list[Any], candidate: list[Any], opponent: list[Any], texts: list[str]) -> None:
    ids = [f"e{number}" for number in range(len(gold))]
    sides = {"gold": gold, "candidate": candidate, "opponent": opponent}
    columns = {name: pa.array([json.dumps(one) for one in said]) for name, said in sides.items()}
    pq.write_table(pa.table({"example_id": ids, "role": ["test"] * len(ids), **columns}), folder / files.SCORES_FILE)
    (folder / files.TRAINING_SET_FOLDER).mkdir()
    rows = pa.table({"example_id": [*ids, "other"], "text": [*texts, "never shown"]})
    pq.write_table(rows, folder / files.TRAINING_SET_FOLDER / "rows.parquet")


def test_rows_that_just_one_model_has_right_are_better_or_worse(tmp_path: Path) -> None:
    labels = [{"label": label} for label in "ABAB"]
    leave(
        tmp_path, labels, [labels[0], labels[0], labels[0], labels[0]], [labels[1], labels[1], labels[0], labels[2]], list("wxyz")
    )
    found = answers.of_run(tmp_path)
    assert found is not None
    assert (found.rows, found.better, found.worse, found.in_text) == (4, 1, 1, False)
    assert [(row.example_id, row.text) for row in (*found.rows_better, *found.rows_worse)] == [("e0", "w"), ("e1", "x")]
    assert [(one.gold, one.said, one.candidate, one.champion) for one in found.mistaken] == [("B", "A", 2, 1), ("A", "B", 0, 1)]


def test_entities_are_marked_in_their_text(tmp_path: Path) -> None:
    right = {"spans": [{"start": 0, "end": 4, "label": "ORG"}]}
    leave(tmp_path, [right], [right], [{"spans": []}], ["Acme rose"])
    found = answers.of_run(tmp_path)
    assert found is not None
    (row,) = found.rows_better
    assert [(piece.text, piece.style) for piece in row.candidate if piece.text] == [
        ("Acme", "strong"), ("[ORG]", "faint"), (" rose", "plain")
    ]  # fmt: skip
    assert found.mistaken == ()


def test_numbers_are_better_where_they_are_nearer(tmp_path: Path) -> None:
    gold, near, far = ({"values": {"mood": number}} for number in (1.0, 0.9, 0.1))
    leave(tmp_path, [gold, gold], [near, far], [far, near], ["a", "b"])
    found = answers.of_run(tmp_path)
    assert found is not None
    assert ([row.text for row in found.rows_better], [row.text for row in found.rows_worse]) == (["a"], ["b"])


def test_where_the_folder_is_gone_there_are_no_answers(tmp_path: Path) -> None:
    assert answers.of_run(tmp_path / "gone") is None
    leave(tmp_path, [{"label": "A"}], [{"label": "A"}], [{"label": "B"}], ["a text to be erased"])
    assert answers.of_run(tmp_path) is not None
    (tmp_path / files.SCORES_FILE).unlink()
    assert answers.of_run(tmp_path) is None
    assert answers._read.cache_info().currsize == 0, "nothing of it stays in memory"


def test_labels_come_from_slices_or_from_measures_of_several() -> None:
    parts = [Part(name=name, rows=rows, champion_score=0.5, candidate_score=0.6) for name, rows in
             (("newest", 50), ("label:a", 10), ("label:b", 30))]  # fmt: skip
    assert [(one.name, one.rows, one.f1) for one in scores.labels_of(Comparison(slices=tuple(parts)))] == [
        ("b", 30, 0.6),
        ("a", 10, 0.6),
    ]
    figures = LabelFigures(precision=1.0, recall=0.5, f1=0.7)
    several = Comparison(labels=(LabelMeasures(name="c", rows=3, candidate=figures, champion=figures),))
    assert [(one.name, one.f1) for one in scores.labels_of(several)] == [("c", 0.7)]
    assert scores.labels_of(None) == ()


def test_the_course_and_the_history_of_a_task(registry: Registry, clock: Clock) -> None:
    seen = {"rows": 600, "opponent": "baseline: x", "champion_score": 0.5, "candidate_score": 0.7, "scale": {"title": "macro F1"}}
    for number, comparison in enumerate((seen, None, {**seen, "rows": 0})):
        run = registry.runs.create(TASK, f"k{number}", "a reason", full=True)
        assert run is not None
        registry.runs.update(run.run_id, started_at=clock.now, cpu_s=None if number == 0 else 30.0)
        clock.forward(60)
        registry.runs.update(run.run_id, state="decided", verdict="keep", comparison=comparison)
    for version in (add_version(registry), add_version(registry)):
        promotion.promote_by_hand(registry, version.name, actor="key:desk, on the page", reason="because")
    promotion.rollback(registry, TASK, actor="operator", reason="worse")
    course = scores.course(registry, TASK)
    assert [(point.candidate_score, point.champion_score) for point in course.points] == [(0.7, 0.5)]
    assert [move.kind for move in course.moves] == ["promote", "promote", "rollback"]
    weeks = scores.weeks(registry, TASK, clock.now)
    assert (weeks[-1].runs, weeks[-1].seconds, weeks[-1].whole) == (3, 180.0, True)
    assert (weeks[-1].cpu_s, weeks[-1].uncounted) == (60.0, 1)
    assert sum(week.runs for week in weeks[:-1]) == 0
    told = history.entries(registry, None, None, 2)
    assert [(one.what, one.version, one.before, one.by, one.why) for one in told] == [
        ("rollback", f"{TASK}/v1", f"{TASK}/v2", "operator", "worse"),
        ("promote", f"{TASK}/v2", f"{TASK}/v1", "key:desk, on the page", "because"),
    ]
    assert history.entries(registry, None, "another", 9) == []


def test_the_history_tells_of_candidates_that_the_sandbox_refused(registry: Registry, clock: Clock) -> None:
    for number, outcome in enumerate(("passed", "failed", "failed")):
        run = registry.runs.create(TASK, f"k{number}", "a reason", full=True)
        assert run is not None
        version = add_version(registry, run_id=run.run_id)
        registry.versions.note_sandbox(version.name, {"outcome": outcome, "reason": f"it hangs, says {number}"})
        clock.forward(60)
        registry.runs.update(run.run_id, state="decided", verdict="keep")
    told = history.entries(registry, None, TASK, 9)
    assert [(one.at, one.what, one.subject, one.version, one.by, one.why) for one in told] == [
        (clock.now, "refuse", f"{TASK}/v3", None, "sandbox", "it hangs, says 2"),
        (clock.now - timedelta(seconds=60), "refuse", f"{TASK}/v2", None, "sandbox", "it hangs, says 1"),
    ]
    assert [one.subject for one in history.entries(registry, None, None, 1)] == [f"{TASK}/v3"]
    assert history.entries(registry, None, "another", 9) == []
