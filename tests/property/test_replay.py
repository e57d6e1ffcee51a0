from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.task_files.sections.feedback import FeedbackPolicy
from config.task_files.sections.training import Training
from trainers.job.rows import replay

rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "rare", ""]), st.integers(0, 10**6)), min_size=1, max_size=120)


def embeddings_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


@given(rows=rows, count=st.integers(0, 150), seed=st.integers(0, 99), embedded=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_sample_has_the_asked_size_no_row_twice_and_is_the_same_again(
    rows: list[tuple[str, int]], count: int, seed: int, embedded: bool
) -> None:
    labels, times = [label for label, _ in rows], np.array([time for _, time in rows], dtype=np.int64)
    embeddings = embeddings_of(len(rows)) if embedded else None

    chosen = replay.choose(labels=labels, times=times, embeddings=embeddings, count=count, seed=seed)
    again = replay.choose(labels=labels, times=times, embeddings=embeddings, count=count, seed=seed)

    assert len(chosen) == min(count, len(rows))
    assert len(set(chosen.tolist())) == len(chosen)
    assert chosen.tolist() == sorted(chosen.tolist()) == again.tolist()


@given(rows=rows, seed=st.integers(0, 99), spare=st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_every_label_and_age_band_is_there_when_there_is_room(rows: list[tuple[str, int]], seed: int, spare: int) -> None:
    labels, times = [label for label, _ in rows], np.array([time for _, time in rows], dtype=np.int64)
    rank = np.argsort(np.argsort(times, kind="stable"), kind="stable")
    strata = list(zip(labels, (rank * replay.AGE_BANDS // len(rows)).tolist(), strict=True))

    chosen = replay.choose(
        labels=labels, times=times, embeddings=embeddings_of(len(rows)), count=len(set(strata)) + spare, seed=seed
    )

    assert {strata[at] for at in chosen} == set(strata)


def test_a_rare_label_gets_more_than_its_share_and_a_common_one_still_most() -> None:
    labels = ["common"] * 900 + ["rare"] * 100
    order = np.random.default_rng(1).permutation(1000)
    chosen = replay.choose(labels=[labels[at] for at in order], times=np.arange(1000), embeddings=None, count=200, seed=1)
    counts = Counter(labels[order[at]] for at in chosen)
    assert counts["common"] > counts["rare"] > 40


def test_copies_of_one_text_do_not_fill_the_sample() -> None:
    points = np.zeros((100, 4), dtype=np.float32)
    points[90:] = np.eye(10, 4, dtype=np.float32) * 5 + np.arange(10)[:, None]

    chosen = replay.choose(labels=["a"] * 100, times=np.zeros(100, dtype=np.int64), embeddings=points, count=40, seed=2)

    distinct = {tuple(points[at]) for at in chosen}
    at_random = replay.choose(labels=["a"] * 100, times=np.zeros(100, dtype=np.int64), embeddings=None, count=40, seed=2)
    assert len(distinct) >= 9 > len({tuple(points[at]) for at in at_random})


def test_a_stratum_without_embeddings_is_drawn_at_random() -> None:
    points = embeddings_of(50)
    points[7] = np.nan
    chosen = replay.choose(labels=["a"] * 50, times=np.arange(50), embeddings=points, count=20, seed=0)
    assert len(set(chosen.tolist())) == 20


def table_of(count: int, new: int, labels: str = "ab", said: Callable[[int], int | None] | None = None) -> pa.Table:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "example_id": [f"e{at}" for at in range(count)],
            "target": [json.dumps({"label": labels[at % len(labels)]}) for at in range(count)],
            "event_time": pa.array([start + timedelta(hours=at) for at in range(count)], pa.timestamp("us", "UTC")),
            "is_new": [at >= count - new for at in range(count)],
            "embedding": [[float(at), 1.0] for at in range(count)],
            "weight": [1.0] * count,
            "contributor": pa.array([None] * count if said is None else [said(at) for at in range(count)], pa.int32()),
        }
    )


def test_an_incremental_run_takes_the_new_rows_and_the_ratio_of_old_ones() -> None:
    selection = replay.select(
        table_of(100, new=10), Training(replay_ratio=2.0, replay_floor=0), full=False, seed=0, feedback=FeedbackPolicy()
    )

    assert (selection.new, selection.replayed) == (10, 20)
    assert selection.table.num_rows == 30
    ids = selection.table["example_id"].to_pylist()
    assert ids[-10:] == [f"e{at}" for at in range(90, 100)]
    assert selection.table["event_time"].to_pylist() == sorted(selection.table["event_time"].to_pylist())


@pytest.mark.parametrize(
    ("max_rows", "new", "replayed"),
    [(12, 10, 2), (10, 10, 0), (5, 5, 0)],
)
def test_the_budget_is_for_new_and_old_rows_together(max_rows: int, new: int, replayed: int) -> None:
    selection = replay.select(table_of(100, new=10), Training(max_rows=max_rows), full=False, seed=0, feedback=FeedbackPolicy())
    assert (selection.new, selection.replayed) == (new, replayed)
    assert selection.table["example_id"].to_pylist()[-1] == "e99"


@pytest.mark.parametrize(("old", "floor", "replayed"), [(90, 60, 60), (90, 20, 20), (90, 5, 20), (30, 60, 30)])
def test_a_small_run_replays_the_floor_or_all_there_is(old: int, floor: int, replayed: int) -> None:
    training = Training(replay_ratio=2.0, replay_floor=floor)
    selection = replay.select(table_of(old + 10, new=10), training, full=False, seed=0, feedback=FeedbackPolicy())
    assert (selection.new, selection.replayed) == (10, replayed)


def test_the_floor_brings_every_type_among_thousands_of_rows() -> None:
    sizes = {"PERSON": 1_500, "ORG": 1_000, "GPE": 600, "EVENT": 40, "BILL": 12}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    order = np.random.default_rng(3).permutation(len(labels))
    drawn = replay.choose(labels=[labels[at] for at in order], times=np.arange(len(labels)), embeddings=None, count=600, seed=1)
    counts = Counter(labels[order[at]] for at in drawn)
    assert counts["EVENT"] >= 30
    assert counts["BILL"] == 12
    assert counts["PERSON"] > counts["GPE"] > 100


def test_a_full_run_takes_the_newest_rows() -> None:
    selection = replay.select(table_of(100, new=10), Training(max_rows=30), full=True, seed=0, feedback=FeedbackPolicy())
    assert selection.table["example_id"].to_pylist() == [f"e{at}" for at in range(70, 100)]
    assert (selection.new, selection.replayed) == (30, 0)


def test_a_run_without_older_rows_replays_nothing() -> None:
    selection = replay.select(table_of(10, new=10), Training(), full=False, seed=0, feedback=FeedbackPolicy())
    assert (selection.new, selection.replayed) == (10, 0)


def test_a_row_with_many_types_is_filed_under_its_rarest() -> None:
    def row(*labels: str) -> dict[str, object]:
        return {"spans": [{"start": 0, "end": 1, "label": label} for label in labels]}

    assert replay.stratum_labels([row("A", "B"), row("A"), row(), row("A")]) == ["B", "A", "", "A"]


def of_users(table: pa.Table) -> Counter[int | None]:
    """Rows of each user; None: labels."""
    return Counter(table["contributor"].to_pylist())


shapes = st.tuples(st.integers(1, 150), st.integers(1, 150), st.integers(1, 9), st.integers(1, 30))
policies = st.builds(FeedbackPolicy, max_share=st.floats(0.05, 1.0), max_user_share=st.floats(0.01, 1.0))


@given(shape=shapes, policy=policies, full=st.booleans(), seed=st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_users_never_give_more_than_their_shares_of_a_run(
    shape: tuple[int, int, int, int], policy: FeedbackPolicy, full: bool, seed: int
) -> None:
    count, new, users, labels_every = shape
    table = table_of(count, min(new, count), said=lambda at: None if at % labels_every == 0 else at % users)

    selection = replay.select(table, Training(), full=full, seed=seed, feedback=policy)

    counts, total = of_users(selection.table), selection.table.num_rows
    assert total - counts[None] <= policy.max_share * total
    assert all(rows <= policy.max_user_share * total for user, rows in counts.items() if user is not None)
    assert selection.feedback == total - counts[None]
    assert replay.select(table, Training(), full=full, seed=seed, feedback=policy).table.equals(selection.table)


def test_replay_brings_labels_where_new_feedback_fills_its_share() -> None:
    table = table_of(400, new=50, said=lambda at: at % 60 if at % 4 or at >= 350 else None)
    selection = replay.select(table, Training(replay_floor=0), full=False, seed=0, feedback=FeedbackPolicy())
    assert (selection.new, selection.replayed, selection.held_back) == (50, 50, 0)
    assert of_users(selection.table)[None] == 50


def test_one_user_among_labels_gives_a_fifth_and_the_rest_waits() -> None:
    table = table_of(100, new=100, said=lambda at: 0 if at % 2 else None)
    selection = replay.select(table, Training(), full=True, seed=0, feedback=FeedbackPolicy())
    assert (of_users(selection.table)[0], of_users(selection.table)[None], selection.held_back) == (12, 50, 38)


def test_who_sends_much_takes_nothing_from_who_sends_little_or_is_trusted_more() -> None:
    table = table_of(120, new=120, said=lambda at: None if at < 40 else 0 if at < 110 else at)
    selection = replay.select(table, Training(), full=True, seed=0, feedback=FeedbackPolicy(max_share=0.4, max_user_share=0.4))
    counts = of_users(selection.table)
    assert sum(counts[user] for user in range(110, 120)) == 10
    assert counts[0] == 16
    trusted = table.set_column(
        table.schema.get_field_index("weight"), "weight", pa.array([0.9 if 40 <= at < 60 else 0.5 for at in range(120)])
    )
    kept = replay.select(trusted, Training(), full=True, seed=0, feedback=FeedbackPolicy(max_share=0.4, max_user_share=0.4)).table
    assert {f"e{at}" for at in range(40, 60)} <= set(kept["example_id"].to_pylist())


def test_a_set_frozen_before_users_were_told_apart_trains_as_it_did() -> None:
    table = table_of(20, new=10).drop_columns(["contributor"])
    assert replay.select(table, Training(), full=True, seed=0, feedback=FeedbackPolicy()).table.num_rows == 20


def test_feedback_alone_is_no_run() -> None:
    selection = replay.select(table_of(50, new=50, said=lambda at: at), Training(), full=True, seed=0, feedback=FeedbackPolicy())
    assert (selection.new, selection.held_back) == (0, 50)


def test_a_full_run_tunes_on_a_sample_of_its_own_size() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number) for number in range(60)]
    frozen = pa.table({
        "example_id": [f"e{number}" for number in range(60)],
        "target": [json.dumps({"label": "ab"[number % 2]}) for number in range(60)],
        "event_time": pa.array(moments, pa.timestamp("us", tz="UTC")),
        "embedding": pa.nulls(60, pa.list_(pa.float32())), "is_new": [number >= 50 for number in range(60)],
        "contributor": pa.nulls(60, pa.int32()), "origin": ["import"] * 60, "selected_by": ["import"] * 60, "weight": [1.0] * 60,
    })  # fmt: skip
    training = Training(tuning_rows=20, full_tuning_rows=40)
    for full, size in ((False, 20), (True, 40)):
        found = replay.select(frozen, training, full=full, seed=1, feedback=FeedbackPolicy(), everything=True)
        assert found.sample is not None
        assert (len(found.sample), found.table.num_rows) == (size, 60)
