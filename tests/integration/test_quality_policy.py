"""Rules of a task file over a real buffer: left out of training with the reason, never deleted, and back when the rule goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lancedb
import pytest

from config.task_files.sections.quality import Quality
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.rows.backlog import TextRow
from daemon.views.data import policy
from tests.support.buffers import TASKS, TOPICS, article, enrich, finding, judge, label, opened, stored

TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})
LONG, SHORT, GERMAN, STUB = "Rates rise again this week", "Rates", "Zinsen steigen wieder", "Subscribe to continue reading"


def with_rules(**rules: Any) -> TaskSpec:
    return TASK.model_copy(update={"quality": Quality(**rules)})


def known(row: TextRow) -> Any:
    """What enrichment finds in each of the texts."""
    found: dict[str, Any] = {"words": len(row.text.split())}
    if row.text == GERMAN:
        found["language"] = "de"
    if row.text == STUB:
        found["quality_reasons"] = ("paywall: 100% of the text",)
    return finding(row, "test" if row.text.startswith("Held out") else "train", **found)


def fill(buffer: BufferWriter) -> None:
    texts = {"long": LONG, "short": SHORT, "german": GERMAN, "stub": STUB, "test": "Held out and brief"}
    events = [label(name, text, source="wire" if name == "long" else "desk") for name, text in texts.items()]
    buffer.insert(stored(*events))
    while rows := buffer.unenriched("examples", 100):
        buffer.apply_enrichment("examples", [known(row) for row in rows])
    judge(buffer)


def trains(buffer: BufferWriter, task: TaskSpec, folder: Path) -> tuple[set[str], dict[str, int]]:
    buffer.use_tasks({**TASKS, task.name: task})
    frozen = buffer.freeze(task, run_id="r", folder=folder, learnt=frozenset())
    assert buffer.counts(task.name).train == frozen.manifest.counts["train"], "counting and freezing go by the same rules"
    assert frozen.manifest.counts["test"] == 1, "rules leave test rows as they are"
    return set(frozen.rows("train")["example_id"].to_pylist()), dict(frozen.manifest.left_out)


def test_rows_are_left_out_with_the_reason_and_come_back(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        fill(buffer)
        everything, _ = trains(buffer, TASK, tmp_path / "1")
        assert everything == {"long", "short", "german", "stub"}
        ruled = with_rules(min_words=3, languages=("en",), refuse=("paywall",))
        left, why = trains(buffer, ruled, tmp_path / "2")
        assert left == {"long"}
        assert why == {"quality.min_words is 3": 1, "quality.languages is en": 1, "quality.refuse is paywall": 1}
        assert buffer.counts(TASK.name).unfit == 3
        fate = buffer.feedback_fate("short")
        assert fate is not None
        assert "quality.min_words is 3" in buffer.explain(fate).reason
        again, why = trains(buffer, TASK, tmp_path / "3")
        assert (again, why) == (everything, {})


def test_sources_are_those_of_articles_or_of_the_label(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        fill(buffer)
        published = article("art", "a-9", "The mayor resigned").model_copy(update={"publisher": "tabloid"})
        buffer.insert(stored(published, label("of-article", None, article_id="a-9", source="wire"), offset=50))
        buffer.resolve_waiting()
        enrich(buffer, "articles")
        enrich(buffer)
        allowed, why = trains(buffer, with_rules(allow_sources=("wire",)), tmp_path / "1")
        assert allowed == {"long"}, "the article's publisher is the source, not who sent the label"
        assert sum(why.values()) == 4
        denied, _ = trains(buffer, with_rules(deny_sources=("tabloid", "desk")), tmp_path / "2")
        assert denied == {"long"}


def test_the_effect_of_each_rule_is_told_with_examples(tmp_path: Path) -> None:
    task = with_rules(min_words=3, refuse=("paywall", "short"), languages=("en",))
    with opened(tmp_path / "b", tasks={**TASKS, TASK.name: task}) as buffer:
        fill(buffer)
        found = policy.read(buffer, task)
    assert (found.rows, found.kept) == (4, 1)
    by_rule = {rule.rule: rule for rule in found.rules}
    assert {name: rule.rows for name, rule in by_rule.items()} == {
        "enrich.min_quality": 0, "min_words": 1, "languages": 1, "refuse": 1,
    }  # fmt: skip
    assert by_rule["languages"].examples[0].begins == GERMAN
    assert by_rule["languages"].alone == 1
    assert found.found == {"paywall": 1}
    assert found.languages == {"en": 3, "de": 1}
    assert found.warning is not None


def test_rules_that_leave_nothing_are_warned_of(tmp_path: Path) -> None:
    task = with_rules(min_words=1_000)
    with opened(tmp_path / "b", tasks={**TASKS, TASK.name: task}) as buffer:
        fill(buffer)
        found = policy.read(buffer, task)
        counts = buffer.counts(task.name)
    assert (counts.train, counts.unfit) == (0, 4)
    assert found.kept == 0
    assert found.warning is not None
    assert "min_words" in found.warning


def test_words_that_an_earlier_version_did_not_count_are_counted_when_a_rule_asks(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        fill(buffer)
        buffer.sync()
    database = lancedb.connect(tmp_path / "b")
    for table in ("example_enrichment", "article_enrichment"):
        database.open_table(table).drop_columns(["words"])
    with opened(tmp_path / "b") as buffer:
        left, _ = trains(buffer, with_rules(min_words=3), tmp_path / "1")
    assert left == {"long", "german", "stub"}


@pytest.mark.parametrize("source", [None, "wire"])
def test_a_rule_about_sources_reads_rows_that_no_article_names(source: str | None, tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("one", LONG, source=source)))
        enrich(buffer)
        left, _ = _free(buffer, with_rules(allow_sources=("wire",)), tmp_path / "1")
    assert left == ({"one"} if source else set())


def _free(buffer: BufferWriter, task: TaskSpec, folder: Path) -> tuple[set[str], dict[str, int]]:
    frozen = buffer.freeze(task, run_id="r", folder=folder, learnt=frozenset())
    return set(frozen.rows("train")["example_id"].to_pylist()), dict(frozen.manifest.left_out)
