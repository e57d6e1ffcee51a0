"""What ingest and a run expect of the buffer, held against every one; and what its two types allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.errors import UserError
from consumers.buffer.open import open_reader, open_writer
from consumers.buffer.protocols import EventStore, TrainingSetSource
from consumers.training_set.snapshot import TrainingSet, load_training_set
from tests.support.buffers import SETTINGS, TASKS, TOPICS, enrich, label, opened, stored
from tests.support.memory_buffer import MemoryBuffer

TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})


def side(event_id: str) -> str:
    return "test" if event_id.startswith("test") else "train"


@dataclass
class Place:
    store: EventStore
    source: TrainingSetSource
    settle: Callable[[], object]
    """Let what follows on its own (enrichment) happen."""

    def frozen(self, folder: Path, learnt: frozenset[str] = frozenset(), max_rows: int | None = None) -> TrainingSet:
        self.settle()
        return self.source.freeze(TASK, run_id="r", folder=folder, learnt=learnt, max_rows=max_rows)


@pytest.fixture(params=["LanceDB", "LanceDB, read by another", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        memory = MemoryBuffer(lambda event: side(event.event_id))
        yield Place(memory, memory, lambda: None)
        return
    with opened(tmp_path / "b") as writer, closing(open_reader(tmp_path / "b", tasks=TASKS)) as reader:
        yield Place(
            writer,
            writer if request.param == "LanceDB" else reader,
            lambda: enrich(writer, split=lambda row: side(row.row_id)),
        )


def ids(frozen: TrainingSet, role: str = "train") -> list[str]:
    return list(frozen.rows(role)["example_id"].to_pylist())


def test_an_event_is_stored_once_however_often_it_comes(place: Place, tmp_path: Path) -> None:
    batch = stored(label("l-1", "one"), label("l-2", "two"), label("l-1", "one"))
    outcome = place.store.insert(batch)
    assert (outcome.inserted, outcome.duplicates, outcome.conflicts) == (2, 1, ())
    outcome = place.store.insert(batch)
    assert (outcome.inserted, outcome.duplicates) == (0, 3)
    place.store.sync()
    place.store.check()
    assert sorted(ids(place.frozen(tmp_path / "set"))) == ["l-1", "l-2"]


def test_other_content_under_a_used_id_is_a_conflict_and_changes_nothing(place: Place, tmp_path: Path) -> None:
    place.store.insert(stored(label("l-1", "one")))
    (other,) = stored(label("l-1", "another"), offset=1)
    outcome = place.store.insert([other])
    assert outcome.inserted == 0
    ((conflict),) = outcome.conflicts
    assert conflict.stored == other
    assert "event_id" in conflict.reason
    assert place.frozen(tmp_path / "set").rows("train")["text"].to_pylist() == ["one"]


def test_a_frozen_set_holds_each_row_in_its_role_and_is_read_as_it_was_written(place: Place, tmp_path: Path) -> None:
    place.store.insert(stored(label("l-1", "one", hours=2), label("l-2", "two", hours=3), label("test-1", "three", "sport")))
    frozen = place.frozen(tmp_path / "set", learnt=frozenset({"l-2"}))
    assert (ids(frozen), ids(frozen, "test")) == (["l-2", "l-1"], ["test-1"])
    assert frozen.rows("train")["is_new"].to_pylist() == [False, True]
    assert (frozen.manifest.new_rows, frozen.manifest.task) == (1, TASK.name)
    assert load_training_set(tmp_path / "set") == frozen


def test_what_comes_later_changes_no_frozen_set(place: Place, tmp_path: Path) -> None:
    place.store.insert(stored(label("l-1", "one")))
    first = place.frozen(tmp_path / "first")
    place.store.insert(stored(label("l-2", "two"), offset=1))
    assert ids(first) == ["l-1"]
    second = place.frozen(tmp_path / "second")
    assert len(ids(second)) == 2
    assert second.manifest.max_seq > first.manifest.max_seq
    with pytest.raises(OSError, match="first"):
        place.frozen(tmp_path / "first")


def test_more_rows_than_are_wanted_leave_the_oldest_out(place: Place, tmp_path: Path) -> None:
    place.store.insert(stored(*(label(f"l-{hours}", f"text {hours}", hours=hours) for hours in range(4))))
    assert ids(place.frozen(tmp_path / "set", max_rows=2)) == ["l-1", "l-0"]


def test_a_buffer_is_opened_by_its_place(tmp_path: Path) -> None:
    with closing(open_writer(f"file://{tmp_path}/a%20buffer", SETTINGS, tasks=TASKS)) as writer:
        writer.insert(stored(label("l-1")))
        with closing(open_reader(str(tmp_path / "a buffer"), tasks=TASKS)) as reader:
            assert reader.table_counts()["examples"] == 1


@pytest.mark.parametrize("uri", ["s3://key:secret@bucket/buffer", "gs://secret/buffer", "file://secret-host/buffer"])
def test_a_place_that_this_version_cannot_use_is_refused_by_name(uri: str) -> None:
    for opening in (lambda: open_reader(uri, tasks=TASKS), lambda: open_writer(uri, SETTINGS, tasks=TASKS)):
        with pytest.raises(UserError, match=uri.partition("://")[0]) as refused:
            opening()
        assert "key:" not in str(refused.value)
