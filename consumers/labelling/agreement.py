"""How far annotators agree: percent agreement, and Krippendorff's alpha, which takes out what chance alone would give.

Alpha is 1 - observed / expected disagreement, with the difference of two answers 0 where their kind calls them the same and 1
elsewhere (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, the nominal form). A text with three answers
counts as three pairs. Where answers lie at places of
their own text, as entities do, two texts cannot share one by chance, and no alpha is given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from config.kinds import catalog as kinds
from config.kinds.kind import Target
from consumers.defence.agreement import relation
from consumers.labelling.offers import BySaid, Said
from consumers.rows.arriving.event_rows import canonical_json

_MOST_TEXTS = 500
"""The newest so many texts are compared."""
_OF_TWO = 4
"""All, each of two people, and their pair: the pair tells everything."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often people gave the same answer to the same text."""

    between: tuple[str, ...]
    """Two people; one, with all others; none: everybody."""
    compared: int
    """Pairs of answers."""
    same: int
    alpha: float | None
    """None where it says nothing: with no difference to expect, or where answers lie at places of their text."""

    @property
    def share(self) -> float:
        """The share of pairs that say the same, 0..1."""
        return self.same / self.compared


def agreements(said: Sequence[Said]) -> list[Agreement]:
    """Return the agreement of all, then of each person with the others, then of each pair; none where no text has two answers.

    `said` is oldest first; of one person the newest counts, and what was said to settle a difference does not.
    """
    by_text = BySaid.among([one for one in said if not one.settles]).of
    texts = [tuple(people.values()) for people in by_text.values() if len(people) > 1][-_MOST_TEXTS:]
    pairs = [(one, other) for people in texts for one, other in combinations(sorted(people, key=lambda one: one.annotator), 2)]
    if not pairs:
        return []
    groups: dict[tuple[str, ...], list[tuple[Said, Said]]] = defaultdict(list)
    for one, other in pairs:
        groups[()].append((one, other))
        groups[one.annotator,].append((one, other))
        groups[other.annotator,].append((one, other))
        groups[one.annotator, other.annotator].append((one, other))
    if len(groups) == _OF_TWO:
        return [_agreement(group, members) for group, members in groups.items() if len(group) > 1]
    return [_agreement(group, groups[group]) for group in sorted(groups, key=lambda group: (len(group), group))]


def _agreement(between: tuple[str, ...], pairs: Sequence[tuple[Said, Said]]) -> Agreement:
    same = sum(relation(one.target, other.target) == "same" for one, other in pairs)
    return Agreement(between, len(pairs), same, _alpha([(one.target, other.target) for one, other in pairs]))


def _alpha(pairs: Sequence[tuple[Target, Target]]) -> float | None:
    """Return alpha over pairs of answers to one text each."""
    if any(kinds.of(target).positional for pair in pairs for target in pair):
        return None
    observed = sum(relation(one, other) != "same" for one, other in pairs) / len(pairs)
    expected = _expected(target for pair in pairs for target in pair)
    return None if not expected else 1 - observed / expected


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
