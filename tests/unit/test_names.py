"""Labels and ids: what looks alike is one, what cannot be seen is refused, what can be printed is kept."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.foreign.characters import shows_nothing
from config.foreign.ids import ID_PATTERN, foreign_id
from config.foreign.labels import LABEL_PATTERN, label, label_of_stored
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import TaskSpec, load_tasks
from consumers.defence.arrivals import contributor_of
from consumers.events.targets import not_blank
from consumers.rows.labels.renames import renamed

SAME = [
    ("politics", "politics"),
    (" politics\r\n", "politics"),
    ("cafe\u0301", "café"),
    ("new\u00a0york", "new york"),
    ("new  york", "new york"),
    ("\u3000経済", "経済"),
    ("بین\u200cالملل", "بین\u200cالملل"),
    ("क्\u200dष", "क्\u200dष"),
    ("x" * 200, "x" * 200),
    ("a, b = c", "a, b = c"),
]
INVISIBLE = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u202e",
    "\u2066",
    "\u00ad",
    "\ufeff",
    "\x00",
    "\x1b",
    "\t",
    "\ufe0f",
    "\u3164",
    "\u2800",
    "\ufdd0",
    "\ufffe",
    "\uffff",
    "\U0001ffff",
    "\U000e0041",
]


@pytest.mark.parametrize(("sent", "read"), SAME)
def test_labels_that_look_alike_are_one(sent: str, read: str) -> None:
    assert label(sent) == read
    assert label(read) == read


@pytest.mark.parametrize("hidden", INVISIBLE, ids=lambda one: f"U+{ord(one):04X}")
@pytest.mark.parametrize("name", ["pol{}itics", "{}politics", "politics{}"])
def test_what_cannot_be_seen_is_refused_by_its_code_point(name: str, hidden: str) -> None:
    sent = name.format(hidden)
    if not (hidden == "\t" and name != "pol{}itics"):
        with pytest.raises(ValueError, match=re.escape(f"U+{ord(hidden):04X}")):
            label(sent)
    with pytest.raises(ValueError, match=re.escape(f"U+{ord(hidden):04X}")):
        foreign_id(sent)
    assert label_of_stored(sent) == "politics"


@pytest.mark.parametrize("sent", ["", " ", "\n", "\u00a0", "x" * 201, "\u1d160" * 201])
def test_blank_and_long_labels_are_refused(sent: str) -> None:
    with pytest.raises(ValueError, match=r"fill it|shorten it"):
        label(sent)


@pytest.mark.parametrize(
    "text", ["", " \n", "\u3164", "\u2800\u2800", "\u115f", "\ufe0f", "\u200b\u200d", "\uffff", " \u0301", "\xad"]
)
def test_a_text_of_what_cannot_be_seen_shows_nothing(text: str) -> None:
    assert shows_nothing(text)
    for seen in ("a", "e\u0301", "\u2801", "\u0e01", "क्\u200dष", "1\ufe0f\u20e3", "💥", "-", "\ufffd"):
        assert not shows_nothing(text + seen)
    with pytest.raises(ValueError, match="fill it in"):
        not_blank(text)


IDS = [
    "https://site.example/?p=1234", "https://news.example/uk-123#0", "tag:site.example,2024:/posts/1",
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "https://site.example/caf%C3%A9-opens", "https://site.example/a~b/(1)", "{7F2C-11}", "urn:uuid:7f2c", "site.example/ünïcode",
    "a+b@c.example", "åsa", "O'Neil; DROP TABLE--", "../../etc/passwd", "[bold]red[/]", "two words", "新聞/２０２４",
    "💥", "x" * 512, "?", "%",
]  # fmt: skip


@pytest.mark.parametrize("sent", IDS)
def test_what_can_be_printed_is_an_id_and_stays_as_it_is(sent: str) -> None:
    assert foreign_id(sent) == sent


def test_ids_are_compared_in_composed_form() -> None:
    assert foreign_id("a\u030asa") == foreign_id("åsa") == "åsa"


@pytest.mark.parametrize("sent", ["", "  ", " a", "a ", "a\u00a0b", "a\u2028b", "x" * 513, "é" * 257])
def test_blank_padded_and_long_ids_are_refused(sent: str) -> None:
    with pytest.raises(ValueError, match=r"remove it|shorten it|send one"):
        foreign_id(sent)


NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.text("ab \t\n\u00a0\u200b\u200cب\u0301é", max_size=6)


@given(NAMES)
def test_the_published_patterns_say_what_is_taken(sent: str) -> None:
    assert (re.search(LABEL_PATTERN, sent) is not None) == _taken(label, sent)
    assert (re.search(ID_PATTERN, sent) is not None) == _taken(foreign_id, sent)


@given(NAMES)
def test_a_label_is_read_the_same_again_and_stored_ones_always_can_be(sent: str) -> None:
    read = label(sent) if _taken(label, sent) else label_of_stored(sent)
    assert label_of_stored(read) == read == unicodedata.normalize("NFC", read)
    if sent:
        assert label(read) == read


def _taken(read: object, sent: str) -> bool:
    assert callable(read)
    try:
        read(sent)
    except ValueError:
        return False
    return True


def test_stored_targets_are_read_under_the_label_that_looks_the_same() -> None:
    assert renamed({"label": "cafe\u0301\u200b "}, ()) == {"label": "café"}
    assert renamed({"label": "cafe\u0301"}, [{"café": "coffee"}]) == {"label": "coffee"}
    spans = {"spans": [{"start": 0, "end": 1, "label": " O\u200bRG"}], "partial": True}
    assert renamed(spans, ()) == {"spans": [{"start": 0, "end": 1, "label": "ORG"}], "partial": True}


def test_nobody_without_a_key_is_taken_for_a_user_of_an_application_with_one() -> None:
    keyed = contributor_of("u 1", "key:app")
    assert keyed == "key:app u 1"
    assert contributor_of("key:app u 1", "") != keyed
    assert contributor_of("key:app u 1", "web") != contributor_of(contributor_of("key:app u 1", ""), "")
    assert contributor_of("u 1", "") == "u 1"


def test_task_files_hold_labels() -> None:
    spec = load_tasks(SHIPPED_TASKS_DIR)["news-topics"].model_dump()
    read = TaskSpec.model_validate(spec | {"label_names": ["cafe\u0301", " sport "], "renames": {"cafe\u0301 ": "coffee"}})
    assert (read.label_names, read.renames) == (("café", "sport"), {"café": "coffee"})
    for wrong in (
        {"label_names": ["café", "cafe\u0301"]},
        {"label_names": ["a\u200b"]},
        {"renames": {" ": "x"}},
        {"renames": {"x": "y" * 201}},
    ):
        with pytest.raises(ValidationError):
            TaskSpec.model_validate(spec | wrong)
