"""Published folders: whole, checked to the last byte, and nothing in them runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest

from config.errors import RunFailedError
from config.files import durable
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.manifest import MANIFEST_FILE
from registry.artifacts.protocol import Published


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "ner").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "ner" / "model").write_bytes(b"\x84\xa5nodes" * 1000)
    (folder / "ner" / "empty").touch()
    return folder


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


@pytest.fixture
def published(artifacts: LocalArtifacts, model: Path) -> Published:
    return artifacts.publish("topics", 3, model)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_publishes_a_copy_under_an_id_of_its_content(artifacts: LocalArtifacts, published: Published, model: Path) -> None:
    manifest = published.folder / MANIFEST_FILE
    assert published.artifact_id == f"topics/v3-{published.manifest_sha256[:12]}"
    assert hashlib.sha256(manifest.read_bytes()).hexdigest() == published.manifest_sha256
    assert {name: content for name, content in files(published.folder).items() if name != MANIFEST_FILE} == files(model)
    assert published.size_bytes == sum(map(len, files(model).values()))
    assert not (model / "config.json").samefile(published.folder / "config.json")
    assert artifacts.fetch(published.artifact_id, published.manifest_sha256) == published.folder
    assert artifacts.list() == [published.artifact_id]
    assert [path.name for path in published.folder.parent.iterdir()] == [published.folder.name]


def test_the_same_content_again_changes_nothing_and_other_content_takes_another_name(
    artifacts: LocalArtifacts, published: Published, model: Path
) -> None:
    assert artifacts.publish("topics", 3, model) == published
    (model / "config.json").write_text("[]")
    other = artifacts.publish("topics", 3, model)
    assert other.artifact_id != published.artifact_id
    assert artifacts.fetch(published.artifact_id, published.manifest_sha256).exists()


def test_bytes_are_durable_before_the_name_appears(
    artifacts: LocalArtifacts, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, object]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def seen_fsync(descriptor: int) -> None:
        steps.append(("fsync", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def seen_rename(source: Path, target: Path) -> None:
        steps.append(("rename", Path(target).name))
        rename(source, target)

    def seen_replace(source: Path, target: Path) -> None:
        steps.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    monkeypatch.setattr(os, "replace", seen_replace)
    folder = artifacts.publish("topics", 1, model).folder

    # A file keeps its number when it is renamed, so the steps can be told apart afterwards.
    def synced(path: Path) -> tuple[str, object]:
        return ("fsync", path.stat().st_ino)

    manifest, appears = steps.index(("rename", MANIFEST_FILE)), steps.index(("rename", folder.name))
    for name in ("config.json", "ner/model", "ner/empty", "ner"):
        assert steps.index(synced(folder / name)) < manifest
    assert steps.index(synced(folder / MANIFEST_FILE)) < manifest < appears
    assert synced(folder) in steps[manifest:appears]
    assert steps[appears + 1 :] == [synced(folder.parent), synced(folder.parent.parent)]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda folder: (folder / "ner" / "model").write_bytes(b"\x84\xa5nodes" * 999 + b"\x84\xa5nodeX"), "ner/model"),
        (lambda folder: (folder / "config.json").write_text(""), "config.json"),
        (lambda folder: (folder / "ner" / "empty").unlink(), "file ner/empty is missing"),
        (lambda folder: (folder / "ner" / "more").touch(), "file ner/more is not in the manifest"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "link is a symbolic link"),
        (lambda folder: (folder / "dir").symlink_to("/etc"), "dir is a symbolic link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe is not a plain file"),
        (lambda folder: (folder / MANIFEST_FILE).write_text("{}"), f"{MANIFEST_FILE} is not the one on record"),
        (lambda folder: (folder / MANIFEST_FILE).unlink(), f"{MANIFEST_FILE} is missing"),
    ],
)
def test_damage_is_found_and_named(artifacts: LocalArtifacts, published: Published, damage: object, what: str) -> None:
    damage(published.folder)  # type: ignore[operator]  # a callable per case
    with pytest.raises(RunFailedError, match=what):
        artifacts.fetch(published.artifact_id, published.manifest_sha256)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../b", "a//b", "./a", "", "a\\b", MANIFEST_FILE])
def test_a_manifest_that_leaves_its_folder_is_refused(artifacts: LocalArtifacts, published: Published, name: str) -> None:
    path = published.folder / MANIFEST_FILE
    content = json.loads(path.read_bytes())
    content["files"][name] = {"sha256": "0" * 64, "size_bytes": 0}
    forged = json.dumps(content).encode()
    path.write_bytes(forged)
    with pytest.raises(RunFailedError, match="not a plain relative path"):
        artifacts.fetch(published.artifact_id, hashlib.sha256(forged).hexdigest())


@pytest.mark.parametrize("artifact_id", ["../topics/v1", "topics/v1", "topics/v1-0123456789ab/..", "/topics/v1-0123456789ab", ""])
def test_what_is_no_artifact_id_never_reaches_the_disk(artifacts: LocalArtifacts, artifact_id: str) -> None:
    for step in (artifacts.folder, artifacts.remove, lambda name: artifacts.fetch(name, "0" * 64)):
        with pytest.raises(RunFailedError, match="not an artifact id"):
            step(artifact_id)


@pytest.mark.parametrize("name", ["weights.pkl", "training_args.bin", "optimizer.pt", "sub/model.PTH"])
def test_a_pickle_by_name_is_not_published(artifacts: LocalArtifacts, model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"anything")
    with pytest.raises(RunFailedError, match=rf"{name} is a pickle, or named like one.*safetensors"):
        artifacts.publish("topics", 1, model)
    assert artifacts.list() == []


def test_a_pickle_by_content_is_not_published_and_spacys_tables_are(artifacts: LocalArtifacts, model: Path) -> None:
    (model / "lookups.bin").write_bytes(b"\x81\xa4norm\x80")
    assert artifacts.publish("topics", 1, model).artifact_id
    for name in ("lookups.bin", "vectors"):
        (model / name).write_bytes(pickle.dumps({"a": 1}))
        with pytest.raises(RunFailedError, match=f"{name} is a pickle"):
            artifacts.publish("topics", 2, model)
        (model / name).unlink()


def test_what_cannot_be_published_is_named(artifacts: LocalArtifacts, model: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="there is no model folder"):
        artifacts.publish("topics", 1, tmp_path / "nothing")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(RunFailedError, match="is empty"):
        artifacts.publish("topics", 1, tmp_path / "hollow")
    (model / "link").symlink_to(model / "config.json")
    with pytest.raises(RunFailedError, match="link is a symbolic link"):
        artifacts.publish("topics", 1, model)
    (model / "link").unlink()
    (model / MANIFEST_FILE).write_text("{}")
    with pytest.raises(RunFailedError, match=f"contains a {MANIFEST_FILE}"):
        artifacts.publish("topics", 1, model)


def test_a_failed_copy_leaves_nothing(artifacts: LocalArtifacts, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync_tree", full_disk)
    with pytest.raises(OSError, match="No space left"):
        artifacts.publish("topics", 1, model)
    assert artifacts.list() == []
    assert artifacts.sweep_temporary() == 0


def test_a_damaged_earlier_copy_is_not_taken_for_the_same(artifacts: LocalArtifacts, published: Published, model: Path) -> None:
    (published.folder / "config.json").write_text("[]")
    with pytest.raises(RunFailedError, match=r"config\.json"):
        artifacts.publish("topics", 3, model)


def test_remove_and_sweep(artifacts: LocalArtifacts, published: Published) -> None:
    assert artifacts.size_bytes(published.artifact_id) > published.size_bytes
    artifacts.remove(published.artifact_id)
    artifacts.remove(published.artifact_id)
    assert artifacts.list() == []
    assert artifacts.size_bytes(published.artifact_id) == 0
    parent = published.folder.parent
    for name in (".tmp-left", ".tmp-busy"):
        (parent / name).mkdir()
        (parent / name / "half").touch()
    descriptor = os.open(parent / ".tmp-busy", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert artifacts.sweep_temporary() == 1
        assert [path.name for path in parent.iterdir()] == [".tmp-busy"]
    finally:
        os.close(descriptor)
    assert artifacts.sweep_temporary() == 1
