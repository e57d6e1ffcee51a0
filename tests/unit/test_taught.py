"""What a teacher's answers count: in the loss of a tuning, in the rows of a head, and which models may teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from config.errors import RunFailedError
from config.tasks import TaskSpec
from perennial_artifact.description import Description
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.signal_head import SignalHead, Told
from tests.support.tiny_models import toy_entities, toy_numbers_spec, toy_signals_spec, toy_spec
from trainers.learners.encoders import distilling
from trainers.learners.features import FeatureSet
from trainers.learners.heads.families.binomial import NOT_KNOWN, Binomial
from trainers.learners.heads.families.grouped import NOT_KNOWN as NOT_TOLD
from trainers.learners.heads.rows import head_rows
from trainers.learners.heads.soft import taught_rows
from trainers.learners.protocols import Example
from trainers.learners.ridge.soft import mixed
from trainers.learners.signals.rows import Shown, signal_rows
from trainers.learners.signals.soft import taught_signals
from trainers.learners.taught import Taught, names_of, numbers_of, refuse_unfit, silver, tags_of

LABELS = LabelSet(("A", "B", "C"), frozenset({"A", "B", "C"}))
OPEN = torch.zeros(3, dtype=torch.bool)
WHEN = datetime(2024, 5, 1, tzinfo=UTC)


def rows(count: int, prefix: str = "row") -> list[Example]:
    return [Example(f"{prefix}-{at}", f"text {at}", {"label": "ABC"[at % 3]}, event_time=WHEN) for at in range(count)]


def taught(
    answers: Sequence[Sequence[float]], examples: Sequence[Example], names: Sequence[str] = ("A", "B", "C"), **more: object
) -> Taught:
    found = Taught(
        teacher="t/v1", names=tuple(names), unlabelled=(), share=0.5, temperature=2.0,
        answers=FeatureSet.of([row.example_id for row in examples], np.array(answers, dtype=np.float32)),
    )  # fmt: skip
    return replace(found, **more)  # type: ignore[arg-type]  # the keys are the fields


def targets(gold: int, share: float, said: Sequence[float]) -> torch.Tensor:
    return torch.tensor([[gold, share, *said]], dtype=torch.float32)


def test_gold_alone_is_the_usual_cross_entropy_and_a_teacher_alone_that_of_both_models() -> None:
    logits = torch.tensor([[1.0, -0.5, 0.3]])
    loss = distilling._loss_of_one(2.0, OPEN)
    torch.testing.assert_close(
        loss(logits, targets(1, 0.0, [0, 0, 0])), cross_entropy(logits, torch.tensor([1]), reduction="none")
    )
    said = torch.tensor([[0.2, 0.7, 0.1]])
    apart = cross_entropy(logits / 2.0, said, reduction="none")
    torch.testing.assert_close(loss(logits, targets(-1, 1.0, [0.2, 0.7, 0.1])), 4.0 * apart)
    both = loss(logits, targets(1, 0.25, [0.2, 0.7, 0.1]))
    torch.testing.assert_close(both, 0.75 * cross_entropy(logits, torch.tensor([1]), reduction="none") + 0.25 * 4.0 * apart)


def test_a_label_that_is_not_learnt_has_no_gradient_and_makes_nothing_infinite() -> None:
    logits = torch.tensor([[1.0, -0.5, 0.3]], requires_grad=True)
    closed = torch.tensor([False, False, True])
    value = distilling._loss_of_one(2.0, closed)(logits, targets(0, 0.5, [0.6, 0.3, 0.1])).sum()
    value.backward()  # type: ignore[no-untyped-call]  # the library leaves it without types
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 2] == 0.0


def entropy(logit: torch.Tensor, probability: float) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logit, torch.tensor(probability))


def test_of_several_labels_each_counts_gold_and_teacher_where_they_know_it() -> None:
    logits = torch.tensor([[0.4, -1.0, 2.0]])
    loss = distilling._loss_of_several(1.0, OPEN)
    # The first by both, the second by gold alone, the third by the teacher alone.
    row = torch.tensor([[0.25, 1, 0, -1, 0.8, -1, 0.1, 1, 1, 1]], dtype=torch.float32)
    each = [
        0.75 * entropy(logits[0, 0], 1.0) + 0.25 * entropy(logits[0, 0], 0.8),
        entropy(logits[0, 1], 0.0),
        entropy(logits[0, 2], 0.1),
    ]  # fmt: skip
    torch.testing.assert_close(loss(logits, row)[0], sum(each) / 3)


def test_a_softened_answer_is_what_the_logits_divided_by_the_temperature_give() -> None:
    logits = np.array([[2.0, 0.5, -1.0]])
    said = np.exp(logits) / np.exp(logits).sum()
    examples = [Example("row-0", "text", {"label": "A"})]
    found = distilling._of_one(taught(said, examples), [distilling.Row([1], 0, 1.0)], said.astype(np.float32))
    halved = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(found[0], [0, 0.5, *halved[0]], rtol=1e-5)


def test_a_teacher_says_nothing_of_a_row_whose_label_it_does_not_know() -> None:
    examples = rows(3)
    of_two = taught([[0.9, 0.1]] * 3, examples, names=("A", "B"))
    said = of_two.of(examples, LABELS.names)
    found = np.array(distilling._of_one(of_two, [distilling.Row([1], at, 1.0) for at in range(3)], said))
    assert found[:, 1].tolist() == [0.5, 0.5, 0.0]
    head = taught_rows(head_rows(examples, np.eye(3, dtype=np.float32), LABELS), examples, LABELS, of_two, None)
    assert head.weights[head.features[:, 2] == 1].tolist() == [1.0]


@given(share=st.floats(0.1, 1.0), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_row_of_a_head_weighs_as_before_however_it_is_divided(share: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    examples, texts = rows(6), [replace(row, weight=share, target={}) for row in rows(4, "text")]
    answers = chance.dirichlet([1.0, 1.0, 1.0], size=10) * 0.97 + 0.01  # none below what is left out
    said = taught(answers / answers.sum(axis=1, keepdims=True), [*examples, *texts], share=share, unlabelled=texts)
    before = head_rows(examples, np.eye(6, 8, dtype=np.float32), LABELS)
    after = taught_rows(before, examples, LABELS, said, np.ones((4, 8), dtype=np.float32))
    for at in range(6):
        mine = np.flatnonzero(after.features[:, at] * (after.features.sum(axis=1) == 1))
        assert after.weights[mine].sum() == pytest.approx(1.0, abs=0.05)
    of_texts = after.features.sum(axis=1) == 8
    assert after.weights[of_texts].sum() == pytest.approx(4 * share, abs=0.2)
    assert not after.independent[of_texts].any()
    assert (after.weights > 0).all()


def test_of_several_labels_a_head_takes_what_the_teacher_is_sure_of() -> None:
    examples = [Example("row-0", "text", {"labels": ["A"]}, event_time=WHEN)]
    texts = [Example("text-0", "text", {}, event_time=WHEN, weight=0.5)]
    said = taught([[0.5, 0.5, 0.5], [0.9, 0.5, 0.1]], [*examples, *texts], unlabelled=texts)
    before = head_rows(examples, np.ones((1, 2), dtype=np.float32), LABELS, Binomial())
    after = taught_rows(before, examples, LABELS, said, np.ones((1, 2), dtype=np.float32))
    assert after.labels.tolist() == [[1, 0, 0], [1, NOT_KNOWN, 0]]
    assert after.weights.tolist() == [1.0, 0.5]


def test_numbers_are_a_mean_and_a_missing_one_is_the_others() -> None:
    gold, said = np.array([[1.0, np.nan, 3.0]]), np.array([[2.0, 5.0, np.nan]])
    assert mixed(gold, said, 0.25).tolist() == [[1.25, 5.0, 3.0]]


SHOWN = Shown((("crime", ("theft", "none")), ("sports", ())))
OF_SIGNALS = ("crime", "sports", "crime:theft", "crime:none")


def signal(**said: object) -> Example:
    return Example("row-0", "text", {"signals": said}, event_time=WHEN)


def taught_of_signals(
    answers: Sequence[Sequence[float]], names: Sequence[str] = OF_SIGNALS, texts: Sequence[Example] = ()
) -> Taught:
    return taught(answers, [signal(), *texts], names, unlabelled=texts, share=0.25)


def lessons_of(example: Example, said: Taught) -> tuple[list[float], distilling.Loss]:
    truth = [signal_targets(example)]
    found = distilling.with_signals(
        said, None, [distilling.Row([1], each, 1.0) for each in truth], [example], SHOWN, "mse"  # type: ignore[arg-type]  # no texts
    )  # fmt: skip
    assert found.loss is not None
    return list(found.rows[0].label), found.loss  # type: ignore[arg-type]  # numbers


def signal_targets(example: Example) -> list[float]:
    """The score of each category on a scale from 0 to 1, then the places of the tags."""
    told = [example.target["signals"].get(name, {}) for name, _tags in SHOWN.categories]
    scores = [(one["score"] + 1) / 2 if one else float("nan") for one in told]
    return [*scores, float(["theft", "none"].index(told[0]["tag"])) if "tag" in told[0] else float("nan"), float("nan")]


def test_of_signals_scores_are_a_mean_and_tags_count_gold_and_teacher_where_they_know_them() -> None:
    given = torch.tensor([[0.5, 0.5, 0.4, -1.0]])
    both = signal(crime={"score": -1.0, "tag": "theft"})
    numbers, loss = lessons_of(both, taught_of_signals([[-0.6, 0.2, 0.9, 0.1]]))
    assert numbers[:2] == pytest.approx([0.75 * 0.0 + 0.25 * 0.2, 0.6]), "of sports the teacher's alone"
    softened = torch.tensor([[0.75, 0.25]])  # 0.9 and 0.1 at temperature 2
    logits = given[:, 2:]
    gold = cross_entropy(logits, torch.tensor([0]))
    soft = 4.0 * cross_entropy(logits / 2.0, softened)
    scores = (0.45**2 + 0.1**2) / 2
    torch.testing.assert_close(loss(given, torch.tensor([numbers]))[0], scores + 0.75 * gold + 0.25 * soft)
    missing, loss = lessons_of(signal(sports={"score": 0.2}), taught_of_signals([[-0.6, 0.2, 0.9, 0.1]]))
    torch.testing.assert_close(loss(given, torch.tensor([missing]))[0], (0.3**2 + 0.1**2) / 2 + soft)


@pytest.mark.parametrize(
    ("example", "names", "answers"),
    [
        (signal(sports={"score": 0.2}), ("sports",), [[0.2]]),
        (signal(crime={"score": -1.0, "tag": "theft"}), ("crime", "crime:none"), [[-1.0, 1.0]]),
        (signal(sports={"score": 0.2}), ("sports", "crime:theft", "crime:none"), [[0.2, 0.2, 0.1]]),
    ],
    ids=["neither knows the tag", "gold is a tag that it does not know", "it holds another tag more probable"],
)
def test_where_a_teacher_says_nothing_of_a_tag_gold_counts_whole_or_the_head_is_masked(
    example: Example, names: Sequence[str], answers: Sequence[Sequence[float]]
) -> None:
    numbers, loss = lessons_of(example, taught_of_signals(answers, names))
    given = torch.tensor([[0.0, 0.6, 0.4, -1.0]], requires_grad=True)
    value = loss(given, torch.tensor([numbers]))[0]
    told = "tag" in example.target["signals"].get("crime", {})
    torch.testing.assert_close(value, cross_entropy(given[:, 2:], torch.tensor([0])) if told else torch.zeros(()))
    value.backward()  # type: ignore[no-untyped-call]  # the library leaves it without types
    assert given.grad is not None
    assert torch.isfinite(given.grad).all()
    assert bool(given.grad[0, 2:].any()) == told


def test_heads_of_signals_take_the_tags_that_the_teacher_is_sure_of_where_gold_tells_none() -> None:
    rows_of = [signal(crime={"score": -1.0, "tag": "theft"}), replace(signal(sports={"score": 0.5}), example_id="row-1")]
    texts = [Example(f"text-{at}", "text", {}, event_time=WHEN, weight=0.25) for at in range(2)]
    answers = [[-0.6, 0.2, 0.1, 0.9], [0.4, 0.1, 0.2, 0.8], [0.8, 0.0, 0.9, 0.1], [0.0, 0.0, 0.6, 0.4]]
    said = taught(answers, [*rows_of, *texts], OF_SIGNALS, unlabelled=texts, share=0.25)
    before = signal_rows(rows_of, np.eye(2, dtype=np.float32), SHOWN)
    after = taught_signals(before, rows_of, SHOWN, said, np.ones((2, 2), dtype=np.float32), None)
    np.testing.assert_allclose(after.scores.values, [[-0.9, 0.2], [0.4, 0.4], [0.8, 0.0], [0.0, 0.0]], atol=1e-6)
    assert after.tags.labels.tolist() == [[0], [NOT_TOLD], [1], [0]], "gold first, then what the teacher is sure of"
    assert after.tags.weights.tolist() == [1.0, 1.0, 0.25, 0.25]
    assert after.tags.independent.tolist() == [True, True, False, False]
    assert after.tags.documents.tolist() == [0, 1, 1, 2]


def test_a_teacher_of_signals_is_asked_for_all_tags_that_the_task_has(tmp_path: Path) -> None:
    head = SignalHead(
        np.zeros((5, 2), np.float32), np.array([0.5, 0.1, 0.0, 0.0, 1.0], np.float32),
        (Told("sports", ("win", "chess", "none")), Told("rain")),
    )  # fmt: skip
    head.write(tmp_path)
    of = description(kind="signals", format="sentence-signals", labels=("sports", "rain"))
    task = toy_signals_spec("small")
    assert names_of(of, task) == ("sports",)
    assert tags_of(tmp_path, of, task) == ("sports:win", "sports:none"), "those that both have"
    assert tags_of(tmp_path, description(), CLOSED) == ()
    [answer] = head.weighed(np.zeros((1, 2), np.float32))
    sure = np.exp(1.0) / (np.exp(1.0) + 2.0)
    assert numbers_of(answer, ("sports", "sports:win", "sports:none"), {}) == pytest.approx([0.5, (1 - sure) / 2, sure])
    assert answer["signals"]["rain"] == {"score": pytest.approx(0.1), "tags": {}}
    with pytest.raises(RunFailedError, match="cannot teach"):
        numbers_of(head.answers(np.zeros((1, 2), np.float32), [False])[0], ("sports",), {})


def description(**changes: object) -> Description:
    values: dict[str, object] = {
        "kind": "classification", "backend": "transformer", "format": "sentence-classification", "base": "large",
        "labels": ("A", "B"),
    }  # fmt: skip
    return Description(**(values | changes))  # type: ignore[arg-type]  # the keys are the fields


CLOSED = toy_spec("small", labels="closed", label_names=["A", "B"])


@pytest.mark.parametrize(
    ("task", "changes", "why"),
    [
        (CLOSED, {"kind": "ner"}, "it is of kind ner"),
        (CLOSED, {"base": "small"}, "stands on the base model small, as the student does"),
        (CLOSED, {"labels": ("X", "Y")}, "it answers X, Y, none of which the task has"),
        (toy_numbers_spec("small"), {"kind": "regression", "labels": ("cold",)}, "none of which the task has"),
    ],
)
def test_a_model_that_cannot_teach_is_refused_with_the_reason(task: TaskSpec, changes: dict[str, object], why: str) -> None:
    with pytest.raises(RunFailedError, match=why):
        refuse_unfit(description(**changes), task, "other/v3")


def test_a_model_that_can_teach_is_taken() -> None:
    refuse_unfit(description(), CLOSED, "other/v3")
    # Another backend with the same name of a base is another model.
    refuse_unfit(description(kind="ner", backend="spacy", base="small"), toy_entities("small", training={}), "other/v3")


def test_labels_go_by_the_names_in_force() -> None:
    task = toy_spec("small", renames={"A": "B"})
    assert names_of(description(labels=("A", "B", "C")), task) == ("B", "C")
    assert numbers_of({"scores": {"A": 0.3, "B": 0.5, "C": 0.2}}, ("B", "C"), task.renames) == pytest.approx([0.8, 0.2])


def test_what_a_teacher_finds_is_a_row_of_its_types_that_weighs_less() -> None:
    task = toy_entities("small", training={"teacher_share": 0.25}, renames={"PER": "PERSON"})
    row = Example("text-0", "Ada left Oslo", {})
    answer = {"spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 9, "end": 13, "label": "GPE"}]}
    found = silver(row, answer, ("PERSON",), task)
    assert found.target == {"spans": [{"start": 0, "end": 3, "label": "PERSON"}]}
    assert (found.weight, found.scope, found.independent, found.is_new) == (0.25, {"PERSON"}, False, False)


@pytest.mark.parametrize(
    "ask", [lambda: numbers_of({"tone": 1}, ("A",), {}), lambda: silver(rows(1)[0], {"tone": 1}, ("A",), CLOSED)]
)
def test_an_answer_of_another_form_is_refused(ask: object) -> None:
    with pytest.raises(RunFailedError, match="it cannot teach"):
        ask()  # type: ignore[operator]  # a function
