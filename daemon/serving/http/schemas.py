"""The schemas of requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, create_model, model_validator

from config.kinds import catalog as kinds
from config.kinds.signals.models import ShownSignal
from config.kinds.values import at_most
from consumers.events.event import ArticleId
from consumers.events.schemas import Text, article_text
from daemon.views.models.versions import Version
from daemon.views.tasks import TaskSummary


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


MOST_TEXTS = 10_000
"""Of a request, whatever `serving.max_texts` says."""


class PredictRequest(_Schema):
    """One of `texts`, `text`, or `title` and `body` (an article, read as title, blank line, body)."""

    texts: Annotated[
        tuple[Text, ...] | None,
        Field(min_length=1, description="Several texts, answered in order."),
        BeforeValidator(at_most(MOST_TEXTS)),
    ] = None
    text: Annotated[Text | None, Field(description="One text.")] = None
    title: Annotated[Text | None, Field(description="An article's title ...")] = None
    body: Annotated[Text | None, Field(description="... and body; either may be left out.")] = None
    article_id: Annotated[ArticleId | None, Field(description="The article the one text belongs to.")] = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        article = self.title is not None or self.body is not None
        forms = [self.texts is not None, self.text is not None, article]
        if sum(forms) != 1:
            found = "none" if not any(forms) else "more than one"
            message = f"{found} of texts, text, and title/body is given; send exactly one of them"
            raise ValueError(message)
        if self.article_id is not None and self.texts is not None:
            message = "article_id names one article and texts are several; send text, or title and body, with it"
            raise ValueError(message)
        blank = [number for number, text in enumerate(self.as_texts()) if not text.strip()]
        if blank:
            message = f"text number {blank[0]} holds only white space; send words, or leave it out"
            raise ValueError(message)
        return self

    def as_texts(self) -> list[str]:
        """Return the texts to answer, in order."""
        if self.texts is not None:
            return list(self.texts)
        return [self.text] if self.text is not None else [article_text(self.title or "", self.body or "")]


class ClassifyRequest(_Schema):
    """The title of a text, its description, or both; read as title, blank line, description."""

    title: Annotated[Text | None, Field(description="The title ...")] = None
    description: Annotated[Text | None, Field(description="... and what it is about; either may be left out.")] = None
    article_id: Annotated[ArticleId | None, Field(description="The article that the text belongs to.")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.title is None and self.description is None:
            message = "neither title nor description is given; send at least one of them"
            raise ValueError(message)
        return self

    def as_text(self) -> str:
        """Return the text to answer."""
        return article_text(self.title or "", self.description or "")


class _Prediction(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    prediction_id: Annotated[str, Field(description="Id for feedback on this answer.")]
    truncated: Annotated[bool, Field(description="The model read only the beginning of the text.")]
    abstained: Annotated[
        bool, Field(description="The highest probability is below the task's `abstain_below`: the answer is given, and unsure.")
    ]
    answered_by: Annotated[
        Literal["model", "correction", "keywords"],
        Field(
            description="`correction`: what a trusted person said of this very text, until a champion has learnt it; `keywords`: "
            "those of the task, which has no champion."
        ),
    ]
    correction_id: Annotated[str | None, Field(description="The event id of the feedback that answered; null where a model did.")]


class _PredictResponse(_Schema):
    task: str
    version: str


def predict_response() -> type[BaseModel]:
    """Return the model of the answer to a `PredictRequest`: a prediction has the parts that the registered kinds show."""
    fields: dict[str, Any] = {}
    said = []
    # By name, so that the document does not change with the order in which kinds were registered.
    for kind in sorted(kinds.every(), key=lambda kind: kind.name):
        shown = kind.shown.model_fields
        fields |= {name: (field.annotation, field) for name, field in shown.items()}
        said.append(f"{' and '.join(f'`{name}`' for name in shown)} of {kind.words.task}")
    prediction = create_model("Prediction", __base__=_Prediction, __doc__=f"One answer: {', '.join(said)}.", **fields)
    return create_model(
        "PredictResponse", __base__=_PredictResponse, __doc__="One prediction per text, in order, all by one version.",
        predictions=(list[prediction], ...),
    )  # fmt: skip


class ClassifyResponse(BaseModel):
    """What one text says of each category."""

    task: str
    version: str
    prediction_id: Annotated[str, Field(description="Id for feedback on this answer.")]
    answered_by: Annotated[Literal["model", "correction", "keywords"], Field(description="Who spoke, as for `predict`.")]
    correction_id: Annotated[str | None, Field(description="The event id of the feedback that answered; else null.")]
    truncated: Annotated[bool, Field(description="Only the beginning of the text was read.")]
    signals: Annotated[dict[str, ShownSignal], Field(description="Score and tag per category.")]


class Refused(_Schema):
    """Why a request was refused and what to do."""

    code: Annotated[str, Field(description="For programs, such as `no_champion`.")]
    field: Annotated[str | None, Field(description="Which part of the request is wrong.")]
    message: str
    remedy: str


class ErrorBody(_Schema):
    """The form of every refusal."""

    error: Refused


class Alive(_Schema):
    """The process runs."""

    status: Literal["alive"] = "alive"
    pid: int


class Readiness(BaseModel):
    """Whether every task that has a champion has a loaded model."""

    ready: bool
    reasons: Annotated[dict[str, str | None], Field(description="Why it is not ready.")]
    notes: Annotated[dict[str, str | None], Field(description="Problems that do not prevent it from being ready.")]
    serving: Annotated[dict[str, str | None], Field(description="The version that answers, by task.")]
    computes_by: Annotated[
        dict[str, str],
        Field(description="What that version computes by, of tasks where it tells: a variant of its encoder, or `fp32`, `bf16`."),
    ]
    passed_over: Annotated[dict[str, str], Field(description="Why the variant beside its weights is not used, where so.")]


class FeedbackAccepted(_Schema):
    """The acknowledgement: the event is durable in the log and will not be lost. Posted again, it tells how far it has come."""

    event_id: str
    task: str
    status: Literal["accepted"] = "accepted"
    accepted_at: datetime
    fate: str
    """Where its fate can be asked."""
    answers_since: Annotated[
        datetime | None, Field(description="Since when it answers for its own text; null until it was judged, seconds later.")
    ] = None
    learnt_in: Annotated[str | None, Field(description="The first version that learnt from it.")] = None
    in_champion: Annotated[bool, Field(description="Whether it is live: the champion, or one of its parents, learnt it.")] = False


class TaskView(TaskSummary):
    """One task as serving sees it."""

    serving: str | None
    ready: bool
    problem: str | None
    computes_by: Annotated[
        str | None, Field(description="A variant of its encoder, or the precision of its weights; null where nothing tells.")
    ] = None
    passed_over: Annotated[str | None, Field(description="Why the variant beside its weights is not used.")] = None


class Tasks(_Schema):
    """All tasks."""

    tasks: list[TaskView]


class ModelView(Version):
    """One version of the registry, and whether this process answers with it."""

    serving: bool


class ReviewAnswer(_Schema):
    """What a person says of a text that they were asked about: exactly one of the acts."""

    task: Annotated[str, Field(max_length=63)]
    lane: Annotated[str, Field(max_length=40, description="As `GET /v1/review` names it.")]
    item: Annotated[str, Field(max_length=200, description="The item's id.")]
    annotator: Annotated[
        str, Field(max_length=100, description="Who answers: with an API key its name, whatever is given here.")
    ] = ""
    target: Annotated[dict[str, Any] | None, Field(description="What is right.")] = None
    cannot_tell: Annotated[Literal[True] | None, Field(description="They cannot tell.")] = None
    skip: Annotated[Literal[True] | None, Field(description="They want to be asked about something else.")] = None
    accept: Annotated[str | None, Field(max_length=1_000, description="Feedback that is right, by its event id.")] = None
    reject: Annotated[Literal[True] | None, Field(description="None of the feedback about the text is right.")] = None
    note: Annotated[str, Field(max_length=1_000, description="For people.")] = ""

    @model_validator(mode="after")
    def _one_act(self) -> Self:
        acts = [name for name in _ACTS if getattr(self, name) is not None]
        if len(acts) != 1:
            message = f"{'none' if not acts else 'more than one'} of {', '.join(_ACTS)} is given; send exactly one of them"
            raise ValueError(message)
        return self

    def act(self) -> dict[str, Any]:
        """Return the answer without who gives it and for what task."""
        return self.model_dump(exclude_none=True, exclude={"task", "annotator"})


_ACTS = ("target", "cannot_tell", "skip", "accept", "reject")


class Reviewed(_Schema):
    """What came of an answer."""

    done: bool
    """False: nothing was changed, because another person was quicker or the text is not asked about any more."""
    said: str
    """The same for people."""


class CorrectionOfLabel(_Schema):
    """What a label that was wrong says from now on."""

    label_id: Annotated[str, Field(min_length=1, max_length=1_000, description="The event id that the label came under.")]
    target: Annotated[dict[str, Any], Field(description="What is right.")]
    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000),
        Field(description="Why, for people; kept for good."),
    ]
    annotator: Annotated[
        str, Field(max_length=100, description="Who corrects it: with an API key its name, whatever is given here.")
    ] = ""


class Corrected(_Schema):
    """A correction that was taken in."""

    label_id: str
    in_force: str
    """When, in words."""


class Models(_Schema):
    """Versions, the newest first."""

    models: list[ModelView]


class KeywordsView(_Schema):
    """A task's keywords, with which an app can answer while there is no champion."""

    task: str
    version: str
    """What stands in the place of a version where they answer."""
    keywords: dict[str, Any]
    """As `perennial_artifact.keywords.Keywords.of` reads them: `format_version`, `kind`, `rules`."""


class ChampionView(_Schema):
    """A task's champion, with what an app needs to run it in its own process."""

    task: str
    version: str
    generation: int
    """Grows by one with every move of the champion."""
    since: datetime
    kind: str
    """What this version answers; after a change of its task, the next one may answer another."""
    backend: str
    format: str
    """How its folder is laid out, which says what opens it."""
    precision: Literal["fp32", "bf16"]
    """What serving computes in; another precision may give other scores."""
    abstain_below: float
    """The task's: an answer whose highest probability is below abstains; 0: none does."""
    manifest_sha256: str
    size_bytes: int
    """Of all files together."""
