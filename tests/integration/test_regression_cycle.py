"""Numbers all the way with the real training child: imported rows, a first champion, its card, and a refresh of its head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.events.schemas import Label
from perennial_artifact.compute import Compute
from perennial_artifact.formats import open_model
from perennial_artifact.sentence.numbers import NumberHead
from registry.reports.cards import CARD_FILE, PLOT_FILE, card, comparison_of, write_card
from tests.support import buffers
from tests.support.cycles import NAME, Refreshed, World
from tests.support.runners import HereRunner
from tests.support.tiny_models import make_tiny_bert, toy_numbers, toy_numbers_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refreshed]:
    folder = tmp_path_factory.mktemp("numbers")
    spec = toy_numbers_spec(
        make_tiny_bert(folder / "bert"),
        name=NAME,
        training={"full_epochs": 6, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32},
        trigger={"min_new_examples": 100, "cooldown_minutes": 0, "max_age_days": 3650, "weekly": False},
        refresh={"min_new_examples": 10, "cooldown_minutes": 0},
        promotion={"metric": "mae", "min_test_examples": 30, "max_latency_ratio": 1000.0},
    )
    with World(folder, spec, runner=HereRunner()) as world:
        learn(world, "test", 80, seed=1)
        learn(world, "train", 150, seed=2)
        world.cycle.step()
        first = world.registry.runs.list(limit=1)[0]
        learn(world, "more", 30, seed=3)
        world.cycle.step()
        yield Refreshed(world, first, world.registry.runs.list(limit=1)[0])


def learn(world: World, prefix: str, count: int, *, seed: int) -> None:
    events = [
        Label(
            event_id=f"{prefix}-{row.example_id}", occurred_at=buffers.NOW, task=NAME, text=row.text, target=dict(row.target),
            origin="gold",
        )
        for row in toy_numbers(count, seed=seed)
    ]  # fmt: skip
    world.buffer.insert(buffers.stored(*events))
    buffers.enrich(world.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")


def test_the_first_model_beats_the_means_where_lower_is_better(told: Refreshed) -> None:
    assert (told.first.state, told.first.error, told.first.verdict) == ("decided", None, "promote")
    assert told.first.version is not None
    seen = comparison_of(told.world.registry.versions.get(told.first.version))
    assert seen is not None
    assert seen.opponent == "baseline: mean of each dimension"
    assert seen.scale.lower_is_better
    assert seen.candidate_score < 0.7 * seen.champion_score
    assert [(one.name, one.rows) for one in seen.dimensions] == [("heat", seen.rows), ("mood", seen.rows * 4 // 5)]
    weighted = (2 * seen.dimensions[0].candidate.mae + seen.dimensions[1].candidate.mae) / 3
    assert seen.candidate_score == pytest.approx(weighted), "heat weighs twice as much as mood"
    assert {part.name for part in seen.slices} >= {"dimension:heat", "dimension:mood"}


def test_the_card_tells_and_draws_each_dimension(told: Refreshed, tmp_path: Path) -> None:
    assert told.first.version is not None
    text = card(told.world.registry, told.first.version)
    assert "## Dimensions" in text
    assert "| heat |" in text
    assert "lower is better" in text
    write_card(told.world.registry, told.first.version, tmp_path)
    assert (tmp_path / CARD_FILE).stat().st_size > 1_000
    assert (tmp_path / PLOT_FILE).read_bytes().startswith(b"\x89PNG")


def test_a_refresh_solves_the_head_and_leaves_the_encoder(told: Refreshed) -> None:
    refresh = told.refresh
    assert refresh.refresh
    assert (refresh.state, refresh.error) == ("decided", None)
    assert refresh.parent == told.first.version
    before, after = (told.folder(run) for run in (told.first, refresh))
    assert (before / "model.safetensors").read_bytes() == (after / "model.safetensors").read_bytes()
    assert (NumberHead.read(before).solved.rows, NumberHead.read(after).solved.rows) == (150, 180)
    [answer] = open_model(after, Compute()).predict(["storm rain wind today"])
    assert answer["values"]["heat"] > 2.5
