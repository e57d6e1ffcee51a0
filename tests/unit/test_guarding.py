"""Guards: what is measured of parts of the rows, what follows, and what happens where nothing follows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy import stats

from config.errors import UserError
from config.task_files.sections.promotion import Promotion, SliceGuard
from registry.evidence import in_words
from registry.judging.gate import PAUSED, Decision, decide
from tests.support.scored import compared, labelled, table, topics
from tests.unit.test_gate import POLICY, seen, slice_of
from trainers.compare.answers import Answers
from trainers.compare.comparison import Comparison
from trainers.compare.guarding import calibration, judging, margins
from trainers.compare.guarding.guard import Guard
from trainers.compare.guarding.parts import Newest
from trainers.compare.guarding.served import Served
from trainers.compare.guarding.spread import cautious, needed_rows, quantile, standard_error
from trainers.compare.metrics.catalog import find
from trainers.compare.metrics.f1 import ACCURACY, MACRO_F1
from trainers.compare.probabilities import Probabilities, sureness

LABELS = ("a", "b", "c")
SCALE = ACCURACY.scale


def guarded(**promotion: Any) -> Promotion:
    return Promotion.model_validate({"metric": "macro_f1", **promotion})


def guard_of(found: Decision, name: str) -> Guard:
    (guard,) = [one for one in found.guards if one.name == name]
    return guard


def rows(count: int = 600, *, ours: float = 0.85, theirs: float = 0.7, seed: int = 3, **more: Any) -> pa.Table:
    """Return rows of which both models have about these shares right."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(LABELS, count).tolist()
    right = [rng.random(count) < share for share in (ours, theirs)]
    sides = [[label if hit else "x" for label, hit in zip(gold, side, strict=True)] for side in right]
    return labelled(gold, *sides, **more)


def paired_rows(count: int, discordant: int) -> tuple[Any, np.ndarray]:
    gold = [{"label": "a"}] * count
    wrong = [{"label": "b" if index < discordant else "a"} for index in range(count)]
    return ACCURACY.pair(gold, wrong, gold), np.arange(count)


