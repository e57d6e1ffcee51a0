"""The gate's promises, simulated: the benchmark `gate_rates` measures them over the whole grid."""

import pytest
from scipy.stats import binom

from benchmarks.gate_rates import Cell, simulate

LOOKS = 250


def too_many(rate: float) -> int:
    """Return a count of looks that a true rate of `rate` exceeds less than once in 10,000 tests."""
    return int(binom.isf(1e-4, LOOKS, rate))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(
    ("accuracy", "discordant", "rows"), [(0.8, 0.15, 200), (0.8, 0.3, 500), (0.5, 0.05, 300), (0.93, 0.09, 400)]
)
def test_an_equal_candidate_passes_in_fewer_than_1_of_100_looks(
    accuracy: float, discordant: float, rows: int, clustered: bool
) -> None:
    cell = Cell(accuracy=accuracy, discordant=discordant, rows=rows, clustered=clustered, gain=0.0)
    assert simulate(cell, LOOKS, seed=20).promoted * LOOKS <= too_many(0.01)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(("accuracy", "discordant", "rows"), [(0.5, 0.3, 200), (0.8, 0.3, 200), (0.93, 0.15, 200)])
def test_one_worse_by_the_minimum_passes_in_fewer_than_1_of_1000(
    accuracy: float, discordant: float, rows: int, clustered: bool
) -> None:
    cell = Cell(accuracy=accuracy, discordant=discordant, rows=rows, clustered=clustered, gain=-1.0)
    assert simulate(cell, LOOKS, seed=20).promoted * LOOKS <= too_many(0.001)


@pytest.mark.parametrize(("discordant", "rows", "clustered"), [(0.09, 330, False), (0.15, 550, False), (0.15, 1_180, True)])
def test_a_clearly_better_one_passes_at_the_rows_asked_for(discordant: float, rows: int, clustered: bool) -> None:
    cell = Cell(accuracy=0.8, discordant=discordant, rows=rows, clustered=clustered, gain=1.5)
    assert cell.has_enough
    looks = 60
    # 80 % are promised; this many are exceeded by a true 80 % all but once in 10,000 tests.
    assert simulate(cell, looks, seed=20).promoted * looks >= binom.ppf(1e-4, looks, 0.8)


def test_the_point_gain_alone_would_be_wrong_far_more_often() -> None:
    rates = simulate(Cell(accuracy=0.8, discordant=0.15, rows=200, clustered=True, gain=0.0), LOOKS, seed=20)
    assert rates.naive > 0.05
    assert rates.promoted < rates.naive / 5
