"""Annotators who label everything alike: so often the same answer that chance does not explain it beside what others say. Pure.

Whoever clicks the first label through teaches a model that label, and agrees well with others where it is frequent.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.kinds import catalog as kinds
from config.kinds.kind import Target
from consumers.labelling.offers import Said
from consumers.rows.arriving.event_rows import canonical_json
from consumers.rows.eligibility import CHOSEN, WITHHELD

_LEAST = 10
"""Answers of a person below which nothing is said."""
_LEAST_OF_OTHERS = 10
_ALIKE = 0.9
"""The share of a person's answers that are the same, from which on they may be one-sided ..."""
_CHANCE = 0.001
"""... where so many are seen less often than this, if they answered as the others do."""


@dataclass(frozen=True, slots=True)
class OneSided:
    """A person whose answers are nearly all the same."""

    annotator: str
    answer: Target
    """The answer, or what stands for it: of entities the types alone."""
    words: str
    """It, in words."""
    same: int
    of: int
    others: int
    """Answers of the others that are the same."""
    of_others: int
    chance: float
    """How often chance gives as many, if this person answered as the others do."""

    @property
    def told(self) -> str:
        """In one sentence, with what to do."""
        beside = f"others in {self.others / self.of_others:.0%} of {self.of_others:,}"
        return (
            f"{self.annotator} answered {self.words} in {self.same:,} of {self.of:,} texts ({self.same / self.of:.0%}; "
            f"{beside}): look at some of these texts (the desk's lane Adjudication, where two people differ), and ask them to "
            "label anew or let others label the same texts"
        )


def one_sided(said: Sequence[Said]) -> list[OneSided]:
    """Return the people whose answers are nearly all the same, by name.

    A person's answer to a text counts once, the newest; so few of others that nobody knows what is usual accuse nobody.
    """
    # What a model chose, or two models differ about, may well be of one label.
    fair = [one for one in said if one.selected_by not in (CHOSEN, WITHHELD)]
    newest: dict[tuple[str, str], Said] = {(one.annotator, one.text_sha256): one for one in fair}
    by_person: dict[str, Counter[str]] = defaultdict(Counter)
    for one in newest.values():
        by_person[one.annotator][_key(one.target)] += 1
    every = sum(by_person.values(), Counter[str]())
    found = []
    for person in sorted(by_person):
        own = by_person[person]
        answer, same = max(own.items(), key=lambda pair: (pair[1], pair[0]))
        count, others = own.total(), every[answer] - same
        of_others = every.total() - count
        if count < _LEAST or same < _ALIKE * count or of_others < _LEAST_OF_OTHERS:
            continue
        # The rule of succession: that others never said it is no proof that they never would.
        chance = binomial_tail(same, count, (1 + others) / (2 + of_others))
        if chance < _CHANCE:
            target: Mapping[str, object] = json.loads(answer)
            found.append(OneSided(person, target, _words(target), same, count, others, of_others, chance))
    return found


def binomial_tail(least: int, of: int, share: float) -> float:
    """Return how probable `least` or more of `of` are, each with probability `share` (0 to 1, both excluded)."""
    if least == 0:
        return 1.0
    # Who asks for no label needs it not.
    from scipy.special import betainc  # noqa: PLC0415 - heavy

    return float(betainc(least, of - least + 1, share))


def _key(target: Target) -> str:
    """Return an answer as it is compared: of one that lies at places of its text the labels alone."""
    kind = kinds.of(target)
    return canonical_json({"labels": sorted(set(kind.labels(target)))} if kind.positional else target)


def _words(target: Target) -> str:
    if "labels" in target:
        names = [str(name) for name in target["labels"]]
        return ", ".join(f'"{name}"' for name in names) if names else "nothing"
    return f'"{kinds.of(target).in_words(target)}"'