def test_the_standard_error_is_that_of_differences_by_document() -> None:
    paired, alone = paired_rows(400, 40)
    assert standard_error(paired, alone, SCALE, seed=1) == pytest.approx(math.sqrt(0.1 * 0.9 / 399), rel=1e-3)
    # Ten rows a document that are right or wrong together are one piece of evidence.
    assert standard_error(paired, alone // 10, SCALE, seed=1) == pytest.approx(math.sqrt(0.1 * 0.9 / 40), rel=0.02)
    assert standard_error(ACCURACY.pair([], [], []), np.zeros(0, np.intp), SCALE, seed=1) == math.inf


def test_a_rank_correlation_is_resampled() -> None:
    rng = np.random.default_rng(1)
    gold = rng.normal(size=120)
    said = [[{"values": {"n": float(value)}} for value in gold + rng.normal(0, noise, 120)] for noise in (0.0, 0.5, 2.0)]
    metric = find("spearman")
    assert 0.02 < standard_error(metric.pair(*said), np.arange(120), metric.scale, seed=1) < 0.2


@pytest.mark.parametrize("error", [0.05, 0.01, 0.005])
@pytest.mark.parametrize(("documents", "worse"), [(50, 0), (200, 0), (200, 2), (500, 12)])
def test_bounds_are_near_the_exact_ones_where_few_documents_differ(documents: int, worse: int, error: float) -> None:
    measured = math.sqrt(worse / documents * (1 - worse / documents) / documents)
    ours = worse / documents + quantile(error) * cautious(measured, documents, SCALE)
    exact = stats.beta.ppf(1 - error, worse + 1, documents - worse)
    assert ours == pytest.approx(exact, rel=0.15)


def test_the_error_is_shared_by_the_guards_that_have_their_rows() -> None:
    parts = {name: slice_of(f"language:{name}", 0.8, 0.8) for name in ("de", "en", "sv")}
    few = slice_of("language:fi", 0.8, 0.8, rows=20)

    def bound(*names: str, more: tuple[Any, ...] = ()) -> float:
        slices = [{"slice": f"language:{name}", "max_drop": 0.1} for name in (*names, *("fi" for _ in more))]
        found = decide(seen(slices=tuple(parts[name] for name in names) + more), guarded(slices=slices))
        return guard_of(found, "slice language:de").bound or 0.0

    spread = cautious(0.01, 400, SCALE)
    assert bound("de") == pytest.approx(-quantile(0.05) * spread)
    assert bound("de", "en", "sv") == pytest.approx(-quantile(0.05 / 3) * spread)
    assert bound("de", more=(few,)) == bound("de")


@pytest.mark.parametrize(
    ("champion", "candidate", "count", "error", "result"),
    [
        (0.8, 0.79, 400, 0.005, "holds"),
        (0.8, 0.85, 60, 0.02, "holds"),  # few rows, and still no worse
        (0.8, 0.76, 400, 0.002, "broken"),  # surely worse
        (0.8, 0.70, 60, 0.02, "broken"),  # few rows, and surely worse
        (0.8, 0.785, 3_000, 0.011, "broken"),  # as many rows as show an equal one to be no worse, and not shown
        (0.8, 0.8, 60, 0.03, "not judged"),
        (0.8, 0.76, 200, 0.03, "not judged"),  # a point difference beyond the margin says nothing by itself
    ],
)
def test_what_follows_from_a_part_of_the_rows(champion: float, candidate: float, count: int, error: float, result: str) -> None:
    policy = guarded(slices=[{"slice": "newest", "max_drop": 0.03}])
    found = decide(seen(slices=(slice_of("newest", champion, candidate, rows=count, error=error),)), policy)
    guard = guard_of(found, "slice newest")
    assert (guard.result, guard.rows, guard.documents, guard.allowed) == (result, count, count, 0.03)
    assert guard.measured == pytest.approx(candidate - champion)
    assert found.verdict == ("keep" if result == "broken" else "promote")
    assert (guard.in_words in found.reasons) == (result != "holds")


def test_a_margin_of_nothing_asks_for_no_endless_rows() -> None:
    assert needed_rows(100, 0.02, 0.0, 0.05) == math.inf
    found = decide(seen(slices=(slice_of("newest", 0.8, 0.81),)), guarded(slices=[{"slice": "newest", "max_drop": 0.0}]))
    guard = guard_of(found, "slice newest")
    assert guard.result == "not judged"
    assert "rows would tell" not in guard.in_words


def test_strict_pauses_where_a_guard_cannot_be_judged() -> None:
    few = seen(slices=(slice_of("newest", 0.8, 0.8, rows=60, error=0.03),), anchor=slice_of("anchor", 0.8, 0.82))
    slices = [{"slice": "newest", "max_drop": 0.03}]
    assert decide(few, guarded(slices=slices)).verdict == "promote"
    strict = guarded(slices=slices, strict=True)
    found = decide(few, strict)
    assert (found.verdict, found.paused) == ("insufficient_evidence", True)
    assert found.reasons[0].startswith(PAUSED)
    assert found.reasons[1] == guard_of(found, "slice newest").in_words
    told = in_words.tell(few, strict, version="news-topics/v4", verdict=found.verdict, reasons=found.reasons)
    assert told.decides == found.reasons[0]
    # Not a pass, and nothing else either: what is worse is kept, and a champion that must go does not wait.
    assert decide(few.model_copy(update={"gain": 0.01}), strict).verdict == "keep"
    assert decide(few, strict, champion_must_go=True).verdict == "promote"
    judged = few.model_copy(update={"slices": (slice_of("newest", 0.8, 0.8, rows=4_000, error=0.005),)})
    assert decide(judged, strict).verdict == "promote"


def test_without_an_anchor_set_strict_waits_for_one_but_a_first_version_has_nothing_to_forget() -> None:
    strict = guarded(strict=True)
    found = decide(seen(), strict)
    assert found.verdict == "insufficient_evidence"
    assert "perennial anchor import news-topics" in found.reasons[1]
    assert decide(seen(), POLICY).reasons == decide(seen(), POLICY).reasons[:1], "without strict that is no news"
    first = seen(champion_version=None, opponent="baseline: most frequent label", required_gain=0.0, required_rows=0)
    assert decide(first, strict).verdict == "promote"


def test_a_guard_that_the_run_did_not_measure_is_not_judged() -> None:
    policy = guarded(slices=[{"slice": "newest", "max_drop": 0.03}], max_calibration_rise=0.02, max_memory_mib=100)
    found = decide(seen(slices=(slice_of("newest", 0.8, 0.2, error=None),)), policy)
    assert {one.name for one in found.guards if one.result == "not judged"} == {
        "slice newest", "anchor set", "calibration error", "memory"
    }  # fmt: skip
    assert found.verdict == "promote"


def test_what_serving_takes_is_guarded_and_a_head_alone_is_not_asked() -> None:
    policy = guarded(max_memory_mib=500, max_p95_ms=20, strict=True)
    with_anchor = seen(anchor=slice_of("anchor", 0.8, 0.82))
    good = Served(p95_ms=20.0, peak_memory_mib=500.0, examples=3)
    assert decide(with_anchor, policy, served=good).verdict == "promote"
    for change, words in (({"p95_ms": 20.1}, "20.1 ms"), ({"peak_memory_mib": 501.0}, "501.0 MiB")):
        found = decide(with_anchor, policy, served=good.model_copy(update=change))
        assert found.verdict == "keep"
        assert words in found.reasons[0]
    head = decide(with_anchor, policy, served=Served(examples=3, broken=1))
    assert [one.name for one in head.guards] == ["anchor set", "size", "must_not_break"]
    assert guard_of(head, "must_not_break").result == "broken"
    assert head.verdict == "promote", "the sandbox refuses it, and says why"
    assert decide(with_anchor, policy).verdict == "insufficient_evidence", "nobody has measured it"


def test_guarded_slices_are_measured_and_others_are_not() -> None:
    names = ["newest", "oldest", "shortest", "longest", "source:desk", "language:en", "label:a"]
    task = topics(slices=[{"slice": name, "max_drop": 0.1} for name in names])
    documents = [f"d-{index // 3}" for index in range(600)]
    anchor = rows(100, role="anchor", seed=5)
    found = compared(task, pa.concat_tables([rows(documents=documents), anchor]))
    parts = {part.name: part for part in found.slices}
    assert {name for name, part in parts.items() if part.standard_error is not None} == set(names)
    assert [parts[name].rows for name in names[:6]] == [150, 150, 150, 150, 300, 600]
    assert [parts[name].documents for name in ("newest", "language:en")] == [50, 200]
    assert parts["label:a"].documents <= parts["label:a"].rows < 600
    assert all(0.0 < (parts[name].standard_error or 0.0) < 0.1 for name in names)
    assert found.anchor is not None
    assert (found.anchor.rows, found.anchor.documents) == (100, 100)
    assert found.calibration is None
    assert not {"oldest", "source:desk", "shortest"} & {part.name for part in compared(topics(), rows()).slices}


def test_a_label_is_resampled_as_it_is_scored() -> None:
    answers = Answers.read(rows())
    detail = MACRO_F1.label_detail(*answers.columns)
    for label, paired in MACRO_F1.pair_labels(*answers.columns, LABELS).items():
        scores = paired.scores()
        assert scores == pytest.approx((detail.by_label[label].candidate, detail.by_label[label].opponent))


def test_scores_of_an_earlier_release_tell_neither_source_nor_length() -> None:
    task = topics(slices=[{"slice": "source:desk", "max_drop": 0.1}, {"slice": "longest", "max_drop": 0.1}])
    found = compared(task, rows().drop_columns(["source", "length"]))
    assert [one.result for one in decide(found, task.promotion).guards if one.name.startswith("slice")] == ["not judged"] * 2


@pytest.mark.parametrize("several", [False, True])
def test_the_calibration_error_has_a_bound(several: bool) -> None:
    rng = np.random.default_rng(2)
    gold, sides = [], ([], [])
    for _row in range(400):
        right = str(rng.choice(LABELS))
        gold.append({"labels": [right]} if several else {"label": right})
        for side, sure in zip(sides, (0.7, 0.99), strict=True):
            said = right if rng.random() < 0.7 else "c"
            scores = {name: sure if name == said else (1 - sure) / 2 for name in LABELS}
            side.append({"labels" if several else "label": [said] if several else said, "scores": scores})
    paired = calibration.paired([sureness(gold, side) for side in sides], 400)
    assert paired is not None
    expected = [Probabilities.of(gold, side) for side in sides]
    assert paired.scores() == pytest.approx([one.calibration_error for one in expected if one is not None])
    assert 0.001 < standard_error(paired, np.arange(400), calibration.SCALE, seed=1) < 0.05
    assert calibration.paired([sureness(gold, sides[0]), sureness([{"label": "a"}], [{"label": "a"}])], 400) is None


def test_a_rise_of_the_calibration_error_is_a_guard() -> None:
    gold = [{"label": LABELS[index % 3]} for index in range(900)]

    def says(sure: float, *, wrong_every: int) -> list[dict[str, Any]]:
        said = [LABELS[(index + (index % wrong_every == 0)) % 3] for index in range(900)]
        return [{"label": label, "scores": {label: sure}} for label in said]

    task = topics(max_calibration_rise=0.02)
    bad = compared(task, table(gold, says(0.5, wrong_every=50), says(0.75, wrong_every=4)))
    found = decide(bad, task.promotion)
    assert found.verdict == "keep"
    assert guard_of(found, "calibration error").result == "broken"
    good = compared(task, table(gold, says(0.98, wrong_every=50), says(0.75, wrong_every=4)))
    assert guard_of(decide(good, task.promotion), "calibration error").result == "holds"
    assert decide(good, task.promotion).verdict == "promote"


REFRESH = guarded(
    safe_refresh={"max_drop": 0.03, "newest_days": 30, "min_rows": 100}, slices=[{"slice": "language:de", "max_drop": 0.05}]
)


def refreshed(**changes: Any) -> Comparison:
    """Return a comparison that a safe refresh lets pass: 1 point better on all rows, 6 on the newest, no worse elsewhere."""
    newest = Newest(
        days=30, rows=300, documents=300, champion_score=0.6, candidate_score=0.66, gain=0.06, lower_bound=0.03, p_equal=0.001
    )
    values: dict[str, Any] = {
        "gain": 0.01, "candidate_score": 0.722, "lower_bound": -0.004, "upper_bound": 0.024, "standard_error": 0.007,
        "p_equal": 0.08, "newest": newest, "anchor": slice_of("anchor", 0.8, 0.8), "slices": (slice_of("language:de", 0.8, 0.8),),
    }  # fmt: skip
    return seen(**{**values, **changes})


def test_a_safe_refresh_promotes_what_is_better_on_the_newest_rows_and_no_worse_elsewhere() -> None:
    assert decide(refreshed(), guarded(slices=REFRESH.model_dump()["slices"])).verdict == "keep"
    found = decide(refreshed(), REFRESH)
    assert found.verdict == "promote"
    assert found.reasons[0].startswith("Safe refresh: 6.0 points better on the newest 30 days (0.660 against 0.600 on 300 rows")
    assert guard_of(found, judging.OVERALL).result == "holds"
    told = in_words.tell(refreshed(), REFRESH, version="news-topics/v4", verdict="promote", reasons=found.reasons)
    assert told.decides == found.reasons[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"newest": None}, "not measured"),
        ({"standard_error": 0.02}, "all test rows"),
        ({"gain": -0.04, "candidate_score": 0.672}, "all test rows"),
        ({"anchor": None}, "anchor import"),
        ({"anchor": slice_of("anchor", 0.8, 0.8, rows=60, error=0.03)}, "anchor set cannot be judged"),
        ({"anchor": slice_of("anchor", 0.8, 0.72)}, "forgets"),
        ({"slices": ()}, "language:de cannot be judged"),
        ({"slices": (slice_of("language:de", 0.8, 0.72),)}, "language:de"),
        ({"rows": 150}, "200 needed"),
        ({"looks": 8}, "1 in 2,000"),  # half of 1 in 125, by eight looks
    ],
)
def test_anything_in_the_way_of_a_safe_refresh_is_told(change: dict[str, Any], words: str) -> None:
    found = decide(refreshed(**change), REFRESH)
    assert found.verdict != "promote"
    assert words in " ".join(found.reasons)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": 99}, "99 of the 100 rows needed"),
        ({"gain": 0.0, "p_equal": 1.0}, "no better on the newest"),
        ({"gain": -0.02}, "2.0 points worse on the newest"),
        ({"lower_bound": -0.001}, "6.0 points better"),
        ({"p_equal": 0.005}, "1 of 200 comparisons, and the limit is 1 in 250"),
    ],
)
def test_the_newest_window_must_be_better_beyond_chance(change: dict[str, Any], words: str) -> None:
    newest = refreshed().newest
    assert newest is not None
    found = decide(refreshed(newest=newest.model_copy(update=change)), REFRESH)
    assert found.verdict == "keep"
    assert words in found.reasons[-1]


