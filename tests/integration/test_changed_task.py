"""A live task whose kind was changed: the champion stays until a full run has made one that answers as the task asks now."""

from __future__ import annotations

from pathlib import Path

from config.tasks import TaskSpec
from daemon.training.due.triggers import Trigger
from perennial_artifact.description import describe
from registry import promotion
from tests.support import buffers, first_release
from tests.support.cycles import World
from tests.support.ner_rows import examples

TASK = "topics"
NOW_ENTITIES = TaskSpec.model_validate({
    "name": TASK, "kind": "ner", "backend": "spacy", "base_model": "blank:xx", "labels": "open",
    "training": {"full_epochs": 8, "full_learning_rate": 4e-3},
    "promotion": {"metric": "entity_f1", "min_test_examples": 30, "max_latency_ratio": 1000.0},
})  # fmt: skip


def test_the_next_run_is_a_full_one_against_the_baseline_and_its_model_takes_over(tmp_path: Path) -> None:
    with World(tmp_path, NOW_ENTITIES) as world:
        before = first_release.install(TASK, world.registry, world.artifacts)
        promotion.promote(world.registry, TASK, before, expected=None, actor="test", reason="test")
        old = [buffers.label(f"old-{n}", f"goal {n}", "SPORT", task=TASK) for n in range(20)]
        new = [
            buffers.label(f"{part}-{row.example_id}", f"{row.text} {part}", task=TASK, target=dict(row.target))
            for part, count, seed in (("train", 120, 1), ("test", 60, 2))
            for row in examples(count, seed=seed)
        ]
        world.buffer.insert(buffers.stored(*old, *new))
        buffers.enrich(world.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")

        run = world.cycle.start(TASK, Trigger("request", "request:changed", "asked for by a test", full=False, promote=True))
        assert run is not None
        run = world.cycle.advance(run)

        assert (run.error, run.state, run.verdict) == (None, "decided", "promote")
        assert run.comparison is not None
        assert run.comparison["champion_version"] is None
        assert run.comparison["opponent"].startswith("baseline")
        version = world.registry.versions.get(f"{TASK}/v2")
        assert version.parent is None, "it began at the base"
        said = describe(world.artifacts.folder(version.artifact_id))
        assert (said.kind, said.backend) == ("ner", "spacy")
        aliases = {alias.name: alias.version for alias in world.registry.versions.aliases(TASK)}
        assert (aliases["champion"], aliases["previous"]) == (version.name, before)
