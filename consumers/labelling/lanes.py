"""The lanes of the desk: what each is for, which rows it draws, and what an answer to one of them says of how it was chosen.

A lane is one entry of `LANES`. One that joins says which items it has; the queue, the page and the command find it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from config.kinds import catalog as kinds
from consumers.defence.agreement import relation
from consumers.labelling.offers import BySaid, Held, Offer, Pool, Said

DISAGREEMENT: Literal["disagreement"] = "disagreement"
"""The lane of texts that tell two models apart, and how its labels were chosen."""
RANDOM: Literal["random"] = "random"
"""The lane of texts that were served, and how its labels were chosen."""
SUSPICIOUS: Literal["suspicious"] = "suspicious"
"""The lane of labels in doubt."""
NEXT: Literal["next"] = "next"
"""The lane of texts that a draw chose to be labelled next."""
SelectedBy = Literal["held_out", "audit", "random", "disagreement", "model"]
_FAR = 16
"""Digits of a hash that make a number of 64 bits: the second ones here, because a draw goes by the first."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a person is asked about: a text, by its SHA-256."""

    text_sha256: str
    offer: Offer | None = None
    """The article; None where the text is another's."""
    said: Sequence[Said] = ()
    """What people said of it, the newest last."""
    held: Sequence[Held] = ()
    """The feedback about it that waits."""
    why: str | None = None
    """Why it is asked about, in words, where the lane tells."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for items, and what the rules leave open."""

    annotator: str
    double_share: float
    """Of the texts this share is labelled by a second person too."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A source of items."""

    name: str
    title: str
    about: str
    """One sentence for people."""
    items: Callable[[Pool, BySaid, Asked], Iterator[Item]]
    decides: Literal["label", "feedback"] = "label"
    selected_by: SelectedBy | None = None
    """How the rows are chosen, as label events say it; None: as the answers before say it. What a draw took at random is
    `audit` in the lane `next` too."""
    origin: Literal["gold", "audit"] = "gold"
    blind: bool = True
    """Whether what others said is kept from who labels. What a model said is shown in no lane."""
    settles: bool = False
    """Whether an answer decides where annotators differ."""
    corrects: bool = False
    """Whether labels in doubt that say otherwise are corrected themselves."""
    on_request: bool = False
    """Whether it is asked about only when somebody names it: it never runs dry."""
    cannot_tell: bool = False
    """Whether "I cannot tell" is an answer: it is counted, and the verdict holds whatever would have been right."""


def is_doubled(text_sha256: str, share: float) -> bool:
    """Return whether a second person labels a text: the same for everybody, and with every draw, whatever it goes by."""
    return int(text_sha256[_FAR : 2 * _FAR], 16) < share * float(2**64)


