from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from perennial_artifact.predictor import Answer
from trainers.compare import scoring


class Says:
    """Answers every text with one label, and takes its time by a clock that it moves."""

    def __init__(self, label: str, clock: list[float] | None = None, takes_s: float = 0.0) -> None:
        self.label, self.clock, self.takes_s = label, clock or [0.0], takes_s
        self.batches: list[list[str]] = []

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        self.batches.append(list(texts))
        self.clock[0] += self.takes_s
        return [{"label": self.label, "text": text} for text in texts]


def as_they_are(_text: str, targets: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    return targets


def rows(count: int) -> pa.Table:
    return pa.table(
        {
            "example_id": [f"e{number}" for number in range(count)],
            "text": [f"täxt {number}" for number in range(count)],
            "target": ['{"label": "a"}'] * count,
            "role": ["test"] * count,
            "story_id": [f"s{number}" for number in range(count)],
            "document_id": pa.nulls(count, pa.string()),
            "event_time": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * count, pa.timestamp("us", "UTC")),
            "language": ["en"] * count,
            "weight": pa.array([1.0] * count, pa.float32()),
            "scope": pa.nulls(count, pa.list_(pa.string())),
        }
    )


def test_gold_carries_the_scope_of_its_row_where_it_is_known() -> None:
    table = rows(3).drop_columns(["scope"])
    table = table.append_column("scope", pa.array([["a", "b"], None, []], pa.list_(pa.string())))
    gold = [json.loads(one) for one in scoring.score(Says("a"), Says("b"), table, align=as_they_are)["gold"].to_pylist()]
    assert gold == [{"label": "a", "scope": ["a", "b"]}, {"label": "a"}, {"label": "a", "scope": []}]


def test_each_row_keeps_its_own_answers_of_both() -> None:
    reports: list[tuple[int, int]] = []
    scores = scoring.score(
        Says("new"), Says("old"), rows(130), align=as_they_are, report=lambda done, of: reports.append((done, of))
    )

    assert scores.num_rows == 130
    assert scores["gold"].to_pylist() == ['{"label": "a"}'] * 130
    for number, (candidate, opponent) in enumerate(
        zip(scores["candidate"].to_pylist(), scores["opponent"].to_pylist(), strict=True)
    ):
        assert json.loads(candidate) == {"label": "new", "text": f"täxt {number}"}
        assert json.loads(opponent) == {"label": "old", "text": f"täxt {number}"}
    assert reports == [(64, 130), (128, 130), (130, 130)]


def test_no_rows_give_a_table_without_lines() -> None:
    candidate = Says("new")
    scores = scoring.score(candidate, Says("old"), rows(0), align=as_they_are)
    assert scores.num_rows == 0
    assert scores.column_names[-3:] == ["gold", "candidate", "opponent"]
    assert candidate.batches == []


def test_latency_is_of_one_text_at_a_time_both_on_the_same_texts_in_turns() -> None:
    clock = [0.0]
    candidate, champion = Says("new", clock, 0.004), Says("old", clock, 0.002)

    new, old = scoring.time_answers(candidate, champion, [f"t{number}" for number in range(50)], clock=lambda: clock[0])

    assert new is not None
    assert old is not None
    assert (new.p50_ms, new.p99_ms) == (pytest.approx(4), pytest.approx(4))
    assert (old.p50_ms, old.p99_ms) == (pytest.approx(2), pytest.approx(2))
    assert candidate.batches == champion.batches == [[f"t{number}"] for number in range(50)]


def test_slow_models_are_timed_on_fewer_texts_but_never_too_few() -> None:
    clock = [0.0]
    candidate, champion = Says("new", clock, 10.0), Says("old", clock, 10.0)
    scoring.time_answers(candidate, champion, ["t"] * 400, clock=lambda: clock[0])
    assert len(candidate.batches) == 5 + 20


def test_a_single_text_is_enough_and_none_is_no_latency() -> None:
    new, old = scoring.time_answers(Says("new"), Says("old"), ["only"])
    assert new is not None
    assert old is not None
    assert scoring.time_answers(Says("new"), Says("old"), []) == (None, None)
