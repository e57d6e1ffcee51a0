"""Texts with two different labels, and near copies with different labels: what needs no model to be seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.defence.agreement import relation
from consumers.labelling.doubts.doubt import Doubt, Sort
from consumers.labelling.doubts.labelled import as_target
from consumers.text import near_copies as copies

LEAST_COSINE = 0.9
"""Texts of one story whose embeddings are less alike are not taken for copies."""
_MOST_COMPARED = 200
"""Texts of one story; the newest of a larger one are compared."""

Vectors = Callable[[Sequence[str]], tuple[list[str], npt.NDArray[np.float32]]]
Rows = list[dict[str, Any]]


def same_texts(rows: pa.Table) -> list[Doubt]:
    """Return the texts that have contrary labels, unless a person has settled which is right; `rows` as `labelled` gives them."""
    found = []
    for members in _groups(rows, "text_sha256", "row_id"):
        counts = members[0]
        given = as_target(counts["target"])
        against = [one for one in members[1:] if relation(given, as_target(one["target"])) == "contrary"]
        if against and not counts["settled"]:
            found.append(_doubt(counts, "same_text", as_target(against[0]["target"]), 1.0, against))
    return found


def near_copies(rows: pa.Table, task: TaskSpec, vectors: Vectors) -> list[Doubt]:
    """Return the texts whose near copies say otherwise: the fewer against the more, both where they are as many.

    A near copy is a text of the same story whose embedding is alike. Not for kinds whose targets lie at places of their text.
    """
    if kinds.get(task.kind).positional:
        return []
    counting = rows.filter(pc.and_(rows["counts"], pc.is_valid(rows["story_id"])))
    stories = [members[:_MOST_COMPARED] for members in _groups(counting, "story_id", "text_sha256")]
    ids, features = vectors([one["row_id"] for members in stories for one in members])
    place = {row_id: at for at, row_id in enumerate(ids)}
    unit = copies.unit(features)
    found: list[Doubt] = []
    for members in stories:
        found += _of_story([one for one in members if one["row_id"] in place], place, unit)
    return found


def _of_story(members: Rows, place: dict[str, int], unit: npt.NDArray[np.float32]) -> Iterator[Doubt]:
    if len(members) < 2:  # noqa: PLR2004 - a pair
        return
    vectors = unit[[place[one["row_id"]] for one in members]]
    alike = vectors @ vectors.T
    targets = [as_target(one["target"]) for one in members]
    for at, one in enumerate(members):
        near = [other for other in np.flatnonzero(alike[at] >= LEAST_COSINE) if other != at]
        against = [other for other in near if relation(targets[at], targets[other]) == "contrary"]
        said = Counter(members[other]["target"] for other in near)
        if not against or one["settled"]:
            continue
        most = max((members[other]["target"] for other in against), key=lambda target: (said[target], target))
        # With itself: of two copies that differ both are shown.
        if said[most] >= said[one["target"]] + 1:
            strongest = max(float(alike[at, other]) for other in against)
            yield _doubt(one, "near_copy", as_target(most), min(1.0, strongest), [members[other] for other in against])


def _groups(rows: pa.Table, by: str, differing: str) -> Iterator[Rows]:
    """Yield the rows of each group that has several of `differing` and several targets, in the order of the table."""
    sizes = rows.group_by(by).aggregate([("target", "count_distinct"), (differing, "count_distinct")])
    several = pc.and_(pc.greater(sizes["target_count_distinct"], 1), pc.greater(sizes[f"{differing}_count_distinct"], 1))
    some = rows.filter(pc.is_in(rows[by], value_set=sizes.filter(several)[by].combine_chunks()))
    order = [(by, "ascending"), *([] if by == "text_sha256" else [("event_time", "descending"), ("row_id", "ascending")])]
    # A stable order within a text: the one that counts stands first.
    numbered = some.append_column("_at", pa.array(range(some.num_rows)))
    ordered = numbered.sort_by([*order, ("_at", "ascending")])
    for _value, members in groupby(ordered.to_pylist(), key=lambda row: row[by]):
        yield list(members)


def _doubt(row: dict[str, Any], sort: Sort, suggested: dict[str, Any], score: float, against: Rows) -> Doubt:
    return Doubt(
        text_sha256=row["text_sha256"],
        example_id=row["row_id"],
        sorts=(sort,),
        given=as_target(row["target"]),
        suggested=suggested,
        score=score,
        side=row["split"],
        beside=tuple(one["row_id"] for one in against),
    )
