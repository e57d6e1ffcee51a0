"""Signals all the way with the real training child: rows, a first champion that beats the keywords, its card, and a refresh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.events.schemas import Label
from perennial_artifact.compute import Compute
from perennial_artifact.formats import open_model
from perennial_artifact.sentence.signal_head import SignalHead
from registry.reports.cards import CARD_FILE, LABEL_PLOT_FILE, PLOT_FILE, card, comparison_of, write_card
from tests.support import buffers
from tests.support.cycles import NAME, Refreshed, World
from tests.support.runners import HereRunner
from tests.support.tiny_models import make_tiny_bert, toy_signals, toy_signals_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refreshed]:
    folder = tmp_path_factory.mktemp("signals")
    spec = toy_signals_spec(
        make_tiny_bert(folder / "bert"),
        name=NAME,
        training={"full_epochs": 6, "full_learning_rate": 5e-3, "batch_size": 16, "max_tokens": 32},
        trigger={"min_new_examples": 100, "cooldown_minutes": 0, "max_age_days": 3650, "weekly": False},
        refresh={"min_new_examples": 10, "cooldown_minutes": 0},
        promotion={"metric": "signal_score", "min_test_examples": 30, "max_latency_ratio": 1000.0, "baseline": "keywords"},
    )
    with World(folder, spec, runner=HereRunner()) as world:
        learn(world, "test", 100, seed=1)
        learn(world, "train", 200, seed=2)
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
        for row in toy_signals(count, seed=seed)
    ]  # fmt: skip
    world.buffer.insert(buffers.stored(*events))
    buffers.enrich(world.buffer, split=lambda row: "test" if row.row_id.startswith("test") else "train")


def test_the_first_model_beats_the_keywords(told: Refreshed) -> None:
    assert (told.first.state, told.first.error, told.first.verdict) == ("decided", None, "promote")
    assert told.first.version is not None
    seen = comparison_of(told.world.registry.versions.get(told.first.version))
    assert seen is not None
    assert seen.opponent == "baseline: keywords"
    assert seen.candidate_score > seen.champion_score
    assert [(one.name, one.rows) for one in seen.dimensions] == [("sports", seen.rows), ("weather", seen.rows * 4 // 5)]
    assert {one.name for one in seen.labels} == {"sports:win", "sports:loss", "weather:wet", "weather:windy"}
    assert {part.name for part in seen.slices} >= {"signal:sports", "signal:weather", "label:sports:win"}


def test_the_card_tells_and_draws_scores_and_tags(told: Refreshed, tmp_path: Path) -> None:
    assert told.first.version is not None
    text = card(told.world.registry, told.first.version)
    assert "| weather |" in text
    assert "| weather:wet |" in text
    write_card(told.world.registry, told.first.version, tmp_path)
    assert (tmp_path / CARD_FILE).stat().st_size > 1_000
    for picture in (PLOT_FILE, LABEL_PLOT_FILE):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_a_refresh_solves_the_heads_and_leaves_the_encoder(told: Refreshed) -> None:
    refresh = told.refresh
    assert refresh.refresh
    assert (refresh.state, refresh.error) == ("decided", None)
    assert refresh.parent == told.first.version
    before, after = (told.folder(run) for run in (told.first, refresh))
    assert (before / "model.safetensors").read_bytes() == (after / "model.safetensors").read_bytes()
    assert (SignalHead.read(before).solved.rows, SignalHead.read(after).solved.rows) == (200, 230)
    [answer] = open_model(after, Compute()).predict(["the goal goal striker today"])
    assert answer["signals"]["sports"]["tag"] == "win"
    assert answer["signals"]["sports"]["score"] > 0.3
