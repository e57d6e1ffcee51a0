"""What everybody relies on when they ask a kind of task: the same for the shipped ones and for one that a module brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from config.foreign.labels import label_of_stored
from config.kinds import catalog
from config.kinds.kind import Kind, Measures
from config.kinds.ner.kind import Ner
from config.kinds.regression.dimensions import Dimension
from consumers.rows.arriving.event_rows import canonical_json
from tests.kinds.tone.kind import Tone
from trainers.compare.metrics import catalog as metrics
from trainers.learners import catalog as learners

KINDS: list[Kind] = [*catalog.every(), Tone()]
MEASURING = [kind for kind in KINDS if isinstance(kind, Measures) and kind.declares == "dimensions"]
TEXT = "x" * 60
NAMES = st.sampled_from(["ORG", "sport", "élan", "  a  label ", 'with "quotes"', "Ä", "日本"])
ANY_NAME = st.text(min_size=1, max_size=30)
DIMENSIONS = st.sampled_from(["valence", "arousal", "climate_impact"])
CATEGORIES = st.sampled_from(["crime", "sports", "weather_wet"])
SCORES = st.sampled_from([-1, -0.5, 0, 0.0, 0.25, 1]) | st.floats(-1, 1)
TAGS = st.none() | st.sampled_from(["none", "theft", "  a  tag ", "Ä"])
SIGNALS = st.tuples(SCORES, TAGS, st.booleans()).map(lambda said: signal(*said))
NUMBERS = st.dictionaries(DIMENSIONS, st.none() | st.integers(-10, 10) | st.floats(-10, 10), min_size=1)


def signal(score: float, tag: str | None, told: bool) -> dict[str, Any]:
    """Return what may be said of a category: `none` with a score of 0 alone."""
    return {"score": 0 if tag == "none" else score} | ({"tag": tag} if told or tag is not None else {})


@st.composite
def spans(draw: st.DrawFn, names: st.SearchStrategy[str]) -> list[dict[str, Any]]:
    """Return spans of `TEXT` of which no two meet."""
    cuts = sorted(draw(st.sets(st.integers(0, len(TEXT)), max_size=8)))
    return [{"start": start, "end": end, "label": draw(names)} for start, end in zip(cuts[::2], cuts[1::2], strict=False)]


TARGETS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ner": st.fixed_dictionaries({"spans": spans(NAMES)}, optional={"partial": st.booleans()}),
    "classification": st.fixed_dictionaries({"label": NAMES}),
    "multilabel": st.fixed_dictionaries({"labels": st.lists(NAMES, max_size=4)}),
    "regression": st.fixed_dictionaries(
        {"values": NUMBERS.filter(lambda values: any(one is not None for one in values.values()))}
    ),
    "signals": st.fixed_dictionaries(
        {
            "signals": st.dictionaries(CATEGORIES, st.none() | SIGNALS, min_size=1).filter(
                lambda said: any(one is not None for one in said.values())
            )
        }
    ),
    "tone": st.fixed_dictionaries({"tone": st.sampled_from([-1, 0, 1, 1.0])}),
}
ANSWERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ner": st.fixed_dictionaries({"spans": spans(ANY_NAME)}),
    "classification": st.fixed_dictionaries(
        {"label": ANY_NAME}, optional={"scores": st.dictionaries(ANY_NAME, st.floats(0, 1)), "truncated": st.booleans()}
    ),
    "multilabel": st.fixed_dictionaries(
        {"labels": st.lists(ANY_NAME, max_size=4)},
        optional={"scores": st.dictionaries(ANY_NAME, st.floats(0, 1)), "truncated": st.booleans()},
    ),
    "regression": st.fixed_dictionaries(
        {"values": st.dictionaries(DIMENSIONS, st.floats(-10, 10), min_size=1)},
        optional={"score": st.none() | st.floats(-10, 10), "tier": st.none() | st.sampled_from(["low", "high"])},
    ),
    "signals": st.fixed_dictionaries(
        {
            "signals": st.dictionaries(
                CATEGORIES,
                st.fixed_dictionaries(
                    {"score": st.floats(-1, 1)}, optional={"tag": ANY_NAME | st.just("none"), "probability": st.floats(0, 1)}
                ),
                min_size=1,
            )
        }
    ),
    "tone": st.fixed_dictionaries({"tone": st.floats(-1, 1)}),
}
NOT_ITS_TARGETS: list[dict[str, Any]] = [
    {}, {"spans": None}, {"label": 7}, {"spans": [{}]}, {"spans": [7]}, {"tone": "x"}, {"tone": [0]},
    {"labels": None}, {"labels": "sport"}, {"labels": [7]}, {"labels": {"sport": 1}}, {"values": {}}, {"values": {"a": "1"}},
    {"signals": {}}, {"signals": {"crime": 1}}, {"signals": {"crime": {"tag": "theft"}}}, {"signals": {"crime": {"score": 2}}},
    {"signals": {"crime": {"score": 1, "tag": 7}}}, {"signals": [1]},
]  # fmt: skip
_NONE = (float("nan"), float("inf"), True, "1e9999", 10**400)
NOT_A_VALUE: dict[str, list[dict[str, Any]]] = {
    "ner": [{"spans": [{"start": one, "end": 3, "label": "ORG"}]} for one in (*_NONE, -1)]
    + [{"spans": [{"start": 0, "end": 3, "label": one}]} for one in (float("nan"), None, "")],
    "classification": [{"label": one} for one in (float("nan"), None, "", " ", True, ["sport"])],
    "multilabel": [{"labels": one} for one in (None, "sport", [float("nan")], [None], [""], {"sport": 1}, ["a"] * 1_001)],
    "regression": [{"values": {"valence": one}} for one in (*_NONE, None)] + [{"values": one} for one in ({}, None, [1.0])],
    "signals": [{"signals": one} for one in (None, [], "crime", {"crime": 1}, {"crime": {"score": float("nan")}})],
    "tone": [{"tone": one} for one in (float("nan"), 2, "x", None)],
}
"""Of each kind what may come in the place of a value and is none."""
QUIETLY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not the fault of a kind."""
OF_EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@dataclass
class GivenRow:
    """A row of a file that says everything there is to say."""

    partial: bool = False
    types: Sequence[str] | None = None

    def label(self, field: str) -> str:
        return "sport"

    def labels(self, field: str) -> list[str]:
        return ["sport", "economy"]

    def spans(self, field: str) -> list[dict[str, Any]]:
        return [{"start": 0, "end": 3, "label": "ORG"}]

    def number(self, field: str) -> float:
        return 1.0

    def numbers(self, field: str) -> dict[str, float | None]:
        return {"valence": 1.0, "arousal": None}

    def signals(self, field: str) -> dict[str, dict[str, Any] | None]:
        return {"crime": {"score": -1, "tag": "theft"}, "sports": {"score": 0}, "politics": None}


