"""What an encoder makes of rows: stored features where it makes the same, else computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perennial_artifact.sentence.encoder import SentenceEncoder
from trainers.learners.features import Features, FeatureSet, alike, spread_by_length


def features_of(
    encoder: SentenceEncoder, example_ids: Sequence[str], tokenised: Sequence[Sequence[int]], stored: FeatureSet | None
) -> tuple[Features, int]:
    """Return the features of rows, shape (rows, features), and of how many they were computed; `tokenised` has their tokens.

    `stored` is taken where some of its texts, read again, give the same: up to 200, from the shortest to the longest.
    """
    places = [at for at, example_id in enumerate(example_ids) if stored is not None and example_id in stored]
    if stored is None or not places:
        return encoder.features_of(tokenised), len(tokenised)
    checked = spread_by_length(places, [len(tokens) for tokens in tokenised])
    again = encoder.features_of([tokenised[at] for at in checked])
    if not alike(again, stored.rows([example_ids[at] for at in checked])):
        return encoder.features_of(tokenised), len(tokenised)
    missing = sorted(set(range(len(tokenised))).difference(places))
    found = np.empty((len(tokenised), stored.matrix.shape[1]), dtype=np.float32)
    found[places] = stored.rows([example_ids[at] for at in places])
    if missing:
        found[missing] = encoder.features_of([tokenised[at] for at in missing])
    return found, len(missing)
