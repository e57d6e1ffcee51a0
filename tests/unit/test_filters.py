"""A filter folder is a task, and its prefilter leaves texts out of imports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.errors import UserError
from config.task_files.sections.prefilter import Prefilter
from config.tasks import load_filter, load_tasks
from consumers.events.schemas import Label
from consumers.formats.importing import import_events
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import LeftOut

CONFIG: dict[str, Any] = {
    "filter": {"name": "Harbour_News", "version": "2.0", "description": "How much a text matters to a harbour."},
    "prefilter": {"enabled": True},
    "scoring": {
        "dimensions": {
            "trade": {"weight": 0.6, "description": "Goods that move", "gatekeeper": True},
            "safety": {"weight": 0.4, "description": "People and ships"},
        },
        "tiers": {"lead": {"threshold": 7.0}, "brief": {"threshold": 4}},
        "content_type_caps": {"adverts": {"max_score": 2.0}},
    },
    "oracle": {"recommended": "any"},
}
PREFILTER = {"min_words": 3, "block": [{"name": "adverts", "any": ["buy now", "sale"], "unless": ["port of sale"]}]}


def filter_folder(folder: Path, config: Any = None, prefilter: Any = None) -> Path:
    place = folder / "harbour"
    place.mkdir()
    (place / "config.yaml").write_text(yaml.safe_dump(CONFIG if config is None else config, sort_keys=False))
    (place / "prompt-compressed.md").write_text("Score the article.")
    if prefilter is not None:
        (place / "prefilter.yaml").write_text(yaml.safe_dump(prefilter))
    return place


def test_a_filter_folder_is_read_as_a_task(tmp_path: Path) -> None:
    filter_folder(tmp_path, prefilter=PREFILTER)
    task = load_tasks(tmp_path)["harbour-news"]
    assert (task.kind, task.backend, task.base_model, task.promotion.metric) == ("regression", "transformer", "minilm", "mae")
    assert [(one.name, one.low, one.high, one.weight) for one in task.dimensions] == [
        ("trade", 0.0, 10.0, 0.6), ("safety", 0.0, 10.0, 0.4),
    ]  # fmt: skip
    assert task.tiers == {"lead": 7.0, "brief": 4.0, "below brief": 0.0}
    assert "content_type_caps, gatekeeper" in task.description
    assert task.prefilter is not None
    assert task.prefilter.min_words == 3


def test_keys_of_a_task_file_replace_what_is_made(tmp_path: Path) -> None:
    own = {"base_model": "some/base", "promotion": {"metric": "spearman"}, "trigger": {"min_new_examples": 7}}
    task = load_filter(filter_folder(tmp_path, {**CONFIG, "perennial": own}))
    assert (task.base_model, task.promotion.metric, task.trigger.min_new_examples) == ("some/base", "spearman", 7)


def test_a_prefilter_that_is_off_is_not_read(tmp_path: Path) -> None:
    assert load_filter(filter_folder(tmp_path, {**CONFIG, "prefilter": {"enabled": False}}, prefilter=7)).prefilter is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scoring": None}, "`scoring` must be a mapping"),
        ({"filter": []}, "`filter` must be a mapping"),
        ({"scoring": {"dimensions": {"trade": 3}}}, "`scoring.dimensions.trade` must be a mapping"),
        ({"scoring": {"dimensions": {}}}, "needs dimensions"),
        ({"scoring": {"dimensions": {"trade": {"weight": -1}}}}, "dimensions.0.weight"),
        ({"scoring": {**CONFIG["scoring"], "tiers": {"lead": {"threshold": "high"}}}}, "lead needs `threshold:`"),
        ({"scoring": {**CONFIG["scoring"], "tiers": {"lead": {"threshold": 11}}}}, "begins at 11"),
        ({"perennial": {"colour": "red"}}, "unknown key `colour`"),
        ({"filter": {"name": "1"}}, "`name`"),
    ],
)
def test_a_wrong_filter_folder_is_named_with_its_key(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        load_filter(filter_folder(tmp_path, CONFIG | change))
    assert "harbour" in str(refused.value)


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    place = filter_folder(tmp_path)
    (place / "config.yaml").write_text("filter: [")
    with pytest.raises(UserError, match=r"config\.yaml cannot be read as YAML"):
        load_tasks(tmp_path)


def test_an_import_leaves_out_what_the_prefilter_blocks_and_says_why(tmp_path: Path) -> None:
    task = load_filter(filter_folder(tmp_path, prefilter=PREFILTER))
    file = tmp_path / "rows.csv"
    texts = ["ships bring grain", "Buy  NOW while stocks last", "the port of sale opened", "too short", "wholesale prices rose"]
    file.write_text("text,trade\n" + "".join(f"{text},5\n" for text in texts))
    found = list(import_events(file, task, ColumnMapping()))
    assert [row.text for row in found if isinstance(row, Label)] == [texts[0], texts[2], texts[4]]
    reasons = [row.reason for row in found if isinstance(row, LeftOut)]
    assert ["'adverts'" in reasons[0], "fewer than 3 words" in reasons[1]] == [True, True]


def test_required_words_and_hostile_texts() -> None:
    rules = Prefilter(require=("c++ code", "harbour"), min_words=1)
    assert rules.reason("Some C++  code here") is None
    assert rules.reason("harbours are not a harbourside") == "none of the words that are required"
    began = time.process_time()
    assert rules.reason("c++ " * 250_000) is not None
    assert rules.reason("c++" + " " * 1_000_000) is not None
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"block": [{"name": "a", "any": []}]},
        {"block": [{"name": "a", "any": ["xx"]}] * 2},
        {"require": ["  "]},
        {"colour": 1},
        {"min_words": -1},
    ],
)
def test_a_wrong_prefilter_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="prefilter"):
        load_filter(filter_folder(tmp_path, prefilter=wrong))