def _test(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:
    # Of near copies one tells as much as all: they count as one when a comparison is decided.
    stories: set[str] = set()
    for offer in pool.held_out:
        wanted = _wanted(offer, pool, said, asked)
        story = offer.story_id or offer.row_id
        fresh = not said.about(offer.text_sha256)
        if wanted is not None and not (fresh and (story in stories or story in pool.measured)):
            stories.add(story)
            yield wanted


def _audit(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:
    yield from _beside_pairs(pool.drawn, pool, said, asked)


def _random(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:
    yield from _beside_pairs(pool.served, pool, said, asked)


def _beside_pairs(offers: Iterable[Offer], pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:
    # What tells two models apart is withheld while they are open: it cannot be a test row too.
    for offer in offers:
        wanted = None if offer.text_sha256 in pool.kept_for_pairs else _wanted(offer, pool, said, asked)
        if wanted is not None:
            yield wanted


def _wanted(offer: Offer, pool: Pool, said: BySaid, asked: Asked) -> Item | None:
    """Return an article as an item where its text needs a label of this person."""
    about = _open(offer.text_sha256, pool, said, asked)
    return None if about is None else Item(offer.text_sha256, offer, about)


def _open(text_sha256: str, pool: Pool, said: BySaid, asked: Asked) -> Sequence[Said] | None:
    """Return what people said of a text that needs a label of this person; None where it needs none."""
    about = said.about(text_sha256)
    if not about:
        return None if text_sha256 in pool.labelled else ()
    by_another = len(about) == 1 and about[0].annotator != asked.annotator and not about[0].settles
    return about if by_another and is_doubled(text_sha256, asked.double_share) else None


def _next(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:
    # As with random ones: what a pair of models asks about is withheld while the pair is open.
    for one in pool.next:
        about = None if one.text_sha256 in pool.kept_for_pairs else _open(one.text_sha256, pool, said, asked)
        if about is not None:
            yield Item(one.text_sha256, said=about, why=one.why)


def _disagreement(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:
    offers = {offer.text_sha256: offer for offer in pool.drawn}
    for one in pool.requested:
        about = tuple(each for each in said.about(one.text_sha256) if each.selected_by == DISAGREEMENT)
        by_another = len(about) == 1 and about[0].annotator != asked.annotator and not about[0].settles
        if not about or (by_another and is_doubled(one.text_sha256, asked.double_share)):
            yield Item(one.text_sha256, offers.get(one.text_sha256), about)


def _conflicts(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:  # noqa: ARG001 - as every lane
    texts: dict[str, list[Held]] = {}
    for one in pool.held:
        texts.setdefault(one.text_sha256, []).append(one)
    for text_sha256, held in texts.items():
        yield Item(text_sha256, held=tuple(held))


def _adjudication(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:  # noqa: ARG001 - as every lane
    offers = {offer.text_sha256: offer for offer in (*pool.held_out, *pool.drawn)}
    for text_sha256, people in said.of.items():
        about = tuple(people.values())
        if not any(one.settles for one in about) and differ(about):
            yield Item(text_sha256, offers.get(text_sha256), about)


def _suspicious(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:  # noqa: ARG001 - as every lane
    for text_sha256 in pool.doubted:
        about = said.about(text_sha256)
        if not any(one.settles for one in about):
            yield Item(text_sha256, said=about)


def _changed(pool: Pool, said: BySaid, asked: Asked) -> Iterator[Item]:  # noqa: ARG001 - as every lane
    for offer in pool.changed:
        about = said.about(offer.text_sha256)
        # Whoever labelled it before the split says nothing of its parts.
        if all(pool.split.intersection(kinds.of(one.target).labels(one.target)) for one in about):
            yield Item(offer.text_sha256, offer, about)


def differ(about: Sequence[Said]) -> bool:
    """Return whether any two of those who labelled a text do not say the same."""
    return any(
        relation(one.target, other.target) != "same" for at, one in enumerate(about) for other in about[at + 1 :]
    )  # fmt: skip


LANES: Mapping[str, Lane] = {
    lane.name: lane
    for lane in (
        Lane(
            "test", "Test rows", "Held-out articles without a label: they decide whether a version is promoted.", _test,
            selected_by="held_out",
        ),
        Lane(
            DISAGREEMENT, "Two models", "Articles that tell apart two models which too few test rows could not.",
            _disagreement, selected_by=DISAGREEMENT, cannot_tell=True,
        ),
        Lane(
            "conflicts", "Conflicts", "Feedback of users that contradicts others and waits for a person.", _conflicts,
            decides="feedback", blind=False,
        ),
        Lane(
            "audit", "Audit", "Articles drawn at random each week, whatever a model says of them.", _audit,
            selected_by="audit", origin="audit",
        ),
        Lane(
            RANDOM, "Random answers", "Texts that models were asked about, drawn at random, whatever was answered: they decide.",
            _random, selected_by=RANDOM, on_request=True,
        ),
        Lane(
            "adjudication", "Adjudication", "Texts of which two annotators said different things; your label decides.",
            _adjudication, blind=False, settles=True,
        ),
        Lane(
            SUSPICIOUS, "Suspicious labels",
            "Labelled texts whose labels may be wrong, as the last look found; your label decides.",
            _suspicious, settles=True, corrects=True,
        ),
        Lane(
            "changed", "Changed labels", "Texts whose label was split: they count for nothing until you say which part it is.",
            _changed, blind=False,
        ),
        Lane(
            NEXT, "To label next", "Texts that the last draw chose: their labels may teach most, and some are drawn at random.",
            _next, selected_by="model",
        ),
    )
}  # fmt: skip
"""By name, in the order in which they are asked."""
