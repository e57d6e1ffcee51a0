"""Whether two people, or a person and a model, found the same entities in a text; and what one changed of the other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.kinds.kind import NOTHING, UNKNOWN, Answer, Relation, Target

Mark = tuple[int, int, str]
"""Start, end and label of a span."""

_SAME_F1 = 0.8
_CONTRARY_F1 = 0.5


def relation(one: Target, other: Target) -> Relation:
    """Return how two targets of one text relate.

    Contrary when two spans that overlap bear different labels, or when fewer than half of the spans are shared (F1 of exact
    spans below 0.5); the same from 0.8 on. A partial target is compared only where it speaks.
    """
    all_ones, all_others = marks(one), marks(other)
    ones = _where(all_ones, all_others) if other.get("partial") else all_ones
    others = _where(all_others, all_ones) if one.get("partial") else all_others
    if not ones and not others and (one.get("partial") or other.get("partial")):
        return "unlike"
    if any(left[2] != right[2] for left, right in overlapping(ones, others)):
        return "contrary"
    f1 = 2 * len(set(ones) & set(others)) / (len(ones) + len(others)) if ones or others else 1.0
    return "same" if f1 >= _SAME_F1 else "contrary" if f1 < _CONTRARY_F1 else "unlike"


def moves(answer: Answer | None, target: Target) -> set[tuple[str, str]]:
    """Return which types a correction gives to spans that had another type, or that were not found at all, or takes from them."""
    if answer is None:
        return {(UNKNOWN, label) for _, _, label in marks(target)}
    shown, said = marks(answer), marks(target)
    pairs = list(overlapping(shown, said))
    changed = {(old[2], new[2]) for old, new in pairs if old[2] != new[2]}
    met_shown, met_said = {old for old, _ in pairs}, {new for _, new in pairs}
    added = {(NOTHING, new[2]) for new in said if new not in met_said}
    removed = set() if target.get("partial") else {(old[2], NOTHING) for old in shown if old not in met_shown}
    return changed | added | removed


def marks(target: Target) -> list[Mark]:
    """Return the spans of a target in order; spans of one target never overlap."""
    return sorted((span["start"], span["end"], span["label"]) for span in target["spans"])


def overlapping(ones: Sequence[Mark], others: Sequence[Mark]) -> Iterator[tuple[Mark, Mark]]:
    """Yield the pairs of spans that overlap; both sequences are in order."""
    at = 0
    for one in ones:
        while at < len(others) and others[at][1] <= one[0]:
            at += 1
        behind = at
        while behind < len(others) and others[behind][0] < one[1]:
            yield one, others[behind]
            behind += 1


def _where(chosen: Sequence[Mark], spoken: Sequence[Mark]) -> list[Mark]:
    """Return those of `chosen` that overlap one of `spoken`, in order."""
    return sorted({one for one, _ in overlapping(chosen, spoken)})
