"""Reads what the desk shows: the buffer, and what people did that the daemon has not stored yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from config.errors import UserError
from config.kinds import catalog as kinds
from config.kinds.kind import HasForm
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.labelling import agreement, kept, one_sided
from consumers.labelling import queue as queues
from consumers.labelling.choosing.draw import Draw
from consumers.labelling.doubts.doubt import Doubts
from consumers.labelling.lanes import DISAGREEMENT, LANES, NEXT, SUSPICIOUS, Asked, Item, Lane
from consumers.labelling.offers import BySaid, Next, Pool, Requested, Said
from daemon.views.desk import models
from daemon.views.task import pairs
from registry.people.desk import Done, newest
from registry.store import Registry

if TYPE_CHECKING:  # brings LanceDB, which a page that nobody has opened needs not
    from consumers.buffer.reader import BufferReader

RESERVED = "snuqhc"
"""Letters that do something else than choosing: skip, note, undo, quit, help, cannot tell."""
KEYS = "123456789" + "".join(letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in RESERVED)
_LAST = 5
_COMING = timedelta(days=1)
"""An answer that was not stored after this long was refused, and its text is asked of again."""
DECIDED_FOR = timedelta(minutes=10)
"""A decision that was not applied after this long is asked for again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a task at one moment, for one person."""

    task: TaskSpec
    annotator: str
    pool: Pool
    """With what is on the way, and what is asked of a pair of models."""
    labels: Sequence[str]
    done: Sequence[Done]
    way: queues.OnTheWay
    coming: int
    asked: Asked
    gain: tuple[str, ...] = ()
    """What more labels may bring, in words."""

    def queue(self, lane: str) -> list[Item]:
        """Return the items of a lane, the next one first."""
        return queues.queue(lane, self.pool, self.way, self.asked)

    def request_for(self, text_sha256: str) -> str | None:
        """Return the request that a label of a text answers; None where no pair of models needs one."""
        return next((one.request for one in self.pool.requested if one.text_sha256 == text_sha256), None)

    def drawn_at_random(self, text_sha256: str) -> bool:
        """Return whether the last draw of texts to label next took a text at random."""
        return any(one.at_random for one in self.pool.next if one.text_sha256 == text_sha256)

    def said_about(self, text_sha256: str) -> Sequence[Said]:
        """Return what people said of a text, the newest last."""
        return BySaid.among(self.pool.said).about(text_sha256)


def lane_of(name: str) -> Lane:
    """Return a lane. Raises `UserError` for one that there is not."""
    if name not in LANES:
        message = f"there is no lane {name[:80]!r}; the lanes are {', '.join(LANES)}"
        raise UserError(message)
    return LANES[name]


def form_of(task: TaskSpec) -> HasForm:
    """Return the form of a task's kind. Raises `UserError` where it has none."""
    kind = kinds.get(task.kind)
    if not isinstance(kind, HasForm):
        message = (
            f"kind {task.kind} of task {task.name!r} brings no form, so its texts cannot be labelled here; "
            "send label events, or a file with `perennial import`"
        )
        raise UserError(message)
    return kind


def see(task: TaskSpec, annotator: str, *, registry: Registry, buffer: BufferReader, settings: Settings) -> Seen:
    """Return what is known now."""
    pool, labels = buffer.asked_of_people(task, audit_per_week=settings.desk.audit_per_week)
    done = registry.desk.of(task.name)
    way = _on_the_way(done, annotator, registry)
    stored = {one.event_id for one in pool.said}
    coming = {one.text_sha256 for one in way.said if one.event_id not in stored}
    requested = [
        Requested(one.request_id, one.text_sha256) for one in registry.pools.asked(task.name) if one.text_sha256 is not None
    ]
    draw = kept.read(settings.next_labels_dir, Draw, task.name)
    whole = replace(
        queues.with_what_is_on_the_way(pool, way), requested=requested,
        kept_for_pairs=registry.pools.kept_texts(task.name), doubted=_doubted(task.name, done, settings),
        next=[] if draw is None else [Next(one.text_sha256, one.way == "random", one.why) for one in draw.picks],
    )  # fmt: skip
    asked, gain = Asked(annotator, settings.desk.double_share), () if draw is None else draw.gain
    return Seen(task, annotator, whole, labels, done, way, len(coming), asked, gain)