def test_two_ways_share_the_level() -> None:
    assert decide(seen(p_equal=0.006), POLICY).verdict == "promote"
    both = guarded(safe_refresh={"max_drop": 0.03})
    assert decide(seen(p_equal=0.006), both).verdict == "insufficient_evidence"
    assert decide(seen(p_equal=0.003), both).verdict == "promote"


def test_the_newest_window_is_measured_by_days_where_the_policy_asks() -> None:
    scores = rows()  # one row an hour
    assert compared(topics(), scores).newest is None
    found = compared(topics(safe_refresh={"max_drop": 0.03, "newest_days": 5}), scores).newest
    assert found is not None
    assert (found.rows, found.days, found.documents) == (121, 5, 121)
    assert found.gain == pytest.approx(found.candidate_score - found.champion_score)
    assert found.lower_bound < found.gain
    assert compared(topics(safe_refresh={"max_drop": 0.03}), rows(0)).newest is None


@pytest.mark.parametrize("name", ["lenght:long", "newst", "label:", "label", "language", "tag:a", ":", ""])
def test_a_slice_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is no slice"):
        SliceGuard(slice=name, max_drop=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_forgetting": 1.0}, "max_forgetting is 1"),
        ({"slices": [{"slice": "newest", "max_drop": 3}]}, "max_drop of newest is 3"),
        ({"safe_refresh": {"max_drop": 1.5}}, "safe_refresh.max_drop is 1.5"),
        ({"metric": "mae", "max_forgetting": 1.2}, "share of 1"),
    ],
)
def test_a_margin_that_no_drop_exceeds_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        margins.check(guarded(**changes))
    margins.check(POLICY)


@pytest.mark.parametrize(
    "changes",
    [{"guard_error": 0.0}, {"guard_error": 0.5}, {"max_calibration_rise": -0.1}, {"max_memory_mib": 0}, {"anchor_rows": -1}],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        guarded(**changes)


def test_numbers_are_told_in_their_unit() -> None:
    guard = Guard(name="slice a", result="holds", in_words="", measured=-0.0123, allowed=0.03)
    assert (guard.told(guard.measured, sign=True), guard.told(guard.allowed), guard.told(None)) == (
        "-1.2 points",
        "3.0 points",
        "",
    )
    assert Guard(name="memory", result="holds", in_words="", measured=512.5, unit="MiB").told(512.5) == "512.5 MiB"


def test_a_verdict_is_recorded_with_its_guards() -> None:
    noted = decide(seen(), POLICY).noted_in(seen())
    assert [one.name for one in noted.guards] == ["anchor set", "size"]
    assert Comparison.model_validate_json(noted.model_dump_json()) == noted
    assert replace(decide(seen(), POLICY), verdict="keep").guards == noted.guards
