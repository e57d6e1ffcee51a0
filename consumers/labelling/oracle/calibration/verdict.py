"""Whether a prompt may label: PASS, REVIEW or FAIL with reasons, from what the oracle said of a sample. Pure.

What can be checked without people: that answers come and fit, that they tell texts apart, that they meet the rules where these
are clear. Where people labelled, agreement with them, by label or dimension. A fresh sample that does worse than the first says
that the prompt was fitted to the first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from config.task_files.sections.oracle import names_of
from config.tasks import TaskSpec
from config.words import counted
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.calibration.samples import Drawn
from consumers.labelling.oracle.problems import Problem
from perennial_artifact.keywords import NOTHING

Verdict = Literal["PASS", "REVIEW", "FAIL"]

LEAST_TEXTS = 20
"""Answers below which a sample says too little to pass."""
_REFUSED_FAIL, _REFUSED_REVIEW = 0.10, 0.02
_LEAST_OF_NAME = 5
"""Texts of a label from which its agreement is told and may ask for a review."""
_FAIL_BELOW = 2 / 3
"""Of `min_agreement`: agreement with people below that is FAIL."""
_ERROR_REVIEW, _ERROR_FAIL = 0.15, 0.30
"""Mean error of a dimension, as a share of its range."""
_BY_RULES = 1 / 3
_DROP, _Z = 0.05, 1.645
"""A fresh sample is worse where a share falls by more than this and a one-sided test of two proportions at 5 % says so."""
_HALF = 0.5
_MOST_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    right: int = 0
    of: int = 0

    @property
    def value(self) -> float:
        """The share; 1 of none."""
        return self.right / self.of if self.of else 1.0


@dataclass(frozen=True, slots=True)
class NameFigures:
    """One label, tag or dimension."""

    name: str
    said: int
    """Texts of which the oracle says it."""
    by_rules: Share
    """Of the texts in which rules alone find it, those of which the oracle says it."""
    recall: Share
    """Of what people said, what the oracle says too; of entities mentions, else texts."""
    precision: Share
    """Of what the oracle says of texts that people labelled, what people said too."""
    error: float | None = None
    """Of a dimension: mean distance from people's numbers, as a share of its range."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text to look at: the oracle's answer and what speaks against it. Without words of the text."""

    text_sha256: str
    stratum: str
    why: str
    said: Mapping[str, Any] | None = None
    expected: Any = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found on a sample."""

    verdict: Verdict
    reasons: Sequence[str]
    strata: Mapping[str, int]
    accepted: Share
    rules: Share
    gold: Share
    refused: Mapping[str, int]
    """By what was wrong."""
    names: Sequence[NameFigures] = ()
    examples: Sequence[Example] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)


Answered = tuple[Drawn, Said | Problem]


def judge(task: TaskSpec, answers: Sequence[Answered]) -> Judgement:
    """Return what a sample says of a prompt."""
    said = [(drawn, answer) for drawn, answer in answers if isinstance(answer, Said)]
    strata: Counter[str] = Counter(drawn.stratum for drawn, _ in answers)
    refused: Counter[str] = Counter(answer.what for _drawn, answer in answers if isinstance(answer, Problem))
    gold = [(drawn, answer) for drawn, answer in said if drawn.gold is not None]
    by_rules = [(drawn, answer) for drawn, answer in said if drawn.stratum == "on topic" and drawn.expected]
    names = list(_figures(task, said))
    found = Judgement(
        verdict="PASS", reasons=(), strata=dict(strata),
        accepted=Share(len(said), len(answers)), rules=_share(_meets_rules(task, *one) for one in by_rules),
        gold=_share(agrees(task, one.target, drawn.gold or {}) for drawn, one in gold), refused=dict(refused), names=names,
    )  # fmt: skip
    problems = [*_of_answers(found), *_of_telling_apart(task, said), *_of_gold(task, found), *_of_names(task, found)]
    verdict: Verdict = "FAIL" if any(bad for bad, _ in problems) else "REVIEW" if problems else "PASS"
    examples = tuple(_examples(task, answers))[:_MOST_EXAMPLES]
    return replace(found, verdict=verdict, reasons=tuple(why for _, why in problems), examples=examples)