def _doubted(task: str, done: Sequence[Done], settings: Settings) -> list[str]:
    """Return the texts whose labels the last look doubted and nobody has answered since, the worst first."""
    doubts = kept.read(settings.suspicious_dir, Doubts, task)
    if doubts is None:
        return []
    answered = {one.text_sha256 for one in done if one.lane == SUSPICIOUS and one.did == "label" and one.at >= doubts.at}
    # An anchor set is frozen: what is wrong there is told, and not asked about.
    return [one.text_sha256 for one in doubts.doubts if one.side != "anchor" and one.text_sha256 not in answered]


def look(
    task: TaskSpec, annotator: str, lane: str = "", *, registry: Registry, buffer: BufferReader, settings: Settings,
    item: str = "", limit: int = 1,
) -> models.Desk:  # fmt: skip
    """Return one person's desk: the next `limit` items of a lane (else of the first that has one), or the `item` asked for.

    Raises `UserError` for a lane that there is not, a kind without a form, and a text that is stored no more.
    """
    widget = form_of(task).widget
    seen = see(task, annotator, registry=registry, buffer=buffer, settings=settings)
    queued = {name: seen.queue(name) for name in LANES}
    chosen = lane_of(
        lane or next((name for name, items in queued.items() if items and not LANES[name].on_request), next(iter(LANES)))
    )
    items = [_named(seen, chosen, item, buffer)] if item else queued[chosen.name][:limit]
    lanes = {
        one.name: models.LaneView(
            name=one.name,
            title=one.title,
            about=one.about,
            waiting=len(queued[one.name]),
            decides=one.decides,
            blind=one.blind,
            cannot_tell=one.cannot_tell,
            on_request=one.on_request,
        )
        for one in LANES.values()
    }
    counts = buffer.counts(task.name)
    return models.Desk(
        task=task.name, kind=task.kind, widget=widget, annotator=annotator, lane=lanes[chosen.name], lanes=tuple(lanes.values()),
        progress=models.Progress(
            test_rows=counts.test_in_window, needed=task.promotion.min_test_examples, coming=seen.coming
        ),
        pair=_pair(task, registry, buffer), gain=seen.gain if chosen.name == NEXT else (),
        choices=choices(seen.labels), open_labels=task.labels == "open", measured=_measured(task),
        items=tuple(found for one in items if (found := _shown(one, chosen, seen, buffer, settings)) is not None),
        last=tuple(_last(one) for one in newest(seen.done, annotator, _LAST)),
        agreement=tuple(
            models.Agreed.model_validate(one)
            for one in agreement.agreements(seen.pool.said)
        ),
        one_sided=tuple(one.told for one in one_sided.one_sided(seen.pool.said)),
    )  # fmt: skip


def _pair(task: TaskSpec, registry: Registry, buffer: BufferReader) -> pairs.Pair | None:
    """Return the pair of models that people are asked about, if there is one."""
    found = pairs.of(task, registry, buffer)
    return found if found is not None and found.state == "open" else None


def choices(labels: Sequence[str]) -> tuple[models.Choice, ...]:
    """Return the labels with their keys: digits, then letters, then none."""
    return tuple(models.Choice(key=KEYS[at] if at < len(KEYS) else "", name=name) for at, name in enumerate(labels))


def in_words(target: Mapping[str, Any], text: str) -> str:
    """Return a target in words: where it lies at places of its text, the words there."""
    kind = kinds.of(target)
    if not kind.positional or not target[kind.key]:
        return kind.in_words(target)
    return ", ".join(f"{one['label']}: {text[one['start'] : one['end']]}" for one in target[kind.key])


