"""What the daemon and serving expect of an artifact store, held against every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.errors import RunFailedError, UserError
from config.files import durable
from perennial_artifact.manifest import MANIFEST_FILE, File
from perennial_artifact.sharing import Held
from registry.artifacts import manifest as manifests
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.open import open_store
from registry.artifacts.protocol import ArtifactStore
from tests.support.artifact_stores import CachedArtifacts


@dataclass
class Opened:
    store: ArtifactStore
    kept: Path
    """Where the models are at rest."""


@pytest.fixture(params=["local", "cached"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    kept = tmp_path / "kept"
    store = LocalArtifacts(kept) if request.param == "local" else CachedArtifacts(kept, tmp_path / "cache")
    return Opened(store, kept)


@pytest.fixture
def store(opened: Opened) -> ArtifactStore:
    return opened.store


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "ner").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "ner" / "weights").write_bytes(b"\x00\x01" * 500)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name != MANIFEST_FILE}


def test_what_is_published_is_fetched_byte_by_byte(store: ArtifactStore, model: Path) -> None:
    published = store.publish("topics", 3, model)
    assert published.artifact_id == f"topics/v3-{published.manifest_sha256[:12]}"
    assert published.size_bytes == sum(map(len, files(model).values()))
    assert files(store.fetch(published.artifact_id, published.manifest_sha256)) == files(model)
    assert store.list() == [published.artifact_id]
    assert store.size_bytes(published.artifact_id) >= published.size_bytes


def test_whoever_checks_the_bytes_alone_finds_the_manifest_beside_them(store: ArtifactStore, model: Path) -> None:
    published = store.publish("topics", 3, model)
    folder = store.folder(published.artifact_id)
    manifest = manifests.read(folder, published.artifact_id, published.manifest_sha256)
    assert set(manifest.files) == set(files(folder)) == set(files(model))


def test_the_same_again_is_one_artifact_and_other_content_another(store: ArtifactStore, model: Path) -> None:
    first, again = store.publish("topics", 3, model), store.publish("topics", 3, model)
    assert first == again
    before = files(model)
    (model / "config.json").write_text("[]")
    other = store.publish("topics", 3, model)
    assert store.list() == sorted([first.artifact_id, other.artifact_id])
    assert files(store.fetch(first.artifact_id, first.manifest_sha256)) == before


def room(folder: Path) -> int:
    """Return the bytes that the files below a folder take, whatever their number of names."""
    return sum({path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}.values())


def test_what_versions_have_in_common_takes_room_once(opened: Opened, model: Path, tmp_path: Path) -> None:
    store = opened.store
    (model / "encoder").write_bytes(b"weights" * 100_000)
    first = store.publish("topics", 1, model)
    store.fetch(first.artifact_id, first.manifest_sha256)
    before = room(tmp_path)
    (model / "ner" / "weights").write_bytes(b"\x00\x03" * 500)
    second, other = store.publish("topics", 2, model), store.publish("regions", 1, model)
    assert second.size_bytes == first.size_bytes, "the manifest says what it said"
    for one in (second, other):
        assert files(store.fetch(one.artifact_id, one.manifest_sha256)) == files(model)
    assert room(tmp_path) - before < 10_000, "a head and manifests"
    store.remove(first.artifact_id)
    store.remove(other.artifact_id)
    assert files(store.fetch(second.artifact_id, second.manifest_sha256)) == files(model)
    store.remove(second.artifact_id)
    assert room(opened.kept) == 0, "the last name takes the file with it"


def test_what_is_damaged_at_rest_is_not_passed_on(opened: Opened, model: Path) -> None:
    first = opened.store.publish("topics", 1, model)
    for name, content in (("ner/weights", b"\x00\x09" * 500), ("config.json", b"torn")):
        (opened.kept / first.artifact_id / name).write_bytes(content)
    second = opened.store.publish("topics", 2, model)
    with pytest.raises(RunFailedError, match=r"config\.json"):
        opened.store.fetch(first.artifact_id, first.manifest_sha256)
    assert files(opened.store.fetch(second.artifact_id, second.manifest_sha256)) == files(model)


def test_a_version_that_goes_while_another_is_published_is_no_loss(
    opened: Opened, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened.store.publish("topics", 1, model)
    place = Held.place

    def collected_meanwhile(held: Held, file: File, target: Path) -> bool:
        opened.store.remove(first.artifact_id)
        return place(held, file, target)

    monkeypatch.setattr(Held, "place", collected_meanwhile)
    second = opened.store.publish("topics", 2, model)
    monkeypatch.undo()
    assert opened.store.list() == [second.artifact_id]
    assert files(opened.store.fetch(second.artifact_id, second.manifest_sha256)) == files(model)


def test_a_publishing_that_ends_half_way_leaves_the_others_whole(
    opened: Opened, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened.store.publish("topics", 1, model)
    (model / "more").write_bytes(b"new")

    def full(_folder: Path) -> None:
        message = "no space left"
        raise OSError(message)

    monkeypatch.setattr(durable, "sync_tree", full)
    with pytest.raises(OSError, match="no space left"):
        opened.store.publish("topics", 2, model)
    assert opened.store.list() == [first.artifact_id]
    assert [path.name for path in (opened.kept / "topics").iterdir()] == [first.artifact_id.partition("/")[2]]
    (model / "more").unlink()
    assert files(opened.store.fetch(first.artifact_id, first.manifest_sha256)) == files(model)


def test_a_cache_brings_only_what_it_has_not(tmp_path: Path, model: Path) -> None:
    store = CachedArtifacts(tmp_path / "kept", tmp_path / "cache")
    first = store.publish("topics", 1, model)
    store.fetch(first.artifact_id, first.manifest_sha256)
    store.brought.clear()
    (model / "config.json").write_text("[1]")
    second = store.publish("topics", 2, model)
    store.fetch(second.artifact_id, second.manifest_sha256)
    assert sorted(store.brought) == [f"{second.artifact_id}/config.json", f"{second.artifact_id}/{MANIFEST_FILE}"]


def test_what_must_not_be_published_leaves_nothing(store: ArtifactStore, model: Path) -> None:
    (model / "weights.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(RunFailedError, match=r"weights\.pkl is a pickle"):
        store.publish("topics", 1, model)
    assert store.list() == []


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "ner" / "weights").write_bytes(b"\x00\x01" * 499 + b"\x00\x02"), "ner/weights"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "more").touch(), "more"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("{}"), MANIFEST_FILE),
    ],
)
def test_damage_at_rest_is_refused_and_named(opened: Opened, model: Path, damage: Callable[[Path], object], named: str) -> None:
    published = opened.store.publish("topics", 3, model)
    damage(opened.kept / published.artifact_id)
    with pytest.raises(RunFailedError, match=named):
        opened.store.fetch(published.artifact_id, published.manifest_sha256)


def test_what_is_removed_is_gone_for_whoever_asks(store: ArtifactStore, model: Path) -> None:
    published = store.publish("topics", 3, model)
    store.fetch(published.artifact_id, published.manifest_sha256)
    store.remove(published.artifact_id)
    store.remove(published.artifact_id)
    assert (store.list(), store.size_bytes(published.artifact_id)) == ([], 0)
    assert not store.folder(published.artifact_id).exists()
    with pytest.raises(RunFailedError, match="missing"):
        store.fetch(published.artifact_id, published.manifest_sha256)
    assert store.sweep_temporary() == 0


def test_what_a_killed_publishing_left_is_swept_and_never_listed(opened: Opened, model: Path) -> None:
    published = opened.store.publish("topics", 3, model)
    (opened.kept / "topics" / ".tmp-0123").mkdir()
    assert opened.store.list() == [published.artifact_id]
    assert opened.store.sweep_temporary() == 1


@pytest.mark.parametrize("artifact_id", ["../topics/v1", "topics/v1", "/topics/v1-0123456789ab", ""])
def test_what_is_no_artifact_id_is_refused(store: ArtifactStore, artifact_id: str) -> None:
    for step in (store.folder, store.remove, store.size_bytes, lambda name: store.fetch(name, "0" * 64)):
        with pytest.raises(RunFailedError, match="not an artifact id"):
            step(artifact_id)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "ner" / "weights").write_bytes(b"\x00\x01" * 10),
        lambda folder: (folder / "config.json").write_text("[]"),
        lambda folder: (folder / MANIFEST_FILE).unlink(),
    ],
    ids=["torn", "altered", "half fetched"],
)
def test_a_torn_or_altered_cache_entry_is_fetched_again(tmp_path: Path, model: Path, damage: Callable[[Path], object]) -> None:
    store = CachedArtifacts(tmp_path / "kept", tmp_path / "cache")
    published = store.publish("topics", 3, model)
    cached = store.fetch(published.artifact_id, published.manifest_sha256)
    assert cached.is_relative_to(tmp_path / "cache")
    damage(cached)
    assert files(store.fetch(published.artifact_id, published.manifest_sha256)) == files(model)


def test_a_store_is_opened_by_its_place(tmp_path: Path, model: Path) -> None:
    published = open_store(tmp_path / "artifacts").publish("topics", 1, model)
    assert open_store(f"file://{tmp_path}/artifacts").list() == [published.artifact_id]
    with pytest.raises(UserError, match=r"cannot be stored at s3://; .*folder") as refused:
        open_store("s3://key:secret@bucket/models")
    assert "secret" not in str(refused.value)
