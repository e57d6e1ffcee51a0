"""A version is opened by what it shares with the one that is open, where its format can do that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tasks import load_task
from daemon.serving.models.loading import RegistryChampions
from daemon.serving.models.slot import Slot
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.formats import Opened
from registry.artifacts.local import LocalArtifacts
from tests.support.reusing_format import Encoder, Reusing, written
from tests.support.served import TOPICS, ServedData, load_on_cpu


@pytest.fixture(autouse=True)
def _none_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "loaded", 0)


class Store:
    """Publishes versions of the tiny format."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._artifacts = LocalArtifacts(folder / "artifacts")
        self._number = 0

    def version(self, encoder: bytes, head: str) -> Path:
        self._number += 1
        source = written(self._folder / "model", encoder=encoder, head=head)
        published = self._artifacts.publish("t", self._number, source)
        return self._artifacts.fetch(published.artifact_id, published.manifest_sha256)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def label(opened: Opened) -> str:
    (answer,) = opened.predictor.predict(["text"])
    return str(answer["label"])


def test_a_new_head_takes_over_the_encoder(store: Store) -> None:
    first = formats.open_after(store.version(b"a", "one"), Compute(), None)
    second = formats.open_after(store.version(b"a", "two"), Compute(), first)
    assert (label(first), label(second), Encoder.loaded) == ("onea", "twoa", 1)
    third = formats.open_after(store.version(b"b", "two"), Compute(), second)
    assert (label(third), Encoder.loaded) == ("twob", 2)


def test_the_version_before_may_be_gone(store: Store) -> None:
    folder = store.version(b"a", "one")
    first = formats.open_after(folder, Compute(), None)
    for path in folder.iterdir():
        path.unlink()
    assert label(formats.open_after(store.version(b"a", "two"), Compute(), first)) == "twoa"
    assert Encoder.loaded == 1


def test_other_numbers_and_unknown_content_take_over_nothing(store: Store, tmp_path: Path) -> None:
    first = formats.open_after(store.version(b"a", "one"), Compute(), None)
    formats.open_after(store.version(b"a", "two"), Compute(precision="bf16"), first)
    assert Encoder.loaded == 2
    unpublished = written(tmp_path / "unpublished", encoder=b"a", head="three")
    loose = formats.open_after(unpublished, Compute(), first)
    assert Encoder.loaded == 3, "nobody says what is in a folder without a manifest"
    formats.open_after(store.version(b"a", "four"), Compute(), loose)
    assert Encoder.loaded == 4


def test_a_format_that_cannot_reuse_is_opened_as_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = formats.open_after(store.version(b"a", "one"), Compute(), None)
    monkeypatch.delattr(Reusing, "open_after")
    assert label(formats.open_after(store.version(b"a", "two"), Compute(), first)) == "twoa"
    assert Encoder.loaded == 2


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    return ServedData(tmp_path / "served")


@pytest.fixture
def slot(data: ServedData) -> Iterator[Slot]:
    made = Slot(load_task(data.folder / "tasks" / "topics.yaml"), RegistryChampions(data.registry, data.artifacts), load_on_cpu)
    yield made
    made.close()


def test_serving_swaps_a_new_head_without_loading_an_encoder(data: ServedData, slot: Slot, tmp_path: Path) -> None:
    for number, head in enumerate(("one", "two", "three"), start=1):
        data.promote(data.publish_folder(TOPICS, written(tmp_path / "model", encoder=b"a", head=head)))
        assert slot.refresh().kind == "swapped"
        version, answers = slot.predict(["text"])
        assert (version, answers.result(20)[0]["label"]) == (f"{TOPICS}/v{number}", f"{head}a")
    assert Encoder.loaded == 1
    # A version that cannot be opened takes nothing from the one that answers on.
    broken = written(tmp_path / "model", encoder=b"a", head="x")
    (broken / "head").unlink()
    data.promote(data.publish_folder(TOPICS, broken))
    assert slot.refresh().kind == "failed"
    data.promote(data.publish_folder(TOPICS, written(tmp_path / "model", encoder=b"a", head="five")))
    assert slot.refresh().kind == "swapped"
    assert Encoder.loaded == 1
