"""Events of every type, and every kind of bad input with what its refusal must say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks

TASKS = load_tasks(SHIPPED_TASKS_DIR)
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)

ARTICLE = {
    "type": "article", "event_id": "e-1", "occurred_at": "2024-05-01T10:00:00Z", "article_id": "a-1",
    "title": "Rates rise", "body": "The ECB acted.",
}  # fmt: skip
LABEL = {
    "type": "label", "event_id": "e-2", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics", "text": "Rates rise",
    "target": {"label": "economy"},
}  # fmt: skip
SPANS = LABEL | {"task": "news-entities", "text": "The ECB acted.", "target": {"spans": [{"start": 4, "end": 7, "label": "ORG"}]}}
FEEDBACK = LABEL | {"type": "feedback", "user_id": "u-1", "verdict": "correction"}
RETRAIN = {
    "type": "retrain",
    "event_id": "e-5",
    "occurred_at": "2024-05-01T10:00:00Z",
    "task": "news-topics",
    "reason": "new desk",
}
TASK_SCHEMA = {
    "type": "task_schema", "event_id": "e-6", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics", "renames": {"a": "b"}
}  # fmt: skip
PREDICTION = {
    "type": "prediction", "event_id": "p-1", "prediction_id": "p-1", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics",
    "model_version": "news-topics/v3", "text": "Rates rise", "answer": {"label": "economy", "scores": {"economy": 0.9}},
}  # fmt: skip
IMPORT_UNDO = {"type": "import_undo", "event_id": "e-12", "occurred_at": "2024-05-01T10:00:00Z", "import_id": "0123456789abcdef"}
ERASE = {"type": "erase", "event_id": "e-7", "occurred_at": "2024-05-01T10:00:00Z", "user_id": "u-1"}
REVIEW = {
    "type": "feedback_review", "event_id": "e-8", "occurred_at": "2024-05-01T10:00:00Z", "decision": "reject",
    "event_ids": ["e-2"],
}  # fmt: skip
WITHDRAWN = {
    "type": "weak_labels_withdrawn", "event_id": "e-9", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics",
    "event_ids": ["weak-1"], "reason": "rules changed",
}  # fmt: skip
LABEL_CORRECTION = {
    "type": "label_correction", "event_id": "e-12", "occurred_at": "2024-05-01T10:00:00Z", "task": "news-topics",
    "label_id": "e-2", "target": {"label": "sport"}, "annotator": "anna",
}  # fmt: skip
VALID = (
    ARTICLE, LABEL, SPANS, FEEDBACK, RETRAIN, TASK_SCHEMA, PREDICTION, IMPORT_UNDO, ERASE, REVIEW, WITHDRAWN, LABEL_CORRECTION,
)  # fmt: skip


def span(start: Any, end: Any, label: Any = "ORG") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


def spans(*several: dict[str, Any]) -> dict[str, Any]:
    return SPANS | {"target": {"spans": list(several)}}


def without(event: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != field}


def wire(payload: Any) -> bytes:
    """Return what is sent: JSON of a payload, bytes as they are."""
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


# What is sent, the field that the error names, what the message says is wrong, and the remedy in it.
BAD_INPUT: dict[str, tuple[Any, str | None, str, str]] = {
    "invalid JSON": (b'{"type": ', None, "not JSON", "send one JSON object"),
    "empty bytes": (b"", None, "not JSON", "send one JSON object"),
    "a constant JSON lacks": (b'{"type": NaN}', None, "NaN is not JSON", "send one JSON object"),
    "JSON nested to exhaust the stack": (b"[" * 100_000, None, "not JSON", "send one JSON object"),
    "nested too deeply": (b'{"a":' * 40 + b"1" + b"}" * 40, ".".join("a" * 33), "more than 32 levels", "send a flatter object"),
    "a list": ([1], None, "JSON list", "send one JSON object"),
    "invalid UTF-8": (b'{"type": "\xff"}', None, "not UTF-8 (byte 10", "encoded as UTF-8"),
    "half a surrogate pair": (ARTICLE | {"title": "a\ud800"}, "title", "character 1 is half of a surrogate pair", "U+FFFD"),
    "half a surrogate pair inside": (spans(span(0, 3, "\udfff")), "target.spans.0.label", "half of a surrogate", "whole pair"),
    "half a surrogate pair in a name": (ARTICLE | {"\ud800": 1}, "\\ud800", "half of a surrogate pair", "whole pair"),
    "a number beyond floats": (b'{"x": [1, 1e999]}', "x.1", "too large", "send a finite number"),
    "no type": (without(LABEL, "type"), "type", "missing", "send one of article, label"),
    "unknown type": (LABEL | {"type": "lable"}, "type", "'lable', which is unknown", "send one of article, label"),
    "type of a wrong kind": (LABEL | {"type": ["label"]}, "type", "unknown", "send one of article, label"),
    "missing field": (without(LABEL, "task"), "task", "missing", "add it"),
    "missing event id": (without(ARTICLE, "event_id"), "event_id", "missing", "add it"),
    "missing field of the target": (LABEL | {"target": {}}, "target.label", "missing", "add it"),
    "missing field of a span": (spans({"start": 0, "end": 3}), "target.spans.0.label", "missing", "add it"),
    "extra field": (LABEL | {"colour": "red"}, "colour", "not a field", "remove it"),
    "extra field of the target": (LABEL | {"target": {"label": "x", "why": 1}}, "target.why", "not a field", "remove it"),
    "unknown task": (LABEL | {"task": "weather"}, "task", "'weather' is not defined", "the tasks are news-entities, news-topics"),
    "a review of nothing": (without(REVIEW, "event_ids"), None, "exactly one of", "event_ids, user_id and alarm"),
    "a review of two things": (REVIEW | {"user_id": "u-1"}, None, "exactly one of", "event_ids, user_id and alarm"),
    "a review of no task's alarm": (without(REVIEW, "event_ids") | {"alarm": "a -> b"}, None, "go together", "both or neither"),
    "a review without a decision": (without(REVIEW, "decision"), "decision", "missing", "add it"),
    "a correction of no label": (without(LABEL_CORRECTION, "label_id"), "label_id", "missing", "add it"),
    "a correction by nobody": (without(LABEL_CORRECTION, "annotator"), "annotator", "missing", "add it"),
    "a correction in another form": (LABEL_CORRECTION | {"target": {"spans": []}}, "target.label", "missing", "add it"),
    "a correction of an unknown task": (LABEL_CORRECTION | {"task": "weather"}, "task", "'weather' is not defined", "the tasks"),
    "settings of a run out of bounds": (RETRAIN | {"training": {"epochs": 0}}, "training.epochs", "at least 1, got 0", "correct"),
    "a step size without bounds": (RETRAIN | {"training": {"learning_rate": 5}}, "training.learning_rate", "at most 1", "number"),
    "half a row": (RETRAIN | {"training": {"batch_size": 7.5}}, "training.batch_size", "not a whole number", "send one"),
    "a step size in words": (RETRAIN | {"training": {"learning_rate": "x"}}, "training.learning_rate", "not a number", "send"),
    "true batches": (
        RETRAIN | {"training": {"gradient_accumulation": True}}, "training.gradient_accumulation", "not a whole number", "send",
    ),
    "a setting that no request sets": (RETRAIN | {"training": {"seed": 1}}, "training.seed", "not a field", "remove it"),
    "unknown task of a retrain": (RETRAIN | {"task": "weather"}, "task", "'weather' is not defined", "the tasks are"),
    "label outside a closed set": (spans(span(4, 7, "ORGG")), "target", "'ORGG' is not one of", "add the label to the task file"),
    "span outside the text": (spans(span(4, 99)), "target.spans", "outside the text, which has 14", "offsets count code points"),
    "span before the text": (spans(span(-1, 3)), "target.spans.0.start", "at least 0, got -1", "correct the number"),
    "span that is empty": (spans(span(4, 4)), "target.spans.0", "ends at 4, before or where it starts", "end exclusive"),
    "span offset with a fraction": (spans(span(4, 7.5)), "target.spans.0.end", "not a whole number, got 7.5", "send one"),
    "overlapping spans": (spans(span(0, 7), span(4, 9)), "target", "spans 0-7 (ORG) and 4-9 (ORG) overlap", "keep one of them"),
    "empty text": (LABEL | {"text": ""}, "text", "it is empty", "fill it"),
    "text of white space": (LABEL | {"text": " \n"}, "text", "only white space", "fill it"),
    "article without text": (ARTICLE | {"title": "", "body": " "}, None, "title and body are both empty", "send at least one"),
    "text that is too long": (LABEL | {"text": "x" * 1_000_001}, "text", "longer than 1000000 characters", "shorten it"),
    "text of a wrong kind": (LABEL | {"text": 5}, "text", "not a string, got 5", "send a string"),
    "label that names no text": (without(LABEL, "text"), None, "neither text nor article_id", "send one of them"),
    "feedback that names no text": (without(FEEDBACK, "text"), None, "none of prediction_id, article_id and text", "send one"),
    "blank label": (LABEL | {"target": {"label": " "}}, "target.label", "only white space", "fill it"),
    "target of a wrong kind": (LABEL | {"target": "economy"}, "target", "not a JSON object, got 'economy'", "send one"),
    "target of another task kind": (LABEL | {"target": {"spans": []}}, "target.label", "missing", "add it"),
    "time without a zone": (LABEL | {"occurred_at": "2024-05-01T10:00:00"}, "occurred_at", "no time zone", "append one, e.g. Z"),
    "time far ahead": (LABEL | {"occurred_at": "2024-05-01T12:05:01Z"}, "occurred_at", "300 s ahead", "check both clocks"),
    "no time": (LABEL | {"occurred_at": "yesterday"}, "occurred_at", "not a time", "send ISO 8601 with a zone"),
    "time before the calendar": (LABEL | {"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "outside", "send the time"),
    "time long ago": (
        LABEL | {"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at", "is before the year 1900", "send the time",
    ),
    "time just too early": (LABEL | {"occurred_at": "1900-01-01T00:00:00+00:01"}, "occurred_at", "before the year 1900", "send"),
    "more spans than are read": (spans(*[{}] * 10_001), "target.spans", "10001 entries; at most 10000", "split the text"),
    "event id with a line break": (ARTICLE | {"event_id": "a\nb"}, "event_id", "U+000A (character 1)", "remove it"),
    "unknown schema version": (ARTICLE | {"schema_version": 2}, "schema_version", "is 2", "send 1"),
    "unknown choice": (FEEDBACK | {"verdict": "meh"}, "verdict", "is 'meh'", "send 'correction' or 'confirmation'"),
    "hash of another text": (ARTICLE | {"content_sha256": "0" * 64}, None, "content_sha256 does not fit", "SHA-256 of title"),
    "no renames": (TASK_SCHEMA | {"renames": {}}, "renames", "is empty", "at least 1"),
    "CloudEvents of another version": ({"specversion": "0.3"}, "specversion", "'0.3' is not read", "send 1.0"),
    "CloudEvent without id": ({"specversion": "1.0", "type": "x", "source": "y"}, "id", "must carry it as a string", "add it"),
    "CloudEvent without data": (
        {"specversion": "1.0", "id": "1", "type": "label", "source": "y"}, "data", "must carry the event", "as a JSON object",
    ),
}  # fmt: skip
