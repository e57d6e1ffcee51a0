"""How far annotators agree: percent agreement, and Krippendorff's alpha, which takes out what chance alone would give.

Alpha is 1 - observed / expected disagreement (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011): each pair of
answers to one text counts 1 / (answers to it - 1), and what is expected comes from all answers, whatever text they are of.
Nominal: two answers differ by 0 where their kind calls them the same, and by 1 elsewhere. Interval, of each dimension where
answers are numbers: by the square of their distance. Where answers lie at places of their own text, as entities do, two texts
cannot share one by chance, and no alpha is given.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from config.kinds import catalog as kinds
from config.kinds.kind import Target
from config.kinds.regression.dimensions import VALUES
from consumers.defence.agreement import relation
from consumers.labelling.offers import BySaid, Said
from consumers.rows.arriving.event_rows import canonical_json

_MOST_TEXTS = 500
"""The newest so many texts are compared."""
_OF_TWO = 4
"""All, each of two people, and their pair: the pair tells everything."""


@dataclass(frozen=True, slots=True)
class OfNumbers:
    """How far people agree in one dimension."""

    name: str
    alpha: float | None
    """Krippendorff's, interval; None where all numbers are the same."""
    apart: float
    """Mean distance of two answers to one text, in the unit of the dimension."""
    pairs: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often people gave the same answer to the same text."""

    between: tuple[str, ...]
    """Two people; one, with all others; none: everybody."""
    compared: int
    """Pairs of answers."""
    same: int
    alpha: float | None
    """Nominal. None where it says nothing: with no difference to expect, or where answers lie at places of their text."""
    numbers: tuple[OfNumbers, ...] = ()
    """By dimension, where answers are numbers."""

    @property
    def share(self) -> float:
        """The share of pairs that say the same, 0..1."""
        return self.same / self.compared


Units = Sequence[Sequence[Target]]
"""What was said of each text: two answers or more."""


def agreements(said: Sequence[Said]) -> list[Agreement]:
    """Return the agreement of all, then of each person with the others, then of each pair; none where no text has two answers.

    `said` is oldest first; of one person the newest counts, and what was said to settle a difference does not.
    """
    by_text = BySaid.among([one for one in said if not one.settles]).of
    texts = [tuple(people.values()) for people in by_text.values() if len(people) > 1][-_MOST_TEXTS:]
    if not texts:
        return []
    groups: dict[tuple[str, ...], list[Sequence[Target]]] = defaultdict(list)
    for people in texts:
        groups[()].append([one.target for one in people])
        for one, other in combinations(sorted(people, key=lambda one: one.annotator), 2):
            pair = (one.target, other.target)
            for group in ((one.annotator,), (other.annotator,), (one.annotator, other.annotator)):
                groups[group].append(pair)
    if len(groups) == _OF_TWO:
        return [_agreement(group, units) for group, units in groups.items() if len(group) > 1]
    return [_agreement(group, groups[group]) for group in sorted(groups, key=lambda group: (len(group), group))]


def _agreement(between: tuple[str, ...], units: Units) -> Agreement:
    pairs = [pair for unit in units for pair in combinations(unit, 2)]
    same = sum(relation(one, other) == "same" for one, other in pairs)
    return Agreement(between, len(pairs), same, nominal_alpha(units), tuple(_numbers(units)))


def nominal_alpha(units: Units) -> float | None:
    """Return alpha over what was said of each text; None where no difference is to be expected, or answers lie at places."""
    if any(kinds.of(target).positional for unit in units for target in unit):
        return None
    targets = [target for unit in units for target in unit]
    observed = 0.0
    for unit in units:
        differing = sum(relation(one, other) != "same" for one, other in combinations(unit, 2))
        observed += 2 * differing / (len(unit) - 1)
    expected = _expected(targets)
    return None if not expected else 1 - observed / len(targets) / expected


def _expected(targets: Iterable[Target]) -> float:
    """Return the share of differing pairs among all answers, whatever text they are of."""
    counts: dict[str, int] = defaultdict(int)
    by_key: dict[str, Mapping[str, object]] = {}
    for target in targets:
        key = canonical_json(target)
        counts[key] += 1
        by_key[key] = target
    total = sum(counts.values())
    differing = sum(
        counts[one] * counts[other] for one, other in combinations(counts, 2) if relation(by_key[one], by_key[other]) != "same"
    )
    return 2 * differing / (total * (total - 1))


def interval_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Return alpha over numbers that were given to each text; texts with one number count for nothing.

    None where no text has two numbers, or all are the same.
    """
    units = [unit for unit in units if len(unit) > 1]
    every = [value for unit in units for value in unit]
    if not every or min(every) == max(every):
        return None
    # From the mean, and by the spread: squares of large numbers that lie close together would lose all their digits.
    centre, spread = math.fsum(every) / len(every), max(every) - min(every)
    if not math.isfinite(spread):
        return None
    scaled = [[(value - centre) / spread for value in unit] for unit in units]
    observed = math.fsum(_squares(unit) / (len(unit) - 1) for unit in scaled) / len(every)
    expected = _squares([value for unit in scaled for value in unit]) / (len(every) * (len(every) - 1))
    return 1 - observed / expected if expected else None


def _squares(values: Sequence[float]) -> float:
    """Return the sum of squared differences over all ordered pairs."""
    mean = math.fsum(values) / len(values)
    return 2 * len(values) * math.fsum((value - mean) ** 2 for value in values)


def _numbers(units: Units) -> Iterable[OfNumbers]:
    """Yield the agreement in each dimension, by name; none where answers are no numbers."""
    by_name: dict[str, list[list[float]]] = defaultdict(list)
    for unit in units:
        told: dict[str, list[float]] = defaultdict(list)
        for target in unit:
            for name, value in target.get(VALUES, {}).items():
                if value is not None:
                    told[name].append(float(value))
        for name, values in told.items():
            if len(values) > 1:
                by_name[name].append(values)
    for name in sorted(by_name):
        apart = [abs(one - other) for values in by_name[name] for one, other in combinations(values, 2)]
        yield OfNumbers(name, interval_alpha(by_name[name]), math.fsum(apart) / len(apart), len(apart))
