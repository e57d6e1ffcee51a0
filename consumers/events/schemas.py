"""Versioned event schemas: what each type of event holds, on which topic it travels, and its plain JSON form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)

from config.foreign.characters import shows_nothing
from config.foreign.ids import ForeignId
from config.foreign.labels import LabelName, different, meant_once
from config.kinds.values import at_most
from config.task_files.overrides import Overrides
from consumers.events.correcting import LabelCorrection, WeakLabelsWithdrawn
from consumers.events.event import ArticleId, EventFields, EventId, Note, TaskName
from consumers.events.extra import kept
from consumers.events.targets import NOT_BLANK, not_blank
from consumers.text.markup import plain

ARTICLES_TOPIC = "perennial.articles"
FEEDBACK_TOPIC = "perennial.feedback"
PREDICTIONS_TOPIC = "perennial.predictions"
LIFECYCLE_TOPIC = "perennial.lifecycle"
DEAD_LETTERS_TOPIC = "perennial.dead-letters"
TOPICS = (ARTICLES_TOPIC, FEEDBACK_TOPIC, PREDICTIONS_TOPIC, LIFECYCLE_TOPIC, DEAD_LETTERS_TOPIC)
"""Every topic there is."""

KEY_SOURCE = "key:"
"""Begins the `source` of feedback that was posted with an API key; the key's name follows. Serving takes it from nobody else."""

MAX_TEXT_CHARS = 1_000_000
MAX_RENAMES = 10_000

ModelVersion = Annotated[str, Field(min_length=1, max_length=100, description="Version whose answer was shown.")]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS, json_schema_extra={"pattern": NOT_BLANK}), AfterValidator(not_blank)]
# Feeds write null where an article has no body.
ArticlePart = Annotated[
    str,
    BeforeValidator(lambda value: "" if value is None else value),
    Field(max_length=MAX_TEXT_CHARS),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": MAX_TEXT_CHARS}, {"type": "null"}]}),
]


class Article(EventFields):
    """A crawled article; new content under an old `article_id` is a new revision."""

    # Crawlers send much that a model does not need; it must not cost the article.
    model_config = ConfigDict(frozen=True, extra="allow")

    type: Literal["article"] = "article"
    article_id: ArticleId
    title: ArticlePart = ""
    body: ArticlePart = ""
    url: Annotated[str | None, Field(max_length=2_000)] = None
    publisher: Annotated[str | None, Field(max_length=200)] = None
    content_sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$", description="Checked when given.")] = None

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if shows_nothing(self.text):
            message = "title and body are both empty, or show nothing; send at least one of them"
            raise ValueError(message)
        if self.content_sha256 is not None and self.content_sha256 != content_sha256(article_text(self.title, self.body)):
            message = "content_sha256 does not fit title and body; it is the SHA-256 of title, blank line, body in UTF-8"
            raise ValueError(message)
        return self

    def extra_json(self) -> str | None:
        """Return the fields that nobody here knows, as they are kept with the article; None where there are none."""
        return kept(self.model_extra or {})

    @property
    def text(self) -> str:
        """Title, blank line, body, as a reader sees them (HTML decoded): what spans are offsets into."""
        return article_text(plain(self.title), plain(self.body))


class _Answer(EventFields):
    task: TaskName
    article_id: ArticleId | None = None
    text: Annotated[Text | None, Field(description="The text, when no article is named (or beside its id).")] = None
    # Here for its place in the written form, which stored hashes are of.
    target: Annotated[dict[str, Any] | None, Field(description="What is right.")] = None


