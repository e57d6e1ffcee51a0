"""Label Studio's full JSON: a task with what one or several people said of it becomes one flat row, as JSON-MIN has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from consumers.formats.rows import AnyRow, BadRow, LeftOut, Row
from consumers.formats.values import missing

_ANNOTATIONS = ("annotations", "completions")
NOT_ANNOTATED = "tasks without annotations in Label Studio"
META = frozenset(
    {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "inner_id", "project", "file_upload", "meta"}
)
"""Fields that say nothing of the text's answer."""


def is_task(values: Mapping[str, Any]) -> bool:
    """Return whether a row is one of Label Studio's tasks."""
    return isinstance(values.get("data"), dict) and any(isinstance(values.get(name), list) for name in _ANNOTATIONS)


def flat(row: Row) -> AnyRow:
    """Return a task as one row: its data, and one column per control with the regions or choices that a person gave.

    Several annotations count where they agree. Predictions of a model are never read.
    """
    annotations = next(row.values[name] for name in _ANNOTATIONS if isinstance(row.values.get(name), list))
    counted = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled") and not one.get("skipped")]
    truths = [one for one in counted if one.get("ground_truth")]
    answers: list[dict[str, Any]] = []
    for one in truths or counted:
        controls = _controls(one.get("result"))
        if controls is None:
            return BadRow(row.line, "an annotation without a list `result`; export the task from Label Studio again")
        if controls not in answers:
            answers.append(controls)
    if not answers:
        return LeftOut(row.line, NOT_ANNOTATED)
    if len(answers) > 1:
        return BadRow(
            row.line, f"{len(answers)} annotations of this task differ; mark one of them as ground truth in Label Studio"
        )
    data = {f"data.{name}" if name in answers[0] else name: value for name, value in row.values["data"].items()}
    return Row(row.line, {**data, **answers[0], "id": row.values.get("id"), "annotation_id": True})


def without_regions(rows: Iterator[AnyRow], spans: str) -> Iterator[AnyRow]:
    """Yield rows in which an annotated text without a region says that it has no entity; exports leave the control out then."""
    for row in rows:
        if isinstance(row, Row) and not missing(row.values.get("annotation_id")) and missing(row.values.get(spans)):
            yield Row(row.line, {**row.values, spans: []})
        else:
            yield row


def _controls(result: object) -> dict[str, Any] | None:
    if not isinstance(result, list):
        return None
    found: dict[str, Any] = {}
    for entry in result:
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, dict):
            continue
        control = str(entry["from_name"]) if isinstance(entry.get("from_name"), str) else "label"
        marks = [name for name in value if name.endswith("labels") and name != "labels"]
        if marks:
            # Its offsets count something else than characters: whoever reads spans refuses it.
            found.setdefault(control, []).append({name: value.get(name) for name in ("start", "end", *marks)})
        elif "labels" in value or entry.get("type") == "labels":
            found.setdefault(control, []).append({name: value.get(name) for name in ("start", "end", "labels", "text")})
        elif "choices" in value:
            chosen = found.setdefault(control, {"choices": []})
            if isinstance(chosen, dict) and isinstance(value["choices"], list):
                chosen["choices"].extend(value["choices"])
    # In which order people marked a text is no difference.
    return {
        control: sorted(marked, key=lambda region: json.dumps(region, sort_keys=True)) if isinstance(marked, list) else marked
        for control, marked in found.items()
    }
