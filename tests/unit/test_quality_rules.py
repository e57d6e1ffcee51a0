"""The section `quality` of a task file: which texts each rule leaves out, by what is known of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError

from config.errors import DeadLetterError, UserError
from config.task_files.sections.quality import Quality
from config.tasks import load_task
from consumers.events.parsing import parse
from consumers.events.schemas import Article
from consumers.fitness import rules
from consumers.text import quality
from tests.support.buffers import NOW, TOPICS

PROSE = "The council voted on Monday to repair the bridge, which has been closed to lorries since the flood of last spring. "


def facts(**changes: Any) -> pa.Table:
    row = {"language": "en", "quality": 0.9, "quality_reasons": "[]", "words": 20, "source": "wire"} | changes
    schema = pa.schema(
        [("language", pa.string()), ("quality", pa.float32()), ("quality_reasons", pa.string()), ("words", pa.int32()),
         ("source", pa.string())]
    )  # fmt: skip
    return pa.Table.from_pylist([row], schema=schema)


def broken(policy: Quality, **changes: Any) -> list[str]:
    return [rule for rule, mask in rules.broken(policy, facts(**changes)).items() if mask[0]]


def test_a_task_file_without_rules_has_none_in_force() -> None:
    assert Quality().rules == ()
    assert broken(Quality(), language="xx", quality=0.0, words=0) == []


@pytest.mark.parametrize(
    ("policy", "breaks", "keeps"),
    [
        (Quality(min_score=0.5), {"quality": 0.49}, {"quality": 0.5}),
        (Quality(min_words=5), {"words": 4}, {"words": 5}),
        (Quality(max_words=500), {"words": 501}, {"words": 500}),
        (Quality(languages=("en", "sv")), {"language": "de"}, {"language": "sv"}),
        (Quality(refuse=("paywall",)), {"quality_reasons": '["paywall: 80% of the text"]'}, {"quality_reasons": '["menu: 80%"]'}),
        (Quality(allow_sources=("wire",)), {"source": "tabloid"}, {"source": "wire"}),
        (Quality(deny_sources=("wire",)), {"source": "wire"}, {"source": "tabloid"}),
    ],
    ids=lambda one: str(one)[:40],
)
def test_each_rule_leaves_out_what_breaks_it(policy: Quality, breaks: dict[str, Any], keeps: dict[str, Any]) -> None:
    assert broken(policy, **breaks) == list(policy.rules)
    assert broken(policy, **keeps) == []


def test_what_is_not_known_breaks_no_rule_but_that_of_allowed_sources() -> None:
    policy = Quality(min_words=5, languages=("en",), refuse=("menu",), deny_sources=("wire",))
    nothing = {"language": None, "words": None, "quality_reasons": None, "source": None}
    assert broken(policy, **nothing) == []
    assert broken(Quality(languages=("en",)), language="und") == [], "a text too short to tell"
    assert broken(Quality(allow_sources=("wire",)), **nothing) == ["allow_sources"]


def test_the_first_rule_that_is_broken_is_told() -> None:
    policy = Quality(min_words=5, languages=("en",))
    assert rules.first_broken(policy, facts(words=1, language="de")).tolist() == [1]
    assert rules.first_broken(policy, facts(language="de")).tolist() == [2]
    assert policy.told("languages") == "quality.languages is en"
    assert policy.told("min_words") == "quality.min_words is 5"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "short"),
        ("Hm", "short"),
        ("1 2 3 4 5 6 7 8 9 10 11 12 a", "digits"),
        ("BREAKING NEWS " * 40, "capitals"),
        ("<div class='x'><p>a</p></div>" * 5, "markup"),
        ("&amp; &lt; &gt; word", "markup"),
        ("see https://a.example/1 https://b.example/2 https://c.example/3", "links"),
        ("Accept cookies. Privacy policy. Subscribe. Log in. Read more.", "boilerplate"),
        ("Bridge closed. Subscribe now to continue reading. Already a subscriber? Log in.", "paywall"),
        ("Home\nNews\nSport\nArts\nLife\nFood\nCars\nHelp\nJobs\nShop\nMail\nMore\nMenu", "menu"),
        ("the same line\n" * 8, "repetition"),
        ("Ã¤Ã¶Ã¼ wrongly read", "encoding"),
    ],
)
def test_every_finding_has_a_name_that_a_task_file_can_refuse(text: str, finding: Any) -> None:
    found = quality.assess(text)
    assert finding in rules.findings(json.dumps(found.reasons)), found.reasons
    assert rules.findings(json.dumps(quality.assess(PROSE).reasons)) == []


def test_words_are_counted_and_those_of_a_long_text_estimated() -> None:
    assert quality.assess(PROSE).words == quality.count_words(PROSE) == 21
    assert quality.count_words(PROSE * 1_000) == pytest.approx(21_000, rel=0.02)
    assert quality.count_words("東京で選挙が行われた") > 3, "a script without spaces"


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"min_word": 3}, "min_words"),
        ({"refuse": ["advert"]}, "boilerplate"),
        ({"min_words": 9, "max_words": 3}, "leaves no text"),
        ({"languages": ["english"]}, "languages"),
        ({"allow_sources": ["wire"], "deny_sources": ["wire"]}, "both allowed and denied"),
    ],
)
def test_an_unknown_rule_is_refused_with_those_that_there_are(section: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(yaml.safe_dump(TOPICS.model_dump(mode="json") | {"quality": section}))
    with pytest.raises(UserError, match="quality") as refused:
        load_task(path)
    assert told in str(refused.value)


def test_a_page_of_markup_only_is_no_text() -> None:
    page = "<html><head><style>p{color:red}</style></head><body><div class='x'><script>var a = 1</script></div></body></html>"
    event = {"type": "article", "event_id": "e", "occurred_at": NOW.isoformat(), "article_id": "a", "body": page}
    with pytest.raises(DeadLetterError, match="empty"):
        parse(json.dumps(event).encode(), tasks={}, now=NOW)
    assert (
        Article(event_id="e", occurred_at=NOW, article_id="a", title="Bridge closed", body=page).text.strip() == "Bridge closed"
    )


def test_a_body_of_a_hundred_megabytes_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(ValidationError, match="1000000"):
        Article(event_id="e", occurred_at=NOW, article_id="a", title="x", body="x " * 50_000_000)
