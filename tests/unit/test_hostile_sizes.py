"""Input that is made to cost much: each would take minutes or gigabytes if the work grew with its square, or had no bound."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from config.errors import DeadLetterError
from config.kinds import forms
from config.secrets import masker
from consumers.events.parsing import parse
from consumers.formats.files import folder
from consumers.log.kafka import source
from daemon.serving.access.visitors import Asked
from daemon.serving.http.schemas import MOST_TEXTS, PredictRequest
from tests.support.sample_events import NOW, TASKS


def asked(cookie: str) -> Asked:
    return Asked("GET", "/ui", "127.0.0.1", "http", 8310, {"cookie": cookie})


@pytest.mark.parametrize(
    ("cookie", "found"),
    [
        ("perennial_session_8310=abc-_1", "abc-_1"), ("a=b; perennial_session_8310 = abc ;c=d", "abc"), ("", ""),
        ("perennial", ""), ("perennial_session_9=abc", ""), ("x" + "\\" * 60_000, ""),
        ('perennial_session_8310="' + "\\" * 60_000, '"' + "\\" * 60_000),
    ],
)  # fmt: skip
def test_a_cookie_is_read_whatever_else_stands_there(cookie: str, found: str) -> None:
    assert asked(cookie).cookie == found


@pytest.mark.parametrize("line", ["a." * 500_000, "://" * 300_000, "x://a:" * 150_000, "bearer " * 100_000])
def test_a_long_line_of_a_log_is_masked_at_once(line: str) -> None:
    assert masker(["hush-hush"])(line) == line


@pytest.mark.parametrize("timestamp", [10**15, -(10**15), 2**62, 253402300800000])
def test_a_record_of_no_time_arrives_now(timestamp: int) -> None:
    before = datetime.now(UTC)
    assert before <= source._logged_at(timestamp) <= datetime.now(UTC)
    assert source._logged_at(1_714_557_600_000) == datetime(2024, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "label", "task": "news-entities", "text": "x", "target": {"spans": [], "types": [1] * 200_000}},
        {"type": "task_schema", "task": "news-topics", "retired": [1] * 200_000},
        {"type": "task_schema", "task": "news-topics", "renames": {str(number): 1 for number in range(200_000)}},
        {"type": "feedback_review", "decision": "accept", "event_ids": [1] * 200_000},
        {"type": "weak_labels_withdrawn", "task": "news-topics", "event_ids": [1] * 200_000, "reason": "x"},
    ],
)
def test_a_list_without_end_is_one_fault(event: dict[str, Any]) -> None:
    value = json.dumps({"event_id": "e", "occurred_at": NOW.isoformat(), **event}).encode()
    with pytest.raises(DeadLetterError, match="entries; at most") as told:
        parse(value, tasks=TASKS, now=NOW)
    assert len(told.value.problems) == 1


def test_a_request_of_texts_without_end_is_one_fault() -> None:
    with pytest.raises(ValueError, match="entries; at most") as told:
        PredictRequest.model_validate({"texts": [1] * (MOST_TEXTS + 1)})
    assert str(told.value).startswith("1 validation error")


@pytest.mark.parametrize("end", [int("9" * 400), 10**12])
def test_an_offset_of_many_digits_is_refused(end: int) -> None:
    target = {"spans": [{"start": 0, "end": end, "label": "ORG"}]}
    event = {
        "type": "label",
        "event_id": "e",
        "occurred_at": NOW.isoformat(),
        "task": "news-entities",
        "text": "x",
        "target": target,
    }
    with pytest.raises(DeadLetterError) as told:
        parse(json.dumps(event).encode(), tasks=TASKS, now=NOW)
    assert told.value.field == "target.spans.0.end"


def test_the_type_of_a_cloud_event_may_be_anything() -> None:
    envelope = {"specversion": "1.0", "id": "1", "source": "/x", "type": "org.x.article"}
    value = json.dumps({**envelope, "data": {"type": [], "article_id": "a", "body": "b"}}).encode()
    assert parse(value, tasks=TASKS, now=NOW, arrived=NOW).type == "article"


def test_many_marks_of_one_word_are_found_in_their_order() -> None:
    text = "a " * 1_000
    found = forms.spans({"spans": ["P: a"] * 1_000}, text)
    assert [one["start"] for one in found] == list(range(0, 2_000, 2))
    with pytest.raises(ValueError, match="at most"):
        forms.spans({"spans": ["P: a"] * 1_001}, text)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a/b/c.jsonl", "**/*.jsonl", True), ("c.jsonl", "**/*.jsonl", True), ("a/b.jsonl", "*.jsonl", False),
        ("a/b.jsonl", "a/?.jsonl", True), ("a/b.jsonl", "?/b.jsonl", True), ("a/b", "a?b", False), ("ab", "a", False),
        ("data/train-0.parquet", "data/train-*", True), ("data/x/train", "data/**", True), ("x" * 200, "**" * 40 + "y", False),
        ("x" * 200, "*x" * 60 + "y", False),
    ],
)  # fmt: skip
def test_a_pattern_of_a_card_fits_a_name_or_not(name: str, pattern: str, *, fits: bool) -> None:
    assert folder._matches(name, pattern) is fits
