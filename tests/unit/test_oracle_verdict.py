"""Which texts judge a prompt, and what they say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from config.tasks import TaskSpec
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.calibration import clusters, samples, verdict
from consumers.labelling.oracle.calibration.samples import Drawn
from consumers.labelling.oracle.calibration.verdict import Answered, Judgement, judge
from consumers.labelling.oracle.problems import Problem
from consumers.labelling.weak.labelling import find
from consumers.labelling.weak.texts import Texts
from tests.support import weak
from tests.support.oracles import task
from tests.support.weak import MONEY, SPORT

RULES = {"rules": [SPORT, MONEY], "otherwise": "other"}
TASK = task(weak_labels=RULES)


def sorted_texts(spec: TaskSpec, texts: Texts) -> samples.ByStratum:
    return samples.sort(spec, find(spec, texts))


def many(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {number}" for number in range(count)]


PLENTY = weak.texts(
    *many("match", 200), *many("rates", 20), *many("weather", 60), *many("match rates", 30),
    gold={text: {"label": "sport"} for text in many("a goal", 80)},
)  # fmt: skip


def test_a_sample_has_each_stratum_and_each_label_in_turn() -> None:
    drawn = samples.draw(TASK, sorted_texts(TASK, PLENTY), 1)
    assert Counter(one.stratum for one in drawn) == {"on topic": 30, "off topic": 15, "edge": 15, "gold": 40}
    on_topic = Counter(next(iter(one.expected)) for one in drawn if one.stratum == "on topic")
    assert on_topic == {"sport": 15, "economy": 15}, "the frequent label does not crowd out the other"


def test_the_same_seed_draws_the_same_texts_and_a_new_article_takes_one_place_at_most() -> None:
    before = {one.text.text for one in samples.draw(TASK, sorted_texts(TASK, PLENTY), 1)}
    assert before == {one.text.text for one in samples.draw(TASK, sorted_texts(TASK, PLENTY), 1)}
    grown = weak.texts(
        weak.text("one more match"), *PLENTY.unlabelled, gold={one.text.text: dict(one.target) for one in PLENTY.gold}
    )
    assert len(before - {one.text.text for one in samples.draw(TASK, sorted_texts(TASK, grown), 1)}) <= 1


def test_a_fresh_sample_has_no_text_that_was_seen() -> None:
    first = {one.text.text_sha256 for one in samples.draw(TASK, sorted_texts(TASK, PLENTY), 1)}
    fresh = {one.text.text_sha256 for one in samples.draw(TASK, sorted_texts(TASK, PLENTY), 2, first)}
    assert fresh
    assert not first & fresh


def test_without_rules_and_models_texts_are_drawn_at_random() -> None:
    spec = task()
    drawn = samples.draw(spec, sorted_texts(spec, weak.texts(*many("match", 90))), 1)
    assert Counter(one.stratum for one in drawn) == {"unsorted": 60}


def test_answers_of_models_sort_texts_where_there_are_no_rules() -> None:
    texts = [weak.text(text) for text in ("sure", "torn", "unasked")]
    answers = {"mine/v1": {texts[0].text_sha256: {"label": "sport", "scores": {"sport": 0.95}},
                           texts[1].text_sha256: {"label": "sport", "scores": {"sport": 0.5}}}}  # fmt: skip
    spec = task()
    found = sorted_texts(spec, Texts(texts, [], 0, 0, answers))
    assert found.by == "models"
    assert {one.text.text: one.stratum for one in samples.draw(spec, found, 1)} == {
        "sure": "on topic", "torn": "edge", "unasked": "unsorted",
    }  # fmt: skip


SPAN = {"start": 0, "end": 4, "label": "PERSON"}


def signal(score: float, tag: str, probability: float | None = None) -> dict[str, Any]:
    return {"signals": {"housing": {"score": score, "tag": tag, "probability": probability}}}


@pytest.mark.parametrize(
    ("kind", "answers", "expected"),
    [
        ("ner", {"some": {"spans": [SPAN]}, "none": {"spans": []}}, {"some": "on topic", "none": "off topic"}),
        (
            "signals",
            {"some": signal(-0.5, "rents", 0.9), "none": signal(0, "none", 0.9), "torn": signal(-0.5, "rents", 0.4)},
            {"some": "on topic", "none": "off topic", "torn": "edge"},
        ),
        ("signals", {"keywords": signal(-0.5, "rents")}, {"keywords": "on topic"}),
        (
            "multilabel",
            {"some": {"labels": ["sport"], "scores": {"sport": 0.9, "economy": 0.1}},
             "none": {"labels": [], "scores": {"sport": 0.1, "economy": 0.1}},
             "torn": {"labels": ["sport"], "scores": {"sport": 0.6}}},
            {"some": "on topic", "none": "off topic", "torn": "edge"},
        ),
        ("regression", {"high": {"values": {"hope": 9.0}}}, {"high": "unsorted"}),
    ],
)  # fmt: skip
def test_answers_of_models_sort_the_texts_of_every_kind(
    kind: str, answers: dict[str, dict[str, Any]], expected: dict[str, str]
) -> None:
    spec = task(kind)
    found = sorted_texts(spec, weak.texts(*answers, answers={"mine/v1": answers}))
    assert found.by == "models"
    assert {one.text.text: one.stratum for one in samples.draw(spec, found, 1)} == expected


@pytest.mark.parametrize(
    ("rules", "texts", "expected"),
    [
        ("multilabel", ["match", "match rates", "weather"], ["on topic", "edge", "off topic"]),
        ("ner", ["a match", "rates match", "weather"], ["on topic", "on topic", "off topic"]),
        ("signals", ["rent", "rent home", "weather"], ["on topic", "edge", "off topic"]),
    ],
)
def test_rules_sort_the_texts_of_every_kind_that_has_them(rules: str, texts: list[str], expected: list[str]) -> None:
    if rules == "signals":
        tags = [
            {"name": "rents", "score": -0.5, "keywords": {"en": ["rent"]}},
            {"name": "homes", "score": 0.5, "keywords": {"en": ["home"]}},
        ]
        spec = task("signals", signals=[{"name": "housing", "tags": tags}])
    else:
        spec = task(rules, weak_labels={"rules": [SPORT, MONEY]}, label_names=["sport", "economy"])
    found = sorted_texts(spec, weak.texts(*texts))
    assert found.by == "rules"
    assert {one.text.text: one.stratum for one in samples.draw(spec, found, 1)} == dict(zip(texts, expected, strict=True))


def test_numbers_are_drawn_from_every_third_that_models_answer_or_people_gave() -> None:
    spec = task("regression", oracle={"calibration": {"on_topic": 4, "off_topic": 1, "edge": 1, "gold": 3}})
    values = {f"text {number}": {"values": {"hope": 5.0 if number > 3 else 9.0 * (number % 2)}} for number in range(80)}
    people = {f"gold {number}": {"values": {"hope": 9.9 if number == 7 else 5.0 if number % 2 else 0.5}} for number in range(20)}
    drawn = samples.draw(spec, sorted_texts(spec, weak.texts(*values, answers={"mine/v1": values}, gold=people)), 1)
    thirds = Counter((one.stratum, next(iter(one.names))) for one in drawn)
    assert thirds == {
        ("unsorted", "hope low"): 2, ("unsorted", "hope middle"): 2, ("unsorted", "hope high"): 2,
        ("gold", "hope low"): 1, ("gold", "hope middle"): 1, ("gold", "hope high"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["classification", "multilabel", "ner", "regression", "signals"])
def test_where_nothing_sorts_texts_each_cluster_has_its_turn(kind: str) -> None:
    spec = task(kind, oracle={"calibration": {"on_topic": 4, "off_topic": 2, "edge": 0, "gold": 0}})
    texts = {f"text {number}": max(0, number - 97) for number in range(100)}
    found = sorted_texts(spec, weak.texts(*texts, clusters=texts))
    assert found.by == "clusters"
    assert Counter(next(iter(one.names)) for one in samples.draw(spec, found, 1)) == {
        "cluster 0": 4, "cluster 1": 1, "cluster 2": 1,
    }  # fmt: skip


def test_rare_labels_of_people_have_their_turn_in_every_kind() -> None:
    spec = task("multilabel", oracle={"calibration": {"gold": 4}})
    gold = {f"text {number}": {"labels": ["economy", "sport"] if number == 50 else ["sport"]} for number in range(60)}
    drawn = samples.draw(spec, sorted_texts(spec, weak.texts(gold=gold)), 1)
    assert "text 50" in {one.text.text for one in drawn}
    spans = {f"text {number}": {"spans": [SPAN, *([SPAN | {"start": 5, "end": 9, "label": "ORG"}] if number == 50 else [])]}
             for number in range(60)}  # fmt: skip
    entities = task("ner", oracle={"calibration": {"gold": 4}})
    drawn = samples.draw(entities, sorted_texts(entities, weak.texts(gold=spans)), 1)
    assert "text 50" in {one.text.text for one in drawn}


def test_clusters_are_of_texts_that_are_alike_and_the_same_in_any_order() -> None:
    draws = np.random.default_rng(3)
    centres = np.eye(3, 16, dtype=np.float32)
    features = np.concatenate([centre + 0.1 * draws.normal(size=(20, 16)).astype(np.float32) for centre in centres])
    names = [f"{number * 7919 % 60:064x}" for number in range(60)]
    with patch.object(clusters, "CLUSTERS", 3):
        found = clusters.clusters(names, features)
        again = clusters.clusters(names[::-1], features[::-1])
    assert [len({found[name] for name in names[at : at + 20]}) for at in (0, 20, 40)] == [1, 1, 1]
    assert len(set(found.values())) == 3
    assert found == again
    assert clusters.clusters([], features[:0]) == {}
    assert len(set(clusters.clusters(names[:2], np.zeros((2, 16), np.float32)).values())) == 1


def test_entities_are_asked_about_in_whole_texts_alone() -> None:
    spec = task("ner", oracle={"max_chars": 100})
    assert samples.can_be_shown(spec, "x" * 100)
    assert not samples.can_be_shown(spec, "x" * 101)
    assert not samples.can_be_shown(task(), " \n")


def answers(spec: TaskSpec = TASK, texts: Texts = PLENTY, seed: int = 1, **wrong: Any) -> list[Answered]:
    """What an oracle says that is right by the words, but for what `wrong` says: stratum -> answer."""
    found: list[Answered] = []
    for one in samples.draw(spec, sorted_texts(spec, texts), seed):
        label = "economy" if "rates" in one.text.text else "sport" if one.stratum != "off topic" else "other"
        given = wrong.get(one.stratum.replace(" ", "_"), label)
        found.append((one, given if isinstance(given, Problem) else Said({"label": given}, 1.0)))
    return found


def test_an_oracle_that_is_right_passes() -> None:
    found = judge(TASK, answers())
    assert (found.verdict, found.reasons, found.examples) == ("PASS", (), ())
    assert (found.gold, found.rules, found.accepted) == (verdict.Share(40, 40), verdict.Share(30, 30), verdict.Share(100, 100))
    sport = next(one for one in found.names if one.name == "sport")
    assert (sport.recall, sport.by_rules) == (verdict.Share(40, 40), verdict.Share(15, 15))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"gold": "economy"}, "FAIL"),
        ({"off_topic": Problem("not json", "prose")}, "FAIL"),
        ({"on_topic": "other"}, "REVIEW"),
        ({"off_topic": "sport"}, "REVIEW"),
        ({"on_topic": "sport", "off_topic": "sport", "edge": "sport"}, "FAIL"),
    ],
)
def test_what_is_wrong_is_named_with_examples(wrong: dict[str, Any], expected: str) -> None:
    found = judge(TASK, answers(**wrong))
    assert found.verdict == expected
    assert found.reasons


def test_people_who_say_otherwise_come_first_among_the_examples() -> None:
    found = judge(TASK, answers(gold="economy"))
    assert {one.why for one in found.examples} == {"people say otherwise"}
    assert len(found.examples) == 10
    assert found.examples[0].expected == {"label": "sport"}


def test_a_small_sample_says_too_little() -> None:
    found = judge(TASK, answers()[:10])
    assert found.verdict == "REVIEW"


def test_an_over_fitted_prompt_fails_on_the_fresh_sample() -> None:
    first = judge(TASK, answers())
    fresh = judge(TASK, [(drawn, Said({"label": "economy"}, 1.0) if number % 3 == 0 and drawn.gold else said)
                         for number, (drawn, said) in enumerate(answers(seed=2))])  # fmt: skip
    worse = verdict.worse(first.plain(), fresh)
    assert len(worse) == 1
    failed = verdict.with_reasons(fresh, worse)
    assert (failed.verdict, failed.reasons[0]) == ("FAIL", worse[0])


def test_a_fresh_sample_that_is_as_good_is_not_worse_and_neither_is_chance() -> None:
    first = judge(TASK, answers())
    assert verdict.worse(first.plain(), judge(TASK, answers(seed=2))) == []
    nearly = [
        (drawn, Said({"label": "economy"}, 1.0) if number == 99 else said) for number, (drawn, said) in enumerate(answers(seed=2))
    ]
    assert verdict.worse(first.plain(), judge(TASK, nearly)) == []
    assert verdict.with_reasons(first, []) is first


def gold(spec: TaskSpec, *pairs: tuple[dict[str, Any], dict[str, Any]]) -> Judgement:
    """Judge answers beside what people say: (said, gold)."""
    given: Sequence[Answered] = [
        (Drawn(weak.text(f"t {number}"), "gold", gold=people), Said(said, 1.0)) for number, (said, people) in enumerate(pairs)
    ]
    return judge(spec, given)


def test_numbers_are_judged_by_their_distance_in_each_dimension() -> None:
    spec = task("regression")
    near = [({"values": {"hope": float(number % 10)}}, {"values": {"hope": float(number % 10)}}) for number in range(30)]
    far = [({"values": {"hope": float(number % 10)}}, {"values": {"hope": 9.0 - number % 10}}) for number in range(30)]
    flat = [({"values": {"hope": 5.0}}, {"values": {"hope": 5.0}}) for _ in range(30)]
    assert gold(spec, *near).verdict == "PASS"
    assert gold(spec, *near).names[0].error == 0
    assert gold(spec, *far).verdict == "FAIL"
    assert gold(spec, *flat).verdict == "FAIL", "every text gets the same number"


def test_spans_are_judged_mention_by_mention_and_only_in_types_that_people_knew() -> None:
    spec = task("ner")
    said = {
        "spans": [{"start": 0, "end": 4, "label": "PERSON"}, {"start": 5, "end": 9, "label": "ORG"}],
        "types": ["PERSON", "ORG"],
    }
    people = {"spans": [{"start": 0, "end": 4, "label": "PERSON"}], "types": ["PERSON"]}
    found = gold(spec, *[(said, people)] * 20)
    person, org = found.names
    assert (person.recall, person.precision) == (verdict.Share(20, 20), verdict.Share(20, 20))
    assert org.precision == verdict.Share(0, 0)
    assert found.verdict == "PASS"


def test_signals_are_judged_in_the_categories_that_people_spoke_of() -> None:
    spec = task("signals")
    says = {"signals": {"housing": {"score": -0.5, "tag": "rents"}}}
    silent = {"signals": {"housing": {"score": 0.0, "tag": "none"}}}
    right = [(says, says), (silent, silent)] * 15
    assert gold(spec, *right).verdict == "PASS"
    found = gold(spec, *[(silent, says), (says, silent)] * 15)
    assert found.verdict == "FAIL"
    assert found.names[0].recall == verdict.Share(0, 15)


def test_several_labels_agree_from_half_on() -> None:
    spec = task("multilabel")
    assert verdict.agrees(spec, {"labels": ["sport"]}, {"labels": ["economy", "sport"]})
    assert verdict.agrees(spec, {"labels": []}, {"labels": []})
    assert not verdict.agrees(spec, {"labels": ["sport"]}, {"labels": []})
