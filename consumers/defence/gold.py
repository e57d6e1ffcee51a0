"""Labels given without looking at a model, beside the answers of users about the same text or story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.kinds.kind import Target
from consumers.defence.arrivals import TABLE
from consumers.rows.arriving.event_rows import Row
from consumers.rows.eligibility import INDEPENDENT
from consumers.rows.labels.renames import Renames
from consumers.tables.columns import is_one_of
from consumers.tables.lance import Tables


class GoldLabels:
    """The labels of the texts and stories of some answers."""

    def __init__(self, tables: Tables, rows: Sequence[Row], renames: Renames) -> None:
        self._of_text: dict[tuple[str, str], Target] = {}
        self._of_story: dict[tuple[str, str], list[Target]] = defaultdict(list)
        stories = sorted({row["story_id"] for row in rows if row["story_id"]})
        columns = ["row_id", "task", "text_sha256", "story_id", "event_time", "selected_by"]
        # Equal texts always share their story.
        found = tables.lookup("example_enrichment", "story_id", stories, columns)
        labels = found.filter(pc.is_in(found["selected_by"], value_set=pa.array(INDEPENDENT))).to_pylist()
        ids = sorted(row["row_id"] for row in labels)
        told = tables.lookup("examples", "row_id", ids, ["row_id", "target", "settles"]).to_pylist()
        targets = {row["row_id"]: row["target"] for row in told}
        settling = {row["row_id"] for row in told if row["settles"]}
        for row in sorted(labels, key=lambda row: (row["row_id"] in settling, row["event_time"], row["row_id"])):
            if row["row_id"] in targets:
                target = renames.applied(row["task"], targets[row["row_id"]])
                # What settles a difference counts, then the newest, as when a training set is frozen.
                self._of_text[row["task"], row["text_sha256"]] = target
                self._of_story[row["task"], row["story_id"]].append(target)

    def of_text(self, task: str, text_sha256: str) -> Target | None:
        """Return the label of this very text, if there is one."""
        return self._of_text.get((task, text_sha256))

    def of_story(self, task: str, story_id: str) -> Target | None:
        """Return the target that all labelled texts of a story share; None for spans, which lie elsewhere in each text."""
        targets = self._of_story.get((task, story_id), [])
        if not targets or kinds.of(targets[0]).positional:
            return None
        return targets[0] if all(target == targets[0] for target in targets) else None


def texts_beside_new_gold(tables: Tables, after_seq: int) -> set[tuple[str, str]]:
    """Return task and SHA-256 of the judged texts whose story got a label with an enrichment number above `after_seq`."""
    where = f"enriched_seq > {after_seq} AND {is_one_of('selected_by', INDEPENDENT)}"
    new = tables.scan("example_enrichment", ["task", "story_id"], where)
    if new.num_rows == 0:
        return set()
    judged = tables.scan(TABLE, ["task", "text_sha256", "story_id"])
    beside = judged.filter(pc.is_in(judged["story_id"], value_set=pc.unique(new["story_id"].drop_null())))
    stories = set(zip(new["task"].to_pylist(), new["story_id"].to_pylist(), strict=True))
    return {(row["task"], row["text_sha256"]) for row in beside.to_pylist() if (row["task"], row["story_id"]) in stories}
