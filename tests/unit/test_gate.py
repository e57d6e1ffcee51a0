import math
from typing import Any

import pytest

from config.task_files.sections.promotion import Promotion
from registry.judging.gate import decide
from trainers.compare import statistics
from trainers.compare.comparison import Comparison, Latency
from trainers.compare.parts.slices import Slice

POLICY = Promotion(metric="macro_f1")


def seen(**changes: Any) -> Comparison:
    """Return a comparison that promotes: better by 7.2 % on 812 rows."""
    values: dict[str, Any] = {
        "task": "news-topics", "metric": "macro_f1", "candidate_run": "run-1", "champion_version": "news-topics/v3",
        "opponent": "news-topics/v3", "rows": 812, "stories": 640, "champion_score": 0.712, "candidate_score": 0.763,
        "gain": 0.051, "confidence": 0.95, "lower_bound": 0.023, "upper_bound": 0.079, "standard_error": 0.014,
        "p_equal": 0.0002, "discordant": 0.18, "required_gain": 0.0356, "required_rows": 700,
    }  # fmt: skip
    return Comparison(**{**values, **changes})


def slice_of(name: str, champion: float, candidate: float, rows: int = 400, error: float | None = 0.01) -> Slice:
    return Slice(
        name=name, rows=rows, champion_score=champion, candidate_score=candidate, documents=rows, standard_error=error
    )  # fmt: skip


def test_a_clear_gain_promotes_and_says_what_was_measured() -> None:
    decision = decide(seen(), POLICY)
    assert decision.verdict == "promote"
    (reason,) = decision.reasons
    assert reason == (
        "7.2 % better than news-topics/v3: macro F1 0.763 against 0.712 on 812 test rows "
        "(90 % range of the change: +2.3 to +7.9 points). Promotion needs more than +5 %."
    )


def test_the_gain_must_exceed_the_minimum_not_reach_it() -> None:
    assert decide(seen(gain=0.0356), POLICY).verdict == "keep"


def test_too_few_rows_decide_nothing_however_large_the_gain() -> None:
    decision = decide(seen(rows=22, gain=0.3, p_equal=0.0001), POLICY, test_fraction=0.2)
    assert decision.verdict == "insufficient_evidence"
    assert decision.reasons[0] == (
        "Not decided: 22 of the 200 test rows needed. Import about 890 more labelled rows (20 % are kept for testing), label "
        "held-out articles (`perennial review news-topics`, or the desk on the page), or lower promotion.min_test_examples."
    )
    assert decide(seen(rows=199, gain=0.3, p_equal=0.0001), POLICY).verdict == "insufficient_evidence"


def test_no_rows_at_all() -> None:
    decision = decide(seen(rows=0, stories=0, gain=0.0, p_equal=1.0, standard_error=0.0, required_rows=0), POLICY)
    assert decision.verdict == "insufficient_evidence"
    assert len(decision.reasons) == 1


def test_a_gain_that_chance_may_explain_asks_for_rows() -> None:
    decision = decide(seen(rows=212, p_equal=0.03, standard_error=0.027, required_rows=527), POLICY, test_fraction=0.2)
    assert decision.verdict == "insufficient_evidence"
    assert decision.reasons[0] == (
        "Too few test rows to tell 3.6 points from noise: 212 of about 530. Import about 1,600 more labelled rows (20 % are kept "
        "for testing)."
    )
    assert decision.reasons[1] == "Chance alone would show this gain in 1 of 33 comparisons; the limit is 1 in 125."


def test_fewer_rows_than_required_suffice_for_a_gain_that_chance_cannot_explain() -> None:
    assert decide(seen(rows=250, gain=0.12, p_equal=0.0001, standard_error=0.03, required_rows=600), POLICY).verdict == "promote"


def test_but_not_where_a_worse_candidate_could_look_like_this() -> None:
    decision = decide(
        seen(rows=250, gain=0.08, p_equal=0.007, standard_error=0.037, required_gain=0.025, required_rows=900), POLICY
    )
    assert decision.verdict == "insufficient_evidence"
    assert any("2.5 points worse" in reason and "1 of 2,000 comparisons" in reason for reason in decision.reasons)


def test_a_lower_bound_below_zero_never_promotes() -> None:
    assert decide(seen(lower_bound=-0.001), POLICY).verdict == "insufficient_evidence"


