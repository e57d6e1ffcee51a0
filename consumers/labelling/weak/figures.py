"""What is told of a task's rules: how much each finds, with which it conflicts, how often people agree, and what to look at."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from config.task_files.sections.weak_labels import RuleOf
from config.words import counted
from consumers.labelling.weak.labelling import Found, Labelled, names_of, right_of
from perennial_artifact.keywords import NOTHING

_ONE_SOURCE = 0.9
"""Share of a label's texts from one publisher from which a model may learn the publisher."""
_LEAST_TEXTS = 20
"""Texts of a label below which its publishers say nothing."""


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """One rule, on the texts that nobody has labelled."""

    name: str
    label: str
    found: int
    """Texts in which it finds something."""
    coverage: float
    """Share of the texts, 0..1."""
    overlaps: int
    """Texts in which another rule (of the same category) finds something too."""
    conflicts: int
    """Of these the ones in which another rule says something else; of entities, of the same words."""
    judged: int
    """Its findings on texts that people labelled."""
    accuracy: float | None
    """Share of these that people said too; None without any."""
    precision: float | None
    """How often it is right by the label model; None where it finds nothing."""
    stopped: int
    """Texts on which one of its patterns took too long."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All rules of a task."""

    task: str
    texts: int
    """Articles of the train side that nobody has labelled."""
    covered: int
    """Of these the ones in which any rule finds something."""
    labelled: int
    """Texts that get a weak label."""
    unsure: int
    """Texts whose label is not probable enough (`weak_labels.min_probability`)."""
    conflicts: int
    """Texts in which rules disagree."""
    people: int
    """Articles left out because people have spoken of them."""
    gold: int
    """Texts with labels of people by which rules are judged, of the train side."""
    unenriched: int
    """Articles that could not be looked at yet."""
    labels: Mapping[str, int]
    """Texts that get each label, most frequent first."""
    rules: Sequence[RuleFigures]
    models: Mapping[str, float]
    """By version of the task's models how often its answers are right by the label model; empty where they take no part."""
    warnings: Sequence[str]


def figures(found: Found, labelled: Labelled) -> Figures:
    """Return what is told of the rules of a task."""
    counts: Counter[str] = Counter()
    for one in labelled.labels:
        counts.update(set(names_of(one.target, found.task.kind)))
    meets = list(_meetings(found))
    rules = [_of_rule(found, labelled, number, meets) for number in range(len(found.rules))]
    seen = Figures(
        task=found.task.name, texts=len(found.fired), covered=sum(map(bool, found.fired)), labelled=len(labelled.labels),
        unsure=labelled.unsure, conflicts=sum(bool(against) for _with, against in meets), people=found.texts.labelled,
        gold=len(found.texts.gold), unenriched=found.texts.unenriched,
        labels=dict(counts.most_common()), rules=rules, models=labelled.models, warnings=(),
    )  # fmt: skip
    return replace(seen, warnings=tuple(_warnings(seen, found, labelled)))


def _of_rule(found: Found, labelled: Labelled, number: int, meets: Sequence[tuple[set[int], set[int]]]) -> RuleFigures:
    rule = found.rules[number]
    finds = sum(number in fired for fired in found.fired)
    judged, right = right_of(found, number)
    precision = labelled.precision[number] if labelled.precision else math.nan
    return RuleFigures(
        name=rule.name, label=f"{rule.group}:{rule.label}" if rule.group else rule.label, found=finds,
        coverage=finds / len(found.fired) if found.fired else 0.0, overlaps=sum(number in both for both, _ in meets),
        conflicts=sum(number in against for _, against in meets), judged=judged,
        accuracy=right / judged if judged else None, precision=None if math.isnan(precision) else precision,
        stopped=found.stopped.get(number, 0),
    )  # fmt: skip


def _meetings(found: Found) -> Iterator[tuple[set[int], set[int]]]:
    """Yield for each text the rules that meet another one there, and those that contradict another one."""
    kind = found.task.kind
    for at, fired in enumerate(found.fired):
        met: set[int] = set()
        against: set[int] = set()
        for one, other in _pairs(found, at, fired):
            met |= {one, other}
            # A text may have several labels: rules of two of them do not disagree.
            if kind != "multilabel" and found.rules[one].label != found.rules[other].label:
                against |= {one, other}
        yield met, against


