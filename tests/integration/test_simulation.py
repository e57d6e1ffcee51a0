"""A history is played once more: as it is on record it repeats itself, and under other policies nothing live is touched."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import RetryError, UserError
from consumers.buffer.open import open_reader, open_writer
from consumers.history.past import Past
from consumers.history.playing import Player
from consumers.tables.columns import is_one_of
from daemon.operations.simulating.simulate import simulate
from daemon.operations.simulating.ways import SAMPLED
from daemon.training import aside
from daemon.training.concluding.telling import Teller
from daemon.views.models.simulation import Simulation
from tests.support import buffers, simulated
from tests.support.cycles import NAME
from tests.support.simulated import Recorded, Watching, ways
from trainers.job.spec import JobResult, JobSpec


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """Cards and reports take longer than all else here, and nothing of a replay goes by them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Teller, "card", lambda *_what, **_more: None)
        patch.setattr(Teller, "report", lambda *_what, **_more: None)
        yield


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    made = simulated.two_weeks(tmp_path_factory.mktemp("weeks"))
    yield made
    made.close()


def played(made: Recorded, *asked: str, **more: object) -> Simulation:
    given = {"watch": Watching(), "stop": simulated.never(), "ways": ways()} | more
    return simulate(made.settings, NAME, asked, **given)  # type: ignore[arg-type]  # as simulate takes them


