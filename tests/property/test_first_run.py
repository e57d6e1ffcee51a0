"""A first run never waits for ever, and never without saying for what; confirmations never start one alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_tasks
from daemon.training.due import triggers
from daemon.training.due.trigger_input import Evidence

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TASK = load_tasks(SHIPPED_TASKS_DIR)["news-topics"]
SCHEDULE = load_settings().schedule
NEVER = st.sampled_from([False])
counts = st.integers(0, 100_000)
moments = st.floats(0, 10 * 86_400).map(lambda seconds: NOW - timedelta(seconds=seconds))
evidences = st.builds(
    Evidence,
    new_examples=st.integers(100, 100_000),
    new_weight=st.floats(100, 100_000),
    train_examples=st.integers(100, 100_000),
    oldest_new_at=moments,
    has_champion=NEVER,
    running=NEVER,
    first_run_at=st.none(),
    last_run_at=st.none(),
    used_keys=st.just(frozenset()),
    newest_seq=counts,
    test_examples=counts,
    enough_since=st.one_of(st.none(), moments),
    unread=st.one_of(st.none(), counts),
    unenriched=counts,
    enriched_per_s=st.one_of(st.none(), st.floats(0.01, 1_000)),
)


@settings(deadline=None)
@given(evidences)
def test_it_starts_or_says_what_it_waits_for_and_until_when(evidence: Evidence) -> None:
    found = triggers.evaluate(TASK, evidence, SCHEDULE, NOW)
    if found.trigger is None:
        assert "at the latest" in found.reasons[0]
    later = NOW + timedelta(minutes=TASK.trigger.first_run_wait_minutes)
    assert triggers.evaluate(TASK, evidence, SCHEDULE, later).trigger is not None, "however much still comes in"


@settings(deadline=None)
@given(st.floats(0, 99.9), st.floats(0, 1e6))
def test_confirmations_at_most_double_what_the_rest_weighs(labels: float, confirmed: float) -> None:
    quiet = Evidence(
        new_examples=10_000, new_weight=labels, new_confirmed_weight=confirmed, train_examples=10_000,
        oldest_new_at=NOW - timedelta(days=365), has_champion=True, running=False, first_run_at=NOW, last_run_at=None,
        used_keys=frozenset(), newest_seq=1,
    )  # fmt: skip
    assert quiet.weight <= 2 * labels
    if labels < TASK.trigger.max_age_min_examples / 2 - 0.01:
        assert triggers.evaluate(TASK, quiet, SCHEDULE, NOW).trigger is None
