"""200 candidates that are no better than their champion go through comparison, gate and promotion: luck promotes next to none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from registry import promotion
from registry.judging import gate
from registry.store import Registry
from tests.support import scored
from tests.support.registries import add_version, check_invariants

ROWS, STORY_ROWS = 300, 2
CHAMPION_RIGHT = 0.80
MINIMUM = 0.05
TASK = "news-topics"
CANDIDATES = 100


def answers(chance: np.random.Generator, right: np.ndarray) -> list[str]:
    """Return labels: the true one where it is right, any other of three where not."""
    wrong = chance.choice(["MARKETS", "WEATHER", "CULTURE"], size=len(right))
    return list(np.where(right, "SPORT", wrong))


def luck(chance: np.random.Generator) -> np.ndarray:
    """Return a number per row; rows of one story tend to be right or wrong together."""
    shared = np.repeat(chance.random(ROWS // STORY_ROWS), STORY_ROWS)
    return np.where(chance.random(ROWS) < 0.7, shared, chance.random(ROWS))


@pytest.mark.parametrize(("worse_by", "promised"), [(0.0, 0.01), (MINIMUM * CHAMPION_RIGHT, 0.001)], ids=["equal", "worse"])
def test_promotions_by_luck_stay_within_what_the_gate_promises(tmp_path: Path, worse_by: float, promised: float) -> None:
    chance = np.random.default_rng(17)
    policy = scored.topics(min_test_examples=200)
    stories = [f"story-{row // STORY_ROWS}" for row in range(ROWS)]
    lucky = promoted = 0
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        first = add_version(registry, TASK)
        promotion.promote(registry, TASK, first.name, expected=None, actor="test", reason="first")
        for number in range(CANDIDATES):
            champion = registry.versions.champion(TASK)
            assert champion is not None
            old, new = luck(chance) < CHAMPION_RIGHT, luck(chance) < CHAMPION_RIGHT - worse_by
            table = scored.labelled(["SPORT"] * ROWS, answers(chance, new), answers(chance, old), stories=stories)
            comparison = scored.compared(policy, table, champion=champion.version)
            lucky += new.mean() > old.mean() * (1 + MINIMUM)
            decision = gate.decide(comparison, policy.promotion)
            if decision.verdict == "promote":
                candidate = add_version(registry, TASK, run_id=f"run-{number}")
                promotion.promote(
                    registry, TASK, candidate.name, expected=champion.version, actor="test", reason="; ".join(decision.reasons)
                )
                promoted += 1
        check_invariants(registry, TASK)
        assert len(registry.versions.history(TASK)) == 1 + promoted
    # Exceeded by a true rate of what is promised less than once in 10,000 tests.
    assert promoted <= binom.isf(1e-4, CANDIDATES, promised)
    if not worse_by:
        assert lucky >= 8, "the point gain alone would have promoted far more"
