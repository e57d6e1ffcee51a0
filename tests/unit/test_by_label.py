"""What a comparison says of each label of texts that may have several, and how the card shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from config.tasks import TaskSpec
from registry.reports import cards
from registry.reports.diff import between
from registry.reports.label_plot import MOST_LABELS, plot_labels
from registry.store import Registry
from registry.versions import Lineage
from tests.support.scored import compared, labelled, table, topics
from trainers.compare.answers import Answers
from trainers.compare.comparison import Comparison
from trainers.compare.parts.by_label import MAX_LABELS, measures_of

NAMES = ("economy", "europe", "sport", "weather")
TAGS = TaskSpec(
    name="news-tags", kind="multilabel", backend="transformer", base_model="minilm", labels="open",
    promotion={"metric": "macro_f1"},
)  # fmt: skip


def marks(names: tuple[str, ...] = NAMES, rows: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gold and two models' answers, (rows, labels): the first label is the most frequent, and the candidate errs less."""
    chance = np.random.default_rng(4)
    gold = chance.random((rows, len(names))) < np.linspace(0.5, 0.05, len(names))
    return gold, gold ^ (chance.random(gold.shape) < 0.05), gold ^ (chance.random(gold.shape) < 0.2)


def said(found: np.ndarray, names: tuple[str, ...] = NAMES) -> list[dict[str, object]]:
    return [{"labels": [name for name, there in zip(names, row, strict=True) if there]} for row in found]


def seen(names: tuple[str, ...] = NAMES) -> Comparison:
    return compared(TAGS, table(*(said(one, names) for one in marks(names))), champion="news-tags/v1")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as opened:
        yield opened


def recorded(registry: Registry, comparison: Comparison) -> str:
    number = registry.versions.next_number(TAGS.name)
    return registry.versions.add(
        TAGS.name, number, run_id=f"r-{number}", artifact_id=f"{TAGS.name}/v{number}-{0:012x}", manifest_sha256="0" * 64,
        size_bytes=1, parent=None, lineage=Lineage(training_set_sha256="", seed=1, settings={}, code=""),
        metrics={"comparison": comparison.model_dump(mode="json")}, learnt=(),
    ).name  # fmt: skip


def test_precision_recall_and_f1_are_those_of_scikit_learn_the_most_frequent_label_first() -> None:
    gold, candidate, opponent = marks()
    found = seen().labels
    assert [one.name for one in found] == list(NAMES)
    for answers, side in ((candidate, "candidate"), (opponent, "champion")):
        expected = precision_recall_fscore_support(gold, answers, zero_division=0)
        for label, one in enumerate(found):
            figures = getattr(one, side)
            assert (figures.precision, figures.recall, figures.f1, one.rows) == pytest.approx([each[label] for each in expected])


def test_a_label_nobody_has_and_one_that_nobody_gives_have_zeros() -> None:
    answers = Answers([{"labels": ["a"]}, {"labels": []}], [{"labels": []}, {"labels": ["b"]}], [{"labels": []}, {"labels": []}])
    rare, claimed = measures_of(answers)
    assert (rare.name, rare.rows, rare.candidate.recall, rare.champion.precision) == ("a", 1, 0.0, 0.0)
    assert (claimed.name, claimed.rows, claimed.candidate.precision, claimed.champion.f1) == ("b", 0, 0.0, 0.0)


def test_a_label_outside_the_scope_of_a_row_is_no_error() -> None:
    gold = [{"labels": ["a"], "scope": ["a"]}, {"labels": ["b"], "scope": ["a", "b"]}]
    answers = Answers(gold, [{"labels": ["a", "b"]}, {"labels": ["b"]}], [{"labels": []}, {"labels": []}])
    assert [(one.name, one.candidate.precision) for one in measures_of(answers)] == [("a", 1.0), ("b", 1.0)]


def test_of_very_many_labels_the_most_frequent_are_kept() -> None:
    found = seen(tuple(f"label-{number:03}" for number in range(MAX_LABELS + 20))).labels
    assert len(found) == MAX_LABELS
    assert [one.rows for one in found] == sorted((one.rows for one in found), reverse=True)


def test_texts_of_one_label_have_none() -> None:
    assert compared(topics(), labelled(["a", "b"], ["a", "b"], ["a", "a"])).labels == ()


def test_the_card_lists_each_label_and_has_a_picture_of_them(registry: Registry, tmp_path: Path) -> None:
    shown = seen()
    name = recorded(registry, shown)
    text = cards.write_card(registry, name, tmp_path / "card").read_text()
    first = shown.labels[0]
    assert f"| economy | {first.rows} | {first.champion.precision:.4f} | {first.candidate.precision:.4f} |" in text
    assert cards.LABEL_PLOT_FILE in text
    assert (tmp_path / "card" / cards.LABEL_PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    assert cards.LABEL_PLOT_FILE not in cards.card(registry, name)
    one = shown.model_copy(update={"labels": ()})
    assert "## Labels" not in cards.card(registry, recorded(registry, one))


def test_a_diff_does_not_list_every_figure_of_every_label(registry: Registry) -> None:
    first = recorded(registry, seen())
    second = recorded(registry, seen().model_copy(update={"labels": seen().labels[1:]}))
    assert not [entry.key for entry in between(registry, first, second).differences if ".labels." in entry.key]


def test_the_picture_has_two_bars_for_each_of_the_most_frequent_labels() -> None:
    shown = seen(("$economy$, trade", "a label of " + "many " * 20, *(f"label-{number:03}" for number in range(30))))
    [axes] = plot_labels("news-tags/v2", shown).axes
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(ticks) == MOST_LABELS
    economy = next(one for one in shown.labels if one.name.startswith("$"))
    assert f"$economy$, trade ({economy.rows})" in ticks
    assert all(len(tick) < 50 for tick in ticks)
    assert [len(bars) for bars in axes.containers] == [MOST_LABELS, MOST_LABELS]
    assert axes.containers[0][0].get_width() == shown.labels[0].candidate.f1
    assert axes.containers[1][0].get_width() == shown.labels[0].champion.f1
