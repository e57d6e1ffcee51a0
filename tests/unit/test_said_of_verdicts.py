"""Two sentences on a verdict, and thresholds that nobody can reach."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.task_files.sections.promotion import Promotion
from registry import promotion
from registry.evidence.in_words import InWords, answers_lacking, lack_of, of_run, tell
from registry.judging import gate, reach
from registry.people.pools import Drawn
from registry.store import Registry
from tests.support.registries import add_version
from tests.support.scored import topics
from tests.unit.test_gate import POLICY, seen
from trainers.compare.comparison import Asked, Comparison
from trainers.compare.metrics import catalog
from trainers.compare.sequential.look import Look
from trainers.compare.sequential.pair import PairTest

TASK = "news-topics"


def said(comparison: Comparison, policy: Promotion = POLICY, **more: Any) -> InWords:
    decision = gate.decide(comparison, policy, test_fraction=0.2)
    given_words = {"verdict": decision.verdict, "reasons": decision.reasons} | more
    return tell(comparison, policy, version="news-topics/v18", test_fraction=0.2, **given_words)


def undecided(**changes: Any) -> Comparison:
    return seen(**{
        "metric": "accuracy", "scale": catalog.find("accuracy").scale, "champion_score": 0.621, "candidate_score": 0.65,
        "gain": 0.029, "rows": 214, "p_equal": 1 / 14, "lower_bound": -0.005, "upper_bound": 0.06, "required_gain": 0.031,
        "standard_error": 0.02, "required_rows": 520, "discordant": 0.12, **changes,
    })  # fmt: skip


def test_what_was_measured_and_what_would_decide_it() -> None:
    assert said(undecided()) == InWords(
        "v18 is probably better than v3 (accuracy 62.1 to 65.0 % on 214 test rows; chance alone in 1 of 14).",
        "About 310 more test rows, about 37 of them where just one of the two is right, would decide: `perennial review "
        "news-topics`, or import about 1,500 labelled rows.",
    )


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_where_people_are_asked_already_their_answers_decide_and_how_many_is_told(metric: str) -> None:
    found = undecided(metric=metric, scale=catalog.find(metric).scale)
    told = "Answers to 20 texts on which the two differ are asked for; about 37 more answers where they differ would decide"
    assert said(found, asked=20).decides == f"{told}: `perennial review news-topics`."
    assert "may decide" in said(undecided(rows=150), asked=20).decides, "of so few rows nothing is known"
    assert "may decide" in said(undecided(discordant=None), asked=20).decides


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_after_a_look_its_information_says_how_many_answers_are_lacking(metric: str) -> None:
    test = PairTest(level=0.004, planned=4_000.0, drawn=0.25, now=Look(information=1_000.0, share=0.25), gain=0.02)
    asked = Asked(pool=2_000, disagreement=0.1, requests=40, labelled=40, test_rows=200, test=test)
    found = undecided(metric=metric, scale=catalog.find(metric).scale, asked=asked, rows=240)
    # A quarter of what is planned is there, of 40 answers and 20 test rows on which the two differ: 180 are lacking.
    assert answers_lacking(found, POLICY, "insufficient_evidence") == 180
    told = tell(found, POLICY, version="news-topics/v18", verdict="insufficient_evidence", reasons=["unsure"], asked=20)
    assert "about 180 more answers where they differ would decide" in told.decides
    over = found.model_copy(update={"asked": asked.model_copy(update={"test": test.model_copy(update={"planned": 900.0})})})
    assert answers_lacking(over, POLICY, "insufficient_evidence") is None
    assert answers_lacking(found, POLICY, "keep") is None


@pytest.mark.parametrize(
    ("changes", "measured", "decides"),
    [
        ({}, "is better than v3 (macro F1 71.2 to 76.3 % on 812 test rows", "That decided: the gain is beyond"),
        ({"p_equal": 1e-6}, "chance alone in fewer than 1 of 10,000", "That decided"),
        ({"gain": 0.01, "lower_bound": -0.01, "upper_bound": 0.04, "p_equal": 0.3}, "may be better", "more than 3.6 points"),
        ({"gain": 0.0, "p_equal": 0.6}, "is no better than", "That decided"),
        ({"gain": -0.03, "upper_bound": -0.01, "p_equal": 0.99}, "is worse than", "That decided"),
        ({"gain": -0.01, "upper_bound": 0.02, "p_equal": 0.8}, "is probably no better than", "That decided"),
        ({"rows": 0, "gain": 0.0, "p_equal": 1.0, "required_rows": 0}, "on no test row", "At least 200 more test rows"),
        ({"rows": 150, "required_rows": 120}, "better than", "At least 50 more test rows"),
        ({"champion_score": 0.97, "required_gain": math.inf}, "better than", "error_reduction"),
        ({"size_mib": 9_999.0}, "better than", "Too large"),
        (
            {"champion_version": None, "opponent": "baseline: most frequent label", "required_gain": 0.0},
            "than the baseline (most frequent label)", "That decided",
        ),
    ],
)  # fmt: skip
def test_each_verdict_has_its_words(changes: dict[str, Any], measured: str, decides: str) -> None:
    found = said(seen(**changes))
    assert measured in found.measured
    assert decides in found.decides


def test_what_held_a_promotion_up_is_the_second_sentence() -> None:
    told = ("Not promoted: promotion.mode is manual. Promote it with `perennial models promote x`.", "7.2 % better")
    assert said(seen(), verdict="keep", reasons=told).decides == (
        "It passed, but promotion.mode is manual. Promote it with `perennial models promote x`."
    )


def test_without_a_policy_no_number_of_rows_is_named() -> None:
    words = tell(undecided(), None, version="news-topics/v18", verdict="insufficient_evidence", reasons=("Too few test rows.",))
    assert words.decides == "Too few test rows."
    assert words.measured == said(undecided()).measured


def test_a_run_is_told_with_what_people_are_asked_of_its_own_pair(registry: Registry) -> None:
    run = registry.runs.create(TASK, "request:1", "asked for", full=False)
    assert run is not None
    assert of_run(registry, run, POLICY) is None
    comparison = undecided().model_dump(mode="json")
    run = registry.runs.update(
        run.run_id,
        state="decided",
        verdict="insufficient_evidence",
        reasons=["Few."],
        comparison=comparison,
        version=f"{TASK}/v18",
    )
    told = of_run(registry, run, POLICY)
    assert told is not None
    assert "310 more test rows" in told.decides
    pool = registry.pools.want(task=TASK, run_id=run.run_id, candidate=f"{TASK}/v18", champion=f"{TASK}/v3", seed=1)
    drawn = [Drawn(f"{number:064x}", 1, 0.5, number // 5) for number in range(10)]
    registry.pools.open(pool.pool_id, rows=10, differ=10, sizes=[0, 10], bounds=[], drawn=drawn)
    registry.pools.ask(pool.pool_id, 0, {"event_id": "e", "type": "label.requested", "task": TASK})
    told = of_run(registry, run, POLICY)
    assert told is not None
    assert "5 texts" in told.decides
    later = registry.runs.update(run.run_id, comparison={**comparison, "metric": "of_a_later_release", "scale": {"what": 1}})
    assert of_run(registry, later, POLICY) is None


def test_errors_in_their_unit_are_no_percentages() -> None:
    scale = catalog.find("mae").scale
    found = said(seen(metric="mae", scale=scale, champion_score=0.8, candidate_score=0.7, gain=0.1, discordant=None))
    assert "mean absolute error 0.8 to 0.7, lower is better," in found.measured


def test_more_rows_are_not_promised_where_they_would_not_decide() -> None:
    asked_too_often = seen(p_equal=0.005, looks=40, required_rows=300)
    assert gate.decide(asked_too_often, POLICY).verdict == "insufficient_evidence"
    assert lack_of(asked_too_often, POLICY, "insufficient_evidence") is None
    assert "would not decide" in said(asked_too_often).decides


@given(
    st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**7), st.floats(1e-9, 1), st.integers(0, 10**7),
    st.sampled_from(["promote", "keep", "insufficient_evidence"]), st.none() | st.floats(0, 1), st.none() | st.floats(0.01, 0.9),
)  # fmt: skip
def test_whatever_was_measured_there_are_two_sentences(  # noqa: PLR0917 - hypothesis fills them in
    champion: float, candidate: float, rows: int, p_equal: float, required: int, verdict: str, apart: float | None,
    fraction: float | None,
) -> None:  # fmt: skip
    comparison = seen(
        champion_score=champion, candidate_score=candidate, gain=candidate - champion, rows=rows, p_equal=p_equal,
        required_rows=required, discordant=apart,
    )  # fmt: skip
    found = tell(comparison, POLICY, version="news-topics/v18", verdict=verdict, reasons=("Why.",), test_fraction=fraction)
    assert found.measured.endswith(".")
    assert found.decides.rstrip().endswith(".")
    assert "nan" not in f"{found.measured}{found.decides}"


@pytest.mark.parametrize(
    ("policy", "never"),
    [
        ({"metric": "macro_f1"}, False),
        ({"metric": "macro_f1", "improvement": "absolute", "min_improvement": 0.99}, False),
        ({"metric": "macro_f1", "improvement": "absolute", "min_improvement": 1.0}, True),
        ({"metric": "macro_f1", "improvement": "absolute", "min_improvement": 5.0}, True),
        ({"metric": "macro_f1", "improvement": "error_reduction", "min_improvement": 1.0}, True),
        ({"metric": "macro_f1", "improvement": "error_reduction", "min_improvement": 0.9}, False),
        ({"metric": "macro_f1", "improvement": "relative", "min_improvement": 3.0}, False),
    ],
)
def test_what_no_champion_would_let_through_is_known_from_the_file(policy: dict[str, Any], never: bool) -> None:
    assert (reach.never(topics(**policy)) is not None) == never


def test_an_error_cannot_shrink_by_more_than_itself() -> None:
    task = topics().model_copy(update={"kind": "tone", "promotion": Promotion(metric="mae", min_improvement=1.0)})
    assert reach.never(task) is not None
    assert reach.never(task.model_copy(update={"promotion": Promotion(metric="mae", min_improvement=0.99)})) is None


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as opened:
        yield opened


def champion_at(registry: Registry, score: float, metric: str = "macro_f1") -> None:
    run = registry.runs.create(TASK, "k", "asked", full=True)
    assert run is not None
    version = add_version(registry, TASK, run_id=run.run_id)
    promotion.promote(registry, TASK, version.name, expected=None, actor="gate", reason="better")
    found = seen(candidate_score=score, metric=metric, scale=catalog.find(metric).scale).model_dump(mode="json")
    registry.runs.update(run.run_id, state="decided", verdict="promote", version=version.name, comparison=found)


def test_a_champion_near_the_best_score_is_warned_of_with_what_to_do(registry: Registry) -> None:
    assert reach.out_of_reach(topics(), registry) is None
    champion_at(registry, 0.96)
    why = reach.out_of_reach(topics(), registry)
    assert why is not None
    assert "0.960" in why
    assert "error_reduction" in why
    assert reach.out_of_reach(topics(improvement="error_reduction"), registry) is None
    assert reach.out_of_reach(topics(metric="accuracy"), registry) is None, "nobody has measured that"
    with capture_logs() as lines:
        reach.warn({TASK: topics()}, registry)
    assert [(line["event"], line["task"], line["log_level"]) for line in lines] == [("task.out_of_reach", TASK, "warning")]


def test_a_champion_with_room_above_is_not_warned_of(registry: Registry) -> None:
    champion_at(registry, 0.90)
    with capture_logs() as lines:
        reach.warn({TASK: topics()}, registry)
    assert lines == []


def test_a_comparison_that_cannot_be_read_is_passed_over(registry: Registry) -> None:
    champion_at(registry, 0.96)
    run = registry.runs.create(TASK, "k2", "asked", full=True)
    assert run is not None
    registry.runs.update(run.run_id, state="decided", verdict="keep", comparison={"of": "a later release"})
    assert reach.out_of_reach(topics(), registry) is not None