def _pairs(found: Found, at: int, fired: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of rules that speak of the same thing: of one category, of one label, of the same words."""
    if found.task.kind == "ner":
        marks = sorted(found.marks[at])
        for place, (start, end, one) in enumerate(marks):
            for begin, _end, other in marks[place + 1 :]:
                if begin >= end:
                    break
                if one != other and start < _end:
                    yield one, other
        return
    by_group: dict[str, list[int]] = defaultdict(list)
    for number in fired:
        rule = found.rules[number]
        by_group[rule.label if found.task.kind == "multilabel" else rule.group].append(number)
    for together in by_group.values():
        # Neighbours in the order of their labels suffice: whoever disagrees with anybody is in such a pair with one of them.
        for one in together[1:]:
            yield together[0], one
        for one, other in _unlike(found.rules, together):
            yield one, other


def _unlike(rules: Sequence[RuleOf], together: Sequence[int]) -> Iterator[tuple[int, int]]:
    first_of: dict[str, int] = {}
    for number in together:
        first_of.setdefault(rules[number].label, number)
    for number in together:
        for name, first in first_of.items():
            if name != rules[number].label:
                yield number, first


def _warnings(seen: Figures, found: Found, labelled: Labelled) -> Iterator[str]:
    if not found.rules:
        yield f"the file of task {seen.task} has no rules; list some under weak_labels (docs/weak-labels.md)"
        return
    if not seen.texts:
        yield "there is no article without a label to look at: import some, without --task"
        return
    for number, one in enumerate(seen.rules):
        if one.stopped:
            off = "; its patterns were switched off after that" if number in found.off else ""
            yield f"rule {one.name}: a pattern took too long on {counted(one.stopped, 'text')}, of which it says nothing{off}"
        if one.found == 0:
            yield f"rule {one.name} finds nothing"
        elif one.found == seen.texts and seen.texts > 1:
            yield f"rule {one.name} finds something in every text, so it tells nothing apart"
        elif one.accuracy is not None and one.judged >= _LEAST_TEXTS and one.accuracy < 0.5:  # noqa: PLR2004 - rather wrong than right
            yield f"rule {one.name} is wrong more often than right: people agree with {one.accuracy:.0%} of {one.judged}"
    yield from _of_labels(seen, found)
    yield from _of_sources(found, labelled)


def _of_labels(seen: Figures, found: Found) -> Iterator[str]:
    task = found.task
    ruled = {f"{rule.group}:{rule.label}" if rule.group else rule.label for rule in found.rules}
    given = {*ruled, *([task.weak_labels.otherwise] if task.weak_labels.otherwise else [])}
    if without := [name for name in task.label_names if name not in given]:
        yield f"no rule gives {', '.join(without)}, so a model does not learn that without labels of people"
    least = task.new_label_min_examples
    for name in sorted(given):
        count = seen.labels.get(name, 0)
        if 0 < count < least:
            yield f"label {name} has {counted(count, 'text')}, too few to learn it from ({least} are needed); widen its rules"
    said = [name for name in seen.labels if name.rpartition(":")[2] != NOTHING or task.kind != "signals"]
    if len(said) == 1 and task.kind == "classification":
        yield f"every labelled text has label {said[0]}; a model needs a second one: add rules, or weak_labels.otherwise"


def _of_sources(found: Found, labelled: Labelled) -> Iterator[str]:
    """Warn of labels whose texts nearly all have one publisher (or source), which the texts as a whole have not."""
    kind = found.task.kind
    everywhere = Counter(text.publisher or text.source for text in found.texts.unlabelled)
    of_label: dict[str, Counter[str]] = defaultdict(Counter)
    for one in labelled.labels:
        for name in dict.fromkeys(names_of(one.target, kind)):
            if kind != "signals" or not name.endswith(f":{NOTHING}"):
                of_label[name][one.text.publisher or one.text.source] += 1
    for name, publishers in sorted(of_label.items()):
        [(most, count)] = publishers.most_common(1)
        texts = publishers.total()
        if (
            texts >= _LEAST_TEXTS
            and most
            and count / texts >= _ONE_SOURCE
            and everywhere[most] / everywhere.total() < _ONE_SOURCE
        ):
            yield (
                f"label {name}: {count} of its {texts} texts are from {most!r}, so a model may learn the source in the place of "
                "the label; add rules that find it elsewhere, or texts of other sources"
            )
