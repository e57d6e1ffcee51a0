"""Backups of real installations: taken, checked, linked, refused, put back elsewhere, and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.errors import RetryError, UserError
from config.settings import Settings
from consumers.buffer import copying as buffer_copy
from consumers.dead_letters.store import DeadLetters
from consumers.enrichment import feature_store
from consumers.events.schemas import FEEDBACK_TOPIC
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.batches import jobs
from consumers.labelling.oracle.ledger import Cap, Ledger, Price, Sample
from consumers.log.open import open_event_log
from consumers.log.protocols import Position, RawEvent, TopicPartition
from daemon.operations.backups import manifest, take
from daemon.operations.backups.manifest import Backup
from daemon.operations.backups.restore import check, restore
from daemon.operations.backups.take import take as backup
from daemon.process import last_backup, presence
from registry.artifacts.local import LocalArtifacts
from registry.removal import collection
from registry.store import Registry
from tests.support import buffers, postgres
from tests.support.cycles import NAME, MadeUpRunner, World, better, task
from tests.support.registries import check_invariants
from trainers.job.spec import MODEL_FOLDER, JobResult, JobSpec

FEEDBACK = TopicPartition(FEEDBACK_TOPIC, 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(), train=better) as made:
        # What ingest does around the buffer: events in the log, their positions committed.
        with closing(open_event_log(made.settings)) as log, closing(log.sink()) as sink:
            for number in range(40):
                sink.publish(FEEDBACK_TOPIC, f"{number}".encode())
            sink.flush()
            with closing(log.source("buffer-feedback", [FEEDBACK_TOPIC])) as source:
                source.commit({FEEDBACK: 30})
        made.grow(10)
        made.cycle.step()
        with closing(DeadLetters(made.settings.dead_letter_file)) as letters:
            letters.add(RawEvent(Position(FEEDBACK_TOPIC, 0, 3), b"{", None, (), datetime.now(UTC)), "not JSON")
        secret = made.settings.data_dir / "somebody" / "secret.key"
        secret.parent.mkdir()
        secret.write_text("hush")
        secret.chmod(0o600)
        (made.settings.data_dir / "serving.json").write_text("{}")
        with closing(ledger(made.settings)) as asked:
            call = asked.begin(NAME, "prompt", "a" * 64, 900, 100)
            assert call is not None
            asked.answered(call, Said({"label": "A"}, 0.9), 1, (700, 50))
            asked.note_sample(NAME, "prompt", Sample("first", 1, "PASS", {}), ["a" * 64])
            assert jobs.note(asked, NAME, "prompt", [("b" * 64, 1, 400)], 100) is not None
            yield made


def ledger(settings: Settings) -> Ledger:
    """What a language model was asked; no more than 2,000 tokens may be spent."""
    return Ledger(settings.data_dir, Price(1, 1), Cap(0, 2_000))


@pytest.fixture
def elsewhere(world: World, tmp_path: Path) -> Settings:
    return world.settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})


def test_all_that_was_there_is_there_again_in_another_folder(world: World, elsewhere: Settings, tmp_path: Path) -> None:
    taken = backup(world.settings, tmp_path / "b1")
    assert taken.champions == {NAME: f"{NAME}/v1"}
    assert taken.rows["examples"] == 20
    assert taken.positions[FEEDBACK_TOPIC] == {0: 30}
    assert taken.warnings == ()
    assert not {"serving.json", "last_backup.json", "buffer/writer.lock", "oracle.lock"} & taken.files.keys()
    assert stat.S_IMODE((tmp_path / "b1").stat().st_mode) == 0o700, "a backup holds texts and keys"
    assert last_backup.last_backup_at(world.settings.data_dir) == taken.completed_at
    assert check(tmp_path / "b1") == taken

    restored = restore(elsewhere, tmp_path / "b1")
    assert restored.replaced is None
    assert {path.name for path in elsewhere.data_dir.iterdir()} == {
        "artifacts", "buffer", "reports", "runs", "somebody",
        "dead_letters.db", "erasures.db", "events.db", "last_backup.json", "oracle.db", "registry.db",
    }  # fmt: skip
    with closing(ledger(elsewhere)) as asked:
        known, first = asked.answer("prompt", "a" * 64), asked.sample(NAME, "prompt", "first")
        assert (known and known.said, first and first.verdict) == (Said({"label": "A"}, 0.9), "PASS")
        assert asked.spent().tokens == 750 + 500, "what was under way counts, so the limit holds"
        assert asked.begin(NAME, "prompt", "c" * 64, 900, 100) is None
        [job] = jobs.open_jobs(asked, NAME)
        assert [one.text_sha256 for one in jobs.waiting(asked, job).values()] == ["b" * 64], "a batch is found again"
    assert stat.S_IMODE((elsewhere.data_dir / "somebody" / "secret.key").stat().st_mode) == 0o600
    with Registry.open(elsewhere.registry_url) as registry:
        check_invariants(registry, NAME)
        (version,) = registry.versions.list(NAME)
        LocalArtifacts(elsewhere.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)
        assert registry.lease.holder() is None
    with closing(DeadLetters(elsewhere.dead_letter_file)) as letters:
        assert letters.count() == 1
    with buffers.opened(elsewhere.buffer_dir, tasks=world.tasks) as buffer:
        assert buffer.rewind[FEEDBACK] == 30
        assert buffer.counts(NAME).train == world.buffer.counts(NAME).train == 10
    with closing(open_event_log(elsewhere)) as log:
        assert log.kept(FEEDBACK_TOPIC) == 40
    assert last_backup.last_backup_at(elsewhere.data_dir) == taken.completed_at, "a backup exists of what was put back"


def test_the_store_of_features_is_left_out(world: World, tmp_path: Path) -> None:
    assert (world.settings.data_dir / feature_store.FILE_NAME).exists()
    assert feature_store.FILE_NAME not in backup(world.settings, tmp_path / "backup").files
    assert not (tmp_path / "backup" / feature_store.FILE_NAME).exists()


def test_a_second_backup_links_what_is_the_same(world: World, elsewhere: Settings, tmp_path: Path) -> None:
    first = backup(world.settings, tmp_path / "b1")
    world.grow(10)
    world.cycle.step()
    second = backup(world.settings, tmp_path / "b2", link_to=tmp_path / "b1")
    linked = {name for name in second.files if (tmp_path / "b2" / name).stat().st_nlink == 2}
    model = f"artifacts/{world.registry.versions.get(f'{NAME}/v1').artifact_id}/config.json"
    assert model in linked
    assert all(second.files[name] == first.files[name] for name in linked)
    assert any("/training_set/" in name for name in linked)
    shutil.rmtree(tmp_path / "b1")
    assert restore(elsewhere, tmp_path / "b2").backup.champions == {NAME: f"{NAME}/v2"}


def test_what_versions_have_in_common_lies_in_a_backup_once(world: World, elsewhere: Settings, tmp_path: Path) -> None:
    encoder = b"encoder" * 100_000

    def with_encoder(spec: JobSpec) -> JobResult:
        result = better(spec)
        (spec.run_dir / MODEL_FOLDER / "encoder").write_bytes(encoder)
        return result

    assert isinstance(world.runner, MadeUpRunner)
    world.runner.train = with_encoder

    def encoders(folder: Path) -> tuple[int, int]:
        found = list(folder.glob("artifacts/*/*/encoder"))
        assert all(path.read_bytes() == encoder for path in found)
        return len(found), len({path.stat().st_ino for path in found})

    for _ in range(2):
        world.grow(10)
        world.cycle.step()
    taken = backup(world.settings, tmp_path / "b1")
    assert encoders(world.settings.data_dir) == encoders(tmp_path / "b1") == (2, 1)
    assert check(tmp_path / "b1") == taken
    restore(elsewhere, tmp_path / "b1")
    assert encoders(elsewhere.data_dir) == (2, 1)
    world.grow(10)
    world.cycle.step()
    backup(world.settings, tmp_path / "b2", link_to=tmp_path / "b1")
    assert encoders(tmp_path / "b2") == (3, 1)
    assert next((tmp_path / "b2").glob("artifacts/*/v4-*/encoder")).samefile(
        next((tmp_path / "b1").glob("artifacts/*/v2-*/encoder"))
    ), "a version that came since holds what the earlier backup has"
    shutil.rmtree(tmp_path / "b1")
    check(tmp_path / "b2")


def test_an_earlier_backup_that_cannot_be_linked_is_copied_or_refused(world: World, tmp_path: Path) -> None:
    backup(world.settings, tmp_path / "b1")
    model = next((tmp_path / "b1" / "artifacts").rglob("config.json"))
    model.unlink()
    second = backup(world.settings, tmp_path / "b2", link_to=tmp_path / "b1")
    assert check(tmp_path / "b2") == second
    with pytest.raises(UserError, match="not a complete backup"):
        backup(world.settings, tmp_path / "b3", link_to=tmp_path / "nowhere")
    assert not (tmp_path / "b3").exists()


@pytest.mark.parametrize("place", ["there", "inside", "file"])
def test_a_folder_that_is_no_place_for_a_backup_is_refused(world: World, tmp_path: Path, place: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "something").touch()
    (tmp_path / "file").touch()
    target = world.settings.data_dir / "b" if place == "inside" else tmp_path / place
    with pytest.raises(UserError, match="inside the data folder" if place == "inside" else "already exists"):
        backup(world.settings, target)
    assert last_backup.last_backup_at(world.settings.data_dir) is None


def test_there_is_nothing_to_back_up_before_the_first_start(elsewhere: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing has run"):
        backup(elsewhere, tmp_path / "b1")


def test_a_full_disk_leaves_nothing_behind(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(take.durable, "sync_tree", full)
    with pytest.raises(RetryError, match="could not be written"):
        backup(world.settings, tmp_path / "backups" / "b1")
    assert list((tmp_path / "backups").iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "missing", "more", "manifest", "newer", "outside", "link"])
def test_a_damaged_backup_is_refused_before_anything_is_changed(
    world: World, elsewhere: Settings, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "b1"
    backup(world.settings, folder)
    file = folder / "registry.db"
    content = json.loads((folder / manifest.FILE_NAME).read_text())
    if damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    elif damage == "missing":
        file.unlink()
    elif damage == "more":
        (folder / "extra").touch()
    elif damage == "link":
        file.rename(folder.parent / "real.db")
        file.symlink_to(folder.parent / "real.db")
    elif damage == "manifest":
        (folder / manifest.FILE_NAME).write_text("{")
    elif damage == "newer":
        (folder / manifest.FILE_NAME).write_text(json.dumps(content | {"format_version": 2}))
    else:
        content["files"]["../outside"] = content["files"]["registry.db"]
        (folder / manifest.FILE_NAME).write_text(json.dumps(content))
    with pytest.raises(UserError):
        restore(elsewhere, folder)
    assert not elsewhere.data_dir.exists()


def test_a_folder_that_is_in_use_is_not_replaced(world: World, tmp_path: Path) -> None:
    backup(world.settings, tmp_path / "b1")
    with pytest.raises(UserError, match="is being written by process"):
        restore(world.settings, tmp_path / "b1", force=True)
    world.buffer.close()
    with Registry.open(world.settings.registry_url) as registry:
        assert registry.lease.acquire("elsewhere:1", 600)
    with pytest.raises(UserError, match="elsewhere:1 uses this registry"):
        restore(world.settings, tmp_path / "b1", force=True)
    presence.write(world.settings.data_dir, "http://127.0.0.1:1")
    with pytest.raises(UserError, match="a serving process"):
        restore(world.settings, tmp_path / "b1", force=True)
    assert not list(world.settings.data_dir.glob("replaced-*"))


@pytest.mark.parametrize("what", ["newer", "damaged"])
def test_a_registry_that_cannot_be_opened_is_what_a_backup_is_there_for(world: World, tmp_path: Path, what: str) -> None:
    backup(world.settings, tmp_path / "b1")
    world.buffer.close()
    world.registry.close()
    file = world.settings.data_dir / "registry.db"
    if what == "newer":
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '0099'")
    else:
        file.write_bytes(b"no database at all" * 1_000)
    with pytest.raises(UserError, match="--force"):
        restore(world.settings, tmp_path / "b1")
    assert not list(world.settings.data_dir.glob("replaced-*"))
    restored = restore(world.settings, tmp_path / "b1", force=True)
    assert restored.replaced is not None
    assert (restored.replaced / "registry.db").exists()
    with Registry.open(world.settings.registry_url) as registry:
        assert registry.versions.champion(NAME).version == f"{NAME}/v1"


def test_what_killed_backups_and_restores_left_goes_with_the_next(world: World, elsewhere: Settings, tmp_path: Path) -> None:
    left = tmp_path / "backups" / f"{take._UNFINISHED_PREFIX}killed"
    left.mkdir(parents=True)
    backup(world.settings, tmp_path / "backups" / "b1")
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["b1"]
    half = elsewhere.data_dir / ".restore-killed"
    half.mkdir(parents=True)
    restore(elsewhere, tmp_path / "backups" / "b1")
    assert not half.exists()
    assert not list(elsewhere.data_dir.glob(".restore-*"))


def test_a_backup_below_a_file_is_refused_in_words(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no folder that can be written to"):
        backup(world.settings, tmp_path / "file" / "b1")


def test_what_is_there_is_moved_aside_only_by_force(world: World, tmp_path: Path) -> None:
    backup(world.settings, tmp_path / "b1")
    world.grow(10)
    world.cycle.step()
    world.buffer.close()
    world.registry.close()
    with pytest.raises(UserError, match="is not empty"):
        restore(world.settings, tmp_path / "b1")
    restored = restore(world.settings, tmp_path / "b1", force=True)
    assert restored.replaced is not None
    with Registry.open(world.settings.registry_url) as registry:
        assert registry.versions.champion(NAME).version == f"{NAME}/v1"
    with Registry.open(f"sqlite:///{restored.replaced / 'registry.db'}") as registry:
        assert registry.versions.champion(NAME).version == f"{NAME}/v2"
    again = backup(world.settings, tmp_path / "b2")
    assert not [name for name in again.files if name.startswith("replaced-")]


def test_a_damaged_champion_is_backed_up_with_a_warning(world: World, tmp_path: Path) -> None:
    version = world.registry.versions.get(f"{NAME}/v1")
    (world.artifacts.folder(version.artifact_id) / "config.json").write_text("{}")
    taken = backup(world.settings, tmp_path / "b1")
    (warning,) = taken.warnings
    assert f"{NAME}/v1 is damaged in the installation" in warning


def test_a_backup_of_another_kind_of_log_is_refused(world: World, elsewhere: Settings, tmp_path: Path) -> None:
    backup(world.settings, tmp_path / "b1")
    other = elsewhere.model_copy(update={"events": elsewhere.events.model_copy(update={"backend": "kafka"})})
    with pytest.raises(UserError, match=r"events\.backend"):
        restore(other, tmp_path / "b1")


def unfinished(world: World, step: str) -> None:
    """Leave a run that a kill has stopped before `step`."""

    def killed(_run: Any) -> Any:
        raise KeyboardInterrupt

    setattr(world.cycle, step, killed)
    world.grow(10)
    with pytest.raises(KeyboardInterrupt):
        world.cycle.step()


@pytest.mark.parametrize(
    ("step", "state"), [("_freeze", "queued"), ("_train", "frozen"), ("_publish", "trained"), ("_decide", "published")]
)
def test_a_run_under_way_goes_on_where_it_was_in_another_folder(
    world: World, elsewhere: Settings, tmp_path: Path, step: str, state: str
) -> None:
    unfinished(world, step)
    backup(world.settings, tmp_path / "b1")
    restore(elsewhere, tmp_path / "b1")
    # Nothing of the former place is left to lean on.
    world.settings.data_dir.rename(tmp_path / "gone")
    with World(tmp_path / "unused", task(), train=better) as again:
        again.settings = elsewhere
        with (
            Registry.open(elsewhere.registry_url, clock=again.clock) as registry,
            buffers.opened(elsewhere.buffer_dir, tasks=again.tasks) as buffer,
        ):
            again.registry, again.buffer, again.artifacts = registry, buffer, LocalArtifacts(elsewhere.artifacts_dir)
            (run,) = registry.runs.unfinished()
            assert run.state == state
            again.next_cycle().step()
            run = registry.runs.get(run.run_id)
            assert (run.state, run.verdict, run.version) == ("decided", "promote", f"{NAME}/v2"), run.error
            version = registry.versions.get(run.version)
            again.artifacts.fetch(version.artifact_id, version.manifest_sha256)
            check_invariants(registry, NAME)


def hooked(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, meanwhile: Callable[[], None]) -> None:
    """Let something happen once, just before a step of the backup."""
    function, todo = getattr(owner, name), [meanwhile]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if todo:
            todo.pop()()
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


def test_an_artifact_that_is_collected_meanwhile_makes_it_begin_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        world.grow(10)
        world.cycle.step()
    hooked(monkeypatch, take._Attempt, "_copy_artifacts", lambda: collection.collect(world.registry, world.artifacts, keep=0))
    taken = backup(world.settings, tmp_path / "b1")
    assert taken.warnings == ()
    assert len({name.split("/")[2] for name in taken.files if name.startswith("artifacts/")}) == 2, "champion and previous"


def test_a_run_that_publishes_meanwhile_makes_it_begin_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = world.cycle._publish
    unfinished(world, "_publish")
    (run,) = world.registry.runs.unfinished()
    hooked(monkeypatch, take._Attempt, "_copy_runs", lambda: publish(run))
    backup(world.settings, tmp_path / "b1")
    with Registry.open(f"sqlite:///{tmp_path / 'b1' / 'registry.db'}") as registry:
        assert registry.runs.get(run.run_id).state == "published"


def test_retention_that_overtakes_the_positions_makes_it_begin_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_remove() -> None:
        with closing(open_event_log(world.settings)) as log, closing(log.source("buffer-feedback", [FEEDBACK_TOPIC])) as source:
            source.commit({FEEDBACK: 36})
        with closing(sqlite3.connect(world.settings.event_log_file)) as outsider:
            outsider.execute("DELETE FROM events WHERE event_offset < 36")
            outsider.commit()

    hooked(monkeypatch, take._Attempt, "_copy_log", read_and_remove)
    taken = backup(world.settings, tmp_path / "b1")
    assert taken.positions[FEEDBACK_TOPIC] == {0: 36}


def test_a_table_that_is_cleaned_away_meanwhile_makes_it_begin_again_and_in_the_end_fails(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files_of, calls = buffer_copy.files_of, []

    def cleaned(folder: Path, tables: Any) -> Iterator[Path]:
        calls.append(1)
        if len(calls) <= 3:
            message = "data/1.lance"
            raise FileNotFoundError(message)
        return files_of(folder, tables)

    monkeypatch.setattr(buffer_copy, "files_of", cleaned)
    with pytest.raises(RetryError, match="changed during the backup, 3 times"):
        backup(world.settings, tmp_path / "b1")
    assert not (tmp_path / "b1").exists()
    assert not list(tmp_path.glob(".b1*"))
    backup(world.settings, tmp_path / "b1")


def test_a_registry_in_postgres_is_backed_up_and_put_back(world: World, elsewhere: Settings, tmp_path: Path) -> None:
    url = postgres.shared().empty_database()

    def with_postgres(settings: Settings) -> Settings:
        return settings.model_copy(update={"registry": settings.registry.model_copy(update={"url": url})})

    backup(world.settings, tmp_path / "b1")
    restore(with_postgres(elsewhere), tmp_path / "b1")
    assert not (elsewhere.data_dir / "registry.db").exists()
    taken = backup(with_postgres(elsewhere), tmp_path / "b2")
    assert taken.champions == {NAME: f"{NAME}/v1"}
    third = elsewhere.model_copy(update={"data_dir": tmp_path / "third"})
    with pytest.raises(UserError, match="is not empty"):
        restore(with_postgres(third), tmp_path / "b2")
    assert [path.name for path in third.data_dir.iterdir()] == []
    restore(with_postgres(third), tmp_path / "b2", force=True)
    with Registry.open(url) as registry:
        check_invariants(registry, NAME)
        assert registry.versions.champion(NAME).version == f"{NAME}/v1"


def test_a_registry_file_outside_the_data_folder_goes_back_to_its_place(
    world: World, elsewhere: Settings, tmp_path: Path
) -> None:
    backup(world.settings, tmp_path / "b1")
    outside = tmp_path / "outside" / "my.db"
    settings = elsewhere.model_copy(update={"registry": elsewhere.registry.model_copy(update={"url": f"sqlite:///{outside}"})})
    restore(settings, tmp_path / "b1")
    assert outside.exists()
    assert not (elsewhere.data_dir / "registry.db").exists()
    with pytest.raises(UserError, match=r"my\.db"):
        restore(settings.model_copy(update={"data_dir": tmp_path / "third"}), tmp_path / "b1")
    assert backup(settings, tmp_path / "b2").champions == {NAME: f"{NAME}/v1"}


def test_a_manifest_says_what_it_holds(world: World, tmp_path: Path) -> None:
    taken = backup(world.settings, tmp_path / "b1")
    assert Backup.read(tmp_path / "b1") == taken
    assert taken.size_bytes == sum((tmp_path / "b1" / name).stat().st_size for name in taken.files)
    assert taken.offsets[FEEDBACK] == 30
