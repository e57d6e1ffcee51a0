"""Reads the articles without a label that may be chosen, by narrow columns."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from config.tasks import TaskSpec
from consumers.fitness import rules
from consumers.fitness.facts import facts
from consumers.labelling.reading import articles_within
from consumers.rows.eligibility import MADE
from consumers.tables.columns import is_one_of, quoted
from consumers.tables.lance import Snapshot

READ = ("articles", "article_enrichment", "examples", "example_enrichment", "requests")


def without_label(snapshot: Snapshot, task: TaskSpec, *, min_quality: float, left_out: Collection[str], most: int) -> pa.Table:
    """Return the newest `most` articles of the window that no person has labelled: `row_id`, `text_sha256`, `story_id`, `split`.

    Both sides; each text once. What the task would not learn from is left out on the train side alone, as when it is trained;
    `left_out` are texts (SHA-256) that are asked about elsewhere.
    """
    found = articles_within(snapshot, task.promotion.window_days, min_quality)
    by_people = f"task = {quoted(task.name)} AND verdict IS NULL AND NOT {is_one_of('origin', MADE)}"
    labelled = snapshot.scan("examples", ["text_sha256"], by_people)["text_sha256"].combine_chunks()
    for taken in (labelled, pa.array(sorted(left_out), pa.string())):
        found = found.filter(pc.invert(pc.is_in(found["text_sha256"], value_set=taken)))
    known = facts(snapshot, task.quality, "split = 'train'", table="articles")
    unfit = known["row_id"].filter(pa.array(rules.first_broken(task.quality, known) != 0))
    found = found.filter(pc.invert(pc.is_in(found["row_id"], value_set=unfit.combine_chunks())))
    return found.select(["row_id", "text_sha256", "story_id", "split"]).slice(0, most)
