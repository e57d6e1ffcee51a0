"""What an erasure does to the registry, on SQLite and on Postgres."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import StopError
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.removal import erasure
from registry.reports import cards
from registry.runs import Run
from registry.store import Registry
from tests.support.registries import TASK, add_version


def marked(registry: Registry) -> list[str]:
    return [version.name for version in registry.versions.list() if version.affected_at is not None]


def published(registry: Registry, artifacts: LocalArtifacts, folder: Path, **more: object) -> str:
    """A version with files."""
    number = registry.versions.next_number(TASK)
    source = folder / f"source-{number}"
    source.mkdir()
    (source / "config.json").write_text(f"{number}")
    made = artifacts.publish(TASK, number, source)
    return add_version(registry, artifact_id=made.artifact_id, **more).name  # type: ignore[arg-type]  # passed through


def promote(registry: Registry, version: str, expected: str | None = None) -> None:
    promotion.promote(registry, TASK, version, expected=expected, actor="test", reason="better")


def finished(registry: Registry, key: str, error: str | None = None) -> Run:
    run = registry.runs.create(TASK, key, "many", full=True)
    assert run is not None
    return registry.runs.update(run.run_id, state="failed", error=error)


def test_learners_and_their_descendants_are_marked_and_forget_the_ids(registry: Registry) -> None:
    add_version(registry, learnt=["a", "b"])
    add_version(registry, parent=f"{TASK}/v1", learnt=["a", "b", "c"])
    add_version(registry, parent=f"{TASK}/v2", learnt=["d"])
    add_version(registry, learnt=["b", "d"])
    add_version(registry, task="other", learnt=["a"])
    registry.looks.record(TASK, "run-1", ["c", "d"])
    erasure.mark_versions(registry, ["c", "nobody"])
    assert marked(registry) == [f"{TASK}/v3", f"{TASK}/v2"]
    assert registry.versions.learnt(f"{TASK}/v3") == {"a", "b", "d"}
    assert registry.looks.count(TASK, ["c", "d"]) == {"c": 0, "d": 1}
    first = registry.versions.get(f"{TASK}/v2").affected_at
    registry.clock.forward(60)  # type: ignore[attr-defined]  # the test's own
    erasure.mark_versions(registry, ["a"])
    assert marked(registry) == ["other/v1", f"{TASK}/v3", f"{TASK}/v2", f"{TASK}/v1"]
    assert registry.versions.get(f"{TASK}/v2").affected_at == first
    assert erasure.is_affected(registry, f"{TASK}/v2")
    assert not erasure.is_affected(registry, f"{TASK}/v4")
    assert not erasure.is_affected(registry, None)


def test_many_ids_fit(registry: Registry) -> None:
    ids = [f"e-{number}" for number in range(25_000)]
    add_version(registry, learnt=ids[-1:])
    erasure.mark_versions(registry, ids)
    assert marked(registry) == [f"{TASK}/v1"]


def test_what_goes_on_from_a_marked_version_is_marked(registry: Registry) -> None:
    add_version(registry, learnt=["a"])
    erasure.mark_versions(registry, ["a"])
    add_version(registry, parent=f"{TASK}/v1", learnt=["b"])
    add_version(registry, learnt=["b"])
    assert marked(registry) == [f"{TASK}/v2", f"{TASK}/v1"]


def test_runs_are_marked_and_their_messages_go_with_the_events_that_told_them(registry: Registry) -> None:
    quoting, ended = finished(registry, "1", "cannot read: a secret"), finished(registry, "2", erasure.ENDED)
    fine, other = finished(registry, "3"), finished(registry, "4", "out of memory")
    for run in (quoting, other):
        event = {"event_id": f"{run.run_id}:training.failed", "type": "training.failed", "task": TASK, "error": run.error}
        registry.outbox.add(event)
    told = erasure.mark_runs(registry, [run.run_id for run in (quoting, ended, fine)])
    assert f"{quoting.run_id}:training.failed" in told
    runs = {run.run_id: run for run in registry.runs.list()}
    assert [runs[run.run_id].erased_at is not None for run in (quoting, ended, fine, other)] == [True, True, True, False]
    assert "may have quoted erased texts" in (runs[quoting.run_id].error or "")
    assert [runs[run.run_id].error for run in (ended, fine, other)] == [erasure.ENDED, None, "out of memory"]
    errors = [row.event["error"] for row in registry.outbox.pending()]
    assert errors == [runs[quoting.run_id].error, "out of memory"]
    registry.database.vacuum()
    assert len(registry.runs.list()) == 4


def test_affected_models_go_except_the_champion_and_what_a_run_uses(registry: Registry, tmp_path: Path) -> None:
    artifacts = LocalArtifacts(tmp_path / "artifacts")
    names = [published(registry, artifacts, tmp_path, learnt=["a"]) for _ in range(3)]
    promote(registry, names[0])
    promote(registry, names[1], names[0])
    clean = published(registry, artifacts, tmp_path, learnt=["b"])
    erasure.mark_versions(registry, ["a"])
    under_way = registry.runs.create(TASK, "incremental", "many", full=False)
    assert under_way is not None
    assert under_way.parent == names[1]
    promote(registry, clean, names[1])
    gone = erasure.collect(registry, artifacts)
    assert [name for name in names if registry.versions.get(name).collected_at is not None] == [names[0], names[2]]
    assert len(gone) == 2
    assert [version.name for version in erasure.affected(registry)] == [names[1]]
    registry.runs.update(under_way.run_id, state="failed", error="ended")
    erasure.collect(registry, artifacts)
    assert artifacts.list() == [registry.versions.get(clean).artifact_id]
    assert "Its files are gone" in cards.card(registry, names[0])
    assert "erased" not in cards.card(registry, clean)


def test_an_affected_champion_stays_until_another_takes_its_place(registry: Registry, tmp_path: Path) -> None:
    artifacts = LocalArtifacts(tmp_path / "artifacts")
    name = published(registry, artifacts, tmp_path, learnt=["a"])
    promote(registry, name)
    erasure.mark_versions(registry, ["a"])
    assert erasure.collect(registry, artifacts) == []
    assert "It is removed once" in cards.card(registry, name)


def test_a_former_leader_marks_nothing(registry: Registry, tmp_path: Path) -> None:
    add_version(registry, learnt=["a"])
    former = registry.lease.acquire("one", 10)
    registry.lease.acquire("one", 10)
    with pytest.raises(StopError, match="no longer the leader"):
        erasure.mark_versions(registry, ["a"], fencing_token=former)
    with pytest.raises(StopError, match="no longer the leader"):
        erasure.mark_runs(registry, [], fencing_token=former)
    with pytest.raises(StopError, match="no longer the leader"):
        erasure.collect(registry, LocalArtifacts(tmp_path), fencing_token=former)
    assert marked(registry) == []