def test_enough_rows_without_the_gain_keep_the_champion() -> None:
    decision = decide(seen(gain=0.01, lower_bound=-0.01, upper_bound=0.04, p_equal=0.2), POLICY)
    assert decision.verdict == "keep"
    assert decision.reasons[0].startswith("1.4 % better than news-topics/v3")


def test_a_gain_that_cannot_reach_the_minimum_keeps_even_on_few_rows() -> None:
    decision = decide(seen(rows=220, gain=-0.02, upper_bound=0.01, p_equal=0.9, required_rows=600), POLICY)
    assert decision.verdict == "keep"
    assert decision.reasons[0].startswith("2.8 % worse than news-topics/v3")
    assert "to +1.0 points)" in decision.reasons[0]


def test_a_change_too_small_to_show_is_not_told_as_zero() -> None:
    decision = decide(seen(gain=-0.0001, candidate_score=0.7119, lower_bound=-0.01, upper_bound=0.01), POLICY)
    assert decision.reasons[0].startswith("Less than 0.1 % worse than news-topics/v3")


def test_a_minimum_out_of_reach_says_which_setting_helps() -> None:
    decision = decide(seen(champion_score=0.96, candidate_score=0.99, gain=0.03, required_gain=math.inf, required_rows=0), POLICY)
    assert decision.verdict == "keep"
    assert "error_reduction" in decision.reasons[0]


def test_a_first_version_needs_only_certainty() -> None:
    first = seen(champion_version=None, opponent="baseline: most frequent label", required_gain=0.0, required_rows=0, gain=0.03)
    decision = decide(first, POLICY)
    assert decision.verdict == "promote"
    assert "better than the baseline (most frequent label):" in decision.reasons[0]
    assert decision.reasons[0].endswith("significant gain.")
    assert decide(first.model_copy(update={"rows": 150}), POLICY).verdict == "insufficient_evidence"
    assert decide(first.model_copy(update={"gain": -0.01, "p_equal": 0.8}), POLICY).verdict == "keep"


def test_where_the_champion_scores_nothing_only_certainty_counts() -> None:
    nothing = seen(champion_score=0.0, candidate_score=0.02, gain=0.02, required_gain=0.0, required_rows=0, standard_error=0.005)
    assert decide(nothing, POLICY).verdict == "promote"
    assert decide(nothing.model_copy(update={"p_equal": 0.02, "standard_error": 0.01}), POLICY).verdict == "insufficient_evidence"


def test_repeated_looks_ask_for_more_certainty() -> None:
    sure_enough_once = seen(p_equal=0.004)
    assert decide(sure_enough_once, POLICY).verdict == "promote"
    again = decide(sure_enough_once.model_copy(update={"looks": 4}), POLICY)
    assert again.verdict == "insufficient_evidence"
    assert "the limit is 1 in 500, because these rows have been compared 4 times" in " ".join(again.reasons)
    assert statistics.alpha_at(4) == statistics.alpha_at(1) / 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"anchor": slice_of("anchor", 0.9, 0.84)}, "forgets"),
        ({"slices": (slice_of("language:sv", 0.8, 0.75),)}, "language:sv got 5.0 points worse"),
        (
            {
                "candidate_latency": Latency(p50_ms=9, p95_ms=31, p99_ms=40),
                "champion_latency": Latency(p50_ms=5, p95_ms=10, p99_ms=90),
            },
            "p95 is 31.0 ms",
        ),
        ({"candidate_latency": Latency(p50_ms=9, p99_ms=31), "champion_latency": Latency(p50_ms=5, p99_ms=10)}, "p99 is 31.0 ms"),
        ({"size_mib": 3000.0}, "3,000.0 MiB"),
    ],
)
def test_each_guard_keeps_the_champion_and_says_why(change: dict[str, Any], words: str) -> None:
    policy = Promotion.model_validate({"metric": "macro_f1", "slices": [{"slice": "language:sv", "max_drop": 0.03}]})
    decision = decide(seen(**change), policy)
    assert decision.verdict == "keep"
    assert words in decision.reasons[0]
    assert decision.reasons[1].startswith("7.2 % better")
    assert [guard.result for guard in decision.guards].count("broken") == 1