def target(data: st.DataObject, kind: Kind) -> dict[str, Any]:
    return data.draw(TARGETS[kind.name])


def answer(data: st.DataObject, kind: Kind) -> dict[str, Any]:
    drawn = data.draw(ANSWERS[kind.name])
    kind.answer.model_validate(drawn)
    return kind.plain(drawn)


def stored(value: dict[str, Any]) -> dict[str, Any]:
    return json.loads(canonical_json(value))


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_a_target_is_the_same_however_often_it_is_written_and_read(kind: Kind, data: st.DataObject) -> None:
    given_ = target(data, kind)
    parsed = kind.target.model_validate(given_)
    assert kind.target.model_validate_json(parsed.model_dump_json()) == parsed
    read = kind.as_read(given_)
    assert kind.target.model_validate(read) == parsed
    assert kind.as_read(read) == read == stored(read)
    assert kind.fits(read)
    assert kind.key in read
    jsonschema_rs.validator_for(kind.target.model_json_schema()).validate(read)


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_its_labels_are_those_that_stand_in_its_json(kind: Kind, data: st.DataObject) -> None:
    read = kind.as_read(target(data, kind))
    labels = kind.labels(read)
    written = canonical_json(read)
    assert all(kind.spelt(label) in written for label in labels)
    assert kind.spelt("a label that nothing has") not in written
    names = [kind.words.empty, kind.words.about, kind.words.task, kind.words.majority]
    assert all(isinstance(name, str) for name in names)


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_renames_compose_and_touch_nothing_but_labels(kind: Kind, data: st.DataObject) -> None:
    read = kind.as_read(target(data, kind))
    first, second = (data.draw(st.dictionaries(NAMES.map(label_of_stored), st.sampled_from(["a", "b", "ORG"]))) for _ in range(2))

    def one(name: str) -> str:
        return first.get(name, name)

    def other(name: str) -> str:
        return second.get(name, name)

    assert kind.renamed(read, lambda name: name) == read
    assert kind.renamed(kind.renamed(read, one), other) == kind.renamed(read, lambda name: other(one(name)))
    renamed = kind.labels(kind.renamed(read, one))
    assert set(renamed) == {one(name) for name in kind.labels(read)}
    assert len(renamed) == len(kind.labels(read)) or not kind.positional, "where each stands somewhere, none is lost"


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_agreement_is_the_same_from_both_sides(kind: Kind, data: st.DataObject) -> None:
    one, other = (kind.as_read(target(data, kind)) for _ in range(2))
    assert kind.relation(one, other) == kind.relation(other, one)
    assert kind.relation(one, one) != "contrary"


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_what_confirms_an_answer_says_the_same(kind: Kind, data: st.DataObject) -> None:
    said = answer(data, kind)
    assert kind.plain(said) == said == stored(said)
    kind.answer.model_validate(said)
    assert kind.key in said
    confirmed = kind.confirmed(said)
    kind.target.model_validate(confirmed)
    assert kind.as_read(confirmed) == confirmed
    assert kind.relation(said, confirmed) != "contrary"
    assert list(kind.moves(said, confirmed, 0.0)) == []


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_a_correction_answers_with_what_it_says(kind: Kind, data: st.DataObject) -> None:
    said = kind.as_read(target(data, kind))
    answered = kind.corrected(said)
    if answered is None:
        # Only what leaves something of its text open.
        assert said.get("partial") is True
        return
    kind.answer.model_validate(answered)
    kind.shown.model_validate(answered)
    assert json.loads(json.dumps(answered)) == answered
    assert stored(answered) == answered
    assert kind.relation(kind.confirmed(answered), said) == "same"
    assert sorted(kind.labels(kind.confirmed(answered))) == sorted(kind.labels(said))


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_moves_lead_from_one_thing_to_another(kind: Kind, data: st.DataObject) -> None:
    corrected = kind.as_read(target(data, kind))
    for shown in (None, answer(data, kind)):
        moves = list(kind.moves(shown, corrected, 0.5))
        assert all(old != new for old, new in moves)
        assert len(set(moves)) == len(moves)


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_what_fits_its_text_is_not_misplaced(kind: Kind, data: st.DataObject) -> None:
    for value in (kind.as_read(target(data, kind)), answer(data, kind)):
        assert kind.misplaced(value, TEXT) is None
        assert kind.positional or kind.misplaced(value, "") is None


