"""A past is copied as enrichment left its rows: what became of them later is undone, and happens again when it happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.buffer.writer import BufferWriter
from consumers.history.past import Past
from consumers.history.playing import Player
from consumers.rows import moves
from consumers.rows.backlog import TextRow
from tests.support import buffers
from tests.support.buffers import NOW, TOPICS, label, opened, take


def side(row: TextRow) -> str:
    return "test" if row.row_id.startswith("test") else "train"


def arrive(buffer: BufferWriter, *names: str) -> None:
    """One after the other, so that each has the next number."""
    for number, name in enumerate(names):
        take(buffer, label(name, f"text of {name}", "economy" if number % 2 else "sport"), split=side)


def numbers(past: Past) -> dict[str, tuple[int, str]]:
    rows = past.tables.scan("example_enrichment", ["row_id", "enriched_seq", "split"]).to_pylist()
    return {row["row_id"]: (row["enriched_seq"], row["split"]) for row in rows}


@contextmanager
def played(buffer: BufferWriter, folder: Path) -> Iterator[tuple[Past, Player, BufferWriter]]:
    buffer.take_past(TOPICS, folder / "past")
    past = Past(folder / "past", TOPICS.name)
    with opened(folder / "played") as other:
        yield past, Player(past, other), other


def test_a_test_row_that_trains_now_tests_in_the_past_under_a_number_of_its_time(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer") as buffer:
        arrive(buffer, "train-a", "test-b", "train-c", "test-d")
        first = buffer.counts(TOPICS.name)
        buffer._enrichment.retire("example_enrichment", {"test-b": "it has judged", "test-d": "it has judged"}, NOW, as_new=True)
        arrive(buffer, "train-e")
        assert buffer.counts(TOPICS.name).test == 0
        with played(buffer, tmp_path) as (past, player, other):
            assert numbers(past) == {
                "train-a": (1, "train"), "test-b": (2, "test"), "train-c": (3, "train"), "test-d": (4, "test"),
                "train-e": (7, "train"),
            }  # fmt: skip
            player.to(NOW, 4)
            then = other.counts(TOPICS.name)
            assert (then.train, then.test, then.max_seq) == (first.train, first.test, first.max_seq) == (2, 2, 4)
            # A replay's own run lets them train again, under the numbers that they got then; what comes later keeps its own.
            other._enrichment.retire("example_enrichment", {"test-b": "again", "test-d": "again"}, NOW, as_new=True)
            player.to(NOW, 7)
            assert (other.counts(TOPICS.name).train, other.counts(TOPICS.name).max_seq) == (5, 7)


def test_numbers_that_a_replay_has_given_away_are_not_given_twice(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer") as buffer:
        arrive(buffer, "train-a", "test-b", "train-c", "train-d")
        with played(buffer, tmp_path) as (_past, player, other):
            player.to(NOW, 2)
            other._enrichment.retire("example_enrichment", {"test-b": "another policy"}, NOW, as_new=True)
            player.to(NOW, 4)
            rows = other._tables.scan("example_enrichment", ["row_id", "enriched_seq"]).to_pylist()
            assert {row["row_id"]: row["enriched_seq"] for row in rows} == {"train-a": 1, "test-b": 3, "train-c": 4, "train-d": 5}
            assert (player.number, player.in_the_past(4), player.in_the_past(5)) == (4, 3, 4)
            assert other.counts(TOPICS.name, after_seq=3).new == 2


def test_a_row_leaves_training_when_the_text_comes_that_ties_it(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer") as buffer:
        arrive(buffer, "train-a", "train-b", "test-late", "train-c")
        buffer.drop_from_training({"train-a": moves.tied_to_story("story", "test-late"), "train-b": "for a reason of long ago"})
        with played(buffer, tmp_path) as (past, player, other):
            assert {name: split for name, (_number, split) in numbers(past).items()}["train-a"] == "train"
            player.to(NOW, 2)
            assert other.counts(TOPICS.name).train == 1
            player.to(NOW, 4)
            assert other.counts(TOPICS.name).train == 1
            assert other.counts(TOPICS.name).test == 1


@pytest.mark.parametrize("decision", [None, "accept"])
def test_an_answer_counts_from_when_it_was_let_in(tmp_path: Path, decision: str | None) -> None:
    with opened(tmp_path / "buffer") as buffer:
        arrive(buffer, "train-a")
        take(buffer, buffers.feedback("said-1", "somebody wrote this"), split=side)
        if decision is not None:
            take(buffer, buffers.accepted("review-1", "said-1"), offset=50)
        arrive(buffer, "train-b")
        now = buffer.counts(TOPICS.name)
        with played(buffer, tmp_path) as (past, player, other):
            player.to(NOW, int(past.numbers[-1]))
            found = other.counts(TOPICS.name)
            assert (found.train, found.new, found.max_seq, found.unenriched) == (now.train, now.new, now.max_seq, 0)
