"""The road of an erasure from its event to done, with a made-up training child; real models are in test_erasure_everywhere.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import FEEDBACK_TOPIC, LIFECYCLE_TOPIC, Erase, to_bytes
from daemon.flow.accepted import Accepted
from daemon.flow.corrections import CorrectionsTask
from daemon.flow.outbox import Publisher
from registry import promotion
from registry.database import schema
from registry.removal import erasure
from registry.reports import cards
from registry.reports.answers import Answers, Row, Words
from registry.reports.run import left as of_left
from tests.support import buffers
from tests.support.cycles import NAME, MadeUpRunner, better, failing, worse
from tests.support.markers import places_of
from tests.support.towns import KEEP, WORD, Town
from trainers.job.spec import TRAINING_SET_FOLDER, JobResult, JobSpec

pytestmark = pytest.mark.filterwarnings("ignore:optimize:UserWarning")


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    # LanceDB goes by the machine's clock, which cannot be moved; when it is asked goes by ours.
    purge = BufferWriter.purge
    monkeypatch.setattr(BufferWriter, "purge", lambda self, keep: purge(self, keep - KEEP))
    with Town(tmp_path) as made:
        yield made


def showing(example_id: str, text: str) -> Answers:
    said = (Words(text=text, style="strong"),)
    row = Row(example_id=example_id, role="test", text=text, cut=False, gold=said, candidate=said, champion=said)
    return Answers(rows=1, read=1, better=1, worse=0, rows_better=(row,), rows_worse=(), mistaken=(), in_text=False)


def test_from_the_request_to_done_when_the_retrained_model_is_as_good(town: Town) -> None:
    first = town.champion_with_feedback()
    assert "f-1" in town.registry.versions.learnt(f"{NAME}/v1")
    report = town.settings.reports_dir / first.run_id
    told = of_left.Left(answers=showing("f-1", WORD))
    of_left.write(told, report)
    (report / "report.html").write_text(WORD)
    town.ask_to_erase()
    removed = town.work()
    kept = of_left.read(report)
    assert kept is not None
    assert (kept.example_ids, kept.answers is not None) == (frozenset(), True), "counts stay, texts go"
    assert "<!doctype html>" in (report / "report.html").read_text(), "written again"
    assert places_of([WORD], town.settings.reports_dir) == {}
    assert (removed.state, removed.purged_at) == ("removed from tables", None)
    assert not town.run_folder(first).exists()
    assert town.registry.runs.get(first.run_id).erased_at is not None
    assert "Learnt from texts that have been erased" in cards.card(town.registry, f"{NAME}/v1")
    assert "f-1" not in town.registry.versions.learnt(f"{NAME}/v1")
    assert town.registry.looks.count(NAME, ["f-1"]) == {"f-1": 0}
    assert town.buffer.requests() == []

    assert town.work(hours=0.99).state == "removed from tables", "other processes have an hour to read on"
    queued = town.work(hours=0.02)
    assert (queued.state, queued.note) == (
        "retrain queued",
        f"{NAME}/v1, the champion, learnt from it; a full run is queued or under way",
    )
    town.train_with(worse)
    town.take_in()
    (request,) = town.buffer.requests()
    assert (request.task, request.full, request.reason) == (NAME, True, "texts were erased (erasure 1)")

    town.cycle.step()
    run = town.registry.runs.last(NAME)
    assert run is not None
    assert (run.verdict, run.full, town.champion()) == ("promote", True, f"{NAME}/v2")
    assert "replacement may be up to" in run.reasons[0]
    assert town.registry.versions.get(f"{NAME}/v2").parent is None
    done = town.work()
    assert done.state == "done"
    old = town.registry.versions.get(f"{NAME}/v1")
    assert old.collected_at is not None
    assert town.artifacts.list() == [town.registry.versions.get(f"{NAME}/v2").artifact_id]
    assert town.erasures.work("example") == frozenset()
    assert places_of([WORD, "anna"], town.settings.data_dir) == {}


def test_what_anna_corrected_answers_no_more_before_it_is_removed_from_disk(town: Town) -> None:
    town.champion_with_feedback()
    town.take_in(town.feedback("f-2", "bert", "Bert said so"), buffers.accepted("r-1", "f-1", "f-2"))
    corrections = CorrectionsTask(town.leading())
    corrections.step()
    assert town.registry.corrections.of_event("f-1") is not None
    town.ask_to_erase()
    assert town.work().state == "removed from tables"
    assert town.registry.corrections.of_event("f-1") is None
    # What the buffer holds is what the next look goes by.
    corrections.step()
    assert town.registry.corrections.of_event("f-1") is None
    assert town.registry.corrections.of_event("f-2") is not None
    with town.registry.database.read() as connection:
        assert set(connection.execute(sa.select(schema.correction_examples.c.example_id)).scalars()) == {"f-2"}


def test_while_the_champion_is_affected_no_run_goes_on_from_it(town: Town) -> None:
    town.champion_with_feedback()
    town.ask_to_erase()
    town.work()
    specs = []

    def noting(spec: JobSpec) -> JobResult:
        specs.append(spec)
        return worse(spec)

    town.train_with(noting)
    town.grow(10, "more")
    town.cycle.step()
    assert [(spec.full, spec.champion_version) for spec in specs] == [(True, f"{NAME}/v1")]
    assert town.registry.versions.get(f"{NAME}/v2").parent is None
    # That run has done it: no further one is asked for.
    assert town.work(hours=1.1).state == "done"
    town.take_in()
    assert town.buffer.requests() == []


def test_a_gate_that_keeps_the_champion_is_told_and_the_operator_decides(town: Town) -> None:
    town.champion_with_feedback()
    town.ask_to_erase()
    town.work()
    town.train_with(partial(better, gain=-0.1))
    town.work(hours=1.1)
    town.take_in()
    town.cycle.step()
    with capture_logs() as lines:
        waiting = town.work()
    assert waiting.state == "retrain queued"
    assert f"{NAME}/v1, the champion, learnt from it and was kept: 20.0 % worse" in waiting.note
    assert f"`perennial models promote {NAME}/v2`" in waiting.note
    assert [line["reason"] for line in lines if line["event"] == "erasure.waits"] == [waiting.note]
    assert town.artifacts.size_bytes(town.registry.versions.get(f"{NAME}/v1").artifact_id) > 0
    with capture_logs() as lines:
        town.work(hours=22)
        assert not [line for line in lines if line["event"] == "erasure.late"]
        town.work(hours=1)
        town.work(hours=0.5)
        (late,) = [line for line in lines if line["event"] == "erasure.late"]
        town.work(hours=0.6)
    assert (late["log_level"], late["limit_hours"], late["reason"]) == ("error", 24.0, waiting.note)
    assert len([line for line in lines if line["event"] == "erasure.late"]) == 2
    assert b"perennial_erasures_late 1.0" in exposition(town)
    promotion.promote(town.registry, NAME, f"{NAME}/v2", expected=f"{NAME}/v1", actor="operator", reason="the law")
    assert town.work().state == "done"
    assert b"perennial_erasures_late 0.0" in exposition(town)


def exposition(town: Town) -> bytes:
    from prometheus_client import generate_latest  # noqa: PLC0415 - here only

    return generate_latest(town.metrics.registry)


def test_a_retrain_that_fails_is_told(town: Town) -> None:
    town.champion_with_feedback()
    town.ask_to_erase()
    town.work()
    town.work(hours=1.1)
    town.train_with(failing)
    town.take_in()
    town.cycle.step()
    note = town.work().note
    assert "failed (the loss is not a number)" in note
    assert f"`perennial train {NAME} --full`" in note


def test_an_older_version_goes_at_once_when_the_champion_never_learnt_it(town: Town) -> None:
    town.champion_with_feedback()
    town.train_with(better)
    town.erasures.request(Erase(event_id="other", occurred_at=town.clock(), user_id="nobody"))
    town.ask("request:second", full=True)
    # As if the second, full run had not seen the user's row.
    with town.registry.database.write() as connection:
        second = sa.select(schema.versions.c.id).where(schema.versions.c.number == 2).scalar_subquery()
        mine = (schema.learnt.c.version_id == second) & (schema.learnt.c.example_id == "f-1")
        connection.execute(sa.delete(schema.learnt).where(mine))
    town.ask_to_erase()
    town.work()
    assert town.work(hours=1.1).state == "done"
    town.take_in()
    assert town.buffer.requests() == []
    assert [version.collected_at is None for version in town.registry.versions.list(NAME)] == [True, False]
    with pytest.raises(Exception, match="its files were removed"):
        promotion.rollback(town.registry, NAME, actor="operator", reason="back")


def test_a_run_that_learns_from_it_is_ended_and_its_task_trains_anew(town: Town) -> None:
    town.take_in(town.feedback())
    town.grow(10)
    seen: list[str] = []

    def stopping(spec: JobSpec) -> JobResult:
        town.stop.set()
        return JobResult(run_id=spec.run_id, status="stopped")

    town.train_with(stopping)
    run = town.ask("request:first")
    assert run.state == "training"
    town.next_cycle()
    town.next_eraser()
    town.ask_to_erase()
    assert town.work().state == "requested", "the run still holds it"
    assert isinstance(town.runner, MadeUpRunner)
    assert set(town.runner.ended) == {run.run_id}
    town.train_with(lambda spec: seen.append(spec.run_id) or better(spec))  # type: ignore[func-returns-value]  # noted on the way
    town.cycle.advance(town.registry.runs.get(run.run_id))
    ended = town.registry.runs.get(run.run_id)
    assert (ended.state, ended.error, seen) == ("failed", erasure.ENDED, [])
    assert town.work().state == "removed from tables"
    assert not town.run_folder(run).exists()
    assert town.registry.runs.get(run.run_id).error == erasure.ENDED
    town.work(hours=1.1)
    town.take_in()
    assert [request.full for request in town.buffer.requests()] == [True]
    assert town.erasures.all()[0].state == "done", "no model remembers it"


def test_a_run_that_goes_on_from_an_affected_version_is_ended(town: Town) -> None:
    town.champion_with_feedback()

    def stopping(spec: JobSpec) -> JobResult:
        town.stop.set()
        return JobResult(run_id=spec.run_id, status="stopped")

    town.train_with(stopping)
    town.grow(10, "more")
    run = town.ask("request:second")
    assert (run.state, run.full) == ("training", False)
    # Its own set need not hold what its champion has learnt.
    (town.run_folder(run) / TRAINING_SET_FOLDER / "rows.parquet").unlink()
    town.next_cycle()
    town.next_eraser()
    town.ask_to_erase()
    town.work()
    assert isinstance(town.runner, MadeUpRunner)
    assert set(town.runner.ended) == {run.run_id}


def test_what_may_be_freezing_older_tables_is_waited_for(town: Town) -> None:
    town.take_in(town.feedback())
    created = town.registry.runs.create(NAME, "threshold:1", "many", full=True)
    assert created is not None
    town.ask_to_erase()
    assert town.work().state == "requested"
    assert town.buffer.example_ids() == frozenset()
    town.cycle.step()
    assert town.registry.runs.get(created.run_id).state == "failed"
    assert town.work().state == "removed from tables"


def test_folders_of_runs_go_that_hold_what_no_table_holds_any_more(town: Town) -> None:
    town.grow(10)
    kept = town.ask("request:kept")
    town.take_in(town.feedback())
    holding = town.ask("request:holding")
    runs = town.settings.runs_dir
    for name in ("unknown", "torn", "half", ".erased-before"):
        (runs / name / TRAINING_SET_FOLDER).mkdir(parents=True)
    (runs / "torn" / TRAINING_SET_FOLDER / "rows.parquet").write_bytes(b"PAR1")
    (runs / "half" / f".{TRAINING_SET_FOLDER}.tmp").mkdir()
    (runs / "empty").mkdir()
    town.ask_to_erase()
    town.work()
    assert sorted(folder.name for folder in runs.iterdir()) == sorted([kept.run_id, "empty"])
    assert town.registry.runs.get(holding.run_id).erased_at is not None
    assert town.registry.runs.get(kept.run_id).erased_at is None


def test_an_error_message_that_may_quote_a_text_goes_everywhere(town: Town) -> None:
    def quoting(spec: JobSpec) -> JobResult:
        return JobResult(run_id=spec.run_id, status="failed", error=f"cannot align {WORD} said so")

    town.train_with(quoting)
    town.take_in(town.feedback())
    town.grow(10)
    run = town.ask("request:first")
    with closing(town.log.sink()) as sink:
        Publisher(town.registry, sink).step()
    town.ask_to_erase()
    town.work()
    assert "was removed" in (town.registry.runs.get(run.run_id).error or "")
    town.work(hours=1.1)
    assert places_of([WORD], town.settings.data_dir) == {}
    with closing(town.log.source("reader", [LIFECYCLE_TOPIC])) as source:
        told = source.poll(timeout_s=0.1, max_events=10)
    assert [raw.erased for raw in told] == [False, True]
    assert json.loads(told[0].value or b"")["type"] == "training.started"


def test_log_dead_letters_and_acknowledgements_forget_and_their_neighbours_stay(town: Town) -> None:
    bad = {"type": "feedback", "user_id": "anna", "text": WORD}
    other = {"type": "feedback", "user_id": "bert", "text": "what Bert said"}
    for user in ("anna", "bert"):
        town.accepted.add(Accepted(f"f-{user}", NAME, "0" * 64, "0" * 64, town.clock()))
    town.take_in(
        town.feedback("f-anna"), town.feedback("f-anna"), town.feedback("f-bert", "bert", "what Bert said"),
        json.dumps(bad).encode(), json.dumps(other).encode(), b'{"user_id": "anna", ' + WORD.encode(),
        json.dumps({"type": "feedback", "text": f"{WORD} " * 400_000, "user_id": "anna"}).encode(),
    )  # fmt: skip
    assert town.letters.count() == 4
    town.ask_to_erase()
    town.work()
    (letter,) = town.letters.list()
    assert b"what Bert said" in letter.value
    with closing(town.log.source("reader", [FEEDBACK_TOPIC])) as source:
        kept = source.poll(timeout_s=0.1, max_events=100)
    assert [raw.position.offset for raw in kept] == list(range(8)), "offsets have no gap"
    assert [raw.position.offset for raw in kept if not raw.erased] == [2, 4]
    assert town.accepted.get("f-anna") is None
    assert town.accepted.get("f-bert") is not None
    town.work(hours=1.1)
    assert places_of([WORD, "anna"], town.settings.data_dir) == {}


def test_what_comes_later_leaves_no_trace_either(town: Town) -> None:
    town.take_in(town.feedback())
    town.ask_to_erase()
    town.work()
    town.work(hours=1.1)
    town.accepted.add(Accepted("f-late", NAME, "0" * 64, "0" * 64, town.clock()))
    town.take_in(town.feedback(), town.feedback("f-late", text=f"{WORD} again"), b'{"user_id": "anna", ' + WORD.encode())
    assert town.letters.count() == 0
    town.work()
    assert town.erasures.positions() == []
    assert town.accepted.get("f-late") is None
    with closing(town.log.source("reader", [FEEDBACK_TOPIC])) as source:
        assert all(raw.erased for raw in source.poll(timeout_s=0.1, max_events=100))
    assert places_of([WORD], town.settings.data_dir) == {}


def test_a_second_request_that_is_not_read_yet_is_not_lost(town: Town) -> None:
    town.take_in(town.feedback())
    town.ask_to_erase()
    with closing(town.log.sink()) as sink:
        sink.publish(FEEDBACK_TOPIC, to_bytes(Erase(event_id="again", occurred_at=town.clock(), user_id="anna")))
    town.work()
    town.take_in()
    assert town.erasures.of_event("again") is not None
    town.work()
    town.work(hours=1.1)
    assert places_of(["anna"], town.settings.data_dir) == {}
    assert [one.state for one in town.erasures.all()] == ["done", "done"]


def test_erasures_that_come_one_after_the_other_share_a_run(town: Town) -> None:
    town.take_in(town.feedback("f-2", "bert", "Bert said so"))
    town.champion_with_feedback()
    town.ask_to_erase("anna")
    town.work()
    town.work(hours=0.5)
    town.ask_to_erase("bert")
    town.work()
    assert [one.state for one in town.erasures.all()] == ["removed from tables", "removed from tables"]
    town.work(hours=0.6)
    assert [one.state for one in town.erasures.all()] == ["removed from tables", "retrain queued"]
    town.take_in()
    town.work(hours=0.6)
    town.take_in()
    assert [one.state for one in town.erasures.all()] == ["retrain queued", "retrain queued"]
    assert len(town.buffer.requests()) == 1
    town.cycle.step()
    town.work()
    assert [one.state for one in town.erasures.all()] == ["done", "done"]


def test_rows_that_a_backup_brought_back_are_erased_again(town: Town) -> None:
    town.take_in(town.feedback())
    town.ask_to_erase()
    town.work()
    town.work(hours=1.1)
    town.buffer._erasures = None
    town.buffer.insert(buffers.stored(town.feedback(), offset=900))
    town.buffer._erasures = town.erasures
    assert town.work().number == 1, "it is looked for at the start only"
    town.next_eraser()
    with capture_logs() as lines:
        again = town.work()
    assert [line["log_level"] for line in lines if line["event"] == "erasure.came_back"] == ["error"]
    assert (again.number, again.what, again.state) == (2, "rows that came back", "removed from tables")
    assert town.buffer.example_ids() == frozenset()
    town.work(hours=1.1)
    town.next_eraser()
    assert town.work().number == 2
    assert places_of([WORD], town.settings.data_dir) == {}


def test_tables_that_were_taken_back_are_gone_through_again(town: Town) -> None:
    town.take_in(town.feedback())
    town.ask_to_erase()
    assert town.work().state == "removed from tables"
    town.buffer.repairs = ("examples: version 9 could not be read; version 8 was restored",)
    town.next_eraser()
    with capture_logs() as lines:
        town.work()
    assert [line["event"] for line in lines if line["event"] == "erasure.removed"] == ["erasure.removed"]


def test_a_task_without_a_task_file_is_told(town: Town) -> None:
    town.champion_with_feedback()
    town.ask_to_erase()
    town.work()
    town.tasks.clear()
    assert "its task file is gone" in town.work(hours=1.1).note