@OF_EVERY_KIND
@QUIETLY
@given(data=st.data())
def test_people_and_programs_are_shown_what_it_says(kind: Kind, data: st.DataObject) -> None:
    said = answer(data, kind)
    assert "\n" not in kind.in_words(kind.confirmed(said)) or any("\n" in label for label in kind.labels(kind.confirmed(said)))
    assert TEXT[:10] in "".join(words for words, _style in kind.pieces(said, TEXT)) or kind.positional
    kind.shown.model_validate(said)


@OF_EVERY_KIND
def test_a_row_of_a_file_becomes_a_target(kind: Kind) -> None:
    made = kind.from_row(GivenRow())
    assert made is not None
    assert kind.as_read(made) == kind.target.model_validate(made).model_dump(exclude_unset=True, mode="json")


@OF_EVERY_KIND
@pytest.mark.parametrize("value", NOT_ITS_TARGETS, ids=json.dumps)
def test_what_is_none_of_its_targets_does_not_fit(kind: Kind, value: dict[str, Any]) -> None:
    assert not kind.fits(value)


@OF_EVERY_KIND
def test_what_is_no_value_is_refused_with_words_for_a_person(kind: Kind) -> None:
    for value in NOT_A_VALUE[kind.name]:
        with pytest.raises(ValidationError) as refused:
            kind.target.model_validate(value)
        assert all(problem["msg"] for problem in refused.value.errors()), value