class Label(_Answer):
    """A target chosen without looking at a model's answer.

    With origin `weak` or `oracle` it is what rules or a language model make of a text, which never tests.
    """

    type: Literal["label"] = "label"
    target: Annotated[dict[str, Any], Field(description="What is right.")]
    origin: Literal["gold", "import", "audit", "weak", "oracle"] = "gold"
    anchor: Annotated[StrictBool, Field(description="Belongs to the anchor set: never trained on, measures forgetting.")] = False
    document_id: Annotated[
        ArticleId | None,
        Field(description="What the text is a part of; texts of one document are never on both sides. Else the article."),
    ] = None
    annotator: Annotated[ForeignId | None, Field(description="The person who gave it.")] = None
    selected_by: Annotated[
        Literal["held_out", "audit", "random", "disagreement", "model"] | None,
        Field(
            description="How the row was chosen: `held_out` for testing, `audit` at random, `random` among the texts that models "
            "were asked about, to test with where nothing of it trains; none of them by a model's answer. "
            "`disagreement` with a known probability, because two models answer it (`request` says for which). "
            "`model` by what a model makes of the text: it trains and never tests."
        ),
    ] = None
    # None where it is not so: the stored hashes of older events are of what they carry.
    settles: Annotated[Literal[True] | None, Field(description="Decides where annotators of the text differ.")] = None
    note: Note = None
    request: Annotated[ForeignId | None, Field(description="The request that it answers, with `selected_by: disagreement`.")] = (
        None
    )
    weight: Annotated[
        float | None,
        Field(gt=0, le=1, description="What a label with `origin: weak` or `oracle` weighs beside a person's 1."),
    ] = None

    @model_validator(mode="after")
    def _names_a_text(self) -> Self:
        if self.text is None and self.article_id is None:
            message = "neither text nor article_id is given; send one of them"
            raise ValueError(message)
        if (self.request is None) != (self.selected_by != "disagreement"):
            message = "request and selected_by: disagreement go together; send both or neither"
            raise ValueError(message)
        is_made = self.origin in ("weak", "oracle")
        if (self.weight is None) == is_made:
            message = "weight goes with origin: weak or oracle alone; send both or neither"
            raise ValueError(message)
        if is_made and (self.anchor or self.annotator or self.selected_by or self.settles):
            message = "origin weak or oracle neither tests nor is a person; leave out anchor, annotator, selected_by and settles"
            raise ValueError(message)
        return self


class Feedback(_Answer):
    """What a user said of an answer that was shown."""

    type: Literal["feedback"] = "feedback"
    user_id: ForeignId
    verdict: Literal["correction", "confirmation"]
    target: Annotated[dict[str, Any] | None, Field(description="What is right; confirming a cited answer needs none.")] = None
    prediction_id: ForeignId | None = None
    model_version: ModelVersion | None = None

    @model_validator(mode="after")
    def _names_a_text(self) -> Self:
        if self.text is None and self.article_id is None and self.prediction_id is None:
            message = "none of prediction_id, article_id and text is given; send one of them"
            raise ValueError(message)
        if self.target is None and self.verdict == "correction":
            message = "target is missing; a correction says what is right"
            raise ValueError(message)
        if self.target is None and self.prediction_id is None:
            message = "target is missing; send it, or the prediction_id of the answer that is confirmed"
            raise ValueError(message)
        return self


class PredictionMade(EventFields):
    """An answer that serving gave; feedback cites it by `prediction_id`."""

    type: Literal["prediction"] = "prediction"
    prediction_id: ForeignId
    task: TaskName
    model_version: ModelVersion
    article_id: ArticleId | None = None
    text: Text
    answer: dict[str, Any]
    answered_by: Annotated[
        Literal["model", "correction", "keywords"] | None,
        Field(
            description="`correction`: a person's correction answered in the model's place; `keywords`: those of a task without "
            "a model. Left out, the model did."
        ),
    ] = None


_FEW = BeforeValidator(at_most(MAX_RENAMES))
_MEANT_ONCE = BeforeValidator(meant_once)
_DIFFERENT = AfterValidator(different)


class TaskSchema(EventFields):
    """Labels of a task change: they are renamed, merged, split, retired or added, or an earlier change is undone."""

    type: Literal["task_schema"] = "task_schema"
    task: TaskName
    # None where nothing is said: the stored hashes of older events are of what they carry.
    renames: Annotated[
        dict[LabelName, LabelName] | None,
        Field(min_length=1, max_length=MAX_RENAMES, description="Old label -> new label; two with one new name are merged."),
        _MEANT_ONCE,
        _FEW,
    ] = None
    splits: Annotated[
        dict[LabelName, Annotated[tuple[LabelName, ...], Field(min_length=2, max_length=MAX_RENAMES), _DIFFERENT, _FEW]] | None,
        Field(min_length=1, max_length=MAX_RENAMES, description="Label -> the narrower ones; people say which, text by text."),
        _MEANT_ONCE,
        _FEW,
    ] = None
    retired: Annotated[
        tuple[LabelName, ...] | None,
        Field(min_length=1, max_length=MAX_RENAMES, description="Labels that are neither learnt nor answered any more."),
        _FEW,
    ] = None
    added: Annotated[
        tuple[LabelName, ...] | None,
        Field(min_length=1, max_length=MAX_RENAMES, description="Labels that are known before a text carries them, or again."),
        _FEW,
    ] = None
    undoes: Annotated[EventId | None, Field(description="The event id of the change that is taken back.")] = None
    reason: Annotated[str | None, Field(min_length=1, max_length=500, description="Why.")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.renames or self.splits or self.retired or self.added or self.undoes):
            message = "none of renames, splits, retired, added and undoes is given; say what changes"
            raise ValueError(message)
        return self


