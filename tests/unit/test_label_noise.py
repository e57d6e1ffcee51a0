"""Every arm of the benchmark of wrong labels, on a toy problem."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmarks import label_noise
from benchmarks.label_noise import Pool


def toy() -> Pool:
    """Headlines of 2013 and 2014 around one direction for each of five labels, of which one came with the change of sections."""
    chance = np.random.default_rng(4)
    days = np.linspace(label_noise._day("2013-01-01"), label_noise._day("2014-09-30"), 2_400)
    labels = chance.integers(0, 5, len(days))
    labels[(labels == 4) & (days < label_noise._day("2014-04-18"))] = 0
    features = np.eye(5, 16)[labels] + 0.15 * chance.normal(size=(len(days), 16))
    names = ["ARTS", "MONEY", "SPORTS", "TRAVEL", "WOMEN"]
    return Pool(features.astype(np.float32), labels.astype(np.intp), days, names)


def test_every_arm_is_measured_and_drawn_slips_are_found() -> None:
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    label_noise._of_headlines(toy(), np.random.default_rng(0), found)
    assert len(found) == 6
    [slips], [right] = found["HuffPost, a fifth wrong"], found["HuffPost, as it is"]
    assert slips["wrong among contradicted"] > 0.9
    assert slips["contradicted among wrong"] > 0.1
    assert right["contradicted"] < 0.02
    assert found["a new label"][0].keys() == {"contradicted", "without", "with", "without, new labels", "with, new labels"}
    summary = label_noise._summary(found["HuffPost, a fifth wrong"])
    assert summary["gains_points"] == [round(100 * (slips["with"] - slips["without"]), 2)]
