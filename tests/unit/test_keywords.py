"""Keywords: which words match, which tag answers, what a task file may list, and what apps are sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_task
from perennial_artifact.abstaining import abstains
from perennial_artifact.errors import UnusableError
from perennial_artifact.keywords import Keywords, Rule, is_version_of_keywords, version_of, wrong
from tests.support import weak

RULES = [
    Rule("crime", "theft", -0.5, ("theft", "pickpocket*", "stolen goods", "stöld")),
    Rule("crime", "violence", -0.8, ("assault*", "hot mot")),
    Rule("weather", "storm", 0.7, ("*stormen", "strong wind*")),
]
KEYWORDS = Keywords("signals", RULES)


def told(text: str) -> dict[str, tuple[float, str]]:
    [answer] = KEYWORDS.predict([text])
    return {name: (one["score"], one["tag"]) for name, one in answer["signals"].items()}


@pytest.mark.parametrize(
    ("text", "crime"),
    [
        ("A THEFT in the mall", "theft"),
        ("Pickpockets at work", "theft"),
        ("stolen  goods", "theft"),
        ("stolen\ngoods", "theft"),
        ("goods stolen", "none"),
        ("thefts", "none"),
        ("En STÖLD anmäldes", "theft"),
        ("En sto\u0308ld anmäldes", "theft"),
        ("hot mot polisen", "violence"),
        ("hot", "none"),
        ("theft, assault, assaulted", "violence"),
        ("assault and theft", "theft"),
        ("", "none"),
    ],
)
def test_a_text_is_told_by_whole_words_in_any_case(text: str, crime: str) -> None:
    score = {"theft": -0.5, "violence": -0.8, "none": 0.0}[crime]
    assert told(text) == {"crime": (score, crime), "weather": (0.0, "none")}


def test_a_star_stands_for_letters_at_its_end_of_the_word() -> None:
    assert told("vinterstormen kom")["weather"] == (0.7, "storm")
    assert told("stormen kom")["weather"] == (0.7, "storm")
    assert told("stormens öga")["weather"] == (0.0, "none")
    assert told("strong winds")["weather"] == (0.7, "storm")


def test_only_the_beginning_of_a_very_long_text_is_read() -> None:
    [long, short] = KEYWORDS.predict(["word " * 20_000 + "theft", "theft"])
    assert (long["truncated"], long["signals"]["crime"]["tag"]) == (True, "none")
    assert (short["truncated"], short["signals"]["crime"]["tag"]) == (False, "theft")


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("", "no word"), ("  ", "no word"), ("*", "no word"), ("a * b", "no end of one"), ("for*er", "no end of one"),
        ("*is*", "both ends"), ("is*", "fewer than 3"),
    ],
)  # fmt: skip
def test_a_phrase_that_matches_nothing_or_everything_is_refused(phrase: str, said: str) -> None:
    assert said in (wrong(phrase) or "")
    with pytest.raises(ValueError, match=said):
        Keywords("signals", [Rule("crime", "theft", -1.0, (phrase,))])


def test_apps_are_sent_all_of_it() -> None:
    sent = json.loads(json.dumps(KEYWORDS.as_json()))
    assert Keywords.of(sent) == KEYWORDS
    with pytest.raises(UnusableError, match="upgrade"):
        Keywords.of(sent | {"format_version": 2})
    for damaged in ({"format_version": 1}, sent | {"rules": [{"group": "crime"}]}, sent | {"kind": "poetry"}):
        with pytest.raises((ValueError, KeyError)):
            Keywords.of(damaged)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_answered(text: str) -> None:
    assert told(text).keys() == {"crime", "weather"}


def test_what_stands_for_a_version_is_told_from_one() -> None:
    assert is_version_of_keywords(version_of("city-signals"))
    assert not is_version_of_keywords("city-signals/v3")


@pytest.mark.parametrize(
    ("text", "category", "tag"),
    [
        ("Firefighters battle a blaze in the old town", "emergencies", "fire"),
        ("Storbranden i Malmö är släckt", "emergencies", "fire"),
        ("Polisen grep en misstänkt man", "crime", "justice"),
        ("Rånare stal klockor, visar rånförsök", "crime", "theft"),
        ("The jazz festival opens with fireworks", "festivals", "festival"),
        ("Tågen är försenade, förseningar väntas hela dagen", "transportation", "delays"),
        ("A heatwave is coming", "weather_temp", "heat"),
        ("Minusgrader och halkvarning i natt", "weather_temp", "frost"),
        ("Översvämningar efter nattens skyfall, höga flöden", "weather_wet", "flood"),
        ("AIK vann, segern var klar", "sports", "win"),
        ("Inflation and rents push prices up", "economics", "prices"),
        ("Kommunfullmäktige beslutade i går", "politics", "decision"),
    ],
)
def test_the_shipped_city_signals_speak_english_and_swedish(text: str, category: str, tag: str) -> None:
    task = load_task(SHIPPED_TASKS_DIR / "examples" / "city-signals.yaml")
    assert task.keywords is not None
    [answer] = task.keywords.predict([text])
    assert answer["signals"][category]["tag"] == tag
    assert set(answer["signals"]) == {one.name for one in task.signals}
    assert all(tag.keywords.keys() == {"en", "sv"} for one in task.signals for tag in one.tags)


def test_the_brand_of_english_is_no_swedish_fire() -> None:
    task = load_task(SHIPPED_TASKS_DIR / "examples" / "city-signals.yaml")
    assert task.keywords is not None
    [answer] = task.keywords.predict(["A brand new adventure for the brand"])
    assert {one["tag"] for one in answer["signals"].values()} == {"none"}


TOPICS = [
    Rule("", "sport", 1.0, ("match*", "cup final")),
    Rule("", "economy", 1.0, ("rates",)),
    Rule("", "sport", 1.0, ("goal",)),
]


@pytest.mark.parametrize(
    ("text", "label"), [("A match", "sport"), ("Rates, rates and a match", "economy"), ("A match, a goal, rates", "sport")]
)
def test_one_label_a_text_is_the_one_whose_phrases_occur_most_often(text: str, label: str) -> None:
    [answer] = Keywords("classification", TOPICS).predict([text])
    assert answer == {"label": label, "scores": {}, "truncated": False}


def test_a_text_without_a_phrase_gets_the_label_named_for_it_or_an_answer_that_abstains() -> None:
    [answer] = Keywords("classification", [*TOPICS, Rule("", "other", 1.0, ())]).predict(["Weather"])
    assert (answer["label"], abstains(answer, 0.0)) == ("other", False)
    [answer] = Keywords("classification", TOPICS).predict(["Weather"])
    assert (answer["label"], abstains(answer, 0.0)) == ("sport", True)


def test_several_labels_a_text_are_all_that_are_found() -> None:
    answers = Keywords("multilabel", TOPICS).predict(["A match and rates", "Weather"])
    assert [answer["labels"] for answer in answers] == [["economy", "sport"], []]


def test_a_task_file_with_rules_answers_by_their_words() -> None:
    spec = weak.task(
        {"name": "a", "label": "sport", "words": ["match"]},
        {"name": "title alone", "label": "sport", "words": ["cup"], "fields": ["title"]},
        {"name": "pattern", "label": "economy", "regex": ["rate"]},
        weak={"otherwise": "other"},
    )
    assert spec.keywords is not None
    assert [(rule.label, rule.phrases) for rule in spec.keywords.rules] == [("sport", ("match",)), ("other", ())]
    assert weak.task({"name": "pattern", "label": "economy", "regex": ["rate"]}).keywords is None
    assert Keywords.of(json.loads(json.dumps(spec.keywords.as_json()))) == spec.keywords