def _on_the_way(done: Sequence[Done], annotator: str, registry: Registry) -> queues.OnTheWay:
    now = registry.clock()
    said: list[Said] = []
    decided: set[str] = set()
    skips: dict[tuple[str, str], bool] = {}
    for one in done:
        lane = LANES.get(one.lane)
        if one.did == "label" and one.said is not None and one.event_id is not None and one.at > now - _COMING:
            settles = lane is not None and lane.settles
            said.append(
                Said(one.text_sha256, one.annotator, one.said, one.event_id, (lane and lane.selected_by) or "gold", settles)
            )
        elif one.did == "decide" and one.at > now - DECIDED_FOR:
            decided |= one.about
        if one.annotator == annotator:
            skips[one.lane, one.text_sha256] = one.did == "skip"
    skipped: dict[str, set[str]] = {}
    for (lane_name, text), is_skipped in skips.items():
        if is_skipped:
            skipped.setdefault(lane_name, set()).add(text)
    return queues.OnTheWay(said, frozenset(decided), skipped)


def _named(seen: Seen, lane: Lane, text_sha256: str, buffer: BufferReader) -> Item:
    """Return one item, whether it is asked of still or not: what was decided may be decided otherwise."""
    if lane.decides == "label":
        return Item(text_sha256, said=seen.said_about(text_sha256))
    decided = [one for one in seen.done if one.text_sha256 == text_sha256 and one.did == "decide"]
    ids = sorted({event_id for one in decided for event_id in one.about})
    waiting = [one for one in seen.pool.held if one.text_sha256 == text_sha256]
    return Item(
        text_sha256, held=(*waiting, *buffer.held_by_ids([one for one in ids if one not in {w.event_id for w in waiting}]))
    )


def _shown(item: Item, lane: Lane, seen: Seen, buffer: BufferReader, settings: Settings) -> models.Item | None:
    text = buffer.text(item.text_sha256, seen.task.name)
    if text is None:
        return None
    yours = next((one for one in item.said if one.annotator == seen.annotator), None)
    others = [one for one in item.said if one is not yours]

    def opinion(one: Said) -> models.Opinion:
        words = in_words(one.target, text.text)
        return models.Opinion(annotator=one.annotator, target=dict(one.target), words=words, note=one.note)

    return models.Item(
        item=item.text_sha256, lane=lane.name, why=item.why,
        text=text.text[: settings.desk.text_chars], chars=len(text.text),
        request=seen.request_for(item.text_sha256) if lane.selected_by == DISAGREEMENT else None,
        article_id=text.article_id, event_time=text.event_time,
        said=() if lane.blind else tuple(opinion(one) for one in others), yours=opinion(yours) if yours else None,
        held=tuple(
            models.HeldAnswer(
                key=KEYS[at] if at < len(KEYS) else "", event_id=one.event_id, user=one.user,
                words=in_words(one.target, text.text), why=one.why, arrived_at=one.arrived_at,
            )
            for at, one in enumerate(item.held)
        ),
    )  # fmt: skip


def _last(one: Done) -> models.Last:
    words = "cannot tell" if one.did == "skip" and one.said and one.said.get("cannot_tell") else "skipped"
    if one.did == "label" and one.said is not None:
        words = kinds.of(one.said).in_words(one.said)
    elif one.did == "decide" and one.said is not None:
        words = f"accepted {', '.join(one.said['accept'])}" if one.said.get("accept") else "all rejected"
    return models.Last(item=one.text_sha256, lane=one.lane, did=one.did, words=words, at=one.at)


def _measured(task: TaskSpec) -> tuple[models.Measured, ...]:
    """Return what a task declares to be measured: dimensions with their ranges, or categories with their tags."""
    return tuple(
        models.Measured(
            name=one.name,
            low=getattr(one, "low", -1.0),
            high=getattr(one, "high", 1.0),
            tags=tuple(getattr(one, "tag_names", ())),
        )
        for one in task.declared
    )
