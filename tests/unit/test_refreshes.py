"""When a head is refreshed: its own threshold and cooldown, and never the same examples twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.tasks import TaskSpec
from daemon.training.due import triggers
from daemon.training.due.trigger_input import Evidence
from registry.runs import REFRESH_KEY
from tests.support.tiny_models import toy_spec

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def task(**refresh: Any) -> TaskSpec:
    return toy_spec("minilm", refresh=refresh)


def evidence(**changes: Any) -> Evidence:
    values: dict[str, Any] = {
        "new_examples": 30, "new_weight": 30.0, "train_examples": 500, "oldest_new_at": NOW - timedelta(hours=1),
        "has_champion": True, "running": False, "first_run_at": NOW - timedelta(days=2), "last_run_at": NOW - timedelta(days=1),
        "used_keys": frozenset(), "newest_seq": 77, "refreshable": True, "fresh_weight": 12.0,
        "refreshed_at": NOW - timedelta(hours=1),
    }  # fmt: skip
    return Evidence(**values | changes)


def evaluate(spec: TaskSpec, found: Evidence) -> triggers.Evaluation:
    from config.settings import load_settings  # noqa: PLC0415 - heavy for who reads one test

    schedule = load_settings().schedule.model_copy(update={"weekly": False})
    return triggers.evaluate(spec, found, schedule, NOW)


def test_enough_new_examples_refresh_the_head() -> None:
    trigger = evaluate(task(), evidence()).trigger
    assert trigger is not None
    assert (trigger.kind, trigger.key, trigger.full) == ("refresh", f"{REFRESH_KEY}77", False)


def test_the_threshold_of_a_run_comes_first() -> None:
    trigger = evaluate(task(), evidence(new_examples=120, new_weight=120.0)).trigger
    assert trigger is not None
    assert trigger.kind == "threshold"


def test_a_run_that_cools_down_lets_a_refresh_pass() -> None:
    found = evaluate(task(cooldown_minutes=0), evidence(new_examples=120, new_weight=120.0, last_run_at=NOW))
    assert found.trigger is not None
    assert found.trigger.kind == "refresh"


@pytest.mark.parametrize(
    ("changes", "refresh"),
    [
        ({"fresh_weight": 9.9}, {}),
        ({"refreshable": False}, {}),
        ({"refreshable": False, "standing_head": "of an unknown architecture"}, {}),
        ({"has_champion": False}, {}),
        ({"used_keys": frozenset({f"{REFRESH_KEY}77"})}, {}),
        ({"refreshed_at": NOW - timedelta(minutes=1)}, {}),
        ({}, {"enabled": False}),
        ({}, {"min_new_examples": 13}),
        ({"running": True}, {}),
    ],
)
def test_otherwise_none_is_due(changes: dict[str, Any], refresh: dict[str, Any]) -> None:
    assert evaluate(task(**refresh), evidence(**changes)).trigger is None


def test_what_is_missing_is_said() -> None:
    reasons = evaluate(task(), evidence(fresh_weight=7.0)).reasons
    assert any("3 more new examples" in reason for reason in reasons)


def test_why_a_head_stands_is_said_once() -> None:
    stands = evidence(refreshable=False, standing_head="the head of architecture 'gpt2' is not known here")
    [told] = [reason for reason in evaluate(task(), stands).reasons if "gpt2" in reason]
    assert told.startswith("its champion's head cannot be solved by itself")
    assert "full or threshold run" in told
    for silent in (evaluate(task(enabled=False), stands), evaluate(task(), evidence(refreshable=False))):
        assert not [reason for reason in silent.reasons if "head" in reason]


def test_a_clock_set_back_holds_nothing_up() -> None:
    trigger = evaluate(task(), evidence(refreshed_at=NOW + timedelta(days=1))).trigger
    assert trigger is not None
