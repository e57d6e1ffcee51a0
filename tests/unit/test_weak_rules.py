"""Rules of a task file: which are refused, what they find, and what their patterns may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.errors import UserError
from config.settings import SHIPPED_TASKS_DIR
from config.task_files.sections.weak_labels import rules_of
from config.tasks import load_task
from consumers.labelling.weak.rules import MOST_STOPPED, Rules
from tests.support.weak import SPORT, task, text

CRIME = {"name": "crime", "tags": [{"name": "theft", "score": -0.5, "keywords": {"en": ["stolen"]}}]}
GOOD = """
name: mine
kind: classification
backend: transformer
base_model: minilm
labels: open
promotion: {metric: accuracy}
"""


def found(spec: Any, content: str, **more: Any) -> list[str]:
    rules = Rules(rules_of(spec))
    return [rules.rules[number].name for number in rules.found(text(content, **more))]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"regex": ["(unclosed"]}, "no regular expression"),
        ({"regex": ["x*"]}, "matches an empty text"),
        ({"words": []}, "neither words nor regex"),
        ({"words": ["*"]}, "has no word"),
        ({"words": ["a*"]}, "too few to tell"),
        ({"words": ["x"], "fields": ["headline"]}, "fields"),
        ({"words": ["x"], "fields": []}, "fields"),
        ({"words": {"english": ["x"]}}, "words"),
        ({"words": ["x"], "weight": 2}, "weight"),
        ({"regex": ["a" * 501]}, "500"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        task({"name": "one", "label": "sport", **rule})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": "closed", "label_names": ("economy",)}, "label_names of this closed task lacks"),
        ({"training": {"exclude_labels": ("sport",)}}, "exclude_labels excludes"),
        ({"renames": {"sport": "sports"}}, "'sports' now"),
        ({"retired": ("sport",)}, "retired or split"),
        ({"weak": {"otherwise": "x", "prior": {"x": 0.9, "sport": 0.2}}}, "adds up to 1.1"),
        ({"kind": "multilabel", "weak": {"otherwise": "x"}}, "needs one label a text"),
        ({"kind": "signals", "signals": (CRIME,)}, "no `category:tag` of this task"),
    ],
)
def test_a_rule_for_a_label_that_the_task_does_not_have_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        task(SPORT, **more)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two rules are called 'games'"):
        task(SPORT, SPORT)


def test_a_tag_that_its_category_lacks_is_refused_and_so_is_the_name_of_keywords() -> None:
    rule = {"name": "more", "words": ["loot"]}
    with pytest.raises(ValidationError, match="no such tag; it has theft"):
        task({**rule, "label": "crime:fraud"}, kind="signals", signals=(CRIME,))
    with pytest.raises(ValidationError, match="as the keywords of that tag are"):
        task({**rule, "label": "crime:theft", "name": "crime:theft"}, kind="signals", signals=(CRIME,))


def test_entities_are_looked_for_in_the_text_alone() -> None:
    with pytest.raises(ValidationError, match="could not be marked"):
        task({"name": "one", "label": "ORG", "words": ["Acme"], "fields": ["url"]}, kind="ner")


def test_kinds_that_no_rule_can_label_refuse_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    numbers = GOOD.replace("classification", "regression").replace("accuracy", "mae").replace("labels: open\n", "")
    path.write_text(f"{numbers}dimensions: [{{name: joy, low: 0, high: 1}}]\nweak_labels: {{weight: 0.4}}\n")
    with pytest.raises(UserError, match="weak_labels is not built for kind regression"):
        load_task(path)


def test_an_unknown_key_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + "weak_labels: {rules: [{name: a, label: b, words: [word], patterns: [x]}]}\n")
    with pytest.raises(
        UserError, match=r"unknown key `weak_labels.rules.0.patterns`; the keys there are name, label, words, regex"
    ):
        load_task(path)


def test_words_phrases_and_patterns_find() -> None:
    spec = task()
    assert found(spec, "The cup  final was won") == ["games"]
    assert found(spec, "It ended 3-1") == ["games"]
    assert found(spec, "Räntan steg") == ["money"], "words of all languages are looked for"
    assert found(spec, "The matches: rates up") == ["games", "money"]
    assert found(spec, "Nothing of it") == []


def test_a_rule_looks_where_it_says() -> None:
    spec = task(
        {"name": "title", "label": "a", "words": ["storm"], "fields": ["title"]},
        {"name": "body", "label": "a", "words": ["storm"], "fields": ["body"]},
        {"name": "url", "label": "a", "regex": ["/sport/"], "fields": ["url"]},
        {"name": "section", "label": "a", "words": ["sport"], "fields": ["section", "publisher"]},
    )
    assert found(spec, "Storm ahead\n\nCalm") == ["title"]
    assert found(spec, "Calm\n\nA storm came") == ["body"]
    assert found(spec, "Storm") == ["title"], "a text without a blank line is all title"
    assert found(spec, "x", url="https://a.example/sport/1", section="Sport") == ["url", "section"]
    assert found(spec, "sport") == [], "what is not asked for is not looked at"


def test_a_rule_for_a_language_reads_texts_of_that_language_alone() -> None:
    spec = task({"name": "fire", "label": "a", "words": ["brand"], "languages": ["sv"]})
    assert found(spec, "Stor brand", language="sv") == ["fire"]
    assert found(spec, "A brand new car", language="en") == []
    assert found(spec, "brand") == [], "of a text whose language nobody knows it says nothing"


def test_keywords_of_signals_are_rules_too() -> None:
    spec = task({"name": "loot", "label": "crime:theft", "words": ["loot"]}, kind="signals", signals=(CRIME,))
    assert [(rule.name, rule.group, rule.label, rule.score) for rule in rules_of(spec)] == [
        ("crime:theft", "crime", "theft", -0.5), ("loot", "crime", "theft", -0.5),
    ]  # fmt: skip
    shipped = load_task(SHIPPED_TASKS_DIR / "examples" / "city-signals.yaml")
    groups = {rule.group for rule in rules_of(shipped)}
    assert groups == {one.name for one in shipped.signals}, "all nine signals have rules"


def test_entities_are_marked_in_the_case_that_words_are_written_in() -> None:
    spec = task(
        {"name": "firms", "label": "ORG", "words": ["Acme", "Acme Corp", "Nova*"]},
        {"name": "money", "label": "MONEY", "regex": [r"cost (\$\d+) "]},
        kind="ner",
    )
    rules, content = Rules(rules_of(spec)), "Acme Corp and Novatel; acme, Acmeist: cost $5 more"
    marks = {(content[start:end], rules.rules[number].name) for start, end, number in rules.marks(text(content))}
    assert marks == {("Acme Corp", "firms"), ("Novatel", "firms"), ("$5", "money")}


def test_a_pattern_that_backtracks_for_ever_is_stopped_and_switched_off() -> None:
    spec = task({"name": "evil", "label": "a", "regex": [r"(a|aa)+$"]}, {"name": "good", "label": "b", "words": ["ends"]})
    rules = Rules(rules_of(spec), pattern_time_s=0.01)
    hard = "a" * 60 + "!"
    for number in range(MOST_STOPPED + 5):
        assert rules.found(text(f"ends {number} {hard}")) == [1], "other rules go on"
    assert rules.stopped == {0: MOST_STOPPED}
    assert rules.is_off(0)
    assert rules.found(text("aaa")) == [], "what is switched off says nothing more"


def test_a_pattern_for_entities_is_stopped_too() -> None:
    rules = Rules(rules_of(task({"name": "evil", "label": "X", "regex": [r"(a|aa)+$"]}, kind="ner")), pattern_time_s=0.01)
    assert rules.marks(text("a" * 60 + "!")) == []
    assert rules.stopped == {0: 1}
