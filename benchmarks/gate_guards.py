"""Guards and safe refreshes: how often they let the wrong candidate through, and what a comparison of 100,000 rows costs.

    python -m benchmarks.gate_guards [--quick] [--cost-alone] [--json FILE]

A look has 1,200 test rows, of which 300 are the newest window and 400 of one guarded language, and an anchor set of 400 rows.
Accuracy is 0.80, and 15 % of the answers differ. Candidates are equal, worse, or better in some parts only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import report
from config.task_files.sections.promotion import Promotion
from config.tasks import TaskSpec
from registry.judging import gate
from trainers.compare import statistics
from trainers.compare.comparison import Comparison, compare
from trainers.compare.guarding.parts import Newest
from trainers.compare.guarding.spread import quantile, standard_error
from trainers.compare.improvement import required_gain
from trainers.compare.metrics.f1 import ACCURACY, paired_counts
from trainers.compare.parts.slices import Slice
from trainers.compare.resampling.sums import PairedSums

MARGIN = 0.05
POLICY = Promotion.model_validate(
    {
        "metric": "accuracy", "safe_refresh": {"max_drop": MARGIN}, "max_forgetting": MARGIN,
        "slices": [{"slice": "language:de", "max_drop": MARGIN}],
    }
)  # fmt: skip
_ROWS, _NEWEST, _LANGUAGE, _ANCHOR = 1_200, 300, 400, 400
_ACCURACY, _DISCORDANT = 0.80, 0.15
_LABELS = 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """True gains by part of the rows; the language has its rows among the older ones."""

    newest: float = 0.0
    older: float = 0.0
    language: float = 0.0
    anchor: float = 0.0


CANDIDATES: Mapping[str, Candidate] = {
    "equal": Candidate(),
    "worse by the margin everywhere": Candidate(-MARGIN, -MARGIN, -MARGIN, -MARGIN),
    "equal on the newest, worse by the margin on the older rows": Candidate(0.0, -MARGIN, -MARGIN, -MARGIN),
    "10 points better on the newest, worse by the margin on the anchor set": Candidate(newest=0.10, anchor=-MARGIN),
    "10 points better on the newest, worse by the margin in the language": Candidate(newest=0.10, language=-MARGIN),
    "10 points better on the newest, equal elsewhere": Candidate(newest=0.10),
    "10 points better on the newest, 2 elsewhere": Candidate(0.10, 0.02, 0.02, 0.02),
}


def look(candidate: Candidate, rng: np.random.Generator, seed: int) -> gate.Decision:
    """Return the verdict on one candidate at fresh rows."""
    parts = [
        _pair(_NEWEST, candidate.newest, rng), _pair(_LANGUAGE, candidate.language, rng),
        _pair(_ROWS - _NEWEST - _LANGUAGE, candidate.older, rng),
    ]  # fmt: skip
    shared, candidates, champions = (np.vstack([getattr(part, name) for part in parts]) for name in _SIDES)
    every = PairedSums(shared, candidates, champions, ACCURACY_SCORE, whole=True)
    anchor = _pair(_ANCHOR, candidate.anchor, rng)
    ours, theirs = every.scores()
    gain, error = ours - theirs, standard_error(every, np.arange(_ROWS), ACCURACY.scale, seed=0)
    # The usual way is not the point here: its bounds from the normal distribution.
    off = quantile(1.0 - POLICY.confidence) * error
    needed = required_gain(POLICY, theirs, ACCURACY.scale)
    seen = Comparison(
        task="simulated", metric="accuracy", scale=ACCURACY.scale, candidate_run="r", champion_version="simulated/v1",
        opponent="simulated/v1", rows=_ROWS, stories=_ROWS, champion_score=theirs, candidate_score=ours, gain=gain,
        confidence=POLICY.confidence, lower_bound=gain - off, upper_bound=gain + off, standard_error=error,
        p_equal=NormalDist().cdf(-gain / error), discordant=_DISCORDANT, required_gain=needed,
        required_rows=statistics.required_rows(_ROWS, error, needed, looks=POLICY.ways),
        anchor=_slice("anchor", anchor), slices=(_slice("language:de", parts[1]),), newest=_newest(parts[0], seed),
    )  # fmt: skip
    return gate.decide(seen, POLICY)


def rates(candidate: Candidate, looks: int, seed: int = 1) -> dict[str, float]:
    """Return how often a candidate is promoted, and how often only as a safe refresh."""
    rng = np.random.default_rng(seed)
    verdicts = [look(candidate, rng, number) for number in range(looks)]
    promoted = [one for one in verdicts if one.verdict == "promote"]
    return {
        "promoted": len(promoted) / looks,
        "as_a_safe_refresh": sum(one.reasons[0].startswith("Safe refresh") for one in promoted) / looks,
        "a_guard_broken": sum(any(guard.result == "broken" for guard in one.guards) for one in verdicts) / looks,
        "a_guard_not_judged": sum(any(guard.result == "not judged" for guard in one.guards) for one in verdicts) / looks,
    }


_SIDES = ("shared", "candidate", "opponent")


def _pair(rows: int, gain: float, rng: np.random.Generator) -> PairedSums:
    draw = rng.random(rows)
    ours_alone, theirs_alone = (_DISCORDANT + gain) / 2, (_DISCORDANT - gain) / 2
    bounds = np.cumsum([ours_alone, theirs_alone, _ACCURACY - theirs_alone])
    outcome = np.searchsorted(bounds, draw, side="right")[:, None]
    ones = np.ones((rows, 1))
    candidate, champion = ((outcome == alone) | (outcome == 2) for alone in (0, 1))
    return paired_counts(ones, candidate.astype(float), ones, champion.astype(float), ones)


ACCURACY_SCORE = _pair(1, 0.0, np.random.default_rng(0)).score


def _slice(name: str, part: PairedSums) -> Slice:
    ours, theirs = part.scores()
    error = standard_error(part, np.arange(len(part)), ACCURACY.scale, seed=0)
    return Slice(
        name=name, rows=len(part), champion_score=theirs, candidate_score=ours, documents=len(part), standard_error=error
    )  # fmt: skip


def _newest(part: PairedSums, seed: int) -> Newest:
    ours, theirs = part.scores()
    if ours <= theirs:
        # Nothing passes; resampling is spared.
        return Newest(
            days=30, rows=len(part), documents=len(part), champion_score=theirs, candidate_score=ours, gain=ours - theirs,
            lower_bound=ours - theirs, p_equal=1.0,
        )  # fmt: skip
    found = statistics.weigh(part, np.arange(len(part)), ACCURACY.scale, confidence=POLICY.confidence, seed=seed)
    return Newest(
        days=30, rows=len(part), documents=len(part), champion_score=theirs, candidate_score=ours, gain=found.gain,
        lower_bound=found.lower_bound, p_equal=found.p_equal,
    )  # fmt: skip


def cost(rows: int, *, guarded: bool, named: int = 1, seed: int = 1) -> dict[str, float]:
    """Return the seconds that comparison and verdict of so many rows take: macro F1 over 30 labels, with guards or without.

    Each answer gives the probabilities of so many labels (`named`).
    """
    scores = _scores(rows, np.random.default_rng(seed), named)
    promotion: dict[str, object] = {"metric": "macro_f1", "strict": guarded}
    if guarded:
        slices = ["newest", "oldest", "shortest", "longest", "language:l0", "language:l1", *(f"label:t{n}" for n in range(5))]
        promotion |= {
            "slices": [{"slice": name, "max_drop": 0.05} for name in slices], "max_calibration_rise": 0.02,
            "safe_refresh": {"max_drop": 0.05},
        }  # fmt: skip
    task = TaskSpec.model_validate(
        {
            "name": "topics", "kind": "classification", "backend": "transformer", "base_model": "minilm", "labels": "open",
            "promotion": promotion,
        }
    )  # fmt: skip
    began, cpu = time.perf_counter(), time.process_time()
    seen = compare(
        task, run_id="r", champion_version="topics/v1", opponent="topics/v1", scores=scores, candidate_latency=None,
        champion_latency=None, size_mib=1.0,
    )  # fmt: skip
    compared, compared_cpu = time.perf_counter(), time.process_time()
    found = gate.decide(seen, task.promotion)
    decided = time.perf_counter()
    return {
        "compare_s": compared - began, "compare_cpu_s": compared_cpu - cpu, "decide_s": decided - compared,
        "guards": float(len(found.guards)),
    }  # fmt: skip


def _scores(rows: int, rng: np.random.Generator, named: int) -> pa.Table:
    """Return made-up scores: 30 labels, the opponent right in 70 %, the candidate in 75 %; one row in fifty is an anchor."""
    gold = rng.integers(0, _LABELS, rows)
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def said(right: float) -> NDArray[np.int_]:
        return np.where(rng.random(rows) < right, gold, rng.integers(0, _LABELS, rows))

    def answers(labels: NDArray[np.int_]) -> list[str]:
        sure = np.round(rng.uniform(0.4, 0.99, rows), 3)
        others = np.round(rng.uniform(0.0, 0.1, (rows, named - 1)), 6)
        names = [[f"t{(label + place) % _LABELS}" for place in range(named)] for label in range(_LABELS)]
        return [
            json.dumps({"label": f"t{one}", "scores": dict(zip(names[one], (float(how), *rest), strict=True))})
            for one, how, rest in zip(labels, sure, others.tolist(), strict=True)
        ]

    return pa.table(
        {
            "example_id": [f"e-{row}" for row in range(rows)],
            "role": ["anchor" if row % 50 == 0 else "test" for row in range(rows)],
            "story_id": [f"s-{row // 2}" for row in range(rows)], "document_id": [f"d-{row // 2}" for row in range(rows)],
            "event_time": pa.array([start + timedelta(minutes=row) for row in range(rows)], pa.timestamp("us", tz="UTC")),
            "language": [f"l{row % 3}" for row in range(rows)], "source": ["desk"] * rows,
            "length": pa.array(rng.integers(20, 5_000, rows), pa.int32()),
            "gold": [json.dumps({"label": f"t{one}"}) for one in gold], "candidate": answers(said(0.75)),
            "opponent": answers(said(0.70)),
        }
    )  # fmt: skip


def main() -> None:
    """Simulate, time, print and write."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--cost-alone", action="store_true", help="only what a comparison costs; no candidate is simulated")
    arguments = parser.parse_args()
    looks, rows = (200, 20_000) if arguments.quick else (2_000, 100_000)
    results: dict[str, object] = {"looks": looks}
    for name, candidate in () if arguments.cost_alone else CANDIDATES.items():
        results[name] = rates(candidate, looks)
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    for guarded, named in ((False, 1), (True, 1), (True, 10)):
        name = f"{rows:,} rows, {'all guards' if guarded else 'no guards'}, probabilities of {named}"
        results[name] = cost(rows, guarded=guarded, named=named)
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    report.write("gate_guards", arguments, results, arguments.json)


if __name__ == "__main__":
    main()
