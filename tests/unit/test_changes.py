"""Which answers changed between two versions: from which label to which, and whether that is better."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.views.models import changes


def row(number: int, gold: Any, before: Any, after: Any, key: str = "label") -> dict[str, str]:
    said = {"gold": gold, "before": before, "after": after}
    return {"example_id": f"e{number}", **{side: json.dumps({key: value}) for side, value in said.items()}}


def of_rows(rows: list[dict[str, str]], limit: int = 10) -> changes.Changes:
    texts = {one["example_id"]: f"text of {one['example_id']}" for one in rows}
    return changes.of_answers(rows, texts, before="t/v1", after="t/v2", of="rows", limit=limit)


def test_changes_are_counted_by_label_and_by_what_is_right_and_the_worse_come_first() -> None:
    rows = [
        row(0, "a", "a", "a"), row(1, "a", "b", "a"), row(2, "a", "b", "a"), row(3, "b", "b", "a"), row(4, "c", "b", "a"),
        row(5, "c", "b", "b"),
    ]  # fmt: skip
    found = of_rows(rows)
    assert (found.rows, found.changed, found.better, found.worse, found.neither) == (6, 4, 2, 1, 1)
    (move,) = found.moves
    assert (move.before, move.after, move.rows, move.better, move.worse, move.neither) == ("b", "a", 4, 2, 1, 1)
    assert [one.how for one in found.examples] == ["worse", "better", "better", "neither"]
    assert (found.examples[0].example_id, found.examples[0].text) == ("e3", "text of e3")
    assert len(of_rows(rows, limit=1).examples) == 1


@pytest.mark.parametrize(
    ("key", "gold", "before", "after", "move"),
    [
        ("labels", ["a", "b"], ["a"], ["a", "b"], ("(nothing)", "b")),
        (
            "spans", [{"start": 0, "end": 4, "label": "LOC"}], [{"start": 0, "end": 4, "label": "PER"}],
            [{"start": 0, "end": 4, "label": "LOC"}], ("PER", "LOC"),
        ),
        ("values", {"mood": 4.0}, {"mood": 1.0}, {"mood": 3.5}, ("mood", "mood up")),
        ("signals", {"crime": {"score": -0.6, "tag": "theft"}}, {"crime": {"score": 0.0, "tag": "none"}},
         {"crime": {"score": -0.6, "tag": "theft"}}, ("crime:none", "crime:theft")),
    ],
)  # fmt: skip
def test_every_kind_tells_its_moves(key: str, gold: Any, before: Any, after: Any, move: tuple[str, str]) -> None:
    found = of_rows([row(1, gold, before, after, key), row(2, gold, before, before, key)])
    assert (found.changed, found.better, found.worse) == (1, 1, 0)
    assert (found.moves[0].before, found.moves[0].after) == move
