"""Labels by a language model on their way to the buffer, and back: handed over, replaced by another prompt's, withdrawn."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from config.clock import utc_now
from config.errors import UserError
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from config.words import counted
from consumers.events import schemas as events
from consumers.labelling.oracle import ids
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.asking import prompt_of
from consumers.labelling.oracle.belief import Belief, weight_of
from consumers.labelling.weak.stored import Saying, StoredLabel, withdrawals
from consumers.labelling.weak.texts import WeakText
from consumers.log.open import open_event_log
from consumers.log.protocols import EventSink
from consumers.rows.arriving.event_rows import canonical_json
from daemon.flow.groups import CONSUMERS, LABELS_TOPIC
from daemon.training.due import asking
from daemon.views import opening

SOURCE = "perennial oracle"
_FLUSH_EVERY = 50


class Handover:
    """Publishes the labels of one prompt; with each the withdrawal of what other prompts said of its text."""

    def __init__(self, task: TaskSpec, prompt: str, stored: Sequence[StoredLabel], sink: EventSink, trusted: Belief) -> None:
        """`stored`: the task's labels by a language model, as the buffer holds them; `trusted`: how far it is believed."""
        self._task, self._prompt, self._sink, self._trusted = task, prompt, sink, trusted
        mine = [one for one in stored if ids.prompt_of(one.event_id) == ids.short(prompt)]
        self._times: Counter[Saying] = Counter(one.says for one in mine if one.withdrawn)
        self._of_others: dict[str, list[str]] = defaultdict(list)
        for one in stored:
            if not one.withdrawn and ids.prompt_of(one.event_id) != ids.short(prompt):
                self._of_others[one.says[0]].append(one.event_id)
        self._gone: list[str] = []
        for one in mine:
            # A command that was cut off may have replaced a label without withdrawing what it replaced.
            if not one.withdrawn:
                self._gone += self._of_others.pop(one.says[0], ())
        self.withdrawn = 0
        self.texts: set[str] = set()
        """Those that got a label, by SHA-256."""

    @property
    def labelled(self) -> int:
        """How many labels were handed over."""
        return len(self.texts)

    @property
    def others(self) -> int:
        """Labels of other prompts that stand."""
        return sum(map(len, self._of_others.values()))

    def label(self, text: WeakText, said: Said) -> None:
        """Hand a label over."""
        event = event_of(
            self._task, self._prompt, text, said, weight=weight_of(self._task, said, self._trusted), times=self._times
        )  # fmt: skip
        self._sink.publish(events.TOPIC_OF_TYPE[event.type], events.to_bytes(event), key=events.key_of(event))
        self._gone += self._of_others.pop(text.text_sha256, ())
        self.texts.add(text.text_sha256)
        if self.labelled % _FLUSH_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Make it durable: new labels first, then what leaves for them, so that no text is without one between."""
        self._sink.flush()
        why = f"its text was labelled anew by prompt {ids.short(self._prompt)}"
        _publish(self._sink, self._task.name, self._gone, why)
        self.withdrawn, self._gone = self.withdrawn + len(self._gone), []


def event_of(
    task: TaskSpec, prompt: str, text: WeakText, said: Said, *, weight: float, times: Counter[Saying]
) -> events.Label:  # fmt: skip
    """Return the label of a text as an event. Its id follows from what it says: sent twice, it is one label.

    `times`: how often what was withdrawn before.
    """
    target = canonical_json(said.target)
    says = (text.text_sha256, target, weight)
    return events.Label(
        event_id=ids.event_id(task.name, prompt, says, times[says]), occurred_at=text.event_time,
        source=SOURCE, task=task.name, article_id=text.article_id, text=text.text, target=json.loads(target), origin="oracle",
        weight=weight,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class OfPrompt:
    """The stored labels of one prompt."""

    prompt: str
    """As ids of labels tell it; `unknown` where they do not."""
    labels: int
    """Those that stand."""
    withdrawn: int
    in_force: bool
    """Whether it is the prompt of the task file and the settings now."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was taken back."""

    task: str
    prompt: str
    labels: int
    unread: int
    """Events that no daemon had stored before: labels of the prompt may be among them, and stand."""


def prompts(settings: Settings, name: str) -> list[OfPrompt]:
    """Return the prompts by which the stored labels of a task were made, the most labels first.

    Raises `UserError` for an unknown task and where nothing has run yet.
    """
    return _prompts(settings, name, _stored(settings, name))


def withdraw(settings: Settings, name: str, prompt: str) -> Withdrawn:
    """Take back all stored labels of a prompt, which its first digits name; the daemon does it, or the next one that leads.

    Labels that were handed over and are not stored yet are not among them. Raises `UserError` where the digits name no prompt
    with labels, or several.
    """
    # Counted first: what is stored between is found.
    unread = _unread(settings)
    stored = _stored(settings, name)
    there = _prompts(settings, name, stored)
    named = [one for one in there if one.prompt.startswith(prompt)] if prompt else []
    if len(named) != 1:
        known = ", ".join(f"{one.prompt} ({one.labels})" for one in there) or "none"
        what = "several prompts begin with" if named else "no stored label is of prompt"
        message = f"{what} {prompt!r}; the prompts of task {name!r} with labels that stand: {known}"
        if unread:
            message += f". {counted(unread, 'event')} wait for the daemon and may be such labels: try again once it has run"
        raise UserError(message)
    gone = [one.event_id for one in stored if not one.withdrawn and ids.prompt_of(one.event_id) == named[0].prompt]
    with closing(open_event_log(settings)) as event_log, closing(event_log.sink()) as sink:
        _publish(sink, name, gone, f"the labels of prompt {named[0].prompt} were withdrawn")
    return Withdrawn(name, named[0].prompt, len(gone), unread)


def _unread(settings: Settings) -> int:
    """Return how many events of the topic of labels no daemon has stored yet."""
    group = next(group for group, topic in CONSUMERS.items() if topic == LABELS_TOPIC)
    with closing(open_event_log(settings)) as event_log, closing(event_log.source(group, [LABELS_TOPIC])) as source:
        return sum(source.lag().values())


def _stored(settings: Settings, name: str) -> list[StoredLabel]:
    asking.refuse_unknown(settings, name)
    with opening.buffer(settings) as buffer:
        return buffer.oracle_labels(name)


def _prompts(settings: Settings, name: str, stored: Sequence[StoredLabel]) -> list[OfPrompt]:
    task = load_tasks(settings.tasks_folder)[name]
    now = ids.short(prompt_of(task, settings.oracle)) if task.oracle.rubric else ""
    stand = Counter(ids.prompt_of(one.event_id) for one in stored if not one.withdrawn)
    gone = Counter(ids.prompt_of(one.event_id) for one in stored if one.withdrawn)
    found = [OfPrompt(prompt, stand[prompt], gone[prompt], prompt == now) for prompt in {*stand, *gone}]
    return sorted(found, key=lambda one: (-one.labels, one.prompt))


def _publish(sink: EventSink, task: str, gone: Sequence[str], why: str) -> None:
    for event in withdrawals(task, gone, why, utc_now(), SOURCE):
        sink.publish(events.TOPIC_OF_TYPE[event.type], events.to_bytes(event), key=events.key_of(event))
    sink.flush()
