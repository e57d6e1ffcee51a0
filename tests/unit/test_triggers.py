from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_tasks
from daemon.training.due import triggers
from daemon.training.due.trigger_input import Evidence, Request, Retry
from registry.people.pauses import Pause

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday
TASK = load_tasks(SHIPPED_TASKS_DIR)["news-topics"]
SCHEDULE = load_settings().schedule
QUIET = Evidence(
    new_examples=0, new_weight=0.0, train_examples=500, oldest_new_at=None, has_champion=True, running=False,
    first_run_at=NOW - timedelta(hours=20), last_run_at=NOW - timedelta(hours=19), used_keys=frozenset(), newest_seq=3,
)  # fmt: skip


def look(**changes: object) -> triggers.Evaluation:
    changes = {"new_weight": float(changes.get("new_examples", 0))} | changes  # type: ignore[arg-type]  # a number
    return triggers.evaluate(TASK, replace(QUIET, **changes), SCHEDULE, NOW)  # type: ignore[arg-type]


def test_nothing_new_is_not_due_and_says_how_many_are_missing() -> None:
    found = look(new_examples=37)
    assert found.trigger is None
    assert found.reasons[0] == "37 of 100 new examples; 63 more start a run"
    assert "next weekly run is due Sun 2026-11-22 03:00 UTC" in found.reasons[-1]


def test_rules_that_keep_everything_from_training_are_told_as_the_reason() -> None:
    asked = Request("r-1", "new desk", full=False)
    found = look(train_examples=0, unfit=320, request=asked)
    assert found.trigger is None
    assert any("quality" in reason and "320 texts" in reason and "data policy" in reason for reason in found.reasons)
    assert not any("quality" in reason for reason in look(train_examples=500, unfit=40).reasons), "a few are as meant"


def test_the_hundredth_example_starts_an_incremental_run() -> None:
    assert look(new_examples=99).trigger is None
    found = look(new_examples=100).trigger
    assert found is not None
    assert (found.kind, found.full, found.key) == ("threshold", False, "threshold:3")
    assert found.reason.startswith("100 new examples;")


def test_the_same_examples_start_no_second_run() -> None:
    found = look(new_examples=100, used_keys=frozenset({"threshold:3"}))
    assert found.trigger is None
    assert "the last run on them failed" in found.reasons[0]
    assert look(new_examples=101, newest_seq=4, used_keys=frozenset({"threshold:3"})).trigger is not None


def test_a_count_that_jumps_past_the_threshold_still_triggers() -> None:
    assert look(new_examples=1_234).trigger is not None


def test_without_a_champion_the_run_is_full() -> None:
    found = look(new_examples=100, has_champion=False).trigger
    assert found is not None
    assert found.full


def test_cooldown_holds_a_threshold_run_back_and_says_until_when() -> None:
    found = look(new_examples=150, last_run_at=NOW - timedelta(minutes=4))
    assert found.trigger is None
    assert "cooling down until Fri 2026-11-20 12:06 UTC (6 minutes to go)" in found.reasons[0]


def test_old_examples_start_a_run_below_the_threshold() -> None:
    week_ago = NOW - timedelta(days=7)
    found = look(new_examples=20, oldest_new_at=week_ago).trigger
    assert found is not None
    assert found.kind == "age"
    assert look(new_examples=19, oldest_new_at=week_ago).trigger is None
    assert look(new_examples=20, oldest_new_at=week_ago + timedelta(minutes=1)).trigger is None


def test_a_request_wins_over_cooldown() -> None:
    asked = Request("r1", "the desk asks", full=True)
    found = look(request=asked, last_run_at=NOW).trigger
    assert found is not None
    assert (found.kind, found.key, found.full) == ("request", "request:r1", True)


def test_a_request_without_examples_waits_in_words() -> None:
    found = look(request=Request("r1", "please", full=False), train_examples=0)
    assert found.trigger is None
    assert "requested, but there are no training examples yet" in found.reasons[0]


def test_a_request_waits_for_the_texts_before_it_and_nothing_else_starts_meanwhile() -> None:
    found = look(request=Request("r1", "please", full=False, texts_ahead=4_000), new_examples=1_000)
    assert found.trigger is None
    assert len(found.reasons) == 1
    assert "requested" in found.reasons[0]
    assert "4000 more texts" in found.reasons[0]


def test_a_request_keeps_its_wish_not_to_promote() -> None:
    found = look(request=Request("r1", "try", full=False, promote=False)).trigger
    assert found is not None
    assert not found.promote


