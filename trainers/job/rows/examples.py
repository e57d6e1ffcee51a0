"""The rows of a training set as learners read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from consumers.rows.eligibility import INDEPENDENT
from trainers.learners.protocols import Example

_TARGETS = 10_000
"""Different targets that are kept while rows are read."""


def examples_of(rows: pa.Table) -> Sequence[Example]:
    """Return the rows of a training set as tasks read them."""
    # Most rows of a label have the very same target; of longer ones, such as spans, hardly two are alike.
    parsed = lru_cache(maxsize=_TARGETS)(json.loads)
    names = ("example_id", "text", "target", "weight", "event_time", "document_id", "story_id", "selected_by", "is_new", "scope")
    return [
        Example(
            example_id=example_id, text=text, target=parsed(target), weight=weight, event_time=event_time,
            document=document or story, story=story, independent=selected_by in INDEPENDENT, is_new=is_new,
            scope=None if scope is None else frozenset(scope),
        )
        for example_id, text, target, weight, event_time, document, story, selected_by, is_new, scope in zip(
            *(rows[name].to_pylist() for name in names), strict=True
        )
    ]  # fmt: skip
