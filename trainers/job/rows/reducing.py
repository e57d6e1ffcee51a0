"""Fewer rows of labels that have many: the most frequent one is reduced to a share, and any to a number of rows. Pure.

A row is filed under the rarest of its labels (one without a label with its like), so that reducing a frequent label costs no row
of a rare one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from config.task_files.sections.training import Training


def kept(strata: Sequence[str], is_new: NDArray[np.bool_], training: Training) -> NDArray[np.bool_]:
    """Return which rows stay, of rows in order of time; `strata` names the label that each is filed under.

    Of a label with too many rows the new ones stay first, the newest before others, then older ones of all ages alike.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for row, stratum in enumerate(strata):
        members[stratum].append(row)
    sizes = {stratum: min(len(rows), training.max_rows_per_label or len(rows)) for stratum, rows in members.items()}
    if training.majority_share is not None and len(sizes) > 1:
        largest = max(sizes, key=lambda stratum: (sizes[stratum], stratum))
        others = sum(sizes.values()) - sizes[largest]
        sizes[largest] = min(sizes[largest], max(1, int(others * training.majority_share / (1.0 - training.majority_share))))
    stays = np.zeros(len(strata), dtype=bool)
    for stratum, rows in members.items():
        stays[_thinned(np.array(rows, dtype=np.intp), is_new, sizes[stratum])] = True
    return stays


def _thinned(rows: NDArray[np.intp], is_new: NDArray[np.bool_], size: int) -> NDArray[np.intp]:
    if len(rows) <= size:
        return rows
    new, old = rows[is_new[rows]][-size:], rows[~is_new[rows]]
    room = min(size - len(new), len(old))
    return np.concatenate([new, old[np.arange(room) * len(old) // max(room, 1)]])
