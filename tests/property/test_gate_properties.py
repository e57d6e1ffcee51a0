from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.task_files.sections.promotion import Promotion
from registry.judging.gate import decide
from tests.support.scored import compared, labelled, topics
from trainers.compare import statistics
from trainers.compare.comparison import Comparison
from trainers.compare.metrics.f1 import MACRO_F1, paired_counts
from trainers.compare.resampling.sums import PairedSums

POLICY = Promotion(metric="macro_f1")
share = st.floats(0.0, 1.0)
seeds = st.integers(0, 10_000)


@st.composite
def comparisons(draw: st.DrawFn, *, clear: bool = False) -> Comparison:
    """Return any comparison that could be measured with enough rows to be weighed, or one that is clearly better."""
    champion = draw(st.floats(0.05, 0.6))
    candidate = champion + draw(st.floats(0.08, 0.3)) if clear else draw(share)
    error = draw(st.floats(0.001, 0.015 if clear else 0.1))
    gain, rows = candidate - champion, draw(st.integers(200, 5_000))
    needed = 0.05 * champion
    return Comparison(
        task="t", metric="macro_f1", candidate_run="r", champion_version="t/v1", opponent="t/v1", rows=rows, stories=rows,
        champion_score=champion, candidate_score=candidate, gain=gain, confidence=0.95, lower_bound=gain - 1.645 * error,
        upper_bound=gain + 1.645 * error, standard_error=error, p_equal=draw(st.floats(1e-4, 4e-4 if clear else 1.0)),
        discordant=draw(share), required_gain=needed, required_rows=statistics.required_rows(rows, error, needed),
        looks=draw(st.integers(1, 20)),
    )  # fmt: skip


@given(comparisons())
def test_nothing_is_promoted_without_gain_bound_and_certainty(seen: Comparison) -> None:
    if decide(seen, POLICY).verdict == "promote":
        assert seen.gain > seen.required_gain
        assert seen.lower_bound > 0
        assert seen.p_equal * seen.looks < 0.01


@given(comparisons(clear=True), st.floats(0.0, 0.1))
def test_a_larger_gain_never_undoes_a_promotion(seen: Comparison, more: float) -> None:
    assert decide(seen, POLICY).verdict == "promote"
    larger = seen.model_copy(update={
        "gain": seen.gain + more, "lower_bound": seen.lower_bound + more, "upper_bound": seen.upper_bound + more,
        "candidate_score": seen.candidate_score + more,
    })  # fmt: skip
    assert decide(larger, POLICY).verdict == "promote"


@given(comparisons(), st.integers(1, 20))
def test_more_looks_never_turn_into_a_promotion(seen: Comparison, more: int) -> None:
    assume(decide(seen, POLICY).verdict != "promote")
    assert decide(seen.model_copy(update={"looks": seen.looks + more}), POLICY).verdict != "promote"


@given(comparisons())
def test_every_decision_has_a_reason_that_reads_as_a_sentence(seen: Comparison) -> None:
    decision = decide(seen, POLICY)
    assert decision.reasons
    assert all(reason and "nan" not in reason and "inf" not in reason and "\n" not in reason for reason in decision.reasons)


def answers(seed: int, rows: int, labels: int) -> tuple[PairedSums, np.ndarray]:
    rng = np.random.default_rng(seed)
    gold, candidate, opponent = rng.integers(0, labels, (3, rows))
    eye = np.eye(labels)
    found = paired_counts(eye[gold], eye[gold] * (gold == candidate)[:, None], eye[candidate],
                          eye[gold] * (gold == opponent)[:, None], eye[opponent])  # fmt: skip
    return found, np.unique(rng.integers(0, rows, rows), return_inverse=True)[1]


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(2, 120), st.integers(1, 6))
def test_swapping_the_models_turns_the_evidence_round(seed: int, rows: int, labels: int) -> None:
    found, stories = answers(seed, rows, labels)
    swapped = replace(found, candidate=found.opponent, opponent=found.candidate)
    one, other = (statistics.weigh(each, stories, MACRO_F1.scale, confidence=0.95, seed=seed) for each in (found, swapped))
    assert np.isclose(one.gain, -other.gain)
    assert np.isclose(one.standard_error, other.standard_error)
    assert np.allclose([one.lower_bound, one.upper_bound], [-other.upper_bound, -other.lower_bound])
    # Together they count every outcome once, and those of exactly this size twice.
    assert one.p_equal + other.p_equal >= 0.97


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(200, 400))
def test_a_model_is_never_promoted_over_itself(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    gold = [str(label) for label in rng.integers(0, 5, rows)]
    answers = [str(label) for label in rng.integers(0, 5, rows)]
    for champion in ("news-topics/v3", None):
        seen = compared(topics(), labelled(gold, answers, answers), champion=champion)
        assert seen.p_equal == 1.0
        assert decide(seen, POLICY).verdict == "keep"
