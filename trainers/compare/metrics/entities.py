"""Entities that a text holds and a model found: true and false positives, false negatives, and the two usual kinds of error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SpanKey = tuple[int, int, str]
"""Start, end (exclusive, code points) and type."""


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives and false negatives, and the ratios made of them (0 where undefined)."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def support(self) -> int:
        """How many there are in the gold rows."""
        return self.true_positive + self.false_negative

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of what is there that was found."""
        return _ratio(self.true_positive, self.support)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)


@dataclass(frozen=True, slots=True)
class EntityScores:
    """Entities over many texts; an entity is right when start, end and type all are (CoNLL-2003 shared task)."""

    overall: Counts
    per_type: Mapping[str, Counts]
    boundary_errors: int
    """Missed entities that were found with the right type at another place that overlaps."""
    type_errors: int
    """Missed entities that were found at the right place with another type."""


def spans_of(target: Mapping[str, Any]) -> frozenset[SpanKey]:
    """Return the spans of a target or an answer in wire form (`{"spans": [{"start", "end", "label"}]}`)."""
    return frozenset((int(span["start"]), int(span["end"]), str(span["label"])) for span in target["spans"])


def entity_counts(gold: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Counts]:
    """Return the counts of one text, per entity type.

    Of a partial gold target only the listed spans are known, so a found entity that touches none of them counts for nothing; nor
    does one that touches nothing of a whole target but its `unknown` parts, nor one of a type outside the target's `scope`, which
    whoever marked the text did not know.
    """
    expected, found = spans_of(gold), _known(spans_of(answer), gold)
    counts: dict[str, Counts] = {}
    for label in sorted({span[2] for span in expected | found}):
        mine = {span for span in expected if span[2] == label}
        theirs = {span for span in found if span[2] == label}
        counts[label] = Counts(len(mine & theirs), len(theirs - mine), len(mine - theirs))
    return counts


def entity_scores(golds: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> EntityScores:
    """Return entity precision, recall and F1 over all texts and per type, with the two usual kinds of error counted."""
    per_type: defaultdict[str, Counts] = defaultdict(Counts)
    boundary_errors = type_errors = 0
    for gold, answer in zip(golds, answers, strict=True):
        for label, counts in entity_counts(gold, answer).items():
            per_type[label] += counts
        expected, found = spans_of(gold), spans_of(answer)
        for start, end, label in expected - found:
            wrong = found - expected
            type_errors += any(other[:2] == (start, end) for other in wrong)
            boundary_errors += any(other[2] == label and other[0] < end and start < other[1] for other in wrong)
    return EntityScores(sum(per_type.values(), Counts()), dict(sorted(per_type.items())), boundary_errors, type_errors)


def _known(found: frozenset[SpanKey], gold: Mapping[str, Any]) -> frozenset[SpanKey]:
    """Return the answers in the parts of the text that gold covers."""
    expected = spans_of(gold)
    if (scope := gold.get("scope")) is not None:
        meant = {*scope, *(label for _, _, label in expected)}
        found = frozenset(span for span in found if span[2] in meant)
    if gold.get("partial", False):
        return frozenset(span for span in found if _touches_any(span, expected))
    unknown = [(start, end) for start, end in gold.get("unknown", ())]
    return frozenset(span for span in found if not _touches_any(span, unknown) or _touches_any(span, expected))


def _touches_any(span: SpanKey, others: Iterable[tuple[Any, ...]]) -> bool:
    return any(span[0] < other[1] and other[0] < span[1] for other in others)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
