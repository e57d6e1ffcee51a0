"""Feedback must pass caps, trust, agreement and the alarm before it trains or counts; real tables, no model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.sections import FeedbackSettings
from config.settings import load_settings
from consumers.buffer.open import open_reader
from consumers.buffer.writer import BufferWriter
from consumers.training_set.snapshot import TrainingSet
from daemon.training.due import evidence, triggers
from registry.store import Registry
from tests.support.buffers import (
    FEEDBACK,
    NOW,
    SETTINGS,
    TASKS,
    TOPICS,
    Moving,
    accepted,
    always_train,
    article,
    enrich,
    feedback,
    finding,
    judge,
    label,
    opened,
    prediction,
    review,
    spans,
    stored,
)
from tests.support.tables import rows_of

# Few rows suffice for a label here, and users may bring it.
TASK = TOPICS.model_copy(update={"new_label_min_examples": 1, "label_names": ("economy",)})
LENIENT = {**TASKS, TASK.name: TASK}


def policy(**changes: Any) -> FeedbackSettings:
    return FEEDBACK.model_copy(update=changes)


def standings(buffer: BufferWriter) -> dict[str, str]:
    rows = rows_of(buffer.folder, "feedback_judgements", ["row_id", "standing"]).to_pylist()
    return {row["row_id"]: row["standing"] for row in rows}


def fate(buffer: BufferWriter, event_id: str) -> tuple[str, str]:
    found = buffer.feedback_fate(event_id)
    assert found is not None
    told = buffer.explain(found)
    return told.status, told.reason


def frozen(buffer: BufferWriter, folder: Path) -> TrainingSet:
    return buffer.freeze(TASK, run_id="r", folder=folder, learnt=frozenset())


def trained(buffer: BufferWriter, folder: Path) -> list[str]:
    return sorted(frozen(buffer, folder).rows("train")["example_id"].to_pylist())


def take(buffer: BufferWriter, *events: Any, offset: int = 0, settings: FeedbackSettings = FEEDBACK) -> None:
    """Store, enrich and judge."""
    buffer.insert(stored(*events, offset=offset))
    while rows := buffer.unenriched("examples", 100):
        buffer.apply_enrichment("examples", [finding(row, always_train(row)) for row in rows])
    judge(buffer, settings)


class TestCaps:
    def test_a_user_fills_a_day_by_arrival_whatever_times_the_events_bear(self, tmp_path: Path) -> None:
        now = [NOW]
        few = policy(max_per_user_day=2)
        with opened(tmp_path / "b", tasks=LENIENT, clock=lambda: now[0]) as buffer:
            take(buffer, *(feedback(f"f-{n}", f"text {n}", hours=24 * n) for n in range(4)), settings=few)
            take(buffer, feedback("other", "text 9", user_id="u-2"), offset=10, settings=few)
            assert standings(buffer) == {
                "f-0": "effective", "f-1": "effective", "f-2": "over_cap", "f-3": "over_cap", "other": "effective",
            }  # fmt: skip
            status, reason = fate(buffer, "f-2")
            assert status == "set_aside"
            assert "its user had already judged 2 texts on 2024-05-01 (feedback.max_per_user_day)" in reason
            assert trained(buffer, tmp_path / "set") == ["f-0", "f-1", "other"]
            assert frozen(buffer, tmp_path / "again").manifest.left_out == {"feedback: over_cap": 2}
            assert buffer.counts(TASK.name).train == 3
            now[0] += timedelta(days=1)
            take(buffer, feedback("next-day", "text 20"), offset=20, settings=few)
            assert standings(buffer)["next-day"] == "effective"

    def test_another_word_on_a_text_of_the_day_needs_no_seat(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            few = policy(max_per_user_day=1)
            take(buffer, feedback("f-1", "one", "sport"), settings=few)
            take(buffer, feedback("f-2", "one", "economy"), feedback("f-3", "two"), offset=5, settings=few)
            assert standings(buffer) == {"f-1": "replaced", "f-2": "effective", "f-3": "over_cap"}
            assert "its user has given a newer answer" in fate(buffer, "f-1")[1]

    def test_an_article_takes_so_many_users_in_all_and_a_source_so_many_answers_a_day(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            few = policy(max_per_article=3, max_per_source_day=4)
            take(buffer, *(feedback(f"a-{n}", "one", user_id=f"u-{n}", source=f"key:{n}") for n in range(5)), settings=few)
            assert sorted(standings(buffer).values()) == ["effective"] * 3 + ["over_cap"] * 2
            assert "already count (feedback.max_per_article)" in fate(buffer, "a-4")[1]
            take(
                buffer,
                *(feedback(f"s-{n}", f"s {n}", user_id=f"v-{n}", source="key:x") for n in range(6)),
                offset=9,
                settings=few,
            )
            assert [standings(buffer)[f"s-{n}"] for n in range(6)] == ["effective"] * 4 + ["over_cap"] * 2
            assert "already sent 4 answers on 2024-05-01" in fate(buffer, "s-5")[1]

    def test_one_user_over_the_cap_takes_no_seat_of_their_source(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            few = policy(max_per_user_day=2, max_per_source_day=4)
            take(buffer, *(feedback(f"f-{n}", f"text {n}", source="key:app") for n in range(10)), settings=few)
            take(buffer, feedback("honest", "text 20", source="key:app", user_id="u-2"), offset=20, settings=few)
            assert standings(buffer)["honest"] == "effective"

    def test_who_waits_for_the_text_is_counted_on_the_day_of_arrival(self, tmp_path: Path) -> None:
        now = [NOW]
        few = policy(max_per_user_day=1)
        with opened(tmp_path / "b", tasks=LENIENT, clock=lambda: now[0]) as buffer:
            buffer.insert(stored(feedback("waits", article_id="a-1")))
            now[0] += timedelta(days=1)
            buffer.insert(stored(article("e-1"), offset=5))
            assert buffer.resolve_waiting() == 1
            take(buffer, feedback("today", "text 1"), offset=6, settings=few)
            assert standings(buffer) == {"waits": "effective", "today": "effective"}

    def test_a_restart_forgets_no_seat(self, tmp_path: Path) -> None:
        few = policy(max_per_user_day=1)
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, feedback("f-1", "one"), settings=few)
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, feedback("f-2", "two"), offset=5, settings=few)
            assert standings(buffer) == {"f-1": "effective", "f-2": "over_cap"}

    def test_no_cap_is_no_cap(self, tmp_path: Path) -> None:
        free = policy(max_per_user_day=0, max_per_source_day=0, max_per_article=0, alarm_min_count=10_000)
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *(feedback(f"f-{n}", f"text {n}") for n in range(300)), settings=free)
            assert buffer.defence(TASK.name).standings == {"effective": 300}


class TestTrust:
    def cites(self, number: int, answer: str, said: str, user: str = "u-1") -> list[Any]:
        """A prediction, the gold of its text, and a correction that cites it."""
        text = f"text {number}"
        return [
            prediction(f"p-{number}", text, answer={"label": answer}),
            label(f"gold-{number}", text, "economy"),
            feedback(f"f-{number}", text, said, user_id=user, prediction_id=f"p-{number}"),
        ]

    def test_right_corrections_of_wrong_answers_earn_trust_and_weight(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *(event for n in range(8) for event in self.cites(n, "sport", "economy")))
            take(buffer, feedback("more", "another text"), feedback("new", "yet another", user_id="u-2"), offset=50)
            (new, known) = buffer.users(TASK.name, FEEDBACK)
            assert (new.contributor, new.trust, new.agreed) == ("u-2", 0.5, 0)
            assert (known.contributor, known.trust, known.agreed, known.answers, known.effective) == ("u-1", 0.9, 8, 9, 9)
            rows = frozen(buffer, tmp_path / "set").rows("train").to_pylist()
            weights = {row["example_id"]: round(row["weight"], 3) for row in rows}
            assert (weights["more"], weights["new"], weights["gold-1"]) == (0.9, 0.5, 1.0)
            contributors = {row["example_id"]: row["contributor"] for row in rows}
            assert contributors["gold-1"] is None
            assert len({contributors["more"], contributors["new"]} - {None}) == 2

    @pytest.mark.parametrize(
        "cheap",
        [
            lambda n: {"verdict": "confirmation", "prediction_id": f"p-{n}"},
            lambda n: {"verdict": "correction", "prediction_id": f"p-{n}"},
            lambda _: {"verdict": "correction", "prediction_id": None},
            lambda _: {"verdict": "correction", "prediction_id": "p-of-another-text"},
        ],
        ids=["confirmations", "corrections to what was shown", "nothing cited", "another text's answer cited"],
    )
    def test_what_the_model_said_anyway_earns_nothing(self, tmp_path: Path, cheap: Callable[[int], dict[str, Any]]) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            buffer.insert(stored(prediction("p-of-another-text", "another text", answer={"label": "sport"}), offset=900))
            events = [event for n in range(20) for event in self.cites(n, "economy", "economy")]
            take(
                buffer,
                *(one.model_copy(update=cheap(int(one.event_id[2:]))) if one.type == "feedback" else one for one in events),
            )
            (user,) = buffer.users(TASK.name, FEEDBACK)
            assert (user.trust, user.agreed) == (0.5, 0)

    def test_a_key_speaks_for_its_own_users_alone(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            trusted = [
                one.model_copy(update={"source": "key:desk"}) if one.type == "feedback" else one
                for n in range(8)
                for one in self.cites(n, "sport", "economy")
            ]
            take(buffer, *trusted, feedback("true", "a text", "economy", source="key:desk"))
            take(buffer, feedback("false", "a text", "sport", source="key:stolen"), offset=90)
            assert {name: standings(buffer)[name] for name in ("true", "false")} == {"true": "effective", "false": "outvoted"}
            found = {one.contributor: one.trust for one in buffer.users(TASK.name, FEEDBACK)}
            assert found == {"key:desk u-1": 0.9, "key:stolen u-1": 0.5}
            take(buffer, review("r", "reject", user_id="u-1"), offset=95)
            assert set(standings(buffer).values()) == {"rejected"}, "a decision about a user speaks of all of that id"

    def test_who_is_more_often_wrong_is_excluded_with_all_they_said(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *(feedback(f"said-{n}", f"unlabelled {n}", "sport") for n in range(3)))
            assert buffer.counts(TASK.name).new == 3
            take(buffer, *(event for n in range(5) for event in self.cites(n, "economy", "sport")), offset=20)
            found = standings(buffer)
            assert {found[f"said-{n}"] for n in range(3)} == {"distrusted"}
            assert "disagreed too often" in fate(buffer, "said-0")[1]
            assert trained(buffer, tmp_path / "set") == [f"gold-{n}" for n in range(5)]
            assert buffer.counts(TASK.name).train == 5
            (user,) = buffer.users(TASK.name, FEEDBACK)
            assert user.excluded
            take(buffer, feedback("later", "unlabelled 9"), offset=90)
            assert standings(buffer)["later"] == "distrusted"
            take(buffer, review("r-1", "accept", event_ids=[f"f-{n}" for n in range(5)]), offset=95)
            assert standings(buffer)["later"] == "effective", "a person found those right after all"
            assert buffer.counts(TASK.name).train == 9

    def test_gold_that_comes_later_judges_what_was_said_before(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *(feedback(f"f-{n}", f"text {n}", "sport") for n in range(6)))
            assert set(standings(buffer).values()) == {"effective"}
            take(buffer, *(label(f"gold-{n}", f"text {n}", "economy") for n in range(6)), offset=20)
            assert set(standings(buffer).values()) == {"distrusted"}

    def test_other_settings_judge_anew_at_the_next_start(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(
                buffer, feedback("free", "unlabelled"), *(event for n in range(5) for event in self.cites(n, "economy", "sport"))
            )
            assert standings(buffer)["free"] == "distrusted"
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            judge(buffer, policy(trust_min_evidence=6))
            assert standings(buffer)["free"] == "effective"
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            judge(buffer)
            assert standings(buffer)["free"] == "distrusted"

    def test_gold_of_the_story_counts_for_labels(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            buffer.insert(stored(label("gold", "a text", "economy"), feedback("f", "nearly a text", "sport")))
            enrich(buffer, story_id="s-1")
            (user,) = buffer.users(TASK.name, FEEDBACK)
            assert user.contradicted == 1
            assert standings(buffer) == {"f": "effective"}, "it is evidence, but no contradiction of this very text"


class TestQuarantine:
    @pytest.mark.parametrize(
        ("fact", "why"),
        [
            ({"split": "anchor"}, "it belongs to the anchor set"),
            ({"quality": 0.1}, "the quality of its text is 0.10"),
        ],
        ids=["anchor", "too poor"],
    )
    def test_nobody_is_asked_where_the_answer_cannot_matter(self, tmp_path: Path, fact: dict[str, Any], why: str) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            buffer.insert(stored(feedback("f-1", "one", "sport"), feedback("f-2", "one", "economy", user_id="u-2")))
            buffer.apply_enrichment("examples", [finding(row, **fact) for row in buffer.unenriched("examples", 9)])
            judge(buffer)
            assert set(standings(buffer).values()) == {"conflict"}
            assert buffer.quarantined() == []
            assert buffer.defence(TASK.name).quarantined == 0
            status, reason = fate(buffer, "f-1")[:2]
            assert status == "set_aside"
            assert why in reason

    def test_nobody_is_asked_about_what_is_held_out(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            buffer.insert(stored(feedback("f-1", "one", "sport"), feedback("f-2", "one", "economy", user_id="u-2")))
            buffer.apply_enrichment("examples", [finding(row, "test") for row in buffer.unenriched("examples", 9)])
            judge(buffer)
            assert set(standings(buffer).values()) == {"conflict"}
            assert (buffer.quarantined(), buffer.defence(TASK.name).quarantined) == ([], 0)
            found = buffer.feedback_fate("f-1")
            assert found is not None
            assert found.status == "held_out"

    def test_nobody_is_asked_where_a_label_decides(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, feedback("f-1", "one", "sport"), label("g-1", "one", "economy"))
            assert standings(buffer) == {"f-1": "contradicts_gold"}
            assert (buffer.quarantined(), buffer.defence(TASK.name).quarantined) == ([], 0)
            status, reason = fate(buffer, "f-1")[:2]
            assert (status, "a label wins over feedback" in reason) == ("set_aside", True)

    def test_what_users_dispute_waits_for_a_person_and_the_decision_stays(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, feedback("f-1", "one", "sport"), feedback("f-2", "one", "economy", user_id="u-2"), label("g", "two"))
            assert standings(buffer) == {"f-1": "conflict", "f-2": "conflict"}
            assert fate(buffer, "f-1")[0] == "quarantined"
            first, second = buffer.quarantined()
            assert (first.event_id, first.user_id, first.text, first.target) == ("f-1", "u-1", "one", '{"label":"sport"}')
            assert (second.event_id, second.standing) == ("f-2", "conflict")
            assert trained(buffer, tmp_path / "set") == ["g"]
            seen = buffer.counts(TASK.name)
            assert (seen.train, seen.new) == (1, 1)
            take(buffer, review("r-1", "accept", event_ids=("f-2",)), offset=20)
            assert standings(buffer) == {"f-1": "outvoted", "f-2": "effective"}
            assert buffer.quarantined() == []
            assert buffer.counts(TASK.name, after_seq=seen.max_seq).new == 1, "what is let in later is new to the next run"
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            judge(buffer)
            take(buffer, feedback("f-3", "one", "sport", user_id="u-3"), review("r-2", "accept", event_ids=("f-2",)), offset=30)
            assert standings(buffer) == {"f-1": "outvoted", "f-2": "effective", "f-3": "outvoted"}
            writes = buffer.writes
            take(buffer, review("r-3", "accept", event_ids=("f-2",)), offset=40)
            assert standings(buffer) == {"f-1": "outvoted", "f-2": "effective", "f-3": "outvoted"}
            assert buffer.writes <= writes + 2, "the event, and the number of the decision"
            assert trained(buffer, tmp_path / "later") == ["f-2", "g"]

    def test_what_is_over_a_cap_or_replaced_can_be_let_in_too(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            few = policy(max_per_article=2)
            take(buffer, *(feedback(f"f-{n}", "one", user_id=f"u-{n % 7}") for n in range(30)), settings=few)
            assert sorted(standings(buffer).values()) == ["effective"] * 2 + ["over_cap"] * 20 + ["replaced"] * 8
            silent = next(name for name, standing in standings(buffer).items() if standing == "replaced")
            take(buffer, accepted("r-1", "f-27", silent), review("r-2", "accept", user_id="u-3"), offset=90, settings=few)
            found = standings(buffer)
            assert (found["f-27"], found[silent], found["f-3"], found["f-24"]) == ("effective",) * 4
            assert buffer.counts(TASK.name).train == 1
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            judge(buffer, few)
            assert standings(buffer) == found

    def test_a_failed_write_is_made_good_at_the_next_step(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, feedback("f-1", "one", "sport"))
            buffer.insert(stored(label("g-1", "one"), offset=20))
            buffer.apply_enrichment("examples", [finding(row) for row in buffer.unenriched("examples", 9)])
            with monkeypatch.context() as patch:
                patch.setattr(buffer._tables, "upsert", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
                with pytest.raises(OSError, match="full"):
                    judge(buffer)
            judge(buffer)
            assert standings(buffer) == {"f-1": "contradicts_gold"}

    def test_a_rejection_by_user_speaks_of_what_had_arrived(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *(feedback(f"f-{n}", f"text {n}") for n in range(3)))
            take(buffer, review("r-1", "reject", user_id="u-1"), offset=20)
            assert set(standings(buffer).values()) == {"rejected"}
            take(buffer, feedback("later", "text 9"), offset=30)
            assert standings(buffer)["later"] == "effective"
            assert buffer.users(TASK.name, FEEDBACK)[0].contradicted == 3, "and counts against its user"
            assert "rejected it" in fate(buffer, "f-0")[1]

    def test_a_decision_may_come_before_the_judgement(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, review("r-1", "reject", event_ids=("f-1", "f-2")))
            take(buffer, feedback("f-1", "one"), feedback("f-2", "two"), offset=20)
            assert set(standings(buffer).values()) == {"rejected"}

    def test_spans_that_clash_are_disputed_and_a_careful_difference_is_not(self, tmp_path: Path) -> None:
        def said(event_id: str, user: str, *marks: tuple[int, int, str]) -> Any:
            target = {"spans": [{"start": start, "end": end, "label": name} for start, end, name in marks]}
            return feedback(event_id, "Anna of Acme met Bo", task="news-entities", target=target, user_id=user)

        with opened(tmp_path / "b") as buffer:
            take(buffer, said("f-1", "u-1", (0, 4, "PERSON"), (8, 12, "ORG")), said("f-2", "u-2", (0, 4, "PERSON")))
            assert set(standings(buffer).values()) == {"effective"}
            take(buffer, said("f-3", "u-3", (0, 4, "ORG"), (8, 12, "ORG")), offset=20)
            assert standings(buffer) == {"f-1": "effective", "f-2": "effective", "f-3": "outvoted"}
            take(buffer, spans("g", "Anna of Acme met Bo", (0, 4, "PERSON"), (8, 12, "ORG"), (17, 19, "PERSON")), offset=30)
            assert standings(buffer)["f-3"] == "contradicts_gold"

    def test_renamed_labels_do_not_disagree(self, tmp_path: Path) -> None:
        renamed = {**TASKS, TASK.name: TASK.model_copy(update={"renames": {"money": "economy"}})}
        with opened(tmp_path / "b", tasks=renamed) as buffer:
            take(buffer, feedback("f-1", "one", "money"), feedback("f-2", "one", "economy", user_id="u-2"))
            assert set(standings(buffer).values()) == {"effective"}


class TestAlarm:
    def flood(self, count: int, start: int = 0, users: int = 5, **more: Any) -> list[Any]:
        return [
            feedback(f"x-{n}", f"flooded {n}", "sport", user_id=f"m-{n % users}", **more) for n in range(start, start + count)
        ]

    def honest(self, count: int, start: int = 0) -> list[Any]:
        names = ("economy", "politics", "culture", "science")
        return [feedback(f"h-{n}", f"honest {n}", names[n % 4], user_id=f"h-{n % 20}") for n in range(start, start + count)]

    def test_a_flood_is_held_and_waits_for_a_person(self, tmp_path: Path) -> None:
        now = [NOW]
        with opened(tmp_path / "b", tasks=LENIENT, clock=lambda: now[0]) as buffer:
            take(buffer, *self.honest(120))
            now[0] += timedelta(days=2)
            take(buffer, *self.honest(20, start=200), offset=500)
            assert buffer.defence(TASK.name).alarms == ()
            buffer.insert(stored(*self.flood(300), offset=1_000))
            enrich(buffer)
            (alarm,) = buffer.defence(TASK.name).alarms
            assert (alarm.move, alarm.held, alarm.users, alarm.since) == ("(unknown) -> sport", 300, 5, now[0])
            assert "label-flip alarm" in fate(buffer, "x-0")[1]
            assert fate(buffer, "h-0")[0] == "joined", "other corrections count on"
            assert buffer.counts(TASK.name).train == 140
            now[0] += timedelta(days=9)
            take(buffer, feedback("x-late", "flooded late", "sport", user_id="m-9"), offset=3_000)
            assert standings(buffer)["x-late"] == "alarm", "waiting does not lower it"
            take(buffer, review("r", "reject", task=TASK.name, alarm=alarm.move), offset=4_000)
            assert buffer.defence(TASK.name).alarms == ()
            assert buffer.counts(TASK.name).train == 140
            assert {view.contributor for view in buffer.users(TASK.name, FEEDBACK) if view.excluded} >= {
                f"m-{n}" for n in range(5)
            }

    def test_it_is_told_once_when_it_goes_up(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            buffer.insert(stored(*self.flood(60)))
            buffer.apply_enrichment("examples", self.findings(buffer))
            (raised,) = [alarm for outcome in judge(buffer) for alarm in outcome.raised]
            assert (raised.move, raised.flow.moved, raised.flow.of) == ("(unknown) -> sport", 60, 60)
            assert (
                "60 of the 60 corrections in the window say (unknown) -> sport; 50% was to be expected"
                in raised.as_log()["reason"]
            )
            buffer.insert(stored(*self.flood(10, start=100), offset=500))
            buffer.apply_enrichment("examples", self.findings(buffer))
            assert [alarm for outcome in judge(buffer) for alarm in outcome.raised] == []
            assert buffer.defence(TASK.name).alarms[0].held == 70

    def findings(self, buffer: BufferWriter) -> Sequence[Any]:
        return [finding(row) for row in buffer.unenriched("examples", 1_000)]

    def test_what_was_accepted_is_usual_from_then_on(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *self.flood(60))
            take(buffer, review("r", "accept", task=TASK.name, alarm="(unknown) -> sport"), offset=500)
            assert buffer.defence(TASK.name).alarms == ()
            assert buffer.counts(TASK.name).train == 60
            take(buffer, *self.flood(100, start=100), *self.honest(30), offset=1_000)
            assert buffer.defence(TASK.name).alarms == (), "(60 + 10) / (60 + 20) of all are to be expected now"

    def test_answers_given_with_little_confidence_raise_none(self, tmp_path: Path) -> None:
        shown = [
            prediction(f"p-{n}", f"flooded {n}", answer={"label": "economy", "scores": {"economy": 0.4}}) for n in range(100)
        ]
        cited = [one.model_copy(update={"prediction_id": f"p-{n}"}) for n, one in enumerate(self.flood(100))]
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *shown, *cited)
            assert buffer.defence(TASK.name).alarms == ()
        sure = [one.model_copy(update={"answer": {"label": "economy", "scores": {"economy": 0.9}}}) for one in shown]
        with opened(tmp_path / "c", tasks=LENIENT) as buffer:
            take(buffer, *sure, *cited)
            assert [alarm.move for alarm in buffer.defence(TASK.name).alarms] == ["economy -> sport"]

    def test_one_flood_does_not_hold_all_that_lead_to_the_same_label(self, tmp_path: Path) -> None:
        answers = [f"economy {n}" for n in range(4)]
        shown = [prediction(f"p-{n}", f"honest {n}", answer={"label": answers[n % 4]}) for n in range(8)]
        cited = [feedback(f"h-{n}", f"honest {n}", "sport", user_id=f"h-{n}", prediction_id=f"p-{n}") for n in range(8)]
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *shown, *cited, *self.flood(200))
            assert [alarm.move for alarm in buffer.defence(TASK.name).alarms] == ["(unknown) -> sport"]
            assert {standings(buffer)[f"h-{n}"] for n in range(8)} == {"effective"}

    def test_calling_them_confirmations_is_no_way_past(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *self.flood(60, verdict="confirmation"))
            assert [alarm.held for alarm in buffer.defence(TASK.name).alarms] == [60]
        shown = [prediction(f"p-{n}", f"flooded {n}", answer={"label": "sport"}) for n in range(60)]
        true = [
            one.model_copy(update={"prediction_id": f"p-{n}"}) for n, one in enumerate(self.flood(60, verdict="confirmation"))
        ]
        with opened(tmp_path / "c", tasks=LENIENT) as buffer:
            take(buffer, *shown, *true)
            assert buffer.defence(TASK.name).alarms == (), "they confirm what was shown"

    def test_what_is_over_a_cap_raises_none(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *self.flood(300, users=1), settings=policy(max_per_user_day=20))
            assert buffer.defence(TASK.name).alarms == ()

    def test_while_it_is_up_feedback_starts_no_run_and_labels_do(self, tmp_path: Path) -> None:
        task = TASK.model_copy(update={"trigger": TASK.trigger.model_copy(update={"min_new_examples": 40, "weekly": False})})

        def look(buffer: BufferWriter) -> triggers.Evaluation:
            with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
                return triggers.evaluate(task, evidence.gather(task.name, registry, buffer), load_settings().schedule, NOW)

        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *self.honest(60))
            assert look(buffer).trigger is not None
            take(buffer, *self.flood(300), offset=500)
            assert look(buffer).trigger is None
            assert "1 open label-flip alarm: feedback starts no run" in look(buffer).reasons[0]
            take(buffer, *(label(f"g-{n}", f"gold {n}") for n in range(40)), offset=2_000)
            due = look(buffer).trigger
            assert due is not None
            assert due.reason == "40 new examples; a run starts at 40"


class TestAnchor:
    def test_feedback_neither_changes_the_anchor_set_nor_trains_beside_it(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, *(label(f"anchor-{n}", f"anchored {n}", anchor=True) for n in range(5)))
            before = frozen(buffer, tmp_path / "before").rows("anchor").to_pylist()
            take(buffer, *(feedback(f"f-{n}", f"anchored {n}", "sport", user_id=f"u-{n}") for n in range(5)), offset=50)
            take(buffer, accepted("r", *(f"f-{n}" for n in range(5))), offset=90)
            after = frozen(buffer, tmp_path / "after")
            assert after.rows("anchor").to_pylist() == before
            assert after.rows("train").num_rows == after.rows("corrections").num_rows == 0


class TestRestart:
    def test_what_a_crash_left_unjudged_is_judged_at_the_next_start(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            take(buffer, feedback("f-1", "one", "sport"))
            buffer.insert(
                stored(label("g-1", "one"), feedback("f-2", "two"), review("r", "reject", event_ids=("f-2",)), offset=20)
            )
            buffer.apply_enrichment("examples", [finding(row) for row in buffer.unenriched("examples", 9)])
            counts = buffer.counts(TASK.name)
            assert (counts.train, counts.unenriched) == (1, 1), "not judged yet: it does not count"
            assert "is being judged" in fate(buffer, "f-2")[1]
            assert buffer.unenriched_before(TASK.name, 99) == 1
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            judge(buffer)
            assert standings(buffer) == {"f-1": "contradicts_gold", "f-2": "rejected"}
            assert buffer.counts(TASK.name).unenriched == buffer.unenriched_before(TASK.name, 99) == 0

    def test_a_buffer_of_an_earlier_version_opens_and_its_feedback_is_judged(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            buffer.insert(stored(feedback("f-1", "one"), label("g", "two")))
            enrich(buffer)
            numbers = buffer.counts(TASK.name)
        shutil.rmtree(tmp_path / "b" / "feedback_judgements.lance")
        with closing(open_reader(tmp_path / "b", tasks=LENIENT)) as reader:
            assert reader.counts(TASK.name).train == 1
            assert trained(reader, tmp_path / "set") == ["g"]
            assert "is being judged" in fate(reader, "f-1")[1]
        with opened(tmp_path / "b", tasks=LENIENT) as buffer:
            judge(buffer)
            again = buffer.counts(TASK.name)
            assert (again.train, again.new, again.unenriched) == (numbers.train, numbers.new, 0) == (2, 2, 0)

    def test_a_reader_sees_what_is_judged_after_it_has_opened(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b", tasks=LENIENT) as buffer, closing(open_reader(tmp_path / "b", tasks=LENIENT)) as reader:
            take(buffer, feedback("f-1", "one"))
            assert reader.counts(TASK.name).train == 1
            take(buffer, feedback("f-2", "one", "sport", user_id="u-2"), offset=9)
            assert reader.counts(TASK.name).train == 0
            assert reader.defence(TASK.name).quarantined == 2

    def test_feedback_waits_a_little_for_the_prediction_it_cites(self, tmp_path: Path) -> None:
        now = [NOW]
        with opened(tmp_path / "b", tasks=LENIENT, clock=lambda: now[0]) as buffer:
            buffer.insert(stored(feedback("f-1", "one", prediction_id="p-1"), feedback("f-2", "two"), label("g", "one")))
            buffer.apply_enrichment("examples", [finding(row) for row in buffer.unenriched("examples", 9)])
            patience = timedelta(seconds=10)
            first = buffer.judge_feedback(FEEDBACK, patience=patience)
            assert (first.judged, first.waiting, standings(buffer)) == (1, True, {"f-2": "effective"})
            buffer.insert(stored(prediction("p-1", "one"), offset=20))
            assert buffer.judge_feedback(FEEDBACK, patience=patience).judged == 1
            assert max(view.agreed for view in buffer.users(TASK.name, FEEDBACK)) == 1
            buffer.insert(stored(feedback("f-3", "three", prediction_id="never"), offset=30))
            buffer.apply_enrichment("examples", [finding(row) for row in buffer.unenriched("examples", 9)])
            assert buffer.judge_feedback(FEEDBACK, patience=patience).judged == 0
            now[0] += timedelta(seconds=11)
            assert buffer.judge_feedback(FEEDBACK, patience=patience).judged == 1

    def test_retention_removes_judgements_too(self, tmp_path: Path) -> None:
        settings, clock = SETTINGS.model_copy(update={"retention_days": 1.0}), Moving()
        with opened(tmp_path / "b", settings, tasks=LENIENT, clock=clock) as buffer:
            take(buffer, feedback("old", "one"))
            clock.forward(days=2)
            take(buffer, feedback("f-1", "two"), offset=9)
            buffer.enforce_retention()
            assert standings(buffer) == {"f-1": "effective"}
            judge(buffer)
            assert buffer.counts(TASK.name).train == 1
