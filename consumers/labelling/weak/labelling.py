"""From what rules find to weak labels: targets of the task's kind, each with a probability, and how far each rule is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.kinds.signals.categories import label_of
from config.task_files.sections.weak_labels import RuleOf, rules_of, shares
from config.tasks import TaskSpec
from consumers.labelling.weak import label_model
from consumers.labelling.weak.label_model import ACCURACY, SILENT, SMOOTHING
from consumers.labelling.weak.rules import Mark, Rules
from consumers.labelling.weak.texts import GoldText, Texts, WeakText
from perennial_artifact.keywords import NOTHING

SILENCE = 0.95
"""How often a text in which no rule of a category finds anything says nothing of it, before anybody has labelled any."""
_REPORTED_EVERY = 200


@dataclass(frozen=True, slots=True)
class WeakLabel:
    """A text, what rules say of it, and how probable that is."""

    text: WeakText
    target: Mapping[str, Any]
    probability: float


@dataclass(slots=True)
class Found:
    """What the rules of a task found."""

    task: TaskSpec
    rules: tuple[RuleOf, ...]
    texts: Texts
    fired: list[list[int]]
    """Of each text without a label the numbers of the rules that found something."""
    gold_fired: list[list[int]]
    """The same of the texts that people labelled."""
    marks: list[list[Mark]] = field(default_factory=list)
    gold_marks: list[list[Mark]] = field(default_factory=list)
    """Of entities alone."""
    stopped: Mapping[int, int] = field(default_factory=dict)
    """By rule the texts on which a pattern took too long."""
    off: frozenset[int] = frozenset()
    """Rules whose patterns were switched off for that."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of it."""

    labels: Sequence[WeakLabel]
    precision: Sequence[float]
    """How often each rule is right by the label model; NaN of one that finds nothing."""
    unsure: int
    """Texts of which rules say something, and none of it is probable enough."""
    models: Mapping[str, float] = field(default_factory=dict)
    """By version of the task's models how often its answers are right by the label model."""


def find(task: TaskSpec, texts: Texts, progress: Callable[[float], None] = lambda _share: None) -> Found:
    """Apply the rules of a task to texts; `progress` receives the share that is done."""
    found = rules_of(task)
    rules, every = Rules(found), [*texts.unlabelled, *(one.text for one in texts.gold)]
    fired: list[list[int]] = []
    marks: list[list[Mark]] = []
    for number, text in enumerate(every):
        if task.kind == "ner":
            marks.append(rules.marks(text))
            fired.append(sorted({rule for _start, _end, rule in marks[-1]}))
        else:
            fired.append(rules.found(text))
        if number % _REPORTED_EVERY == 0:
            progress(number / len(every))
    border = len(texts.unlabelled)
    off = frozenset(number for number in range(len(found)) if rules.is_off(number))
    return Found(
        task, found, texts, fired[:border], fired[border:], marks[:border], marks[border:], dict(rules.stopped), off
    )  # fmt: skip


def label(found: Found) -> Labelled:
    """Return the weak labels of what was found."""
    if not found.rules:
        return Labelled((), (), 0)
    ways = {"classification": _one_label, "multilabel": _several, "signals": _signals, "ner": _entities}
    return ways[found.task.kind](found)


def said_by(rule: RuleOf, target: Mapping[str, Any], kind: str) -> bool | None:
    """Return whether a target says what a rule does; None where it does not tell. Not of entities."""
    if kind == "classification":
        return bool(target["label"] == rule.label)
    if kind == "multilabel":
        return rule.label in target["labels"]
    told = target["signals"].get(rule.group)
    return None if told is None or told.get("tag") is None else bool(told["tag"] == rule.label)


