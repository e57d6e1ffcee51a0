"""How values stand on the page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from daemon.dashboard import shown
from daemon.dashboard.plots import interval_plot
from daemon.dashboard.rendering import TEMPLATES, Renderer
from daemon.views.models.comparison import Comparison, Part, Scale

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "inert"),
    [
        ("\x1b[2J", "\N{REPLACEMENT CHARACTER}[2J"),
        ("a\u202eb\u2066c", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"),
        ("\x00\x9b\x7f", "\N{REPLACEMENT CHARACTER}" * 3),
        ("\u200f\u05e9\u05dc\u05d5\u05dd \u0645\u06cc\u200c\u062e", "\u200f\u05e9\u05dc\u05d5\u05dd \u0645\u06cc\u200c\u062e"),
        ("two\nlines\tand <b>", "two\nlines\tand <b>"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("two\r\nlines\r", "two \nlines\N{REPLACEMENT CHARACTER}"),
    ],
    ids=ascii,
)
def test_what_strangers_wrote_is_inert_and_scripts_stay_whole(text: str, inert: str) -> None:
    assert shown.inert(text) == inert
    assert len(text) == len(inert), "marks in it stay where they are"


@pytest.mark.parametrize("value", [{"label": "åsa \u05e9"}, {"a": ["\u202e<b>", "\x07\x9b", "\ud800"]}, {"b": 1, "a": '\r\n"'}])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_shown_as_it_was_written_and_inert(value: dict[str, object], indent: int | None) -> None:
    told = shown.as_json(value, indent)
    assert json.loads(told) == value
    assert shown.inert(told) == told
    assert "\\u00e5" not in told


@pytest.mark.parametrize("page", ["feedback.html", "label.html"])
def test_no_label_is_shown_in_escapes(page: str) -> None:
    environment = Renderer(read_only=True)._environment
    shown_as = environment.from_string("{{ value|json|truncate(12, true) }}").render(value={"label": "<åäö " + "ö" * 20})
    assert shown_as == "{&#34;label&#34;:..."
    assert "tojson" not in (TEMPLATES / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, ""), (0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3_599, "59 min"), (3_600, "1 h"), (5_400, "1 h 30 min"),
     (86_400, "1 d"), (100_000, "1 d 3 h"), (864_000, "10 d"), (-5, "0 s")],
)  # fmt: skip
def test_spans(seconds: float | None, told: str) -> None:
    assert shown.span(seconds) == told


def test_moments_and_numbers() -> None:
    assert shown.moment(NOW) == "2026-01-02 03:04"
    assert (shown.ago(NOW - timedelta(seconds=200), NOW), shown.ago(NOW, NOW), shown.ago(None, NOW)) == (
        "3 min ago",
        "just now",
        "",
    )
    assert [shown.count(value) for value in (None, 0, 9_999, 12_345, 2_500_000)] == ["–", "0", "9,999", "12.3 k", "2.50 M"]
    assert [shown.rate(value) for value in (None, 0.0, 0.25, 3.14, 250.0)] == ["–", "0", "0.25", "3.1", "250"]
    assert [shown.weight(value) for value in (0.0, 99.97, 12.34)] == ["0", "99.9", "12.3"]
    assert [shown.score(value) for value in (None, 0.5, float("inf"), float("nan"), 1324.4)] == ["–", "0.500", "∞", "–", "1324"]
    assert [shown.signed(value) for value in (None, 0.05, -0.01)] == ["–", "+0.0500", "-0.0100"]


def compared(**changes: object) -> Comparison:
    values = {
        "metric": "macro_f1", "scale": Scale(title="macro F1"), "opponent": "t/v1", "rows": 600, "champion_score": 0.5,
        "candidate_score": 0.6, "gain": 0.1, "lower_bound": 0.08, "upper_bound": 0.12, "required_gain": 0.025, "confidence": 0.95,
        "slices": (Part(name="newest", rows=150, champion_score=0.6, candidate_score=0.5),),
    }  # fmt: skip
    return Comparison.model_validate(values | changes)


def test_the_interval_plot_puts_gains_to_the_right_and_losses_to_the_left() -> None:
    plot = interval_plot(compared())
    assert plot is not None
    everything, newest = plot.lines
    assert (everything.gain, newest.gain, everything.side, newest.side) == ("+10.0", "-10.0", "up", "down")
    assert newest.x < plot.zero < everything.x
    assert everything.bounds is not None
    assert everything.bounds[0] < everything.x < everything.bounds[1]
    assert plot.needed is not None
    assert plot.zero < plot.needed < everything.bounds[0]


def test_where_lower_is_better_a_smaller_score_is_a_gain() -> None:
    scale = Scale(title="MAE", better="lower", highest=float("inf"), unit="km")
    plot = interval_plot(compared(scale=scale, gain=2.0, lower_bound=1.0, upper_bound=3.0, required_gain=float("inf")))
    assert plot is not None
    assert (plot.unit, plot.needed, plot.lines[1].side) == ("km", None, "up")


def test_without_rows_there_is_no_plot() -> None:
    assert interval_plot(None) is None
    assert interval_plot(compared(rows=0)) is None
