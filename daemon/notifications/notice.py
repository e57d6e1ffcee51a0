"""What people are told of an outgoing event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

Kind = Literal["promoted", "rolled_back", "refused", "labels_wanted", "alarm", "run_failed"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OF_TYPE: Mapping[str, Kind] = {
    "model.promoted": "promoted",
    "model.rolled_back": "rolled_back",
    "training.failed": "run_failed",
    "alarm.raised": "alarm",
}
_OF_VERDICT: Mapping[str, Kind] = {"keep": "refused", "insufficient_evidence": "labels_wanted"}
_SAID_CHARS = 2_000
"""An error may quote much; a message on a telephone needs its beginning."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to people."""

    event_id: str
    """Of the outgoing event: a receiver that sees it again was sent the same message twice."""
    kind: Kind
    task: str
    occurred_at: datetime
    title: str
    """One line."""
    text: str
    event: Mapping[str, Any]
    """The outgoing event itself (docs/follow-events.md)."""

    @property
    def repeats(self) -> str | None:
        """What two notices share of which the second tells nothing new; None: each is news."""
        if self.kind in ("promoted", "rolled_back"):
            return None
        # Each refusal and each count of missing rows has other figures; the same error names another run.
        error = str(self.event.get("error", "")).replace(str(self.event.get("run_id")), "")
        return f"{self.kind}\n{self.task}\n{self.event.get('move', '')}\n{error}\n{self.event.get('sandbox') == 'failed'}"


def notice_of(event: Mapping[str, Any]) -> Notice | None:
    """Return what people are told of an outgoing event; None: nothing.

    A refresh of a head that is not promoted is no news: the next one comes within minutes. One that the sandbox refused is.
    """
    kind = _kind_of(event)
    if kind is None:
        return None
    task = str(event["task"])
    title, text = _in_words(kind, task, event)
    return Notice(
        event_id=str(event["event_id"]),
        kind=kind,
        task=task,
        occurred_at=datetime.fromisoformat(str(event["occurred_at"])),
        title=" ".join(title.split()),
        text=text if len(text) <= _SAID_CHARS else f"{text[:_SAID_CHARS]} …",
        event=event,
    )


def _kind_of(event: Mapping[str, Any]) -> Kind | None:
    if event["type"] == "training.finished":
        if event.get("sandbox") == "failed":
            return "refused"
        return None if event.get("refresh") else _OF_VERDICT.get(str(event.get("verdict")))
    return _OF_TYPE.get(str(event["type"]))


def _in_words(kind: Kind, task: str, event: Mapping[str, Any]) -> tuple[str, str]:
    version, before = event.get("version"), event.get("previous")
    sentences = [str(event[name]) for name in ("measured", "decides") if event.get(name)]
    told = [
        reason
        for reason in map(str, event.get("reasons") or [event.get("reason") or ""])
        if not any(reason in sentence for sentence in sentences)
    ]
    reasons = " ".join([*sentences, *told])
    if level := event.get("readiness"):
        reasons = f"{level}: {reasons}"
    if kind == "promoted":
        return f"{task}: {version} answers now", f"It replaces {before}. {reasons}" if before else f"It is the first. {reasons}"
    if kind == "rolled_back":
        return f"{task}: rolled back to {version}", f"{event.get('actor')} took {before} back: {reasons}"
    if kind == "refused":
        return f"{task}: {version} was not promoted", reasons
    if kind == "labels_wanted":
        return f"{task}: labels are wanted to judge {version}", reasons
    if kind == "alarm":
        return f"{task}: alarm", f"{event.get('reason')}. {event.get('next')}. {event.get('remedy')} ({event.get('runbook')})"
    return f"{task}: run {event.get('run_id')} failed", str(event.get("error"))
