"""What calls return. Fields that a newer server adds are ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from perennial_client.answers import string, string_or_none

_BESIDE_THE_ANSWER = ("prediction_id", "truncated", "abstained", "answered_by", "correction_id")


@dataclass(frozen=True, slots=True)
class Span:
    """One entity: code-point offsets into the text, end exclusive, and its type."""

    start: int
    end: int
    label: str


class Signal(NamedTuple):
    """What a text says of one category: a score from -1 to 1, and a tag; None where none was ever told."""

    score: float
    tag: str | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer. `prediction_id` is what feedback cites; an answer of a model in the app's own process has none."""

    task: str
    version: str
    answer: Mapping[str, Any]
    """As serving sends it. Classification: `label` and `scores`, multi-label: `labels` and `scores`; entities: `spans`;
    regression: `values`, and with tiers `score` and `tier`; signals: `signals`."""
    prediction_id: str | None = None
    truncated: bool = False
    """Whether the model read only the beginning of the text (`training.max_tokens` of the task)."""
    answered_by: str = "model"
    """`correction` where serving answered with what a trusted person said of this very text (a model in process never does);
    `keywords` where the task has no champion yet."""
    correction_id: str | None = None
    """The event id of the feedback that answered; None where the model did."""
    abstained: bool = False
    """Whether the highest probability is below the task's `abstain_below`; label and scores are there all the same."""

    @classmethod
    def of(cls, task: str, version: str, answer: Mapping[str, Any], prediction_id: str | None = None) -> Self:
        """Read one answer, as serving sends it or a model gives it."""
        own = {name: value for name, value in answer.items() if name not in _BESIDE_THE_ANSWER}
        return cls(
            task, version, own, prediction_id, truncated=answer.get("truncated") is True,
            answered_by=string_or_none(answer, "answered_by") or "model", correction_id=string_or_none(answer, "correction_id"),
            abstained=answer.get("abstained") is True,
        )  # fmt: skip

    @property
    def label(self) -> str:
        """The most probable label of a classification. Raises `TypeError` for another kind of task."""
        return str(self._part("label"))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of a multi-label classification, by name; there may be none. Raises `TypeError` for another kind of task."""
        return tuple(str(name) for name in self._part("labels"))

    @property
    def scores(self) -> Mapping[str, float]:
        """Probability per label of either classification, highest first. Raises `TypeError` for another kind of task."""
        return dict(self._part("scores"))

    @property
    def spans(self) -> tuple[Span, ...]:
        """The entities in order of the text. Raises `TypeError` for another kind of task."""
        return tuple(Span(int(one["start"]), int(one["end"]), str(one["label"])) for one in self._part("spans"))

    @property
    def values(self) -> Mapping[str, float]:
        """The number of each dimension of a regression. Raises `TypeError` for another kind of task."""
        return dict(self._part("values"))

    @property
    def tier(self) -> str:
        """The tier that the weighted mean of a regression falls into. Raises `TypeError` where the task has none."""
        return str(self._part("tier"))

    @property
    def signals(self) -> Mapping[str, Signal]:
        """Score and tag of each category of a task of signals. Raises `TypeError` for another kind of task."""
        return {
            str(name): Signal(float(one["score"]), _text_or_none(one.get("tag"))) for name, one in self._part("signals").items()
        }

    def _part(self, name: str) -> Any:  # noqa: ANN401 - each kind of task has answers of its own shape
        if name not in self.answer:
            message = f"an answer of task {self.task!r} has no {name}; it holds {', '.join(self.answer)}"
            raise TypeError(message)
        return self.answer[name]


@dataclass(frozen=True, slots=True, eq=False)
class Classified(Mapping[str, Signal]):
    """The signals of one text by category, as `(score, tag)`; and who spoke."""

    prediction: Prediction
    """The answer that they are of."""

    @property
    def answered_by(self) -> str:
        """`model`, `keywords` or `correction`."""
        return self.prediction.answered_by

    @property
    def version(self) -> str:
        """The version that answered; of keywords `TASK/keywords`."""
        return self.prediction.version

    def __getitem__(self, category: str) -> Signal:
        return self.prediction.signals[category]

    def __iter__(self) -> Iterator[str]:
        return iter(self.prediction.signals)

    def __len__(self) -> int:
        return len(self.prediction.signals)


@dataclass(frozen=True, slots=True)
class FeedbackReceipt:
    """The acknowledgement of feedback: it is durable."""

    event_id: str
    task: str
    accepted_at: datetime
    answers_since: datetime | None = None
    """Of feedback that is posted again: since when it answers for its own text."""
    learnt_in: str | None = None
    in_champion: bool = False

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read the server's answer."""
        return cls(
            string(body, "event_id"), string(body, "task"), datetime.fromisoformat(string(body, "accepted_at")),
            _moment_or_none(body, "answers_since"), string_or_none(body, "learnt_in"), body.get("in_champion") is True,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FeedbackFate:
    """What became of one feedback event; `docs/post-feedback.md` says what each status means."""

    event_id: str
    task: str | None
    status: str
    reason: str
    learnt_in: str | None
    """The first version that learnt from it."""
    in_champion: bool
    """Whether it is live: the champion, or one of its parents, learnt from it."""
    champion: str | None
    answers_since: datetime | None = None
    """Since when it answers for its own text; None where it does not, or serving is of a release that does not say."""
    answers: bool = False
    """Whether it answers for its own text now: it does until the champion has learnt it."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read the server's answer."""
        return cls(
            string(body, "event_id"), string_or_none(body, "task"), string(body, "status"), string(body, "reason"),
            string_or_none(body, "learnt_in"), bool(body["in_champion"]), string_or_none(body, "champion"),
            _moment_or_none(body, "answers_since"), body.get("answers") is True,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Champion:
    """Which version a task's champion is, and what is needed to run it."""

    task: str
    version: str
    generation: int
    """Grows by one with every move of the champion."""
    since: datetime
    kind: str
    """What this version answers, such as `classification`."""
    backend: str
    precision: str
    """What serving computes in: `fp32` or `bf16`."""
    manifest_sha256: str
    size_bytes: int
    format: str | None = None
    """How its folder is laid out; None where serving is of a release that does not say."""
    abstain_below: float = 0.0
    """The task's, as its file says now: an answer whose highest probability is below abstains."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read the server's answer, or what `as_json` returned."""
        texts = {name: string(body, name) for name in ("task", "version", "kind", "backend", "precision", "manifest_sha256")}
        since = datetime.fromisoformat(string(body, "since"))
        return cls(
            **texts,
            generation=int(body["generation"]),
            since=since,
            size_bytes=int(body["size_bytes"]),
            format=string_or_none(body, "format"),
            abstain_below=_share(body.get("abstain_below", 0.0)),
        )

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return asdict(self) | {"since": self.since.isoformat()}


def _text_or_none(said: object) -> str | None:
    """Return a text or None. Raises `TypeError`."""
    if said is not None and not isinstance(said, str):
        message = "a tag is not a text"
        raise TypeError(message)
    return said


def _share(said: object) -> float:
    """Return a number from 0 to 1. Raises `ValueError`."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0.0 <= said <= 1.0:
        message = "abstain_below is not a number from 0 to 1"
        raise ValueError(message)
    return float(said)


def _moment_or_none(body: Mapping[str, Any], name: str) -> datetime | None:
    said = string_or_none(body, name)
    return None if said is None else datetime.fromisoformat(said)