def disjoint(marks: Sequence[Mark]) -> list[Mark]:
    """Return marks without overlaps, in order of the text: of those that overlap the longest, then the first rule's."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda one: (one[0] - one[1], one[2], one[0])):
        if all(mark[1] <= other[0] or other[1] <= mark[0] for other in kept):
            kept.append(mark)
    return sorted(kept)


def _one_label(found: Found) -> Labelled:
    given, gold = found.task.weak_labels, [str(one.target["label"]) for one in found.texts.gold]
    otherwise = [given.otherwise] if given.otherwise else []
    answered = sorted({str(answer["label"]) for said in found.texts.answers.values() for answer in said.values()})
    names = list(dict.fromkeys([*(rule.label for rule in found.rules), *otherwise, *sorted(set(gold)), *answered]))
    numbers = {name: number for number, name in enumerate(names)}
    votes = _votes(found, [numbers[rule.label] for rule in found.rules])
    if given.otherwise is not None:
        votes = _with_silence(votes, numbers[given.otherwise])
    votes = np.column_stack([votes, _of_models(found, lambda answer: numbers[answer["label"]])])
    truth = np.full(len(votes), SILENT, np.int32)
    truth[len(found.fired) :] = [numbers[name] for name in gold]
    seen = label_model.estimate(votes, len(names), gold=truth, shares=shares(given.prior, names))
    labels, unsure = [], 0
    for at, text in enumerate(found.texts.unlabelled):
        if (votes[at] != SILENT).any():
            best = int(seen.probabilities[at].argmax())
            probability = float(seen.probabilities[at, best])
            if probability >= given.min_probability and _may_be_given(found.task, names[best]):
                labels.append(WeakLabel(text, {"label": names[best]}, probability))
            else:
                unsure += 1
    return Labelled(labels, seen.precision[: len(found.rules)].tolist(), unsure, _believed(found, [seen.precision]))


def _several(found: Found) -> Labelled:
    given = found.task.weak_labels
    names = list(dict.fromkeys(rule.label for rule in found.rules))
    precision = [float("nan")] * len(found.rules)
    # Where no rule at all finds anything, nothing is known: a text without any of the labels is told by nobody.
    spoken = [at for at, fired in enumerate(found.fired) if fired]
    sure, of_all = np.zeros((len(names), len(found.fired))), []
    for number, name in enumerate(names):
        own = [at for at, rule in enumerate(found.rules) if rule.label == name]
        gold = [int(name in one.target["labels"]) for one in found.texts.gold]
        seen = _yes_or_no(found, own, gold, name)
        sure[number] = seen.probabilities[: len(found.fired), 1]
        of_all.append(seen.precision)
        for at, right in zip(own, seen.precision.tolist(), strict=False):
            precision[at] = right
    labels = []
    for at in spoken:
        told = [name for number, name in enumerate(names) if sure[number, at] >= max(given.min_probability, 0.5)]
        if told:
            probability = float(np.mean(np.maximum(sure[:, at], 1.0 - sure[:, at])))
            labels.append(WeakLabel(found.texts.unlabelled[at], {"labels": sorted(told)}, probability))
    return Labelled(labels, precision, len(spoken) - len(labels), _believed(found, of_all))


def _yes_or_no(found: Found, own: Sequence[int], gold: Sequence[int], name: str) -> label_model.Estimate:
    """Return how probable it is that each text has one label (number 1) or not (0)."""
    votes = _with_silence(_votes(found, [1] * len(found.rules))[:, list(own)], 0)
    votes = np.column_stack([votes, _of_models(found, lambda answer: int(name in answer["labels"]))])
    truth = np.full(len(votes), SILENT, np.int32)
    truth[len(found.fired) :] = gold
    return label_model.estimate(votes, 2, gold=truth, believed=_before(found, len(own)))


def _signals(found: Found) -> Labelled:
    task = found.task
    precision = [float("nan")] * len(found.rules)
    told: list[dict[str, Any]] = [{} for _ in found.fired]
    sums, of_all = np.zeros((2, len(found.fired))), []
    for category in task.signals:
        own = [at for at, rule in enumerate(found.rules) if rule.group == category.name]
        if not own:
            continue
        names = [NOTHING, *(tag.name for tag in category.tags)]
        seen = _in_category(found, category.name, own, {name: number for number, name in enumerate(names)})
        of_all.append(seen.precision)
        for at, right in zip(own, seen.precision.tolist(), strict=False):
            precision[at] = right
        scores = {NOTHING: 0.0} | {tag.name: tag.score for tag in category.tags}
        best = seen.probabilities.argmax(axis=1)
        for at in range(len(found.fired)):
            probability = float(seen.probabilities[at, best[at]])
            if probability >= task.weak_labels.min_probability:
                name = names[best[at]]
                told[at][category.name] = {"score": scores[name], "tag": name}
                sums[:, at] += probability, 1
    labels = [
        WeakLabel(text, {"signals": said}, float(sums[0, at] / sums[1, at]))
        for at, (text, said) in enumerate(zip(found.texts.unlabelled, told, strict=True)) if said
    ]  # fmt: skip
    return Labelled(labels, precision, len(found.fired) - len(labels), _believed(found, of_all))


def _in_category(found: Found, name: str, own: Sequence[int], numbers: Mapping[str, int]) -> label_model.Estimate:
    """Return how probable each tag of a category is for each text; `own` are the numbers of its rules."""
    votes = _votes(found, [numbers.get(rule.label, 0) for rule in found.rules])[:, list(own)]

    def tag_of(said: Mapping[str, Any]) -> int:
        tag = (said["signals"].get(name) or {}).get("tag")
        return SILENT if tag is None else numbers.get(str(tag), SILENT)

    votes = np.column_stack([_with_silence(votes, numbers[NOTHING]), _of_models(found, tag_of)])
    truth = np.full(len(votes), SILENT, np.int32)
    truth[len(found.fired) :] = [tag_of(one.target) for one in found.texts.gold]
    return label_model.estimate(votes, len(numbers), gold=truth, believed=_before(found, len(own)))


def _entities(found: Found) -> Labelled:
    """Believe each rule by how many of its marks people marked alike; mark with those that are right often enough."""
    right, marked = np.zeros(len(found.rules)), np.zeros(len(found.rules))
    for at, _text, gold in _gold_spans(found):
        for start, end, number in found.gold_marks[at]:
            marked[number] += 1
            right[number] += (start, end, found.rules[number].label) in gold
    precision = (right + SMOOTHING * ACCURACY) / (marked + SMOOTHING)
    fires = {number for fired in found.fired for number in fired}
    types = sorted({rule.label for rule in found.rules})
    labels, unsure = [], 0
    for text, marks in zip(found.texts.unlabelled, found.marks, strict=True):
        kept = disjoint([mark for mark in marks if precision[mark[2]] >= found.task.weak_labels.min_probability])
        if kept:
            spans = [{"start": start, "end": end, "label": found.rules[number].label} for start, end, number in kept]
            probability = float(np.mean([precision[number] for _start, _end, number in kept]))
            labels.append(WeakLabel(text, {"spans": spans, "types": types}, probability))
        unsure += bool(marks) and not kept
    return Labelled(labels, [float(one) if at in fires else float("nan") for at, one in enumerate(precision)], unsure)


def _gold_spans(found: Found) -> Iterator[tuple[int, GoldText, set[tuple[int, int, str]]]]:
    for at, one in enumerate(found.texts.gold):
        if not one.target.get("partial"):
            yield at, one, {(span["start"], span["end"], span["label"]) for span in one.target["spans"]}


def right_of(found: Found, number: int) -> tuple[int, int]:
    """Return how many of a rule's findings people could judge, and how many of these they said too."""
    rule = found.rules[number]
    if found.task.kind == "ner":
        judged = [
            (start, end, rule.label) in gold
            for at, _text, gold in _gold_spans(found)
            for start, end, one in found.gold_marks[at]
            if one == number
        ]
    else:
        said = (
            said_by(rule, one.target, found.task.kind)
            for one, fired in zip(found.texts.gold, found.gold_fired, strict=True)
            if number in fired
        )
        judged = [one for one in said if one is not None]
    return len(judged), sum(judged)


