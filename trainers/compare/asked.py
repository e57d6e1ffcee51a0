"""Random test rows and rows that were asked for where two models disagree, as one comparison: each counts what it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from config.tasks import TaskSpec
from trainers.compare import statistics
from trainers.compare.answers import Answers
from trainers.compare.comparison import Asked, Comparison
from trainers.compare.improvement import required_gain
from trainers.compare.metrics import catalog
from trainers.compare.metrics.metric import Target
from trainers.compare.metrics.scale import Scale
from trainers.compare.one_class import only_label
from trainers.compare.resampling.paired import Clusters
from trainers.compare.resampling.sums import PairedSums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.inclusion import Floats, Strata
from trainers.compare.sampling.linearised import Scored
from trainers.compare.sampling.possible import possible
from trainers.compare.sampling.skipped import with_skips


def is_weighable(task: TaskSpec) -> bool:
    """Return whether the metric that decides for a task is a function of sums over rows, so that rows can count unequally."""
    return isinstance(catalog.of(task).pair([], [], []), PairedSums)


def compare_asked(
    task: TaskSpec,
    before: Comparison,
    *,
    gold: Sequence[Target | None],
    candidate: Sequence[Target],
    opponent: Sequence[Target],
    strata: Strata,
    sizes: Floats,
    clusters: Clusters,
    random: int,
    looks: int,
    seed: int,
    asked: Asked,
) -> Comparison:
    """Return what `before` said with its gain, scores and bounds from all labelled rows.

    The first `random` rows are test rows, the others were asked for; `gold` is None where nobody could tell. Rows of a stratum
    count alike: its `sizes` (strata,), those of the pool and the test rows together, over its labelled rows. Bounds hold
    whatever the missing labels would be; `p_equal` is the one for the case against the candidate, as is the gain that the test of
    the pair looks at. Slices, anchor set, latency and size stay as they were measured. Raises ValueError where the metric cannot
    be weighed.
    """
    policy, metric = task.promotion, catalog.of(task)
    design = Design.of_strata(strata, sizes, clusters)
    found = with_skips(metric, gold, candidate, opponent, design, possible=possible(task, gold, candidate, opponent))
    z = NormalDist().inv_cdf(policy.confidence)
    gain, error = _gain(found.labelled, metric.scale)
    low, low_error = _gain(found.against, metric.scale)
    high, high_error = _gain(found.in_favour, metric.scale)
    ours, theirs = (float(score) for score in found.labelled.scores)
    needed = required_gain(policy, theirs, metric.scale)
    labelled = sum(target is not None for target in gold)
    least, if_equal = _if_equal(metric.pair(found.worst, candidate, opponent), design, metric.scale, seed)
    # Labels that all speak for one model have no spread among themselves: then what it would be between equal models counts.
    error_of_look = max(low_error, float(np.sqrt(np.mean(if_equal**2))))
    test = None if asked.test is None else asked.test.looked(low, error_of_look, enough=labelled >= policy.min_test_examples)
    needed_test_rows = before.required_rows if before.asked is None else before.asked.needed_test_rows
    about = {"only_label": only_label(gold), "test_rows": random, "needed_test_rows": needed_test_rows, "test": test}
    return before.model_copy(
        update={
            "rows": labelled,
            "stories": int(clusters.max(initial=-1)) + 1,
            "champion_score": theirs,
            "candidate_score": ours,
            "gain": gain,
            "lower_bound": low - z * low_error,
            "upper_bound": high + z * high_error,
            "standard_error": error,
            "p_equal": (1 + int(np.count_nonzero(if_equal >= least - 1e-9))) / (1 + len(if_equal)),
            "required_gain": needed,
            "required_rows": (
                statistics.required_rows(labelled, error, needed, looks=looks * policy.ways)
                if test is None
                else statistics.required_rows(labelled, error_of_look, needed)
            ),
            "same_answers": Answers([], candidate, opponent).alike,
            "looks": looks,
            "asked": asked.model_copy(update=about),
        }
    )


def _gain(scored: Scored, scale: Scale) -> tuple[float, float]:
    """Return the gain in the metric's direction and its standard error."""
    sign = -1.0 if scale.lower_is_better else 1.0
    return scored.contrast(sign, -sign)


def _if_equal(paired: object, design: Design, scale: Scale, seed: int) -> tuple[float, Floats]:
    """Return the weighted gain, and gains (replicates,) as they would be if both models were equal.

    Who gave which answer is a coin toss then, by document and story.
    """
    assert isinstance(paired, PairedSums)  # noqa: S101 - `with_skips` has refused others; narrows the type
    weights = design.weights[:, None]
    weighted = replace(
        paired, shared=paired.shared * weights, candidate=paired.candidate * weights, opponent=paired.opponent * weights,
        whole=False,
    ).by_cluster(design.clusters)  # fmt: skip
    return scale.gain(*weighted.scores()), np.asarray(scale.gain(*weighted.swapped(np.random.default_rng(seed))))