def test_requests_that_wait_together_start_one_run() -> None:
    found = look(request=Request("r1", "please", full=True, further=("r2", "r3"))).trigger
    assert found is not None
    assert (found.key, found.further_keys, found.full) == ("request:r1", ("request:r2", "request:r3"), True)
    assert found.reason == "requested: please (and 2 more requests)"
    assert triggers.requests_of([found.key, "weekly:2026-W46", *found.further_keys]) == ["r1", "r2", "r3"]


def test_the_week_that_was_missed_is_caught_up_once() -> None:
    # The daemon was down on Sunday; runs exist from before it.
    found = look(first_run_at=NOW - timedelta(days=30)).trigger
    assert found is not None
    assert (found.kind, found.full, found.key) == ("weekly", True, "weekly:2026-W46")
    assert "5 days late" in found.reason
    again = look(first_run_at=NOW - timedelta(days=30), used_keys=frozenset({"weekly:2026-W46"}))
    assert again.trigger is None


def test_a_weekly_run_that_was_given_up_is_begun_anew_a_day_later_under_a_key_of_its_own() -> None:
    week = "weekly:2026-W46"
    old = {"first_run_at": NOW - timedelta(days=30)}
    early = look(**old, used_keys=frozenset({week}), given_up={week: NOW - timedelta(hours=23)})
    assert early.trigger is None
    assert "failed too often" in early.reasons[-1]
    assert "again Fri 2026-11-20 13:00 UTC" in early.reasons[-1]
    again = look(**old, used_keys=frozenset({week}), given_up={week: NOW - timedelta(hours=24)}).trigger
    assert again is not None
    assert (again.key, again.kind) == (f"{week}:2", "weekly")
    both = frozenset({week, f"{week}:2"})
    assert look(**old, used_keys=both, given_up={week: NOW - timedelta(days=2)}).trigger is None, "the second try is no failure"


def test_a_fresh_installation_owes_no_week() -> None:
    assert look(first_run_at=None).trigger is None
    assert look(first_run_at=NOW - timedelta(hours=1)).trigger is None


def test_a_running_run_blocks_everything() -> None:
    found = look(running=True, new_examples=1_000, request=Request("r1", "x", full=False))
    assert found.trigger is None
    assert found.reasons == ("a run is under way",)


def test_confirmations_alone_start_no_run_however_many_they_are() -> None:
    found = look(new_examples=560, new_weight=0.0, new_confirmed_weight=168.0, oldest_new_at=NOW - timedelta(days=30))
    assert found.trigger is None
    assert found.reasons[0].startswith("560 new examples with a total weight of 0 of 100; 100 more labels")
    assert found.reasons[1].startswith("confirmations")


@pytest.mark.parametrize(
    ("labels", "confirmations", "starts"),
    [(99, 1, False), (99, 4, True), (70, 100, True), (49, 1_000, False), (50, 1_000, True), (1, 1_000, False), (100, 0, True)],
)
def test_evidence_counts_by_its_weight(labels: int, confirmations: int, starts: bool) -> None:
    found = look(new_examples=labels + confirmations, new_weight=float(labels), new_confirmed_weight=0.3 * confirmations)
    assert (found.trigger is not None) == starts


def test_a_weight_that_just_falls_short_never_reads_as_enough() -> None:
    found = look(new_examples=101, new_weight=99.97)
    assert "weight of 99.9 of 100" in found.reasons[0]


def first(**changes: object) -> triggers.Evaluation:
    """A look at a task without a champion, whose import arrived a minute ago; all of it is new."""
    minute = NOW - timedelta(minutes=1)
    young = {"has_champion": False, "first_run_at": None, "last_run_at": None, "oldest_new_at": minute, "enough_since": minute}
    return look(**young | {"new_examples": 316, "test_examples": 98, "enriched_per_s": 20.0} | changes)


def test_a_first_run_waits_for_the_import_and_says_for_how_long() -> None:
    found = first(unenriched=886)
    assert found.trigger is None
    for words in ("316 new examples;", "886 more texts", "about 44 s", "98 of the 200 test rows", "at Fri 2026-11-20 12:14 UTC"):
        assert words in found.reasons[0]
    assert first(unread=886).trigger is None
    assert first(unread=None).trigger is None, "the log has not answered yet"


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("all is enriched", {"unenriched": 0}),
        ("the import cannot bring enough held-out rows", {"unenriched": 101}),
        ("it has waited long enough", {"unenriched": 886, "enough_since": NOW - timedelta(minutes=15)}),
        ("there is a champion", {"unenriched": 886, "has_champion": True}),
        ("evidence suffices, and a stream is never quiet", {"unenriched": 64, "test_examples": 200}),
        ("evidence suffices, and the rest takes long", {"unenriched": 50_000, "test_examples": 200}),
        ("evidence suffices, and nothing is enriched", {"unenriched": 500, "test_examples": 200, "enriched_per_s": None}),
    ],
)
def test_a_first_run_starts_at_once(why: str, changes: dict[str, object]) -> None:
    assert first(**changes).trigger is not None, why


