"""A training set follows from what was stored, not from how it came in."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.rows.arriving.event_rows import Stored
from consumers.rows.backlog import TextRow
from consumers.training_set.snapshot import Manifest
from tests.support.buffers import TOPICS, article, enrich, feedback, label, opened, prediction, renaming, stored

TASK = TOPICS.model_copy(update={"new_label_min_examples": 2, "training": TOPICS.training.model_copy(update={"max_rows": 6})})
NAMES = st.sampled_from(["economy", "sport", "art"])
TEXTS = st.sampled_from([f"text {number}" for number in range(6)])
HOURS = st.integers(0, 5)
LABELS = st.builds(label, st.uuids().map(str), TEXTS, NAMES, hours=HOURS, origin=st.sampled_from(["gold", "import", "audit"]))
ANCHORS = st.builds(label, st.uuids().map(str), st.just("an anchor"), NAMES, hours=HOURS, anchor=st.just(value=True))
FEEDBACK = st.builds(
    feedback, st.uuids().map(str), TEXTS | st.none(), NAMES, hours=HOURS, article_id=st.sampled_from(["a-1", "a-2", "a-9"]),
    prediction_id=st.sampled_from(["p-1", "p-9"]) | st.none(), verdict=st.sampled_from(["correction", "confirmation"]),
    user_id=st.uuids().map(str),  # of one user, the answer that arrives last counts
)  # fmt: skip
AROUND = [
    article("e-1", "a-1", "text 1", hours=4), article("e-2", "a-1", "text 7", hours=2), article("e-3", "a-2", "text 8"),
    prediction("p-1", "text 3"), renaming("s-1", art="culture"),
]  # fmt: skip


def split(row: TextRow) -> str:
    """As enrichment does it: by the text's story alone."""
    return "anchor" if row.anchor else "test" if row.text in ("text 0", "text 8") else "train"


def frozen(events: list[Stored], cuts: list[int], chance: random.Random, learnt: frozenset[str]) -> tuple[Manifest, int]:
    """Store the events in portions, with everything that works behind ingest at odd moments, and freeze."""
    with TemporaryDirectory() as folder, opened(Path(folder) / "b") as buffer:
        for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
            buffer.insert(events[start:end])
            if chance.random() < 0.5:
                buffer.resolve_waiting(limit=2)
                enrich(buffer, split=split, portion=3)
        # Whatever is there has its text by now, except for what waits for ever.
        while buffer.resolve_waiting():
            pass
        enrich(buffer, split=split)
        training_set = buffer.freeze(TASK, run_id="r", folder=Path(folder) / "set", learnt=learnt)
        return training_set.manifest, buffer.counts(TASK.name).waiting


@settings(max_examples=8, deadline=None)
@given(answers=st.lists(LABELS | ANCHORS | FEEDBACK, min_size=1, max_size=14), data=st.data(), seed=st.integers(0, 1000))
def test_order_and_batching_do_not_matter(answers: list, data: st.DataObject, seed: int) -> None:  # type: ignore[type-arg]
    chance = random.Random(seed)
    learnt = frozenset(event.event_id for event in answers if chance.random() < 0.3)
    # The text an answer joins is settled by what is there when it is resolved: articles and predictions come first.
    first = stored(*AROUND)
    events = stored(*answers, offset=len(first))
    mixed = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(first) + len(events)), max_size=5)))
    calm, calm_waiting = frozen([*first, *events], [], random.Random(0), learnt)
    troubled, troubled_waiting = frozen([*first, *mixed], cuts, chance, learnt)
    same = {"rows_sha256", "counts", "labels", "left_out", "new_rows"}
    assert troubled.model_dump(include=same) == calm.model_dump(include=same)
    assert troubled_waiting == calm_waiting