def policy(folder: Path, text: str, name: str = "other.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_a_history_on_record_repeats_its_trigger_keys_training_sets_and_verdicts(weeks: Recorded) -> None:
    recorded = weeks.runs
    assert {run.verdict for run in recorded} >= {"promote", "insufficient_evidence"}
    assert {run.trigger_key.partition(":")[0] for run in recorded} >= {"threshold", "age", "request"}
    found = played(weeks)
    (one,) = found.policies
    assert [(run.key, run.verdict, run.kind) for run in one.runs] == [
        (run.trigger_key, run.verdict, run.kind) for run in recorded
    ]
    assert one.recorded is not None
    assert one.recorded.differences == ()
    assert (one.recorded.keys, one.recorded.training_sets, one.recorded.verdicts) == (len(recorded),) * 3
    assert one.complete
    assert found.notes == ()
    assert one.promotions == sum(run.verdict == "promote" for run in recorded)


def test_at_each_moment_the_played_buffer_counts_what_the_daemon_counted_then(weeks: Recorded, tmp_path: Path) -> None:
    with closing(open_reader(weeks.settings.buffer_dir, tasks=weeks.world.tasks)) as reader:
        reader.take_past(weeks.world.tasks[NAME], tmp_path / "past")
    past = Past(tmp_path / "past", NAME)
    with closing(open_writer(tmp_path / "played", buffers.SETTINGS, tasks=weeks.world.tasks)) as buffer:
        player = Player(past, buffer)
        moved = 0
        for number, then in weeks.counted:
            player.to(buffers.NOW, number)
            now = buffer.counts(NAME)
            # Documents that a run's freeze has moved to the test side move again with the replay's own freezes, not here.
            assert (now.max_seq, now.train + now.test, now.corrections) == (number, then.train + then.test, then.corrections)
            moved = max(moved, then.test - now.test)
    assert moved > 0


def test_another_policy_makes_other_runs_and_nothing_live_is_written(weeks: Recorded, tmp_path: Path) -> None:
    before, champion = contents(weeks.settings.data_dir), weeks.world.champion()
    rarer = policy(tmp_path, "trigger: {min_new_examples: 60, max_age_days: 30}\nreview: {disagreement: false}\n", "rarer.yaml")
    watch = Watching()
    found = played(weeks, "current", rarer, watch=watch, periods=4)
    assert contents(weeks.settings.data_dir) == before
    assert weeks.world.champion() == champion
    current, other = found.policies
    assert (current.name, other.name) == ("current", "rarer")
    assert other.differs == {
        "trigger.min_new_examples": (20, 60),
        "trigger.max_age_days": (3.0, 30.0),
        "review.disagreement": (True, False),
    }
    assert (current.labels_asked > 0, other.labels_asked) == (True, 0)
    assert 0 < len(other.runs) < len(current.runs)
    assert other.cpu_s == 2.0 * len(other.runs)
    assert other.mean_wait_days is not None
    assert current.mean_wait_days is not None
    assert other.mean_wait_days > current.mean_wait_days
    # Both are asked about the same rows, and the one that trains more often knows more of them.
    assert [(one.since, one.rows) for one in current.periods] == [(one.since, one.rows) for one in other.periods]
    assert current.quality is not None
    assert watch.shares[-1] == 1.0
    assert "rollback" not in " ".join(found.notes)


def test_played_by_when_texts_were_written_the_same_rows_make_a_history(weeks: Recorded) -> None:
    found = played(weeks, "current", by="event", periods=0)
    assert found.time == "event"
    with pytest.raises(UserError, match="--time arrival"):
        played(weeks, "recorded", by="event")


def test_what_the_buffer_no_longer_has_is_named(tmp_path: Path) -> None:
    with closing(Recorded(tmp_path)) as made:
        for _day in range(2):
            made.day(labels=30, held_out=60)
        assert made.runs[0].verdict == "promote"
        gone = [f"train-{number}" for number in range(12)]
        for table in ("examples", "example_enrichment"):
            made.world.buffer._tables.delete(table, is_one_of("row_id", gone))
        found = played(made, periods=0)
        assert "train-0, train-1, " in found.notes[0]
        (one,) = found.policies
        assert one.recorded is not None
        first = one.recorded.differences[0]
        # 18 of 20 examples are left: no run was due. It is played all the same, so that those after it can be compared.
        assert (first.run_id, first.what) == (made.runs[0].run_id, "key")
        assert {"train-0", "train-1"} <= set(first.missing) <= set(gone)
        assert len(one.runs) == len(made.runs) > 1
        assert one.recorded.training_sets < len(made.runs)


def test_a_person_s_rollback_is_repeated_under_the_record_alone(tmp_path: Path) -> None:
    from registry import promotion  # noqa: PLC0415 - this test alone moves an alias

    with closing(Recorded(tmp_path)) as made:
        for _day in range(2):
            made.day(labels=30, held_out=60)
        assert len([run for run in made.runs if run.verdict == "promote"]) > 1
        promotion.rollback(made.world.registry, NAME, actor="anna", reason="odd answers")
        made.world.clock.forward(60)
        made.day(labels=30, held_out=60)
        found = played(made, "recorded", "current", periods=0)
        recorded = found.policies[0].recorded
        assert recorded is not None
        assert (recorded.differences, recorded.verdicts) == ((), len(made.runs))
        assert "1 move of the champion by people" in found.notes[0]


def test_a_stop_leaves_what_was_done(weeks: Recorded) -> None:
    stop, begun = threading.Event(), []

    def stopped_at_the_third(spec: JobSpec) -> JobResult:
        begun.append(spec.run_id)
        if len(begun) == 3:
            stop.set()
            return JobResult(run_id=spec.run_id, status="stopped", error="stopped")
        return simulated.learns(spec)

    found = played(weeks, "current", "recorded", stop=stop, ways=ways(stopped_at_the_third))
    (one,) = found.policies
    assert (found.stopped, one.complete, len(one.runs)) == (True, False, 2)


def test_nothing_is_left_of_the_copies(weeks: Recorded) -> None:
    runs = weeks.settings.runs_dir
    runs.mkdir(exist_ok=True)
    (runs / f"{aside.COPIES_PREFIX}killed").mkdir()
    before = {path.name for path in runs.iterdir()} - {f"{aside.COPIES_PREFIX}killed"}
    played(weeks, "current", periods=0)
    assert {path.name for path in runs.iterdir()} == before


def test_an_erasure_takes_the_copies_of_a_replay_away(weeks: Recorded) -> None:
    def erased(spec: JobSpec) -> JobResult:
        assert aside.remove_copies(weeks.settings.runs_dir) == 1
        return simulated.learns(spec)

    with pytest.raises(RetryError, match="an erasure"):
        played(weeks, "current", periods=0, ways=ways(erased))


def test_an_unknown_task_or_an_empty_buffer_is_refused(tmp_path: Path) -> None:
    with closing(Recorded(tmp_path)) as made:
        with pytest.raises(UserError, match="there is none to repeat"):
            played(made)
        with pytest.raises(UserError, match="no enriched example"):
            played(made, "current")
        with pytest.raises(UserError, match="'other' is not defined"):
            simulate(made.settings, "other", (), watch=Watching(), stop=simulated.never())
        away = made.settings.model_copy(update={"data_dir": tmp_path / "nowhere"})
        with pytest.raises(UserError, match="no buffer"):
            simulate(away, NAME, (), watch=Watching(), stop=simulated.never())


def test_a_history_shorter_than_one_trigger_has_no_run_and_says_why(tmp_path: Path) -> None:
    with closing(Recorded(tmp_path)) as made:
        made.day(labels=8, held_out=2)
        found = played(made, "current")
        (one,) = found.policies
        assert (one.runs, one.quality, one.complete) == ((), None, True)
        assert "8 of 20 new examples" in found.notes[0]


def test_sampled_training_trains_what_it_says_and_opens_no_candidate(tmp_path: Path) -> None:
    trained: list[tuple[str, int, str]] = []

    def learns(spec: JobSpec) -> JobResult:
        trained.append((spec.task.training.tuning, spec.task.training.max_rows, spec.task.export))
        return simulated.learns(spec)

    with closing(Recorded(tmp_path)) as made:
        made.day(labels=25, held_out=25)
        found = played(made, "current", periods=0, ways=replace(SAMPLED, runner=ways(learns).runner, score=simulated.scores))
        most = made.world.tasks[NAME].training.max_rows
    (one,) = found.policies
    assert (found.training, found.training_told.partition(":")[0]) == ("sampled", "Sampled training")
    assert [(run.state, run.verdict) for run in one.runs] == [("decided", "insufficient_evidence")]
    assert trained == [("never", min(most, 5_000), "none")]


def test_two_policies_that_are_the_same_are_played_once(weeks: Recorded, tmp_path: Path) -> None:
    same = policy(tmp_path, "trigger: {min_new_examples: 20}\n")
    found = played(weeks, "current", same, periods=0)
    assert [one.name for one in found.policies] == ["current"]
    assert f"policy {same} is the same as current" in found.notes[0]
