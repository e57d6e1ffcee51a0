"""Answers of people become ordinary events, durably; the registry notes them until the daemon has stored them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from config.errors import DeadLetterError, PerennialError, UserError
from config.foreign.ids import foreign_id
from config.kinds import catalog as kinds
from config.kinds.forms import Given
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from consumers.defence.agreement import relation
from consumers.events.event import MAX_NOTE_CHARS
from consumers.events.schemas import FeedbackReview, Label
from consumers.events.targets import read_target
from consumers.labelling import kept
from consumers.labelling.doubts.doubt import Doubts
from consumers.labelling.lanes import DISAGREEMENT, NEXT, Lane, SelectedBy, is_doubled
from consumers.labelling.offers import Said
from consumers.log.open import publish
from consumers.rows.eligibility import CHOSEN
from daemon.labelling import correcting
from daemon.views.desk import reading
from registry.people.audit import By
from registry.people.desk import Done
from registry.store import Registry

if TYPE_CHECKING:  # brings LanceDB, which a page that nobody has opened needs not
    from consumers.buffer.reader import BufferReader
    from consumers.labelling.reading import Text
    from consumers.rows.labels.label_corrections import LabelRow

KEY = "key:"
"""Begins the name of an annotator who has an API key; nobody else's may."""
_MOST_NAME = 100
_INDEPENDENTLY: tuple[SelectedBy, ...] = ("held_out", "audit", "random")


@dataclass(frozen=True, slots=True)
class Told:
    """What came of an answer, for whoever gave it."""

    words: str
    done: bool
    """False: nothing was changed, because another person was quicker or the text is not there any more."""


_GONE = Told("Nothing was noted: this text is not stored any more; open the next one.", done=False)


