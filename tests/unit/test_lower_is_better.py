"""A metric of which lower is better, from scores to card; and how a policy is read on each scale."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from config.errors import UserError
from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from daemon.process import task_files
from registry.judging.gate import decide
from registry.reports import cards
from registry.reports.diff import between
from registry.reports.plots import plot
from registry.store import Registry
from registry.versions import Lineage
from tests.support.registries import TASK
from tests.support.scored import compared, table, topics
from trainers.compare import improvement
from trainers.compare.comparison import Comparison
from trainers.compare.improvement import required_gain
from trainers.compare.metrics import catalog, errors, f1, spearman
from trainers.compare.metrics.errors import MeanError

MAE, ACCURACY, SPEARMAN = errors.MAE.scale, f1.ACCURACY.scale, spearman.SPEARMAN.scale


def measured_by(metric: str, **promotion: object) -> TaskSpec:
    """Return a task of a shipped kind whose rows hold numbers: which metrics a kind has is not the point here."""
    task = topics(**promotion)
    return task.model_copy(update={"promotion": task.promotion.model_copy(update={"metric": metric})})


def numbers(off: float, off_before: float, *, rows: int = 400, role: str = "test", **more: Any) -> pa.Table:
    """Return scores where candidate and opponent miss by about so much."""
    rng = np.random.default_rng(4)
    gold = rng.uniform(0, 50, rows)

    def say(values: Sequence[float]) -> list[dict[str, Any]]:
        return [{"values": {"minutes": float(value)}} for value in values]

    return table(say(gold), say(gold + rng.normal(0, off, rows)), say(gold + rng.normal(0, off_before, rows)), role=role, **more)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_a_smaller_error_is_a_gain_and_promotes(metric: str) -> None:
    task = measured_by(metric)
    seen = compared(task, numbers(2.0, 3.0))
    assert seen.candidate_score < seen.champion_score
    assert seen.gain == pytest.approx(seen.champion_score - seen.candidate_score)
    assert 0.0 < seen.lower_bound < seen.gain < seen.upper_bound
    assert seen.required_gain == pytest.approx(0.05 * seen.champion_score)
    assert (seen.scale.lower_is_better, seen.discordant) == (True, None)
    assert all(part.gain > 0 and not part.name.startswith("label:") for part in seen.slices)
    decision = decide(seen, task.promotion)
    assert decision.verdict == "promote"
    assert "% better than" in decision.reasons[0]
    assert "lower is better" in decision.reasons[0]


def test_a_larger_error_is_a_loss_and_keeps() -> None:
    task = measured_by("mae")
    decision = decide(compared(task, numbers(3.0, 2.0)), task.promotion)
    assert decision.verdict == "keep"
    assert "% worse than" in decision.reasons[0]


def test_a_rank_correlation_is_compared_row_by_row() -> None:
    task = measured_by("spearman")
    seen = compared(task, numbers(5.0, 20.0, rows=250))
    assert seen.candidate_score > seen.champion_score
    assert decide(seen, task.promotion).verdict == "promote"
    assert decide(compared(task, numbers(20.0, 5.0, rows=250)), task.promotion).verdict == "keep"


def test_forgetting_and_slices_are_shares_where_a_score_has_no_upper_bound() -> None:
    guard = {"slice": "language:en", "max_drop": 0.1}
    task = measured_by("mae", slices=[guard])
    forgets = pa.concat_tables([numbers(2.0, 3.0), numbers(3.0, 2.0, role="anchor", rows=100)])
    seen = compared(task, forgets)
    assert seen.anchor is not None
    assert seen.anchor.gain < 0
    decision = decide(seen, task.promotion)
    assert decision.verdict == "keep"
    assert decision.reasons[0].startswith("It forgets")
    worse = -seen.anchor.gain / seen.anchor.champion_score
    assert f"{worse * 100:.3g} % worse" in decision.reasons[0]
    assert "at most 5 % allowed" in decision.reasons[0]
    within = seen.anchor.model_copy(update={"candidate_score": 1.01 * seen.anchor.champion_score, "standard_error": 0.01})
    assert decide(seen.model_copy(update={"anchor": within}), task.promotion).verdict == "promote"


def test_a_champion_without_error_cannot_be_beaten() -> None:
    task = measured_by("mae")
    seen = compared(task, numbers(2.0, 0.0))
    assert (seen.champion_score, seen.required_gain) == (0.0, math.inf)
    assert decide(seen, task.promotion).verdict == "keep"
    first = compared(task, numbers(0.0, 2.0), champion=None)
    assert decide(first, task.promotion).verdict == "promote"


def test_a_champion_that_must_go_may_be_followed_by_a_slightly_larger_error() -> None:
    task = measured_by("mae", min_improvement=0.5)
    seen = compared(task, numbers(3.1, 3.0))
    assert seen.gain < 0
    assert decide(seen, task.promotion, champion_must_go=True).verdict == "promote"


def test_no_rows_leave_everything_open_and_survive_json() -> None:
    task = measured_by("rmse")
    seen = compared(task, numbers(1.0, 2.0, role="corrections"))
    assert (seen.rows, seen.lower_bound, seen.upper_bound) == (0, -math.inf, math.inf)
    assert decide(seen, task.promotion).verdict == "insufficient_evidence"
    stored = json.loads(json.dumps(seen.model_dump(mode="json"), allow_nan=False))
    assert Comparison.model_validate(stored) == seen
    assert plot("t/v1", seen, []).axes


@pytest.mark.parametrize(
    ("scale", "improvement_", "champion", "gain"),
    [
        (MAE, "relative", 8.0, 0.4), (MAE, "absolute", 8.0, 0.05), (MAE, "absolute", 0.04, math.inf),
        (MAE, "relative", 0.0, math.inf), (MAE, "absolute", 0.0, math.inf),
        (SPEARMAN, "relative", 0.4, 0.02), (SPEARMAN, "relative", -0.4, 0.0), (SPEARMAN, "error_reduction", -0.4, 0.07),
        (SPEARMAN, "relative", 0.97, math.inf), (ACCURACY, "error_reduction", 1.0, 0.0),
    ],
)  # fmt: skip
def test_the_minimum_is_read_on_the_scale(scale: Any, improvement_: str, champion: float, gain: float) -> None:
    policy = Promotion.model_validate({"metric": "x", "improvement": improvement_})
    assert required_gain(policy, champion, scale) == pytest.approx(gain)


def test_reduction_of_errors_is_refused_where_there_is_no_highest_score() -> None:
    policy = Promotion.model_validate({"metric": "mae", "improvement": "error_reduction"})
    for ask in (lambda: required_gain(policy, 8.0, MAE), lambda: improvement.check(policy)):
        with pytest.raises(UserError, match="improvement: relative"):
            ask()
    improvement.check(policy.model_copy(update={"metric": "spearman"}))


def test_what_a_metric_cannot_do_is_refused_when_tasks_are_read(tmp_path: Path) -> None:
    guarded = Promotion.model_validate({"metric": "mae", "slices": [{"slice": "label:sport", "max_drop": 0.1}]})
    with pytest.raises(UserError, match="label:sport"):
        improvement.check(guarded)
    improvement.check(guarded.model_copy(update={"metric": "macro_f1"}))
    with pytest.raises(UserError, match=r"'nobody'.*accuracy, entity_f1"):
        improvement.check(guarded.model_copy(update={"metric": "nobody"}))
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nkind: classification\nbackend: transformer\nbase_model: minilm\nlabels: open\n"
        "promotion: {metric: accuracy}\n"
    )
    assert list(task_files.loaded(tmp_path)) == ["mine"]


def test_a_daemon_neither_starts_nor_goes_on_with_such_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = measured_by("rmse", improvement="error_reduction")
    monkeypatch.setattr(task_files, "load_tasks", lambda _folder: {task.name: task})
    with pytest.raises(UserError, match=r"'news-topics'.*error_reduction"):
        task_files.loaded(tmp_path)
    with capture_logs() as logs:
        assert task_files.reloaded(tmp_path, {}) is None
    assert [line["event"] for line in logs] == ["tasks.not_reloaded"]


def test_two_metrics_of_one_name_are_refused() -> None:
    catalog.register(errors.MAE)
    with pytest.raises(UserError, match="'mae'"):
        catalog.register(MeanError("mae", MAE, squared=True))


def test_units_are_told_as_they_are_and_points_as_hundredths() -> None:
    minutes = MAE.model_copy(update={"unit": "minutes"})
    assert (minutes.format_score(1324.5), minutes.format_gain(0.0125, sign=True)) == ("1324", "+0.0125 minutes")
    assert (ACCURACY.format_score(0.7123), ACCURACY.format_gain(0.0512, sign=True)) == ("0.712", "+5.1 points")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as opened:
        yield opened


def record(registry: Registry, comparison: dict[str, Any]) -> str:
    """Record a version that was decided by a comparison as it is stored."""
    number = registry.versions.next_number(TASK)
    run = registry.runs.create(TASK, f"key-{number}", "because", full=True)
    assert run is not None
    version = registry.versions.add(
        TASK, number, run_id=run.run_id, artifact_id=f"{TASK}/v{number}-x", manifest_sha256="0" * 64, size_bytes=1, parent=None,
        lineage=Lineage(training_set_sha256="1" * 64, seed=1, settings={}, code="perennial 0.1.0", counts={"test": 400}),
        metrics={"comparison": comparison}, learnt=[],
    )  # fmt: skip
    registry.runs.update(run.run_id, state="decided", verdict="keep", reasons=["r"], version=version.name)
    return version.name


def test_card_plot_and_diff_say_that_lower_is_better(registry: Registry) -> None:
    seen = compared(measured_by("mae"), pa.concat_tables([numbers(2.0, 3.0), numbers(2.0, 3.0, role="anchor", rows=80)]))
    name = record(registry, seen.model_dump(mode="json"))
    text = cards.card(registry, name)
    assert "mae, lower is better" in text
    row = next(line for line in text.splitlines() if line.startswith("| test rows"))
    assert row.split("|")[-2].strip() == f"{seen.gain:+.5g}"
    axes = plot(name, seen, []).axes[1]
    assert "units less" in axes.get_xlabel()
    assert axes.lines[0].get_xdata()[0] == pytest.approx(seen.gain)
    other = record(registry, {**seen.model_dump(mode="json"), "candidate_score": 2.5})
    assert "Of mae lower is better" in between(registry, name, other).scores


def test_a_comparison_of_an_earlier_release_is_read_as_it_was_meant(registry: Registry) -> None:
    stored = {
        "task": TASK, "metric": "macro_f1", "candidate_run": "r", "champion_version": None,
        "opponent": "baseline: most frequent label", "rows": 640, "stories": 500, "champion_score": 0.61, "candidate_score": 0.68,
        "gain": 0.07, "confidence": 0.95, "lower_bound": 0.031, "upper_bound": 0.104, "standard_error": 0.02, "p_equal": 0.001,
        "discordant": 0.1, "required_gain": "inf", "required_rows": 400, "anchor": None,
        "slices": [{"name": "newest", "rows": 200, "champion_score": 0.5, "candidate_score": 0.63}],
        "candidate_latency": {"p50_ms": 4.0, "p99_ms": 9.0}, "champion_latency": None, "size_mib": 87.5, "looks": 1,
    }  # fmt: skip
    seen = Comparison.model_validate(stored)
    assert seen.scale == f1.MACRO_F1.scale
    assert seen.slices[0].gain == pytest.approx(0.13)
    text = cards.card(registry, record(registry, stored))
    assert "| newest | 200 | 0.5000 | 0.6300 | +0.1300 |" in text


def test_a_card_needs_no_metric_that_nobody_registers_any_more(registry: Registry) -> None:
    seen = compared(measured_by("mae"), numbers(2.0, 3.0)).model_dump(mode="json")
    assert "lower is better" in cards.card(registry, record(registry, {**seen, "metric": "of_a_module_that_is_gone"}))
