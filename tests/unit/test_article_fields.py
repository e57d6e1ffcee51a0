"""The fields of an article are found by the names that others give them, and read alike, in folders and in imports."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumers.collecting import folders
from consumers.collecting.articles import Item, Unusable
from consumers.events.schemas import Article
from consumers.formats.mapping import ColumnMapping
from tests.support.imports import articles, looked_at, written

MAY = datetime(2024, 5, 1, 12, tzinfo=UTC)


def line(folder: Path, **said: Any) -> Item | Unusable:
    [found] = folders.lines(written(folder, "a.jsonl", [said]), 0)
    return found.found


@pytest.mark.parametrize(
    "time", ["publishedAt", "pubDate", "published_at", "date_published", "datePublished", "date_publish", "Date"]
)
@pytest.mark.parametrize("body", ["body", "content", "maintext", "articleBody", "content_html", "Description"])
def test_both_ways_in_know_the_same_names(tmp_path: Path, time: str, body: str) -> None:
    said = {"headline": "Rates rise", body: "By a half.", time: "2024-05-01T12:00:00Z"}
    assert line(tmp_path, **said) == Item(title="Rates rise", body="By a half.", published=MAY)
    [event] = looked_at(written(tmp_path, "b.jsonl", [said]), None).events()
    assert isinstance(event, Article)
    assert (event.title, event.body, event.occurred_at) == ("Rates rise", "By a half.", MAY)


def test_a_feature_of_news_services_and_crawlers(tmp_path: Path) -> None:
    named = line(tmp_path, title="A", source={"id": None, "name": "The News"}, link="https://a.example/1", guid=1.0, content=None)
    assert named == Item(title="A", publisher="The News", url="https://a.example/1", item_id="1")
    assert line(tmp_path, title="A", source_domain="a.example") == Item(title="A", publisher="a.example")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("date", "2024"), ("date", "01/05/2024"), ("date", 45413), ("date", "yesterday"), ("date", ["2024"]), ("date", True),
        ("content", ["a"]), ("content", {"html": "a"}), ("body", 7), ("body", "nan"), ("body", "[1, 'a']"), ("body", "\ud83d"),
        ("id", True), ("id", 1.5), ("id", {"a": 1}), ("id", "\ud83d"), ("url", 7), ("publisher", ["a"]), ("source", {"name": 7}),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_says_which_field(tmp_path: Path, field: str, value: object) -> None:
    found = line(tmp_path, title="A title", **{field: value})
    assert isinstance(found, Unusable)
    assert repr(field) in found.reason
    found.reason.encode()


def test_words_for_nothing_are_no_article(tmp_path: Path) -> None:
    assert isinstance(line(tmp_path, title="NaN", body="nan"), Unusable)
    assert line(tmp_path, title="A", body=float("nan"), id="null", date="") == Item(title="A")


def test_an_import_prefers_what_a_field_is_called_here(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", [{"text": "The text", "summary": "Short", "headline": "A", "title": "B"}])
    assert articles(path) == [("B", "The text")]
    path = written(tmp_path, "b.jsonl", [{"content": "One", "other": "Two", "title": "B"}])
    assert articles(path, ColumnMapping(text="other")) == [("B", "Two")]


def test_a_name_that_is_found_is_as_good_as_one_that_is_given(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", [{"content": "One", "title": "B"}])
    assert looked_at(path, None).identity == looked_at(path, None, ColumnMapping(body="content")).identity