def test_guards_hold_at_their_limits() -> None:
    policy = Promotion.model_validate(
        {"metric": "macro_f1", "slices": [{"slice": "newest", "max_drop": 0.25}], "max_forgetting": 0.25}
    )
    at_limit = seen(
        anchor=slice_of("anchor", 0.75, 0.55), slices=(slice_of("newest", 0.75, 0.55),), size_mib=2048.0,
        candidate_latency=Latency(p50_ms=1, p95_ms=30, p99_ms=40), champion_latency=Latency(p50_ms=1, p95_ms=10, p99_ms=10),
    )  # fmt: skip
    decision = decide(at_limit, policy)
    assert decision.verdict == "promote"
    assert {guard.name: guard.result for guard in decision.guards} == dict.fromkeys(
        ["slice newest", "anchor set", "latency", "size"], "holds"
    )


def test_a_guard_that_cannot_be_judged_is_named() -> None:
    policy = Promotion.model_validate({"metric": "macro_f1", "slices": [{"slice": "label:energy", "max_drop": 0.03}]})
    decision = decide(seen(anchor=slice_of("anchor", 0.9, 0.1, rows=12)), policy)
    assert decision.verdict == "promote"
    assert decision.reasons[1:] == (
        "Slice label:energy cannot be judged: it has fewer than 10 of the 50 rows needed.",
        "Anchor set cannot be judged: it has 12 rows of the 50 needed.",
    )


def test_too_little_evidence_stays_that_whatever_the_guards_say() -> None:
    decision = decide(seen(rows=100, size_mib=3000.0), POLICY)
    assert decision.verdict == "insufficient_evidence"
    assert any("3,000.0 MiB" in reason for reason in decision.reasons)


def test_error_reduction_is_told_as_such() -> None:
    policy = Promotion.model_validate({"metric": "macro_f1", "improvement": "error_reduction", "min_improvement": 0.1})
    (reason,) = decide(seen(required_gain=0.0288), policy).reasons
    assert reason.startswith("17.7 % fewer errors than news-topics/v3")
    assert reason.endswith("Promotion needs 10 % fewer errors.")


def test_absolute_is_told_in_points() -> None:
    policy = Promotion.model_validate({"metric": "macro_f1", "improvement": "absolute", "min_improvement": 0.03})
    (reason,) = decide(seen(required_gain=0.03), policy).reasons
    assert reason.startswith("5.1 points better than")
    assert reason.endswith("Promotion needs more than +3.0 points.")


def test_manual_mode_is_judged_like_any_other() -> None:
    assert decide(seen(), POLICY.model_copy(update={"mode": "manual"})).verdict == "promote"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"candidate_score": 0.712, "gain": 0.0, "lower_bound": -0.02, "upper_bound": 0.02}, "promote"),
        ({"candidate_score": 0.712, "gain": 0.0, "lower_bound": 0.0, "upper_bound": 0.0, "standard_error": 0.0}, "promote"),
        ({"candidate_score": 0.702, "gain": -0.01, "lower_bound": -0.036, "upper_bound": 0.016}, "insufficient_evidence"),
        ({"candidate_score": 0.612, "gain": -0.1, "lower_bound": -0.13, "upper_bound": -0.07}, "keep"),
        ({"rows": 199, "candidate_score": 0.712, "gain": 0.0, "lower_bound": 0.0}, "insufficient_evidence"),
    ],
)
def test_a_champion_that_must_go_is_replaced_by_one_that_is_no_worse(changes: dict[str, Any], verdict: str) -> None:
    decision = decide(seen(**changes), POLICY, champion_must_go=True)
    assert decision.verdict == verdict
    assert all(words in decision.reasons[-1] for words in ("news-topics/v3", "erased texts", "up to 3.6 points worse."))
    assert decide(seen(**changes), POLICY).verdict != "promote", "any other champion stays"


def test_a_champion_that_must_go_can_be_replaced_where_nothing_could_beat_it() -> None:
    perfect = seen(
        champion_score=0.99, candidate_score=0.99, gain=0.0, lower_bound=-0.01, upper_bound=0.01, required_gain=math.inf
    )
    assert decide(perfect, POLICY).verdict == "keep"
    assert decide(perfect, POLICY, champion_must_go=True).verdict == "promote"


def test_guards_hold_for_a_replacement_too() -> None:
    same = {"candidate_score": 0.712, "gain": 0.0, "lower_bound": -0.01, "upper_bound": 0.01}
    decision = decide(seen(**same, anchor=slice_of("anchor", 0.9, 0.8)), POLICY, champion_must_go=True)
    assert decision.verdict == "keep"
    assert decision.reasons[0].startswith("It forgets")
