"""A process is killed (a real SIGKILL) at every step of a publication and of a promotion: old or new, never half."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.database import schema
from registry.store import Registry
from tests.support.failpoints import REPOSITORY, kill_at_every_step
from tests.support.registries import TASK, add_version, check_invariants

VICTIM = REPOSITORY / "tests" / "support" / "registry_victim.py"


def test_killed_while_publishing(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "ner").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "ner" / "model").write_bytes(b"\x84" * 3_000_000)
    killed = kill_at_every_step(VICTIM, "publish", tmp_path)
    (whole,) = LocalArtifacts(tmp_path / f"killed-{killed}").list()
    outcomes = []
    for number in range(killed):
        root = tmp_path / f"killed-{number}"
        artifacts = LocalArtifacts(root)
        seen = artifacts.list()
        # Whatever is visible is whole; the same publication, repeated after the restart, ends with the same artifact.
        assert seen in ([], [whole])
        published = artifacts.publish(TASK, 1, model)
        assert published.artifact_id == whole
        artifacts.fetch(published.artifact_id, published.manifest_sha256)
        artifacts.sweep_temporary()
        assert [path.name for path in (root / TASK).iterdir()] == [published.folder.name]
        outcomes.append(bool(seen))
    # Not to be seen up to one moment, the rename, and there ever after.
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_killed_while_publishing_what_another_version_has_too(tmp_path: Path) -> None:
    for name, config in (("model", "{}"), ("other", "[]")):
        (tmp_path / name / "ner").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(config)
        (tmp_path / name / "ner" / "model").write_bytes(b"\x84" * 3_000_000)
    killed = kill_at_every_step(VICTIM, "publish_another", tmp_path)
    first, whole = LocalArtifacts(tmp_path / f"killed-{killed}").list()
    outcomes = []
    for number in range(killed):
        root = tmp_path / f"killed-{number}"
        artifacts = LocalArtifacts(root)
        seen = artifacts.list()
        assert seen in ([first], [first, whole])
        published = artifacts.publish(TASK, 2, tmp_path / "other")
        assert published.artifact_id == whole
        artifacts.sweep_temporary()
        known = artifacts.publish(TASK, 1, tmp_path / "model")
        for one in (known, published):
            artifacts.fetch(one.artifact_id, one.manifest_sha256)
        # One file, two names, and none that somebody forgot.
        assert {(one.folder / "ner" / "model").stat().st_nlink for one in (known, published)} == {2}
        artifacts.remove(known.artifact_id)
        artifacts.fetch(published.artifact_id, published.manifest_sha256)
        outcomes.append(len(seen) == 2)
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_killed_while_promoting(tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path / 'base.db'}") as registry:
        for _ in range(2):
            add_version(registry)
        promotion.promote(registry, TASK, f"{TASK}/v1", expected=None, actor="test", reason="first")
    killed = kill_at_every_step(VICTIM, "promote", tmp_path)
    champions = []
    for number in range(killed):
        with Registry.open(f"sqlite:///{tmp_path / f'killed-{number}.db'}") as registry:
            check_invariants(registry)
            champion = registry.versions.champion(TASK)
            assert champion is not None
            champions.append(champion.version)
            # Repeated after the restart, it ends as if nothing had happened.
            promotion.promote(registry, TASK, f"{TASK}/v2", expected=f"{TASK}/v1", actor="test", reason="better")
            assert [(line.kind, line.to_version) for line in registry.versions.history(TASK)] == [
                ("promote", f"{TASK}/v1"),
                ("promote", f"{TASK}/v2"),
            ]
            check_invariants(registry)
    assert champions == sorted(champions)
    assert set(champions) == {f"{TASK}/v1", f"{TASK}/v2"}


def test_killed_at_any_moment_before_a_reader_comes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with Registry.open(url) as registry:
        for _ in range(2):
            add_version(registry)
    dice = random.Random(20)
    generation = 0
    for _round in range(4):
        with subprocess.Popen([sys.executable, VICTIM, "swing", url], cwd=REPOSITORY, stdout=subprocess.PIPE) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"moved\n"
            time.sleep(dice.random() / 5)
            victim.kill()
        # It must be able to undo what the killed writer left half written.
        with Registry.open(url, read_only=True) as reader:
            check_invariants(reader)
            champion = reader.versions.champion(TASK)
            assert champion is not None
            assert champion.generation > generation
            generation = champion.generation


def test_a_reader_undoes_what_a_killed_writer_left_in_the_file(tmp_path: Path) -> None:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        add_version(registry, learnt=["a"])
        with registry.database.write() as connection:
            # A cache of few pages makes SQLite write into the file long before the commit.
            connection.exec_driver_sql("PRAGMA cache_size=5")
            connection.execute(sa.delete(schema.learnt))
            rows = [{"version_id": 1, "example_id": f"half-{number}"} for number in range(2_000)]
            connection.execute(sa.insert(schema.learnt), rows)
            # What the disk would hold if the process died now: half a transaction, and the journal to undo it.
            (tmp_path / "after").mkdir()
            for name in ("registry.db", "registry.db-journal"):
                shutil.copy(tmp_path / name, tmp_path / "after" / name)
    copied = tmp_path / "after" / "registry.db"
    assert b"half-1" in copied.read_bytes()
    with Registry.open(f"sqlite:///{copied}", read_only=True) as reader:
        assert reader.versions.learnt(f"{TASK}/v1") == {"a"}
