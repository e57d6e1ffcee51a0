"""The short form of `benchmarks.soak`: a steady stream through ingest adds no memory once it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import soak

pytestmark = pytest.mark.slow

EVENTS = 20_000
GROWTH_LIMIT_MIB = 32
"""About 3 KB an event of that half; so few events meet no large merge of fragments, whose memory the long form must allow for."""


def test_a_steady_stream_adds_no_memory_in_its_second_half(tmp_path: Path) -> None:
    found = soak.measure(tmp_path, EVENTS)
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["grown_mib"] <= GROWTH_LIMIT_MIB