def worse(first: Mapping[str, Any], fresh: Judgement) -> list[str]:
    """Return in what a fresh sample is worse than the first one (as JSON holds that): then the prompt is over-fitted."""
    found = []
    for name, what in (("accepted", "answers that fit"), ("rules", "agreement with rules"), ("gold", "agreement with people")):
        before, now = Share(**first[name]), getattr(fresh, name)
        if _fell(before, now):
            told = f"{before.right} of {before.of} on the first sample, {now.right} of {now.of} on the fresh one"
            found.append(f"{what} falls ({told}): the prompt is over-fitted to the first sample; make it simpler")
    return found


def with_reasons(found: Judgement, reasons: Sequence[str]) -> Judgement:
    """Return a judgement that fails for further reasons, where there are some."""
    return replace(found, verdict="FAIL", reasons=(*reasons, *found.reasons)) if reasons else found


def _fell(before: Share, now: Share) -> bool:
    if not before.of or not now.of or before.value - now.value <= _DROP:
        return False
    pooled = (before.right + now.right) / (before.of + now.of)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / before.of + 1 / now.of))
    return deviation > 0 and (before.value - now.value) / deviation > _Z


def agrees(task: TaskSpec, said: Mapping[str, Any], gold: Mapping[str, Any]) -> bool:
    """Return whether two targets agree: one label the same, of several at least half (F1), numbers near each other."""
    if task.kind == "regression":
        errors = [error for name in _ranges(task) if (error := _error(task, name, said, gold)) is not None]
        return not errors or sum(errors) / len(errors) <= _ERROR_REVIEW
    one, other = _units(task, said, gold), _units(task, gold, said)
    return one == other if task.kind == "classification" else _f1(one, other) >= _HALF