def test_with_evidence_enough_a_first_run_still_waits_for_the_short_rest() -> None:
    assert first(unenriched=300, test_examples=200).trigger is None


def test_held_out_rows_that_were_missing_start_a_run_without_cooldown_and_only_when_they_are_new() -> None:
    undecided = {"undecided_rows": 98, "last_run_at": NOW - timedelta(minutes=1), "new_examples": 40}
    assert look(**undecided, new_test_examples=101).trigger is None
    found = look(**undecided, new_test_examples=102).trigger
    assert found is not None
    assert (found.kind, found.reason) == ("evidence", "200 test rows now, 98 in the last run; 200 are needed to decide")
    assert look(**undecided | {"undecided_rows": 300}, new_test_examples=102).trigger is None, "they were not too few"
    assert look(**undecided | {"undecided_rows": 199}, new_test_examples=0).trigger is None


def test_a_run_that_waits_to_be_tried_again_is_told_with_its_cause() -> None:
    waits = Retry("news-topics-1", NOW + timedelta(minutes=4), "No space left on device", failures=3)
    (told,) = look(running=True, retry=waits, new_examples=500).reasons
    for words in (
        "news-topics-1",
        "3 temporary failures",
        "at Fri 2026-11-20 12:04 UTC (4 minutes to go)",
        "No space left on device",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 11, 22, 2, 59, tzinfo=UTC), datetime(2026, 11, 15, 3, tzinfo=UTC)),
        (datetime(2026, 11, 22, 3, 0, tzinfo=UTC), datetime(2026, 11, 22, 3, tzinfo=UTC)),
        (datetime(2026, 11, 28, 23, 0, tzinfo=UTC), datetime(2026, 11, 22, 3, tzinfo=UTC)),
    ],
)
def test_the_weekly_moment_is_the_newest_scheduled_one(moment: datetime, expected: datetime) -> None:
    assert triggers.last_weekly_moment(SCHEDULE, moment) == expected


def test_daylight_saving_moves_no_weekly_run() -> None:
    # The nights on which Europe's clocks change: one weekly moment each, at 03:00 UTC, in a week of its own.
    spring, autumn = datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)
    for day in (spring, autumn):
        moment = triggers.last_weekly_moment(SCHEDULE, day)
        assert (moment.date(), moment.hour) == (day.date(), 3)
        assert triggers.weekly_key(moment) != triggers.weekly_key(moment + timedelta(days=7))


def test_iso_week_keys_cross_the_year() -> None:
    assert triggers.weekly_key(datetime(2026, 12, 31, tzinfo=UTC)) == "weekly:2026-W53"
    assert triggers.weekly_key(datetime(2027, 1, 3, 23, 59, tzinfo=UTC)) == "weekly:2026-W53"
    assert triggers.weekly_key(datetime(2027, 1, 4, tzinfo=UTC)) == "weekly:2027-W01"


PAUSE = Pause("news-topics", NOW - timedelta(hours=2), "operator", "elections")


@pytest.mark.parametrize(
    "due",
    [
        {"new_examples": 150},
        {"request": Request("r", "asked for", full=True)},
        {"new_examples": 20, "oldest_new_at": NOW - timedelta(days=9)},
        {"first_run_at": NOW - timedelta(days=20)},
    ],
)
def test_nothing_starts_a_run_of_a_paused_task_and_it_says_who_and_what_would(due: dict[str, object]) -> None:
    assert look(**due).trigger is not None
    found = look(**due, pause=PAUSE)
    assert found.trigger is None
    assert "paused since Fri 2026-11-20 10:00 UTC by operator (elections)" in found.reasons[0]
    assert "perennial resume news-topics" in found.reasons[0]
    assert found.reasons[1].startswith("a run would be due without the pause")


def test_a_paused_task_that_would_not_be_due_either_says_so() -> None:
    assert look(new_examples=3, pause=PAUSE).reasons[1].startswith("without the pause no run would be due either: 3 of 100")


def test_a_run_under_way_goes_on_while_its_task_is_paused_until_only_the_verdict_is_left() -> None:
    assert look(running=True, pause=PAUSE).reasons == ("a run is under way",)
    held = look(running=True, trained_run="r-1", pause=PAUSE)
    assert held.trigger is None
    assert held.reasons[1] == "run r-1 is trained; its verdict waits until then"