def names_of(target: Mapping[str, Any], kind: str) -> list[str]:
    """Return what a weak label gives, as rules name it."""
    if kind == "signals":
        return [label_of(name, one["tag"]) for name, one in target["signals"].items()]
    if kind == "ner":
        return [span["label"] for span in target["spans"]]
    return [target["label"]] if kind == "classification" else list(target["labels"])


def _votes(found: Found, says: Sequence[int]) -> label_model.Votes:
    """Return what each rule says of each text, the labelled ones last, where rule number k says `says[k]`."""
    votes = np.full((len(found.fired) + len(found.gold_fired), len(found.rules)), SILENT, np.int32)
    for at, fired in enumerate((*found.fired, *found.gold_fired)):
        for number in fired:
            votes[at, number] = says[number]
    return votes


def _of_models(found: Found, says: Callable[[Mapping[str, Any]], int]) -> label_model.Votes:
    """Return what each version of the task's models says of each text, shape (texts, versions)."""
    every = [*found.texts.unlabelled, *(one.text for one in found.texts.gold)]
    votes = np.full((len(every), len(found.texts.answers)), SILENT, np.int32)
    for column, said in enumerate(found.texts.answers.values()):
        for at, text in enumerate(every):
            if text.text_sha256 in said:
                votes[at, column] = says(said[text.text_sha256])
    return votes


def _before(found: Found, rules: int) -> list[float]:
    """Return how far the sources of one decision are believed before anything is known: rules, their silence, models."""
    return [ACCURACY] * rules + [SILENCE] + [ACCURACY] * len(found.texts.answers)


def _believed(found: Found, precision: Sequence[label_model.Floats]) -> dict[str, float]:
    """Return how often each version is right, over all decisions that it takes part in."""
    versions = list(found.texts.answers)
    if not versions or not precision:
        return {}
    means = np.mean([one[-len(versions) :] for one in precision], axis=0)
    return {version: float(mean) for version, mean in zip(versions, means, strict=True)}


def _may_be_given(task: TaskSpec, name: str) -> bool:
    """Return whether a label that people or models brought, and no rule, may become a weak one."""
    return task.teaches(name) and name not in task.training.exclude_labels


def _with_silence(votes: label_model.Votes, label: int) -> label_model.Votes:
    """Return the votes with a further source: where no other finds anything, it says `label`."""
    silent = (votes == SILENT).all(axis=1)
    return np.column_stack([votes, np.where(silent, label, SILENT).astype(np.int32)])
