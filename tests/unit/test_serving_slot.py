"""The slot, with real published models: loads, swaps without a mixed answer, keeps the old one, tries again."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from config.tasks import load_task
from daemon.serving.models import slot as slots
from daemon.serving.models.batching import Batcher
from daemon.serving.models.loading import RegistryChampions
from daemon.serving.models.slot import NoModelError, Refreshed, Slot
from perennial_artifact.formats import Opened
from perennial_artifact.predictor import Answer
from tests.support import weak
from tests.support.served import TASK, TEXT, ServedData, as_opened, eventually, load_on_cpu

LIMIT_S = 20


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    return ServedData(tmp_path)


@pytest.fixture
def slot(data: ServedData) -> Iterator[Slot]:
    spec = load_task(data.folder / "tasks" / "entities.yaml")
    made = Slot(spec, RegistryChampions(data.registry, data.artifacts), load_on_cpu)
    yield made
    made.close()


def answer(slot: Slot) -> tuple[str, str]:
    version, future = slot.predict([TEXT])
    return version, future.result(LIMIT_S)[0]["spans"][0]["label"]


def test_a_task_without_champion_has_no_model(slot: Slot) -> None:
    assert slot.refresh().kind == "no_champion"
    with pytest.raises(NoModelError):
        slot.predict([TEXT])
    assert slot.status().looked
    assert slot.status().serving is None


def test_changed_keywords_leave_no_moment_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answering: list[bool] = []

    def made(*given: Any, **options: Any) -> Batcher:
        answering.append(made_slot._live is not None)
        return Batcher(*given, **options)

    monkeypatch.setattr(slots, "Batcher", made)
    made_slot = Slot(weak.task(), SimpleNamespace(champion=lambda _task: None), load_on_cpu)
    for changed in (weak.task(), weak.task(weak.MONEY)):
        made_slot.spec = changed
        assert made_slot.refresh().kind == "no_champion"
        assert made_slot.version()
    made_slot.close()
    assert answering == [False, True]


def test_the_champion_is_loaded_and_the_next_one_replaces_it(slot: Slot, data: ServedData) -> None:
    data.champion()
    assert slot.refresh().kind == "swapped"
    assert answer(slot) == (f"{TASK}/v1", "V1")
    assert slot.refresh().kind == "unchanged"
    data.champion()
    assert slot.refresh().kind == "swapped"
    assert answer(slot) == (f"{TASK}/v2", "V2")
    assert slot.status().generation == 2


def test_the_old_model_is_released_after_the_swap(data: ServedData, slot: Slot) -> None:
    seen = []

    def load_and_note(folder: Path, before: Opened | None) -> Opened:
        opened = load_on_cpu(folder, before)
        seen.append(weakref.ref(opened.predictor))
        return opened

    slot._load = load_and_note
    data.champion()
    slot.refresh()
    assert answer(slot)
    data.champion()
    slot.refresh()
    gc.collect()
    assert seen[0]() is None
    assert seen[1]() is not None


def test_answers_stay_whole_while_the_alias_moves_under_load(slot: Slot, data: ServedData) -> None:
    versions = [data.publish() for _ in range(3)]
    data.promote(versions[0])
    slot.refresh()
    stop = threading.Event()
    answers: list[tuple[str, str]] = []

    def ask() -> None:
        while not stop.is_set():
            answers.append(answer(slot))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for number in range(1, 7):
        data.promote(versions[number % 3])
        assert slot.refresh().kind == "swapped"
    stop.set()
    for asker in askers:
        asker.join(LIMIT_S)
    assert len({version for version, _label in answers}) == 3
    assert all(version == f"{TASK}/{label.lower()}" for version, label in answers), "an answer carries another model's version"


def test_a_corrupt_artifact_leaves_the_old_model_serving(slot: Slot, data: ServedData) -> None:
    data.champion()
    slot.refresh()
    bad = data.publish()
    file = data.artifact_file(bad)
    good_bytes = file.read_bytes()
    file.write_bytes(good_bytes.replace(b"V2", b"VX"))
    data.promote(bad)
    outcome = slot.refresh()
    assert outcome.kind == "failed"
    assert answer(slot) == (f"{TASK}/v1", "V1")
    status = slot.status()
    assert status.champion == bad
    assert status.serving == f"{TASK}/v1"
    assert "patterns.jsonl" in status.failure
    assert "perennial models rollback" in status.failure
    # It is tried again after a pause, not at every look.
    assert slot.refresh().kind == "backing_off"
    file.write_bytes(good_bytes)
    eventually(lambda: slot.refresh().kind == "swapped")
    assert answer(slot) == (bad, "V2")
    assert slot.status().failure is None


def test_a_moved_alias_is_tried_at_once_and_going_back_clears_the_failure(slot: Slot, data: ServedData) -> None:
    first = data.champion()
    slot.refresh()
    bad = data.publish()
    data.artifact_file(bad).unlink()
    data.promote(bad)
    assert slot.refresh().kind == "failed"
    data.champion()
    assert slot.refresh().kind == "swapped"
    data.promote(bad)
    assert slot.refresh().kind == "failed"
    data.promote(first)
    assert slot.refresh().kind == "swapped"
    assert slot.status().failure is None


def test_a_verified_model_that_cannot_answer_is_refused(data: ServedData, slot: Slot) -> None:
    class Silent:
        def predict(self, texts: Sequence[str]) -> list[Answer]:
            return [{"score": float("nan")} for _text in texts]

    data.champion()
    slot.refresh()
    slot._load = lambda _folder, _before: as_opened(Silent())
    data.champion()
    assert slot.refresh().kind == "failed"
    assert answer(slot) == (f"{TASK}/v1", "V1")


def test_an_unreadable_registry_is_reported_and_survived(data: ServedData, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    data.champion()
    slot.refresh()
    outcomes = []
    stop = threading.Event()

    def report(_task: str, outcome: Refreshed) -> None:
        outcomes.append(outcome)
        stop.set()

    def unreadable(_task: str) -> NoReturn:
        message = "disk I/O error"
        raise OSError(message)

    monkeypatch.setattr(slot._source, "champion", unreadable)
    slot.watch(stop, 0.01, report)
    assert outcomes[0].kind == "unreadable"
    assert "disk I/O error" in outcomes[0].reason
    assert answer(slot) == (f"{TASK}/v1", "V1")


def test_a_closed_slot_has_answered_what_it_took(data: ServedData, slot: Slot) -> None:
    data.champion()
    slot.refresh()
    futures = [slot.predict([TEXT])[1] for _ in range(50)]
    slot.close()
    assert all(future.result(0)[0]["spans"] for future in futures)
    with pytest.raises(NoModelError):
        slot.predict([TEXT])


def test_twenty_swaps_leave_one_model_and_one_thread(data: ServedData, slot: Slot) -> None:
    held: list[weakref.ref[object]] = []

    def load_and_note(folder: Path, before: Opened | None) -> Opened:
        opened = load_on_cpu(folder, before)
        held.append(weakref.ref(opened.predictor))
        return opened

    slot._load = load_and_note
    versions = [data.publish() for _ in range(2)]
    for number in range(20):
        data.promote(versions[number % 2])
        assert slot.refresh().kind == "swapped"
        assert answer(slot)[0] == versions[number % 2]
    gc.collect()
    assert [one() is None for one in held] == [True] * 19 + [False]
    working = [thread.name for thread in threading.enumerate() if thread.name.startswith(f"predict-{TASK}/")]
    assert working == [f"predict-{versions[1]}"]
