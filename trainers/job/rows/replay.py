"""What a run learns from: the new rows, and a sample of older ones against forgetting. Pure, deterministic by seed.

The sample is stratified by label and age, so that neither a rare label nor an old time is forgotten, and inside a stratum
it is spread over the embedding space, so that it does not repeat itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.kinds import catalog as kinds
from config.task_files.sections.feedback import FeedbackPolicy
from config.task_files.sections.training import Training
from trainers.job.rows import reducing, shares

AGE_BANDS = 4
"""Old rows are cut into this many equally large groups by age."""
_POOL_PER_ROW = 4
"""Rows looked at per row chosen when spreading."""
_GROUP_ROWS = 512

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RunRows:
    """The rows of one run, in order of time."""

    table: pa.Table
    new: int
    """Rows that the champion has not learnt from (in a full run: all)."""
    replayed: int
    held_back: int = 0
    """Feedback left for a later run, because users may give only a share of one."""
    sample: frozenset[str] | None = None
    """Example ids of the rows that an encoder is tuned on; None: all of them."""

    @property
    def feedback(self) -> int:
        """Rows that users gave."""
        return int(self.table.num_rows - self.table["contributor"].null_count)


def select(
    rows: pa.Table,
    training: Training,
    *,
    full: bool,
    seed: int,
    feedback: FeedbackPolicy,
    everything: bool = False,
    sampled: bool = True,
) -> RunRows:
    """Return what a run learns from the train rows of a training set (its columns, sorted by time).

    A full run, and every run where `everything` is to be learnt from, takes the newest `max_rows`; another one the new rows and
    `replay_ratio` old ones for each of them, but at least `replay_floor` (all where there are fewer), together at most
    `max_rows`. Of these, feedback stays within its policy's shares. Where everything is learnt from, the sample to tune on
    (`sampled`) has at most `tuning_rows`, in a full run `full_tuning_rows`: new ones first, then older ones that stand for all.
    """
    if "contributor" not in rows.column_names:
        # Frozen by a version that did not distinguish users.
        rows = rows.append_column("contributor", pa.nulls(rows.num_rows, pa.int32()))
    all_of_them = full or everything
    chosen = (
        rows.slice(max(0, rows.num_rows - training.max_rows)) if all_of_them else _incremental(rows, training, feedback, seed)
    )
    within = chosen.filter(shares.kept(chosen, feedback, seed))
    held_back, kept = chosen.num_rows - within.num_rows, _reduced(within, training)
    new = kept.num_rows if full else sum(kept["is_new"].to_pylist())
    most = training.full_tuning_rows if full else training.tuning_rows
    sample = _to_tune(kept, most, full=full, seed=seed) if everything and sampled else None
    return RunRows(kept, new=new, replayed=kept.num_rows - new, held_back=held_back, sample=sample)


def _reduced(rows: pa.Table, training: Training) -> pa.Table:
    """Return the rows without those of labels that have too many."""
    if training.majority_share is None and training.max_rows_per_label is None:
        return rows
    strata = stratum_labels([json.loads(target) for target in rows["target"].to_pylist()])
    is_new = np.asarray(rows["is_new"].to_pylist(), dtype=bool)
    return rows.filter(pa.array(reducing.kept(strata, is_new, training), pa.bool_()))


def _to_tune(rows: pa.Table, most: int, *, full: bool, seed: int) -> frozenset[str] | None:
    """Return the ids of the rows to tune on, where these are not all."""
    if rows.num_rows <= most:
        return None
    is_new = np.zeros(rows.num_rows, dtype=bool) if full else np.asarray(rows["is_new"].to_pylist(), dtype=bool)
    new, old = np.flatnonzero(is_new)[-most:], np.flatnonzero(~is_new)
    places = np.concatenate([new, _replayed(rows, old, most - len(new), seed)])
    return frozenset(rows["example_id"].take(pa.array(places)).to_pylist())


def _incremental(rows: pa.Table, training: Training, policy: FeedbackPolicy, seed: int) -> pa.Table:
    is_new = np.asarray(rows["is_new"].to_pylist(), dtype=bool)
    is_feedback = rows["contributor"].is_valid().to_numpy()
    new, old = np.flatnonzero(is_new)[-training.max_rows :], np.flatnonzero(~is_new)
    asked = max(round(training.replay_ratio * len(new)), training.replay_floor)
    wanted = min(asked, training.max_rows - len(new), len(old))
    replayed = _replayed(rows, old, wanted, seed)
    room = max(0, int(policy.max_share * (len(new) + wanted)) - int(is_feedback[new].sum()))
    if int(is_feedback[replayed].sum()) > room:
        # Labels in the place of feedback that would have to go again: the run stays as large as it can be.
        labels, said = old[~is_feedback[old]], old[is_feedback[old]]
        parts = (_replayed(rows, labels, wanted - room, seed), _replayed(rows, said, room, seed))
        replayed = np.concatenate(parts)
    return rows.take(pa.array(np.sort(np.concatenate([new, replayed]))))


def _replayed(rows: pa.Table, old: Indices, count: int, seed: int) -> Indices:
    """Return the numbers of `count` of the rows `old` that stand for all of them."""
    older = rows.take(pa.array(old))
    chosen = choose(
        labels=stratum_labels([json.loads(target) for target in older["target"].to_pylist()]),
        times=older["event_time"].cast(pa.int64()).to_numpy(),
        embeddings=_embeddings(older),
        count=count,
        seed=seed,
    )
    return old[chosen]


def choose(
    *, labels: Sequence[str], times: NDArray[np.int64], embeddings: NDArray[np.float32] | None, count: int, seed: int
) -> Indices:
    """Return `count` row numbers (n at most), sorted, from n rows with a label, a time and, if known, an embedding (n, d).

    Each pair of label and age band gets a share that grows with the square root of its size, one row at least while
    `count` allows; a row whose embedding is not finite has none, and its stratum is drawn at random.
    """
    count = min(count, len(labels))
    if count <= 0:
        return np.empty(0, dtype=np.intp)
    random = np.random.default_rng(seed)
    strata = _strata(labels, times)
    shares = _shares([len(members) for members in strata], count)
    picked = [_spread(members, embeddings, share, random) for members, share in zip(strata, shares, strict=True) if share > 0]
    return np.sort(np.concatenate(picked))


def stratum_labels(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the label each row is filed under: the rarest of its own, or an empty string when it has none."""
    labels = [frozenset(kinds.of(target).labels(target)) for target in targets]
    frequency = Counter(label for row in labels for label in row)
    return [min(row, key=lambda label: (frequency[label], label), default="") for row in labels]


