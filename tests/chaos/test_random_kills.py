"""The short form of `benchmarks.random_kills`: five kills of a daemon that ingests and trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import random_kills
from tests.support.daemons import BY_WORDS

pytestmark = pytest.mark.slow

KILLS = 5
LIFE_S = 2.0


def test_a_daemon_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    found = random_kills.survive(tmp_path, KILLS, life_s=LIFE_S, new_examples=80, program=BY_WORDS)
    assert found["kills"] == KILLS
    assert found["acknowledged"] > 50
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert set(found["champions"].values()) == {1}
    assert found["runs"] >= 1
