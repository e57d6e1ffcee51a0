"""Real models in the real child: two pipelines that differ in one rule answer a pool, and labels of spans decide between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tasks import TaskSpec
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.runs import Run
from tests.support import buffers
from tests.support.desks import HELD_OUT, Newsroom
from tests.support.served import publish_ruler
from trainers.compare.comparison import Comparison

ENTITIES = TaskSpec.model_validate({
    "name": "entities", "kind": "ner", "backend": "spacy", "base_model": "blank:xx", "labels": "open",
    "promotion": {"metric": "entity_f1", "min_test_examples": 20, "max_latency_ratio": 1000.0},
    "review": {"per_week": 16, "days": 7},
})  # fmt: skip
RIKSDAG = "Riksdag"


@pytest.fixture
def news(tmp_path: Path) -> Iterator[Newsroom]:
    # A child that steps back behind a busy machine takes minutes, and one that hangs is to be told of.
    with Newsroom(tmp_path, ENTITIES, nice=0, time_limit_s=600.0) as room:
        yield room


def target(text: str) -> dict[str, object]:
    """What is right: the candidate's label."""
    at = text.find(RIKSDAG)
    return {"spans": [{"start": at, "end": at + len(RIKSDAG), "label": "V2"}] if at >= 0 else [], "partial": False}


def undecided(news: Newsroom, folder: Path) -> Run:
    """A run whose candidate ten test rows could not tell from the champion."""
    assert isinstance(news.artifacts, LocalArtifacts)
    versions = [publish_ruler(news.registry, news.artifacts, ENTITIES.name, folder) for _number in range(2)]
    promotion.promote(news.registry, ENTITIES.name, versions[0], expected=None, actor="test", reason="the first")
    run = news.registry.runs.create(ENTITIES.name, "request:1", "asked for", full=False)
    assert run is not None
    comparison = Comparison(
        task=ENTITIES.name, metric="entity_f1", candidate_run=run.run_id, champion_version=versions[0], opponent=versions[0],
        rows=4, stories=4, champion_score=0.0, candidate_score=0.5, gain=0.5, confidence=0.95, lower_bound=-0.1, upper_bound=0.9,
        standard_error=0.3, p_equal=0.25, discordant=None, required_gain=0.0, required_rows=0,
    )  # fmt: skip
    run = news.registry.runs.update(
        run.run_id, state="decided", verdict="insufficient_evidence", reasons=["too few"], version=versions[1],
        comparison=comparison.model_dump(mode="json"),
    )  # fmt: skip
    news.registry.pools.want(task=run.task, run_id=run.run_id, candidate=versions[1], champion=versions[0], seed=1)
    return run


def test_spans_decide_between_two_pipelines(news: Newsroom, tmp_path: Path) -> None:
    texts = [f"{HELD_OUT} the {RIKSDAG} met {number} times" for number in range(4)]
    labels = [buffers.label(f"test-{number}", text, task=ENTITIES.name, target=target(text)) for number, text in enumerate(texts)]
    news.buffer.insert(buffers.stored(*labels))
    news.place()
    news.articles([f"The {RIKSDAG} met for the {number}th time" for number in range(30)], prefix="r")
    news.articles([f"Rain falls for the {number}th day" for number in range(30)], prefix="n")
    run = undecided(news, tmp_path)
    news.cycle.step()
    pool = news.registry.pools.of_task(ENTITIES.name)[-1]
    assert (pool.state, pool.rows, pool.differ, pool.sizes) == ("open", 60, 30, (30, 30)), pool.reason
    items = news.look("anna", "disagreement").items
    assert len(items) == 16
    for item in items:
        assert news.desk().say("disagreement", item.item, target(item.text)).done
    news.take_in()
    news.cycle.step()
    pool = news.registry.pools.of_task(ENTITIES.name)[-1]
    assert (pool.state, pool.outcome) == ("closed", "promoted"), news.registry.runs.get(run.run_id).reasons
    found = news.registry.runs.get(run.run_id)
    assert found.comparison is not None
    assert (found.comparison["candidate_score"], found.comparison["champion_score"]) == (pytest.approx(1.0), 0.0)
    assert found.comparison["asked"]["labelled"] == 16
    alias = news.registry.versions.champion(ENTITIES.name)
    assert alias is not None
    assert alias.version == run.version
    assert news.buffer.withheld() == []


def test_a_damaged_candidate_closes_its_pool_and_nothing_else_fails(news: Newsroom, tmp_path: Path) -> None:
    news.articles([f"The {RIKSDAG} met for the {number}th time" for number in range(5)], prefix="r")
    run = undecided(news, tmp_path)
    assert run.version is not None
    version = news.registry.versions.get(run.version)
    assert isinstance(news.artifacts, LocalArtifacts)
    (news.artifacts.folder(version.artifact_id) / "meta.json").write_text("{}", encoding="utf-8")
    for _try in range(3):
        news.cycle.step()
        news.clock.forward(3600)
    pool = news.registry.pools.of_task(ENTITIES.name)[-1]
    assert (pool.state, pool.outcome) == ("closed", "failed")
    assert pool.reason
    assert news.look("anna", "disagreement").items == ()
