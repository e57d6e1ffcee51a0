"""Collecting files of versions never takes what answers, what may be gone back to, or what somebody waits for."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.removal import collection
from registry.store import Registry
from registry.versions import Version
from tests.support.registries import TASK, Clock, add_version

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["version", "promote", "rollback", "pin", "unpin", "run", "ask", "end", "teach", "collect"]),
        st.integers(0, 2),
    ),
    min_size=5, max_size=25,
)  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(_STEPS)
def test_what_is_needed_stays(steps: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder, Registry.open(f"sqlite:///{folder}/registry.db", clock=Clock()) as registry:
        artifacts = LocalArtifacts(Path(folder) / "artifacts")
        teachers: set[str] = set()
        for number, step in enumerate(steps):
            _do(registry, artifacts, step, number, teachers)
        before = {version.name for version in registry.versions.list() if version.collected_at is None}
        collection.collect(registry, artifacts, keep=0, referred=teachers)
        there = {version.name for version in registry.versions.list() if version.collected_at is None}
        aliases = {alias.version for alias in registry.versions.aliases(TASK)}
        unfinished = registry.runs.unfinished()
        pairs = {name for pool in registry.pools.unclosed() for name in (pool.candidate, pool.champion)}
        needed = aliases | {run.parent for run in unfinished} | pairs | teachers
        assert needed & before <= there
        assert {version.run_id for version in registry.versions.list() if version.name in before - there}.isdisjoint(
            run.run_id for run in unfinished
        )
        assert aliases <= there, "what answers, pinned or not, and what can be gone back to"
        on_disk = set(artifacts.list())
        assert {version.artifact_id for version in registry.versions.list() if version.name in there} <= on_disk


def _do(registry: Registry, artifacts: LocalArtifacts, step: tuple[str, int], number: int, teachers: set[str]) -> None:
    what, which = step
    if what == "version":
        _publish(registry, artifacts, number, None)
    elif what == "run":
        run = registry.runs.create(TASK, f"k{number}", "asked", full=False)
        assert run is not None
        if which == 0:
            _publish(registry, artifacts, number, run.run_id)
    elif what == "end":
        for run in registry.runs.unfinished()[:1]:
            registry.runs.update(run.run_id, state="failed")
    elif what == "collect":
        collection.collect(registry, artifacts, keep=which, referred=teachers)
    elif present := [version for version in registry.versions.list(TASK) if version.collected_at is None]:
        _with(registry, what, present[which % len(present)], teachers)


def _with(registry: Registry, what: str, chosen: Version, teachers: set[str]) -> None:
    champion = registry.versions.champion(TASK)
    if what == "teach":
        teachers.add(chosen.name)
        return
    if champion is None:
        if what == "promote":
            promotion.promote(registry, TASK, chosen.name, expected=None, actor="gate", reason="better")
        return
    if what == "ask":
        registry.pools.want(task=TASK, run_id=chosen.run_id, candidate=chosen.name, champion=champion.version, seed=1)
    elif what in ("pin", "unpin"):
        getattr(promotion, what)(registry, TASK, actor="operator", reason="held")
    elif what == "promote" and not champion.pinned and champion.version != chosen.name:
        promotion.promote(registry, TASK, chosen.name, expected=champion.version, actor="gate", reason="better")
    elif what == "rollback" and not champion.pinned and len(registry.versions.aliases(TASK)) > 1:
        promotion.rollback(registry, TASK, actor="operator", reason="worse")


def _publish(registry: Registry, artifacts: LocalArtifacts, number: int, run_id: str | None) -> None:
    with TemporaryDirectory() as made:
        (Path(made) / "config.json").write_text(f'{{"number": {number}}}')
        published = artifacts.publish(TASK, registry.versions.next_number(TASK), Path(made))
    add_version(registry, TASK, run_id=run_id or f"run-{number}", artifact_id=published.artifact_id)