@dataclass(frozen=True, slots=True)
class Desk:
    """One person at the desk of one task."""

    task: TaskSpec
    annotator: str
    source: str
    """Where from, as events tell it."""
    settings: Settings
    registry: Registry
    """Open for writing."""
    buffer: BufferReader

    def label(self, lane_name: str, item: str, given: Given, note: str = "") -> Told:
        """Publish the label that a filled-in form gives a text. Raises as `say` does."""
        _deciding(lane_name, "label")
        form, text = reading.form_of(self.task), self._text(item)
        try:
            target = form.from_form(given, text.text)
        except ValueError as error:
            raise _refused(error) from error
        return self.say(lane_name, item, target, note)

    def say(self, lane_name: str, item: str, said: Mapping[str, Any], note: str = "") -> Told:
        """Publish the target that a person gives a text.

        What others said of it meanwhile stays too: the newest label of a text counts, and a difference is listed for
        adjudication. Raises `UserError` where the target does not fit its task or the text is stored no more.
        """
        lane, text = _deciding(lane_name, "label"), self._text(item)
        if kinds.get(self.task.kind).positional and len(text.text) > self.settings.desk.text_chars:
            message = f"the text has {len(text.text)} characters, more than desk.text_chars: nobody sees it whole here; skip it"
            raise UserError(message)
        try:
            target = read_target(self.task, said, text.text)
        except DeadLetterError as error:
            raise _refused(error) from error
        seen = self._seen()
        others = [one for one in seen.said_about(item) if one.annotator != self.annotator]
        request = seen.request_for(item)
        selected_by = lane.selected_by or _selected_by(others, request)
        if lane.name == NEXT and seen.drawn_at_random(item):
            selected_by = "audit"
        if selected_by != DISAGREEMENT:
            request = None
        elif request is None:
            return Told("Nothing was sent: the pair of models that this text was asked for is decided.", done=False)
        if lane.corrects and (told := self._corrected(lane, item, target, text.text, note)) is not None:
            return told
        event = Label(
            # Rises with time: of several labels of one text, all with the text's own time, the newest has the highest id.
            event_id=f"desk-{time.time_ns():020d}-{secrets.token_hex(4)}",
            # The text's own time: windows go by how old texts are, and no label given today makes an archive new.
            occurred_at=text.event_time, source=self.source, task=self.task.name, article_id=text.article_id, text=text.text,
            target=target, origin="audit" if selected_by == "audit" else lane.origin, annotator=self.annotator,
            selected_by=selected_by, settles=True if lane.settles else None, note=_note(note),
            request=request,
        )  # fmt: skip
        publish(self.settings, event)
        self.registry.desk.add(
            self.task.name, lane.name, item, self.annotator, "label", event_id=event.event_id, said=event.target
        )
        return Told(self._label_told(lane, item, event, others, text.text), done=True)

    def _corrected(self, lane: Lane, item: str, target: Mapping[str, Any], text: str, note: str) -> Told | None:
        """Correct the labels in doubt of a text that say otherwise; None where none does: then a label settles it as it is."""
        wrong = [label for label in self._in_doubt(item, text) if relation(label.target, target) != "same"]
        if not wrong:
            return None
        at = correcting.At(self.settings, {self.task.name: self.task}, self.registry, self.buffer)
        by = By(f"{self.annotator} ({self.source})", _note(note) or "a label in doubt, corrected at the desk")
        for label in wrong:
            correcting.correct(at, label.label_id, target, annotator=self.annotator, by=by)
        self.registry.desk.add(self.task.name, lane.name, item, self.annotator, "label", said=target)
        mine = reading.in_words(target, text)
        return Told(f"{mine}. {counted(len(wrong), 'label')} corrected; verdicts that took part are marked.", done=True)

    def _in_doubt(self, item: str, text: str) -> list[LabelRow]:
        """Return the labels of a text that the last look doubts: the one that counts, and others of the very text."""
        doubts = kept.read(self.settings.suspicious_dir, Doubts, self.task.name)
        doubt = next((one for one in doubts.doubts if one.text_sha256 == item), None) if doubts is not None else None
        ids = () if doubt is None else (doubt.example_id, *doubt.beside)
        found = [label for label_id in ids if (label := self.buffer.labels.find(label_id)) is not None]
        return [label for label in found if label.text == text and label.verdict is None and not label.is_made]

    def decide(self, item: str, accept: str | None, note: str = "") -> Told:
        """Accept one of the answers of users about a text, which settles the others, or reject all of them (None).

        Where another person has decided of late, nothing is changed, and who decided what is told. Raises `UserError` where
        nothing of the text waits, or `accept` is not one of its answers.
        """
        lane = _deciding("conflicts", "feedback")
        seen = self._seen()
        ids = [one.event_id for one in seen.pool.held if one.text_sha256 == item]
        earlier = [one for one in seen.done if one.did == "decide" and one.text_sha256 == item]
        ids = ids or sorted({event_id for one in earlier for event_id in one.about})
        if not ids or accept not in (None, *ids):
            message = "no such feedback about this text waits; nothing was decided. Open the next one"
            raise UserError(message)
        said = {"accept": [accept] if accept else [], "reject": [] if accept else ids, "of": ids}
        event = FeedbackReview(
            event_id=f"review-{secrets.token_hex(8)}", occurred_at=self.registry.clock(), source=self.source,
            decision="accept" if accept else "reject", event_ids=(accept,) if accept else tuple(ids), annotator=self.annotator,
            note=_note(note),
        )  # fmt: skip
        done = Done(self.task.name, lane.name, item, self.annotator, "decide", event.event_id, said, self.registry.clock())
        if (quicker := self.registry.desk.claim(done, within=reading.DECIDED_FOR)) is not None:
            ago = _ago((self.registry.clock() - quicker.at).total_seconds())
            what = f"accepted {quicker.said['accept'][0]}" if quicker.said and quicker.said["accept"] else "rejected all"
            return Told(
                f"{quicker.annotator} {what} {ago}; nothing was changed. To decide otherwise, use "
                f"`perennial feedback accept` or `reject` with the id", done=False,
            )  # fmt: skip
        self.registry.audit.add(
            f"feedback.{event.decision}", actor=f"{self.annotator} ({self.source})", reason="decided at the desk",
            task=self.task.name, subject=counted(len(event.event_ids), "feedback event"), details={"events": [event.event_id]},
        )  # fmt: skip
        try:
            publish(self.settings, event)
        except PerennialError:
            self.registry.desk.withdraw(event.event_id)
            raise
        return Told(f"Accepted {accept}." if accept else f"Rejected: {', '.join(ids)}.", done=True)

    def skip(self, lane_name: str, item: str, note: str = "") -> Told:
        """Note that this person does not want to be asked of a text; others are."""
        lane = reading.lane_of(lane_name)
        if self.buffer.text(item, self.task.name) is None:
            return _GONE
        self.registry.desk.add(self.task.name, lane.name, item, self.annotator, "skip", said=_noted(note) or None)
        self._count(lane, item, "skips")
        return Told("Skipped: it is not asked of you again. Others may answer it.", done=True)

    def cannot_tell(self, lane_name: str, item: str, note: str = "") -> Told:
        """Note that this person cannot tell what is right. Raises `UserError` in a lane where that is no answer."""
        lane = reading.lane_of(lane_name)
        if not lane.cannot_tell:
            message = f"in lane {lane.name} `cannot tell` is no answer; skip the text"
            raise UserError(message)
        if self.buffer.text(item, self.task.name) is None:
            return _GONE
        said = {"cannot_tell": True, **_noted(note)}
        self.registry.desk.add(self.task.name, lane.name, item, self.annotator, "skip", said=said)
        self._count(lane, item, "cannot_tell")
        return Told("Noted that you cannot tell: the verdict must hold whatever is right here.", done=True)

    def _count(self, lane: Lane, item: str, what: Literal["skips", "cannot_tell"]) -> None:
        request = self._seen().request_for(item) if lane.selected_by == DISAGREEMENT else None
        if request is not None:
            self.registry.pools.note(request, what)

    def _text(self, item: str) -> Text:
        found = self.buffer.text(item, self.task.name)
        if found is None:
            message = "this text is not stored any more, so nothing was sent; open the next one"
            raise UserError(message)
        return found

    def _seen(self) -> reading.Seen:
        return reading.see(
            self.task, self.annotator, registry=self.registry, buffer=self.buffer, settings=self.settings
        )  # fmt: skip

    def _label_told(self, lane: Lane, item: str, event: Label, others: Sequence[Said], text: str) -> str:
        mine = f"{reading.in_words(event.target, text)}."
        blind = lane.blind and is_doubled(item, self.settings.desk.double_share) and len(others) == 1
        if not others or blind or lane.settles:
            return mine
        other = others[-1]
        theirs = f"{other.annotator} labelled this text too: {reading.in_words(other.target, text)}."
        same = relation(other.target, event.target) == "same"
        return f"{mine} {theirs}" + ("" if same else " You differ: it is listed under Adjudication.")