def _f1(one: set[tuple[str, str]], other: set[tuple[str, str]]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def _units(task: TaskSpec, target: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> set[tuple[str, str]]:
    """Return what a target says, as pairs of a name and a place; of signals in the categories of which `other` speaks too."""
    if task.kind == "classification":
        return {(target["label"], "")}
    if task.kind == "multilabel":
        return {(name, "") for name in target["labels"]}
    if task.kind == "ner":
        known = (other or {}).get("types")
        spans = [span for span in target["spans"] if known is None or span["label"] in known]
        return {(span["label"], f"{span['start']}-{span['end']}") for span in spans}
    if task.kind == "signals":
        told = target["signals"].items()
        spoken = None if other is None else {name for name, one in other["signals"].items() if one and one.get("tag")}
        return {
            (f"{name}:{one['tag']}", "")
            for name, one in told
            if one and one.get("tag") not in (None, NOTHING) and (spoken is None or name in spoken)
        }
    return set()


def _meets_rules(task: TaskSpec, drawn: Drawn, said: Said) -> bool:
    names = {name for name, _ in _units(task, said.target)}
    return bool(names & drawn.expected)


def _share(facts: Iterator[bool]) -> Share:
    every = list(facts)
    return Share(sum(every), len(every))


def _ranges(task: TaskSpec) -> dict[str, float]:
    return {one.name: one.high - one.low for one in task.dimensions}


def _error(task: TaskSpec, name: str, said: Mapping[str, Any], gold: Mapping[str, Any]) -> float | None:
    one, other = said["values"].get(name), gold["values"].get(name)
    return None if one is None or other is None else float(abs(one - other)) / _ranges(task)[name]


def _figures(task: TaskSpec, said: Sequence[tuple[Drawn, Said]]) -> Iterator[NameFigures]:
    for name in names_of(task):
        if name.endswith(f":{NOTHING}") and task.kind == "signals":
            continue
        if task.kind == "regression":
            errors = [
                error for drawn, one in said if drawn.gold and (error := _error(task, name, one.target, drawn.gold)) is not None
            ]
            mean = sum(errors) / len(errors) if errors else None
            yield NameFigures(name, len(said), Share(), Share(0, 0), Share(0, len(errors)), mean)
            continue
        says = [any(name == unit for unit, _ in _units(task, one.target)) for _drawn, one in said]
        by_rules = _share(
            says[at] for at, (drawn, _) in enumerate(said) if drawn.expected == {name} and drawn.stratum == "on topic"
        )
        both = ours = theirs = 0
        for drawn, one in said:
            if drawn.gold is not None:
                mine = {unit for unit in _units(task, one.target, drawn.gold) if unit[0] == name}
                people = {unit for unit in _units(task, drawn.gold, one.target) if unit[0] == name}
                both, ours, theirs = both + len(mine & people), ours + len(mine), theirs + len(people)
        yield NameFigures(name, sum(says), by_rules, Share(both, theirs), Share(both, ours))


_Problems = Iterator[tuple[bool, str]]
"""Whether it fails for that, and why."""


def _of_answers(found: Judgement) -> _Problems:
    refused = 1.0 - found.accepted.value
    if refused > _REFUSED_REVIEW:
        what = ", ".join(f"{name} {count}" for name, count in sorted(found.refused.items()))
        yield refused > _REFUSED_FAIL, f"{refused:.0%} of {counted(found.accepted.of, 'answer')} are refused ({what})"
    if found.accepted.right < LEAST_TEXTS:
        yield False, f"only {counted(found.accepted.right, 'answer')}; fewer than {LEAST_TEXTS} say too little"


def _of_telling_apart(task: TaskSpec, said: Sequence[tuple[Drawn, Said]]) -> _Problems:
    if len(said) < LEAST_TEXTS:
        return
    if task.kind == "regression":
        for name in _ranges(task):
            if len({one.target["values"][name] for _, one in said}) == 1:
                yield True, f"{name}: every text gets the same number"
        return
    if task.kind != "ner" and len({tuple(sorted(_units(task, one.target))) for _, one in said}) == 1:
        yield True, "every text gets the same answer"
    # What stands for "nothing of this" is no sign of a label off topic.
    other = {(task.weak_labels.otherwise, "")} if task.weak_labels.otherwise else set()
    if task.kind == "classification" and not other:
        return
    some = {
        stratum: [bool(_units(task, one.target) - other) for drawn, one in said if drawn.stratum == stratum]
        for stratum in ("on topic", "off topic")
    }
    on, off = some["on topic"], some["off topic"]
    if len(on) >= _LEAST_OF_NAME and len(off) >= _LEAST_OF_NAME and sum(off) / len(off) >= sum(on) / len(on):
        yield False, f"texts off topic get a label as often ({sum(off)} of {len(off)}) as those on topic ({sum(on)} of {len(on)})"


def _of_gold(task: TaskSpec, found: Judgement) -> _Problems:
    least = task.oracle.calibration.min_agreement
    if found.gold.of >= _LEAST_OF_NAME and found.gold.value < least:
        told = f"agreement with people is {found.gold.value:.0%} of {counted(found.gold.of, 'text')}, below {least:.0%}"
        yield found.gold.value < _FAIL_BELOW * least, told


def _of_names(task: TaskSpec, found: Judgement) -> _Problems:
    least = task.oracle.calibration.min_agreement
    for one in found.names:
        if one.error is not None and one.precision.of >= _LEAST_OF_NAME and one.error > _ERROR_REVIEW:
            yield one.error > _ERROR_FAIL, f"{one.name}: {one.error:.0%} of its range away from people's numbers on average"
        if one.by_rules.of >= _LEAST_OF_NAME and one.by_rules.value < _BY_RULES:
            yield (
                False,
                f"{one.name}: said of {one.by_rules.right} of {one.by_rules.of} texts in which only its rules find something",
            )
        for what, share in (("recall", one.recall), ("precision", one.precision)):
            if one.error is None and share.of >= _LEAST_OF_NAME and share.value < least:
                yield (
                    False,
                    f"{one.name}: {what} {share.value:.0%} ({share.right} of {share.of}) beside people, below {least:.0%}",
                )


def _examples(task: TaskSpec, answers: Sequence[Answered]) -> Iterator[Example]:
    """Yield texts to look at: what contradicts people first, then refused answers, then what contradicts rules."""
    ranked: list[tuple[int, Example]] = []
    for drawn, answer in answers:
        sha, stratum = drawn.text.text_sha256, drawn.stratum
        if isinstance(answer, Problem):
            ranked.append((1, Example(sha, stratum, f"refused: {answer.message}")))
        elif drawn.gold is not None and not agrees(task, answer.target, drawn.gold):
            ranked.append((0, Example(sha, stratum, "people say otherwise", answer.target, dict(drawn.gold))))
        elif drawn.stratum == "on topic" and drawn.expected and not _meets_rules(task, drawn, answer):
            ranked.append((2, Example(sha, stratum, "rules say otherwise", answer.target, sorted(drawn.expected))))
    yield from (one for _, one in sorted(ranked, key=lambda pair: (pair[0], pair[1].text_sha256)))