class ImportUndo(EventFields):
    """An import is taken back: its rows leave the buffer, as if they had never been sent."""

    type: Literal["import_undo"] = "import_undo"
    import_id: Annotated[
        str, Field(pattern=r"^[0-9a-f]{16}$", description="As `perennial import` tells it; the ids of its events hold it.")
    ]
    reason: Annotated[str | None, Field(min_length=1, max_length=500, description="Why.")] = None


class Retrain(EventFields):
    """Somebody asks for a run now."""

    type: Literal["retrain"] = "retrain"
    task: TaskName
    full: Annotated[StrictBool, Field(description="From the base model over the whole buffer.")] = False
    promote: Annotated[StrictBool, Field(description="False: compare, but leave the champion as it is.")] = True
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    training: Annotated[Overrides | None, Field(description="What the run takes instead of the task file's `training`.")] = None


class FeedbackReview(EventFields):
    """A person decided about feedback: by its ids, by who gave it, or by the label-flip alarm that holds it."""

    type: Literal["feedback_review"] = "feedback_review"
    decision: Literal["accept", "reject"]
    event_ids: Annotated[
        tuple[EventId, ...], Field(max_length=1_000, description="Feedback by its event ids."), BeforeValidator(at_most(1_000))
    ] = ()
    user_id: Annotated[ForeignId | None, Field(description="All that this user sent before.")] = None
    task: TaskName | None = None
    alarm: Annotated[str | None, Field(min_length=1, max_length=1_000, description="All that this alarm of `task` holds.")] = None
    annotator: Annotated[ForeignId | None, Field(description="The person who decided.")] = None
    note: Note = None

    @model_validator(mode="after")
    def _speaks_of_one_thing(self) -> Self:
        if bool(self.event_ids) + (self.user_id is not None) + (self.alarm is not None) != 1:
            message = "give exactly one of event_ids, user_id and alarm"
            raise ValueError(message)
        if (self.task is None) != (self.alarm is None):
            message = "task and alarm go together; send both or neither"
            raise ValueError(message)
        return self


class Erase(EventFields):
    """A user or an article must be forgotten: everything of it is removed, and refused from then on."""

    type: Literal["erase"] = "erase"
    user_id: ForeignId | None = None
    article_id: ArticleId | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.user_id is None and self.article_id is None:
            message = "neither user_id nor article_id is given; name what is to be erased"
            raise ValueError(message)
        return self


AnyEvent = (
    Article | Label | Feedback | PredictionMade | TaskSchema | ImportUndo | WeakLabelsWithdrawn | Retrain | FeedbackReview
    | LabelCorrection | Erase
)  # fmt: skip
EVENT_TYPES: Mapping[str, type[EventFields]] = {
    "article": Article, "label": Label, "feedback": Feedback, "prediction": PredictionMade,
    "task_schema": TaskSchema, "import_undo": ImportUndo, "weak_labels_withdrawn": WeakLabelsWithdrawn, "retrain": Retrain,
    "feedback_review": FeedbackReview, "label_correction": LabelCorrection, "erase": Erase,
}  # fmt: skip
TOPIC_OF_TYPE: Mapping[str, str] = {
    **dict.fromkeys(EVENT_TYPES, FEEDBACK_TOPIC), "article": ARTICLES_TOPIC, "prediction": PREDICTIONS_TOPIC,
}  # fmt: skip


def article_text(title: str, body: str) -> str:
    """Return the text of an article: title, blank line, body (either may be missing)."""
    return "\n\n".join(part for part in (title, body) if part)


def content_sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8 (lone surrogates kept), in lower-case hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def key_of(event: AnyEvent) -> bytes:
    """Return the key to publish an event under: what has one key stays in order, so an article's revisions share theirs."""
    return (event.article_id if isinstance(event, Article) else event.event_id).encode()


def to_bytes(event: AnyEvent) -> bytes:
    """Return the plain JSON form of an event (UTF-8); fields of ours without a value are left out, those of others stay."""
    theirs = {name: None for name, value in (event.model_extra or {}).items() if value is None}
    if not theirs:
        return event.model_dump_json(exclude_none=True).encode()
    return json.dumps(event.model_dump(mode="json", exclude_none=True) | theirs, ensure_ascii=False).encode()