def _embeddings(rows: pa.Table) -> NDArray[np.float32] | None:
    vectors = rows["embedding"].to_pylist()
    width = next((len(vector) for vector in vectors if vector is not None), 0)
    if width == 0:
        return None
    unknown = [np.nan] * width
    return np.asarray([unknown if vector is None or len(vector) != width else vector for vector in vectors], dtype=np.float32)


def _strata(labels: Sequence[str], times: NDArray[np.int64]) -> list[Indices]:
    """Return the row numbers of each pair of label and age band, in a fixed order."""
    rank = np.argsort(np.argsort(times, kind="stable"), kind="stable")
    band = rank * AGE_BANDS // len(labels)
    keys = [(label, int(age)) for label, age in zip(labels, band, strict=True)]
    members: dict[tuple[str, int], list[int]] = {key: [] for key in sorted(set(keys))}
    for row, key in enumerate(keys):
        members[key].append(row)
    return [np.asarray(rows, dtype=np.intp) for rows in members.values()]


def _shares(sizes: Sequence[int], count: int) -> list[int]:
    """Return how many rows each stratum gives: by the square root of its size, never more than it has, `count` together."""
    size = np.asarray(sizes)
    shares = np.zeros(len(size), dtype=int)
    # The largest first when there are fewer rows to give than strata.
    for at in np.argsort(-size, kind="stable")[:count]:
        shares[at] = 1
    while (left := count - int(shares.sum())) > 0:
        weight = np.where(shares < size, np.sqrt(size), 0.0)
        exact = left * weight / weight.sum()
        whole = np.minimum(np.floor(exact).astype(int), size - shares)
        if not whole.any():
            whole[np.argsort(-exact, kind="stable")[: min(left, int(np.count_nonzero(exact)))]] = 1
        shares += whole
    return shares.tolist()


def _spread(members: Indices, embeddings: NDArray[np.float32] | None, count: int, random: np.random.Generator) -> Indices:
    """Return `count` members that lie apart from each other.

    They are spread within random groups of bounded size, so that the work grows with the rows and not with their square.
    """
    if count >= len(members):
        return members
    pool = random.permutation(members)[: count * _POOL_PER_ROW]
    if embeddings is None or not np.isfinite(embeddings[pool]).all():
        return pool[:count]
    groups = np.array_split(pool, -(-len(pool) // _GROUP_ROWS))
    ends = np.cumsum([len(group) for group in groups]) * count // len(pool)
    shares = np.diff(ends, prepend=0)
    return np.concatenate(
        [group[_far_apart(embeddings[group], int(share), random)] for group, share in zip(groups, shares, strict=True)]
    )


def _far_apart(points: NDArray[np.float32], count: int, random: np.random.Generator) -> Indices:
    """Return the numbers of `count` rows of `points` (n, d): k-means++ seeding (Arthur and Vassilvitskii 2007).

    Each next row is drawn with a probability that grows with its squared distance from those already chosen; always taking
    the farthest would collect outliers, and among them wrong labels.
    """
    free = np.ones(len(points), dtype=bool)
    distance = np.full(len(points), 1.0)
    chosen = np.empty(count, dtype=np.intp)
    for turn in range(count):
        weight = np.where(free, distance, 0.0)
        if weight.sum() <= 0.0:  # only copies of chosen rows are left
            weight = free.astype(np.float64)
        at = int(random.choice(len(points), p=weight / weight.sum()))
        chosen[turn], free[at] = at, False
        apart = ((points - points[at]) ** 2).sum(axis=1, dtype=np.float64)
        distance = np.minimum(distance, apart) if turn else apart
    return chosen
