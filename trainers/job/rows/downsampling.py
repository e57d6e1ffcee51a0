"""A part of a training set that holds each label as often as the whole does; deterministic by seed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from config.kinds import catalog as kinds
from consumers.training_set.snapshot import Manifest, write_training_set
from trainers.job.rows.replay import stratum_labels


def stratified(strata: Sequence[Hashable], count: int, seed: int) -> NDArray[np.intp]:
    """Return `count` row numbers (all at most), sorted, of rows that each belong to a stratum.

    Each stratum keeps its share, and one row at least; where there are more strata than rows to give, the largest have one each.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, stratum in enumerate(strata):
        members[stratum].append(row)
    largest_first = sorted(members, key=lambda stratum: (-len(members[stratum]), repr(stratum)))
    count = min(count, len(strata))
    shares = dict.fromkeys(largest_first[:count], 1)
    if left := count - len(shares):
        exact = {stratum: left * (len(members[stratum]) - 1) / (len(strata) - len(members)) for stratum in largest_first}
        for stratum, part in exact.items():
            shares[stratum] += int(part)
        missing = count - sum(shares.values())
        for stratum in sorted(largest_first, key=lambda one: (int(exact[one]) - exact[one], repr(one)))[:missing]:
            shares[stratum] += 1
    random = np.random.default_rng(seed)
    chosen = [random.permutation(members[stratum])[:share] for stratum, share in shares.items()]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.intp)


def write_part(whole: Manifest, learnt: pa.Table, test: pa.Table, folder: Path, *, rows: int, tested: int, seed: int) -> None:
    """Write `rows` of the rows `learnt` and `tested` of the test rows as a training set of its own, in the new folder `folder`.

    Both tables have the columns of a training set, whose manifest `whole` is. New and older rows keep their shares too.
    """
    targets = _targets(learnt)
    strata = list(zip(stratum_labels(targets), learnt["is_new"].to_pylist(), strict=True))
    chosen = stratified(strata, rows, seed)
    labels = Counter(label for at in chosen for label in set(kinds.of(targets[at]).labels(targets[at])))
    part = learnt.take(pa.array(chosen))
    asked = test.take(pa.array(stratified(stratum_labels(_targets(test)), tested, seed)))
    write_training_set(
        folder,
        pa.concat_tables([part, asked]),
        run_id=whole.run_id,
        task=whole.task,
        created_at=whole.created_at,
        max_seq=whole.max_seq,
        table_versions=whole.table_versions,
        labels=labels,
        left_out=whole.left_out,
        waiting=whole.waiting,
        renames=whole.renames,
        gone=whole.gone,
        declared=whole.declared,
    )


def _targets(rows: pa.Table) -> list[Mapping[str, Any]]:
    return [json.loads(target) for target in rows["target"].to_pylist()]
