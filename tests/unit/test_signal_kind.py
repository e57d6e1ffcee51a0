"""Signals: what a task may say, what is refused, what an import reads, how heads are solved, and what the metrics count."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from config.errors import DeadLetterError, RunFailedError
from config.kinds.signals.kind import Signals
from config.tasks import TaskSpec
from consumers.events.schemas import Label
from consumers.events.targets import read_target
from consumers.formats.importing import import_events
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import BadRow
from consumers.training_set.targets import usable_target
from daemon.flow.answering import answer_of
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.head import Solved
from perennial_artifact.sentence.layout import HEAD_FOLDER
from perennial_artifact.sentence.signal_head import KEYWORDS_FILE, SIGNALS_FILE, SignalHead, Told
from registry.people.corrections import Answering
from tests.support.tiny_models import toy_plan, toy_signals, toy_signals_spec
from trainers.compare.metrics import catalog as metrics
from trainers.job.scoring.declared_baseline import baseline_name, baseline_of
from trainers.learners.protocols import Example
from trainers.learners.signals.choosing import Choice, build, choose, compare, tags_of
from trainers.learners.signals.rows import SignalRows, signal_rows, usable

TASK: dict[str, Any] = {
    "name": "city", "kind": "signals", "backend": "transformer", "base_model": "minilm",
    "signals": [
        {"name": "crime", "tags": [{"name": "theft", "score": -0.5, "keywords": {"en": ["theft*"]}}, {"name": "fraud"}]},
        {"name": "sports", "tags": [{"name": "win"}]},
    ],
    "promotion": {"metric": "signal_score"},
}  # fmt: skip
SPEC = TaskSpec.model_validate(TASK)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def with_signals(*categories: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return TASK | {"signals": list(categories)} | changes


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (with_signals(), "needs signals"),
        (with_signals({"name": "crime", "tags": []}), "at least 1"),
        (with_signals({"name": "crime", "tags": [{"name": "none"}]}), "cannot be called none"),
        (with_signals({"name": "crime", "tags": [{"name": "a"}, {"name": "a"}]}), "names tag a twice"),
        (with_signals(*[{"name": "crime", "tags": [{"name": "a"}]}] * 2), "names crime twice"),
        (with_signals({"name": "text", "tags": [{"name": "a"}]}), "cannot be called text"),
        (with_signals({"name": "crime:x", "tags": [{"name": "a"}]}), "pattern"),
        (with_signals({"name": "crime", "tags": [{"name": "a", "score": 2}]}), "less than or equal to 1"),
        (with_signals({"name": "crime", "tags": [{"name": "a", "keywords": {"en": ["a*"]}}]}), "fewer than 3 letters"),
        (with_signals({"name": "crime", "tags": [{"name": "a", "keywords": {"English": ["abc"]}}]}), "pattern"),
        (TASK | {"labels": "closed", "label_names": ["a"]}, "no labels"),
        (TASK | {"dimensions": [{"name": "a", "low": 0, "high": 1}]}, "dimensions does not fit kind signals"),
        (TASK | {"training": {"class_weights": "balanced"}}, "class_weights does not fit"),
        (TASK | {"promotion": {"metric": "mae"}}, "signal_score, tag_f1, intensity"),
        (TASK | {"promotion": {"metric": "tag_f1", "slices": [{"slice": "signal:joy", "max_drop": 0.1}]}}, "signal:joy"),
        (
            with_signals({"name": "crime", "tags": [{"name": "a"}]}, promotion={"metric": "tag_f1", "baseline": "keywords"}),
            "needs keywords",
        ),
        (
            {**TASK, "kind": "classification", "labels": "open", "promotion": {"metric": "accuracy"}},
            "signals is for kinds that measure",
        ),
    ],
)
def test_what_does_not_fit_a_task_of_signals_is_refused(task: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TaskSpec.model_validate(task)


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ({"crime": {"score": 1.5, "tag": "theft"}}, "at most 1"),
        ({"crime": {"score": -1.01}}, "at least -1"),
        ({"crime": {"score": float("nan")}}, "finite|at least"),
        ({"crime": {"score": "0.5"}}, "number"),
        ({"crime": {"score": True}}, "number"),
        ({"crime": {"tag": "theft"}}, "tag 'theft' has no score"),
        ({"crime": {"score": None, "tag": "theft"}}, "tag 'theft' has no score"),
        ({"crime": {}}, "no score"),
        ({"crime": {"score": 0.4, "tag": "none"}}, "tag none says nothing"),
        ({"crime": {"score": -0.5, "tag": "arson"}}, "tag 'arson' is not one of category crime: theft, fraud, none"),
        ({"culture": {"score": 0.5}}, "category 'culture' is not one of the task's: crime, sports"),
        ({"crime": {"score": 0.5, "mood": 1}}, "mood"),
        ({"crime": 0.5}, "JSON object"),
        ({"crime": None}, "nothing is said"),
        ({}, "at least 1"),
        ([], "dictionary|object"),
        ({f"c{number}": None for number in range(101)}, "at most 100"),
    ],
)
def test_a_target_that_says_too_much_or_too_little_is_a_dead_letter(signals: object, said: str) -> None:
    with pytest.raises(DeadLetterError, match=said) as refused:
        read_target(SPEC, {"signals": signals})
    assert str(refused.value.field).startswith("target")


def test_what_is_not_known_is_left_out_and_a_score_of_nothing_has_its_tag() -> None:
    sent = {"crime": {"score": -1, "tag": " theft "}, "sports": None}
    assert read_target(SPEC, {"signals": sent}) == {"signals": {"crime": {"score": -1.0, "tag": "theft"}}}
    assert read_target(SPEC, {"signals": {"crime": {"score": 0}, "sports": {"score": 0.3, "tag": None}}}) == {
        "signals": {"crime": {"score": 0.0, "tag": "none"}, "sports": {"score": 0.3}}
    }
    assert read_target(SPEC, {"signals": {"crime": {"score": 0, "tag": "theft"}}})["signals"]["crime"]["tag"] == "theft"


def test_rows_of_other_categories_and_tags_keep_what_the_task_knows_today() -> None:
    stored = {
        "signals": {"crime": {"score": -1.0, "tag": "arson"}, "joy": {"score": 1.0}, "sports": {"score": 0.5, "tag": "win"}}
    }
    assert json.loads(usable_target(json.dumps(stored), SPEC, ()) or "") == {
        "signals": {"crime": {"score": -1.0}, "sports": {"score": 0.5, "tag": "win"}}
    }
    assert usable_target('{"signals":{"joy":{"score":1.0}}}', SPEC, ()) is None
    assert usable_target('{"values":{"crime":1.0}}', SPEC, ()) is None


def test_people_agree_where_what_they_tell_is_alike() -> None:
    relation = Signals().relation

    def said(**tags: tuple[float, str]) -> dict[str, Any]:
        return {"signals": {name: {"score": score, "tag": tag} for name, (score, tag) in tags.items()}}

    theft = said(crime=(-0.5, "theft"), sports=(0.0, "none"))
    assert relation(theft, said(crime=(-0.45, "theft"), sports=(0.0, "none"))) == "same"
    assert relation(theft, said(crime=(-0.5, "fraud"), sports=(0.0, "none"))) == "contrary"
    assert relation(theft, said(crime=(0.0, "none"))) == "contrary"
    assert relation(theft, said(crime=(-0.5, "theft"), sports=(1.0, "win"))) == "unlike"
    assert relation(theft, {"signals": {"joy": {"score": 1.0}}}) == "unlike"


def test_moves_tell_tags_and_scores_apart() -> None:
    shown = {"signals": {"crime": {"score": -0.5, "tag": "theft", "probability": 0.4}, "sports": {"score": 0.1}}}
    right = {"signals": {"crime": {"score": -1.0, "tag": "fraud"}, "sports": {"score": 0.9, "tag": "win"}}}
    assert Signals().moves(shown, right, 0.3) == [("crime:theft", "crime:fraud"), ("sports", "sports up")]
    assert Signals().moves(shown, right, 0.5) == [("sports", "sports up")]
    assert Signals().moves(None, right, 0.5) == [("(unknown)", "crime:fraud"), ("(unknown)", "sports:win")]


def imported(tmp_path: Path, text: str, **columns: str) -> list[Any]:
    file = tmp_path / ("rows.jsonl" if text.startswith("{") else "rows.csv")
    file.write_text(text)
    return list(import_events(file, SPEC, ColumnMapping(text="text", others=tuple(columns.items()))))


def test_an_import_reads_a_column_for_each_score_and_each_tag(tmp_path: Path) -> None:
    lines = [
        "text,C,crime_tag,sports",
        "a purse,-0.5,theft,",
        "a day,,,NaN",
        "a bill,,fraud,1",
        "a game,0,,0.5",
        "a lot,-3,theft,",
    ]
    rows = imported(tmp_path, "\n".join(lines), crime="C")
    assert [row.target for row in rows if isinstance(row, Label)] == [
        {"signals": {"crime": {"score": -0.5, "tag": "theft"}}},
        {"signals": {"crime": {"score": 0.0, "tag": "none"}, "sports": {"score": 0.5}}},
    ]
    reasons = [row.reason for row in rows if isinstance(row, BadRow)]
    assert "nothing is said of any of the categories crime, sports" in reasons[0]
    assert "fraud" in reasons[1]
    assert "a tag needs one" in reasons[1]
    assert "at least -1" in reasons[2]


def test_an_import_reads_an_object_of_signals(tmp_path: Path) -> None:
    lines = [
        {"text": "one", "labels": {"crime": {"score": -1, "tag": "theft"}, "sports": None, "joy": 3}},
        {"text": "two", "labels": {"sports": 0.25}},
        {"text": "three", "labels": {"crime": {"tag": "theft"}}},
        {"text": "four", "labels": {"joy": 1}},
    ]
    rows = imported(tmp_path, "\n".join(map(json.dumps, lines)), signals="labels")
    assert [row.target for row in rows if isinstance(row, Label)] == [
        {"signals": {"crime": {"score": -1.0, "tag": "theft"}}}, {"signals": {"sports": {"score": 0.25}}},
    ]  # fmt: skip
    assert sum(isinstance(row, BadRow) for row in rows) == 2


def test_a_correction_answers_only_where_it_tells_every_category() -> None:
    target = {"signals": {"crime": {"score": 0.0, "tag": "none"}, "sports": {"score": 1.0, "tag": "win"}}}
    whole = Answering("city", "0" * 64, "e", target, accepted=False, answers_since=SINCE)
    assert answer_of(whole, SPEC, ()) == target
    assert answer_of(replace(whole, target={"signals": {"sports": {"score": 1.0}}}), SPEC, ()) is None


def test_tags_are_what_must_be_held_out() -> None:
    target = {"signals": {"crime": {"score": 0.0, "tag": "none"}, "sports": {"score": 1.0, "tag": "win"}}}
    assert Signals().strata(target) == {"sports:win"}


def test_keywords_are_the_declared_baseline() -> None:
    spec = SPEC.model_copy(update={"promotion": SPEC.promotion.model_copy(update={"baseline": "keywords"})})
    baseline = baseline_of(spec, None, [])  # type: ignore[arg-type]  # no learner is asked
    assert baseline is spec.keywords
    assert baseline_name(spec) == "baseline: keywords"


def signals(**said: tuple[float, str]) -> dict[str, Any]:
    return {"signals": {name: {"score": score, "tag": tag} for name, (score, tag) in said.items()}}


def test_the_metrics_count_tags_and_scores() -> None:
    gold = [
        signals(crime=(-0.5, "theft")),
        signals(crime=(0.0, "none"), sports=(1.0, "win")),
        {"signals": {"crime": {"score": -1.0}}},
    ]
    said = [
        signals(crime=(-0.5, "theft"), sports=(0.0, "none")),
        signals(crime=(-0.5, "fraud"), sports=(0.0, "none")),
        signals(crime=(-0.5, "fraud"), sports=(1.0, "win")),
    ]
    tag_f1, intensity, both = (
        metrics.find(name).pair(gold, said, gold).scores() for name in ("tag_f1", "intensity", "signal_score")
    )
    # theft 1, fraud claimed once where gold tells another (the third row tells no tag), win missed. The classes are shared.
    assert tag_f1 == pytest.approx((1 / 3, 2 / 3))
    # crime: 0.25 off on two texts that say something, 0.5 on the one that does not; sports: 1 off.
    assert intensity[0] == pytest.approx(1 - ((0.25 + 0.5) / 2 + 1) / 2 / 2)
    assert intensity[1] == 1.0
    assert both[0] == pytest.approx((tag_f1[0] + intensity[0]) / 2)


def rows_of(count: int, seed: int = 1) -> tuple[list[Example], np.ndarray]:
    """Return rows and features from which their signals follow."""
    rows = [replace(row, event_time=SINCE + timedelta(hours=at)) for at, row in enumerate(toy_signals(count, seed=seed))]
    places = {"none": 0, "win": 1, "loss": 2, "wet": 1, "windy": 2}
    features = np.random.default_rng(seed).normal(0, 0.1, (count, 8)).astype(np.float32)
    for at, row in enumerate(rows):
        for first, name in ((0, "sports"), (4, "weather")):
            said = row.target["signals"].get(name, {"score": 0.0, "tag": "none"})
            features[at, first + places[said["tag"]]] += 1.0
            features[at, first + 3] += said["score"]
    return rows, features


def learnt(count: int = 200, **changes: Any) -> tuple[SignalHead, SignalRows, np.ndarray, list[Example]]:
    spec = toy_signals_spec("minilm")
    rows, features = rows_of(count)
    rows = [replace(row, **changes) for row in rows]
    found = usable(toy_plan(spec, rows, Path()))
    seen = signal_rows(found.rows, features, found.shown)
    return build(seen, found.shown, Choice(), "mse", Solved()), seen, features, rows


def test_heads_learn_scores_and_tags_of_what_rows_tell(tmp_path: Path) -> None:
    head, _seen, features, rows = learnt()
    answers = head.answers(features, [False] * len(rows))
    for name in ("sports", "weather"):
        told = [
            (row.target["signals"][name], one["signals"][name])
            for row, one in zip(rows, answers, strict=True)
            if name in row.target["signals"]
        ]
        assert np.mean([gold["tag"] == said["tag"] for gold, said in told]) > 0.95
        assert np.mean([abs(gold["score"] - said["score"]) for gold, said in told]) < 0.1
        assert all(said["score"] == 0.0 for _gold, said in told if said["tag"] == "none")
        assert all(-1.0 <= said["score"] <= 1.0 and 0.0 <= said["probability"] <= 1.0 for _gold, said in told)
    head.write(tmp_path)
    again = SignalHead.read(tmp_path)
    assert again.categories == head.categories
    assert again.answers(features[:5], [True] * 5) == head.answers(features[:5], [True] * 5)
    assert [one.name for one in head.categories] == ["sports", "weather"]
    assert head.categories[0].tags == ("win", "loss", "none")
    assert tags_of(head) is not None


def test_a_head_that_is_damaged_is_refused(tmp_path: Path) -> None:
    head = learnt()[0]
    for change in (
        {"format_version": 2}, {"categories": []}, {"categories": [{"name": "sports", "tags": ["win"], "threshold": 0.5}]},
        {"categories": [{"name": "sports"}]}, {"scores": None},
    ):  # fmt: skip
        head.write(tmp_path)
        file = tmp_path / HEAD_FOLDER / SIGNALS_FILE
        file.write_text(json.dumps(json.loads(file.read_bytes()) | change))
        with pytest.raises(UnusableError):
            SignalHead.read(tmp_path)
    replace(head, bias=head.bias * np.float32(np.nan)).write(tmp_path)
    with pytest.raises(UnusableError, match="not finite"):
        SignalHead.read(tmp_path)


def only(rows: list[Example], **said: dict[str, Any] | None) -> list[Example]:
    return [
        replace(row, target={"signals": {name: one for name, one in (row.target["signals"] | said).items() if one is not None}})
        for row in rows
    ]


def test_one_tag_alone_answers_always_and_is_said() -> None:
    rows, features = rows_of(60)
    rows = only(rows, weather={"score": 0.5, "tag": "wet"})
    found = usable(toy_plan(toy_signals_spec("minilm"), rows, Path()))
    assert "all rows have one tag in weather (wet)" in found.note
    head = build(signal_rows(rows, features, found.shown), found.shown, Choice(), "mse", Solved())
    said = [one["signals"]["weather"] for one in head.answers(features, [False] * 60)]
    assert {one["tag"] for one in said} == {"wet"}
    assert {one["probability"] for one in said} == {1.0}
    assert np.allclose([one["score"] for one in said], 0.5, atol=0.01)


def test_a_category_without_a_row_is_not_answered_and_one_without_tags_has_a_score() -> None:
    rows, features = rows_of(60)
    spec = toy_signals_spec("minilm")
    absent = usable(toy_plan(spec, only(rows, weather=None), Path()))
    assert "no row tells weather" in absent.note
    assert [name for name, _tags in absent.shown.categories] == ["sports"]
    bare = only(rows, weather={"score": 0.25}, sports=None)
    found = usable(toy_plan(spec, bare, Path()))
    head = build(signal_rows(bare, features, found.shown), found.shown, Choice(), "mse", Solved())
    assert head.categories == (Told("weather"),)
    assert tags_of(head) is None
    [answer] = head.answers(features[:1], [False])
    assert answer["signals"]["weather"] == {"score": pytest.approx(0.25, abs=0.01)}
    with pytest.raises(RunFailedError, match="no usable row that tells one of sports, weather"):
        usable(toy_plan(spec, [replace(row, weight=0.0) for row in rows], Path()))


def test_the_choice_is_made_on_newer_rows_and_too_few_leave_it() -> None:
    _head, seen, _features, _rows = learnt(200)
    tried: list[Any] = []
    chosen = choose(seen, Choice(), tried.append)
    assert any(one.name.startswith("scores: ") for one in tried)
    assert any(one.name.startswith("tags: ") for one in tried)
    assert chosen.scores.strength in (0.03, 0.1, 0.3, 1.0)
    few = learnt(30)[1]
    assert choose(few, Choice(), tried.append) == Choice()


def test_features_that_tell_more_are_better_and_the_same_are_not() -> None:
    _head, seen, _features, _rows = learnt(300)
    noise = np.random.default_rng(0).normal(size=seen.scores.features.shape).astype(np.float32)
    worse = SignalRows(replace(seen.scores, features=noise), seen.tags.with_features(noise))
    border = float(np.median(seen.scores.days))
    found = compare(worse, seen, Choice(), newer_than_days=border)
    assert found is not None
    assert found[2]
    assert {"scaled_error", "log_probability"} <= found[1].scores.keys()
    same = compare(seen, seen, Choice(), newer_than_days=border)
    assert same is not None
    assert not same[2]
    assert compare(seen, seen, Choice(), newer_than_days=float(seen.scores.days.max())) is None


def test_heads_read_which_keywords_occur(tmp_path: Path) -> None:
    keywords = SPEC.keywords
    assert keywords is not None
    # The features tell nothing: what is known is in the words.
    texts = ["a theft", "a thefts' tale", "a goal", "a day"] * 20
    told = {"theft": {"score": -0.5, "tag": "theft"}, "none": {"score": 0.0, "tag": "none"}}
    rows = [
        Example(f"k{at}", text, {"signals": {"crime": told["theft" if "theft" in text else "none"]}}, event_time=SINCE)
        for at, text in enumerate(texts)
    ]
    features = np.ones((len(rows), 4), dtype=np.float32)
    shown = usable(toy_plan(SPEC, rows, Path())).shown
    head = build(signal_rows(rows, features, shown, keywords), shown, Choice(), "mse", Solved(), keywords=keywords)
    assert head.encoder_width == 4
    head.write(tmp_path)
    again = SignalHead.read(tmp_path)
    assert again.keywords == keywords
    answers = again.answers(again.read_by(features[:4], texts[:4]), [False] * 4)
    assert [one["signals"]["crime"]["tag"] for one in answers] == ["theft", "theft", "none", "none"]
    (tmp_path / HEAD_FOLDER / KEYWORDS_FILE).write_text("{}")
    with pytest.raises(UnusableError):
        SignalHead.read(tmp_path)
