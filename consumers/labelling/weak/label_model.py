"""A label model: what several sources that err say of each text becomes a probability of each label.

Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm" (Applied Statistics 1979). A
source may be a rule, a model or a person, and may stay silent; silence is a further symbol of its confusion matrix and is not
counted as evidence, because a rule that finds none of its words says little of a short text. Matrices are smoothed towards a
source that is right with probability `ACCURACY`, as strongly as `SMOOTHING` texts would: where sources never meet, nothing is
learnt of them, and they keep it. Texts whose label people gave take part with that label, and so measure the sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SILENT = -1
ACCURACY = 0.8
"""Of a source of which nothing is known."""
SMOOTHING = 20.0
_MOST_ROUNDS = 100
_SETTLED = 1e-4
_LEAST_SHARE = 1e-6

Votes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the model believes."""

    probabilities: Floats
    """Shape (texts, labels). A text of which no source says anything has the shares of the labels."""
    precision: Floats
    """Shape (sources,): how often what a source says is right; NaN of one that says nothing."""
    shares: Floats
    """Shape (labels,): of the texts of which a source says something."""


def estimate(
    votes: Votes, labels: int, *, gold: Votes | None = None, shares: Sequence[float] | None = None,
    believed: Sequence[float] | None = None,
) -> Estimate:  # fmt: skip
    """Return the probability of each label for each text.

    `votes` has shape (texts, sources): the number of a label, or `SILENT`. `gold` (texts,) has the labels that people gave, or
    `SILENT`. `shares` (labels,) are how often each label comes, where that is known; else they are estimated. `believed`
    (sources,) is how often each is right by all that is known before: `ACCURACY` by default.
    """
    texts, sources = votes.shape
    before = np.full(sources, ACCURACY) if believed is None else np.asarray(believed, dtype=np.float64)
    said = (votes != SILENT).any(axis=1)
    fixed = np.zeros(texts, dtype=bool) if gold is None else gold != SILENT
    counted = said | fixed
    share = np.full(labels, 1.0 / max(1, labels)) if shares is None else np.asarray(shares, dtype=np.float64)
    spoken = _Spoken.of(votes, labels)
    # Not from a majority vote: a source that meets no other would be right always, because it agrees with itself.
    posterior = _posterior(spoken, _smooth(spoken, before, share), share, texts)
    for _round in range(_MOST_ROUNDS):
        if gold is not None:
            posterior[fixed] = np.eye(labels)[gold[fixed]]
        if shares is None and counted.any():
            share = posterior[counted].mean(axis=0) + _LEAST_SHARE
            share /= share.sum()
        right = _right(spoken, posterior, before, share)
        found = _posterior(spoken, right, share, texts)
        moved = float(np.abs(found - posterior)[~fixed].max(initial=0.0))
        posterior = found
        if moved < _SETTLED:
            break
    precision = _precision(spoken, right, sources) if texts and sources else np.full(sources, np.nan)
    if gold is not None:
        posterior[fixed] = np.eye(labels)[gold[fixed]]
    return Estimate(posterior, precision, share)


@dataclass(frozen=True, slots=True)
class _Spoken:
    """All votes, one after the other: which text, and which of the pairs of a source and a label that it says."""

    text: npt.NDArray[np.intp]
    pair: npt.NDArray[np.intp]
    source_of: npt.NDArray[np.intp]
    """Of each pair."""
    label_of: npt.NDArray[np.intp]
    count: Floats
    """Votes of each pair."""

    @classmethod
    def of(cls, votes: Votes, labels: int) -> _Spoken:
        text, source = np.nonzero(votes != SILENT)
        keys, pair = np.unique(source * labels + votes[text, source], return_inverse=True)
        source_of, label_of = np.divmod(keys, max(1, labels))
        return cls(text, pair.reshape(-1), source_of, label_of, np.bincount(pair.reshape(-1), minlength=len(keys)).astype(float))


def _smooth(spoken: _Spoken, before: Floats, share: Floats) -> Floats:
    """Return, shape (pairs, labels), what a vote says before anything is known: its label, else any other by its share."""
    rest = share / np.maximum(1.0 - share[spoken.label_of], _LEAST_SHARE)[:, None]
    right = before[spoken.source_of][:, None]
    found = (1.0 - right) * rest
    found[np.arange(len(found)), spoken.label_of] = right[:, 0]
    return found / found.sum(axis=1, keepdims=True) if len(found) else found


def _right(spoken: _Spoken, posterior: Floats, before: Floats, share: Floats) -> Floats:
    """Return P(label | source, what it says), shape (pairs, labels): by Bayes the source's confusion matrix with its silence."""
    weighed = np.zeros((len(spoken.count), posterior.shape[1]))
    np.add.at(weighed, spoken.pair, posterior[spoken.text])
    return (weighed + SMOOTHING * _smooth(spoken, before, share)) / (spoken.count + SMOOTHING)[:, None]


def _posterior(spoken: _Spoken, right: Floats, share: Floats, texts: int) -> Floats:
    """Return P(label | all that is said) of each text: each vote counts by how much more often its label comes with it."""
    log = np.tile(np.log(np.maximum(share, _LEAST_SHARE)), (texts, 1))
    np.add.at(log, spoken.text, (np.log(np.maximum(right, _LEAST_SHARE)) - np.log(np.maximum(share, _LEAST_SHARE)))[spoken.pair])
    log -= log.max(axis=1, keepdims=True, initial=-np.inf)
    found = np.exp(log)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _precision(spoken: _Spoken, right: Floats, sources: int) -> Floats:
    """Return how often each source is right, over all that it says."""
    own = right[np.arange(len(right)), spoken.label_of] * spoken.count
    votes = np.bincount(spoken.source_of, weights=spoken.count, minlength=sources)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.bincount(spoken.source_of, weights=own, minlength=sources) / votes)
