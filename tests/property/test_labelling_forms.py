"""What a form is filled in with becomes a target, and a target the form that gives it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.kinds import catalog as kinds
from config.kinds import forms
from config.kinds.kind import HasForm
from daemon.views.desk.reading import KEYS, RESERVED, choices

NAMES = st.text("abcXYZ é&-", min_size=1, max_size=12).map(str.strip).filter(bool)
NUMBERS = st.floats(-1, 1, allow_nan=False)
TEXT = "Äpfel 😀 and Merkel met Merkel\n\nat the ECB"


def spans_of(cuts: list[int]) -> list[dict[str, Any]]:
    bounds = sorted(set(cuts))
    return [{"start": a, "end": b, "label": "ORG"} for a, b in zip(bounds[::2], bounds[1::2], strict=False)]


TARGETS = {
    "classification": NAMES.map(lambda name: {"label": name}),
    "multilabel": st.lists(NAMES, max_size=4, unique=True).map(lambda names: {"labels": sorted(names)}),
    "ner": st.lists(st.integers(0, len(TEXT)), max_size=6).map(lambda cuts: {"spans": spans_of(cuts)}),
    "regression": st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=3).map(lambda found: {"values": found}),
    "signals": st.dictionaries(
        NAMES, NUMBERS.map(lambda score: {"score": score, "tag": "up"}), min_size=1, max_size=3
    ).map(lambda found: {"signals": found}),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_a_form_gives_the_target_that_it_was_filled_in_with(name: str) -> None:
    kind = kinds.get(name)
    assert isinstance(kind, HasForm)

    @settings(max_examples=25, deadline=None)
    @given(TARGETS[name])
    def gives_it_back(target: dict[str, Any]) -> None:
        assert kind.from_form(kind.form_of(target), TEXT) == target

    gives_it_back()


def test_spans_are_found_by_their_words_in_code_points() -> None:
    found = forms.spans({"spans": ["PERSON: Merkel\r\nPERSON: Merkel\nORG: ECB"]}, TEXT)
    assert [(TEXT[one["start"] : one["end"]], one["start"]) for one in found] == [("Merkel", 12), ("Merkel", 23), ("ECB", 38)]
    assert forms.spans({"spans": ["PERSON#2: Merkel"]}, TEXT)[0]["start"] == 23
    assert forms.spans({}, TEXT) == []


@pytest.mark.parametrize(
    "line",
    ["PERSON: Kohl", "PERSON#3: Merkel", "3-3 ORG", "0-999 ORG", "nothing", "0-5 A\n3-6 B", "PERSON: Merkel met Merkel\nX: met"],
)
def test_what_is_no_span_of_the_text_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        forms.spans({"spans": [line]}, TEXT)


def test_each_of_many_labels_has_a_key_of_its_own_as_far_as_there_are_keys() -> None:
    found = choices([f"label {number}" for number in range(200)])
    keys = [one.key for one in found if one.key]
    assert len(keys) == len(set(keys)) == len(KEYS) == 29
    assert not set(keys) & set(RESERVED)
    assert keys[:10] == [*"123456789", "a"]


@pytest.mark.parametrize(
    ("widget", "line", "fields"),
    [
        ("one", "1", {"label": ["sport"]}),
        ("one", "Foreign affairs", {"label": ["Foreign affairs"]}),
        ("several", "1 2", {"label": ["sport", "war"]}),
        ("several", "1, Foreign affairs", {"label": ["sport", "Foreign affairs"]}),
        ("several", "Foreign affairs", {"label": ["Foreign affairs"]}),
        ("several", "0", {}),
        ("spans", "1: Merkel; 38-41 2", {"spans": ["sport: Merkel", "38-41 war"]}),
        ("spans", "0", {}),
        ("numbers", "quality=3, tone = -1.5", {"number.quality": ["3"], "number.tone": ["-1.5"]}),
        ("signals", "economy=0.5 growth, war=0", {"score.economy": ["0.5"], "tag.economy": ["growth"], "score.war": ["0"]}),
    ],
)  # fmt: skip
def test_a_line_at_the_terminal_fills_in_the_same_form(widget: forms.Widget, line: str, fields: dict[str, list[str]]) -> None:
    keys = {"1": "sport", "2": "war"}
    assert forms.fields_of_line(widget, line, lambda said: keys.get(said, said)) == fields


@pytest.mark.parametrize(("widget", "line"), [("numbers", "three"), ("numbers", "a=1 b"), ("signals", "growth")])
def test_a_line_of_another_form_is_refused(widget: forms.Widget, line: str) -> None:
    with pytest.raises(ValueError, match=r"name=3"):
        forms.fields_of_line(widget, line, str)
