"""The label-flip alarm over the stored judgements: which answers it holds, and which alarms are raised."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow.compute as pc

from config.kinds.kind import ANY
from config.sections import FeedbackSettings
from consumers.defence.arrivals import TABLE
from consumers.defence.flips import Flow
from consumers.rows.arriving.event_rows import Row
from consumers.tables.columns import is_one_of, moment, quoted
from consumers.tables.lance import Tables

# What has no say anyway neither raises an alarm nor belongs to the history. Whoever is over a cap is harmless already, and
# could otherwise raise alarms at will.
_COUNTED = ("effective", "conflict", "contradicts_gold", "outvoted", "alarm")


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm that was not up before."""

    task: str
    move: str
    flow: Flow

    def as_log(self) -> dict[str, Any]:
        """Return its fields for the log."""
        return {
            "task": self.task,
            "move": self.move,
            "reason": (
                f"{self.flow.moved} of the {self.flow.of} corrections in the window say {self.move}; "
                f"{self.flow.usual_share:.0%} was to be expected"
            ),
            "next": "they neither train nor count, and feedback starts no run of this task until somebody decides",
            "remedy": "`perennial feedback quarantine`, then `perennial feedback accept` or `reject`",
        }


@dataclass(frozen=True, slots=True)
class AlarmState:
    """What an alarm says of one task."""

    held: Mapping[str, tuple[str, str]]
    """By row id of each answer that it holds from now on: the SHA-256 of its text, and its move."""
    raised: tuple[Raised, ...]


def evaluate(tables: Tables, task: str, settings: FeedbackSettings) -> AlarmState:
    """Return which undecided corrections of a task must be held.

    The window ends with the newest arrival. An alarm that is up stays up until a person has decided about what it holds.
    """
    own = f"task = {quoted(task)} AND (verdict = 'correction' OR moves != '[]')"
    newest = pc.max(tables.scan(TABLE, ["arrived_at"], own)["arrived_at"]).as_py()
    if newest is None:
        return AlarmState({}, ())
    since = newest - timedelta(hours=settings.alarm_window_hours)
    oldest = since - timedelta(days=settings.alarm_history_days)
    columns = ["moves", "arrived_at", "decision", "alarm"]
    where = f"{own} AND arrived_at > {moment(oldest)} AND {is_one_of('standing', _COUNTED)}"
    rows = tables.scan(TABLE, columns, where)
    rows = rows.append_column("recent", pc.greater(rows["arrived_at"], since))
    alike = rows.group_by(["moves", "recent", "decision", "alarm"]).aggregate([([], "count_all")])
    groups = [_Group.of(row) for row in alike.to_pylist()]
    up = set(tables.scan(TABLE, ["alarm"], f"{own} AND standing = 'alarm'")["alarm"].to_pylist())
    specific = _alarming(groups, settings, lambda move: not _is_general(move), frozenset())
    # What one specific move explains must not accuse every correction to the same label.
    explained = frozenset(move for move in up | specific.keys() if not _is_general(move))
    flows = specific | _alarming(groups, settings, _is_general, explained)
    open_moves = sorted(flows.keys() | up, key=lambda move: (_is_general(move), move))
    raised = tuple(Raised(task, move, flow) for move, flow in flows.items() if move not in up)
    return AlarmState(_held(tables, f"{where} AND arrived_at > {moment(since)}", open_moves), raised)


@dataclass(frozen=True, slots=True)
class _Group:
    """Corrections with the same properties for the alarm."""

    moves: tuple[str, ...]
    recent: bool
    decision: str | None
    alarm: str | None
    count: int

    @classmethod
    def of(cls, row: Row) -> _Group:
        return cls(tuple(json.loads(row["moves"])), row["recent"], row["decision"], row["alarm"], row["count_all"])

    @property
    def is_new(self) -> bool:
        return self.recent and self.decision is None

    @property
    def is_history(self) -> bool:
        # What a person has accepted is usual from then on; what an alarm holds never becomes usual by waiting.
        return not self.is_new and (self.decision == "accept" or self.alarm is None)


def _alarming(
    groups: Sequence[_Group], settings: FeedbackSettings, wanted: Callable[[str], bool], explained: frozenset[str]
) -> dict[str, Flow]:
    moved: Counter[str] = Counter()
    moved_before: Counter[str] = Counter()
    for group in groups:
        if not explained.isdisjoint(group.moves):
            continue
        for move in filter(wanted, group.moves):
            moved[move] += group.count if group.is_new else 0
            moved_before[move] += group.count if group.is_history else 0
    of = sum(group.count for group in groups if group.is_new)
    of_before = sum(group.count for group in groups if group.is_history)
    # Of very many labels nearly every move is too rare to be weighed.
    often = sorted(move for move, count in moved.items() if count >= settings.alarm_min_count)
    flows = {move: Flow(moved[move], of, moved_before[move], of_before) for move in often}
    return {move: flow for move, flow in flows.items() if flow.is_alarming(settings.alarm_min_count)}


def _held(tables: Tables, where: str, moves: Sequence[str]) -> dict[str, tuple[str, str]]:
    if not moves:
        return {}
    undecided = f"{where} AND decision IS NULL AND alarm IS NULL"
    held = {}
    for row in tables.scan(TABLE, ["row_id", "text_sha256", "moves"], undecided).to_pylist():
        made = set(json.loads(row["moves"]))
        move = next((one for one in moves if one in made), None)
        if move is not None:
            held[row["row_id"]] = (row["text_sha256"], move)
    return held


def _is_general(move: str) -> bool:
    return move.startswith(ANY)