@pytest.mark.parametrize("kind", MEASURING, ids=lambda kind: kind.name)
def test_what_a_task_does_not_measure_is_named_and_what_is_stored_of_it_left_out(kind: Kind) -> None:
    assert isinstance(kind, Measures)
    dimensions = [Dimension(name="valence", low=1, high=5), Dimension(name="arousal", low=0, high=1)]
    assert kind.unfit({"values": {"valence": 5.0, "arousal": 0.0}}, dimensions) is None
    for values, named in (({"valence": 5.01}, "valence"), ({"valence": 0.9}, "valence"), ({"joy": 1.0}, "joy")):
        said = kind.unfit({"values": values}, dimensions)
        assert said is not None, values
        assert named in said
        assert kind.restricted({"values": values}, dimensions) is None, "nothing of it is left"
    assert kind.restricted({"values": {"valence": 9.0, "arousal": 0.5, "joy": 1.0}}, dimensions) == {"values": {"arousal": 0.5}}


@OF_EVERY_KIND
def test_it_says_what_task_files_need(kind: Kind) -> None:
    assert kind.backends
    assert kind.metrics
    assert kind.columns
    shown: type[BaseModel] = kind.shown
    assert all(not field.is_required() and field.description for field in shown.model_fields.values())


def test_kinds_are_told_by_their_keys() -> None:
    for kind in catalog.every():
        assert catalog.get(kind.name) is kind
        assert catalog.of({kind.key: None}) is kind
    for nothing in ({}, {"tone": 1}, None, "label", ["spans"]):
        with pytest.raises(LookupError):
            catalog.of(nothing)
    with pytest.raises(LookupError, match="ner, classification, multilabel"):
        catalog.get("no such kind")


def test_two_kinds_may_share_neither_name_nor_key() -> None:
    class Other(Ner):
        name = "other"

    for clash in (Ner(), Other()):
        with pytest.raises(ValueError, match="has the same name or key"):
            catalog.register(clash)


def test_every_shipped_kind_is_learnt_on_each_of_its_backends() -> None:
    for kind in catalog.every():
        for backend in kind.backends:
            assert (kind.name, backend) in learners.known()


@pytest.mark.parametrize("kind", catalog.every(), ids=lambda kind: kind.name)
@QUIETLY
@given(data=st.data())
def test_its_metrics_score_its_answers(kind: Kind, data: st.DataObject) -> None:
    gold = [kind.as_read(target(data, kind)) for _ in range(3)]
    answers = [answer(data, kind) for _ in range(3)]
    for name in kind.metrics:
        metric = metrics.find(name)
        ours, theirs = metric.pair(gold, answers, [kind.confirmed(one) for one in answers]).scores()
        assert metric.scale.lowest <= ours <= metric.scale.highest
        assert ours == theirs, "an answer and what confirms it say the same"
