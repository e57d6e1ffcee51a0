"""Chooses texts to label from embeddings and probabilities, in a stated mix. Pure; numpy only.

Uncertain: the smallest margin between the two most probable labels (T. Scheffer, C. Decomain, S. Wrobel, "Active Hidden Markov
Models for Information Extraction", IDA 2001). Diverse: greedy k-center, the text that is farthest from all that is labelled or
chosen (O. Sener, S. Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018, algorithm 1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from consumers.labelling.choosing.ways import WAYS, Way

Floats = npt.NDArray[np.float32]
_PART = 512


@dataclass(frozen=True, slots=True)
class Candidates:
    """Texts without a label that may be chosen by a model."""

    features: Floats
    """Shape (texts, dimensions), each of length 1."""
    stories: Sequence[str]
    """Of each story one text is chosen."""
    probabilities: npt.NDArray[np.float64] | None
    """Shape (texts, labels); None where no model tells the labels apart."""
    known: Floats
    """Of the labelled texts, shape (any, dimensions), each of length 1."""


@dataclass(frozen=True, slots=True)
class Picked:
    """A candidate that was chosen."""

    place: int
    way: Way
    label: int | None = None
    """The label of which there are few, where that is why."""


def apportioned(shares: Mapping[Way, float], count: int, open_: Collection[Way] = WAYS) -> dict[Way, int]:
    """Return how many of `count` each way chooses, by the largest remainder; what is not `open_` leaves its share to the others.

    Where no way that is open has a share, all are drawn at random.
    """
    weights = {way: shares.get(way, 0.0) for way in WAYS if way in open_ and shares.get(way, 0.0) > 0}
    weights = weights or {"random": 1.0}
    whole = sum(weights.values())
    exact = {way: count * weight / whole for way, weight in weights.items()}
    found = {way: int(part) for way, part in exact.items()}
    rest = sorted(exact, key=lambda way: (found[way] - exact[way], WAYS.index(way)))
    for way in rest[: count - sum(found.values())]:
        found[way] += 1
    return {way: found.get(way, 0) for way in WAYS}


def at_random(texts: Sequence[str], count: int) -> list[str]:
    """Return `count` texts (SHA-256) in an order that no model has a part in: the same whenever it is drawn again."""
    return sorted(texts, key=lambda text: hashlib.sha256(f"next\n{text}".encode()).hexdigest())[:count]


def by_model(
    candidates: Candidates, wanted: Mapping[Way, int], missing: Mapping[int, int], taken: Collection[str] = ()
) -> list[Picked]:
    """Return candidates for the ways that go by a model: first those of scarce labels, then the uncertain, then the diverse.

    `missing`: by label (its column) how many more it needs; `taken`: stories of which none is wanted. Fewer than `wanted` come
    where there are no more.
    """
    free = np.array([story not in taken for story in candidates.stories], dtype=np.bool_)
    choice = _Choice(candidates, np.array(candidates.stories, dtype=np.str_), free)
    choice.short(wanted.get("short", 0), missing)
    choice.uncertain(wanted.get("uncertain", 0))
    choice.diverse(wanted.get("diverse", 0))
    return choice.picked


def mixed(picked: Mapping[Way, Sequence[str]]) -> list[tuple[str, Way]]:
    """Return what each way chose in one order that keeps the mix wherever one stops."""
    places = [
        ((at + 0.5) / len(texts), WAYS.index(way), text, way) for way, texts in picked.items() for at, text in enumerate(texts)
    ]
    return [(text, way) for _place, _way, text, way in sorted(places)]


@dataclass(slots=True)
class _Choice:
    candidates: Candidates
    stories: npt.NDArray[np.str_]
    free: npt.NDArray[np.bool_]
    picked: list[Picked] = field(default_factory=list)

    def short(self, count: int, missing: Mapping[int, int]) -> None:
        """Take what most probably carries a scarce label, turn by turn in proportion to what is missing."""
        shown = self.candidates.probabilities
        if shown is None or not missing:
            return
        taken = dict.fromkeys(missing, 0)
        # A text that is no likelier than chance to carry the label is no example of it.
        likely = {label: list(np.argsort(-shown[:, label], kind="stable")) for label in missing}
        for _ in range(count):
            for label in sorted(missing, key=lambda one: ((taken[one] + 1) / missing[one], one)):
                place = next((at for at in likely[label] if self.free[at]), None)
                if place is not None and shown[place, label] >= 1 / shown.shape[1]:
                    taken[label] += 1
                    self._take(int(place), "short", label)
                    break

    def uncertain(self, count: int) -> None:
        """Take texts of which two labels are nearly as probable."""
        shown = self.candidates.probabilities
        if shown is None or shown.shape[1] < 2:  # noqa: PLR2004 - two labels make a margin
            return
        highest = np.partition(shown, -2, axis=1)
        margins = highest[:, -1] - highest[:, -2]
        left = count
        for place in np.argsort(margins, kind="stable"):
            if not left:
                return
            if self.free[place]:
                self._take(int(place), "uncertain")
                left -= 1

    def diverse(self, count: int) -> None:
        """Take what is farthest from everything that is labelled or chosen."""
        if not count:
            return
        features = self.candidates.features
        beside = np.concatenate([self.candidates.known, features[[one.place for one in self.picked]]])
        nearest = np.full(len(features), -np.inf, dtype=np.float32)
        for at in range(0, len(beside), _PART):
            nearest = np.maximum(nearest, (features @ beside[at : at + _PART].T).max(axis=1))
        for _ in range(count):
            open_ = np.flatnonzero(self.free)
            if not len(open_):
                return
            farthest = int(open_[np.argmin(nearest[open_])])
            self._take(farthest, "diverse")
            nearest = np.maximum(nearest, features @ features[farthest])

    def _take(self, place: int, way: Way, label: int | None = None) -> None:
        self.free &= self.stories != self.stories[place]
        self.picked.append(Picked(place, way, label))