def annotator_of(name: str, *, key: bool = False) -> str:
    """Return the name under which answers are kept; `key`: it is an API key's. Raises `UserError` for one that cannot be."""
    try:
        found = foreign_id(" ".join(name.split()))
    except ValueError as error:
        message = f"the annotator's name: {error}"
        raise UserError(message) from error
    if len(found) > _MOST_NAME or (found.startswith(KEY) and not key):
        message = f"the annotator's name may have {_MOST_NAME} characters and not begin with {KEY}, as names of API keys do"
        raise UserError(message)
    return found


def _deciding(name: str, what: Literal["label", "feedback"]) -> Lane:
    lane = reading.lane_of(name)
    if lane.decides != what:
        message = f"lane {name} asks about {lane.decides}, not about {what}; nothing was sent"
        raise UserError(message)
    return lane


def _selected_by(said: Sequence[Said], request: str | None) -> SelectedBy | None:
    """Return how the rows were chosen that people have labelled before; None: by none of these ways.

    `request` is what a pair of models asks of the text now: once the pair is decided, a label of it is like any other.
    """
    ways = {one.selected_by for one in said}
    for way in (*_INDEPENDENTLY, CHOSEN):
        if way in ways:
            return way
    return DISAGREEMENT if request and any(one.selected_by == DISAGREEMENT for one in said) else None


def _refused(problem: Exception) -> UserError:
    return UserError(f"{problem}; nothing was sent")


def _note(note: str) -> str | None:
    return " ".join(note.split())[:MAX_NOTE_CHARS] or None


def _noted(note: str) -> dict[str, str]:
    kept = _note(note)
    return {} if kept is None else {"note": kept}


def _ago(seconds: float) -> str:
    return "just now" if seconds < 2 else f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"  # noqa: PLR2004 - as people say it
