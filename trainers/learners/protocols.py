"""The protocol that whatever learns fulfils, and the values that pass to and from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from config.tasks import TaskSpec
from perennial_artifact.predictor import Predictor
from trainers.export.building import USUAL, Limits
from trainers.hardware import Hardware
from trainers.learners.contradicted import Contradicted
from trainers.learners.features import FeatureSet
from trainers.learners.tried import Tried

if TYPE_CHECKING:
    from trainers.learners.taught import Taught
    from trainers.tracking import Tracking

_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Example:
    """One row a task learns from: a text and its target (the wire form of `consumers.events.schemas`)."""

    example_id: str
    text: str
    target: Mapping[str, Any]
    weight: float = 1.0
    event_time: datetime = _UNDATED
    document: str | None = None
    """The document, else the story, that it belongs to; None for a text of its own."""
    story: str | None = None
    """Texts of one story are near copies; None: not known, or a story of its own."""
    independent: bool = True
    """Whether it was chosen without looking at a model's answer."""
    is_new: bool = True
    """Whether the champion has not learnt from it."""
    scope: frozenset[str] | None = None
    """The labels that whoever gave the target knew: of others its silence says nothing. None: not known, so all are meant."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One report of progress from inside training."""

    step: int
    steps: int
    epoch: float
    loss: float
    examples_per_s: float
    texts_cut: int = 0
    """Texts of the run that are longer than the model reads."""
    message: str = ""
    """What the reader of the history should know, such as rows that could not be used."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything a task needs for one training run."""

    spec: TaskSpec
    rows: Sequence[Example]
    full: bool
    warm_start: Path | None
    """The champion's model folder, for an incremental run."""
    seed: int
    hardware: Hardware
    batch_size: int
    work_dir: Path
    """Scratch space that survives a killed attempt (checkpoints); the caller removes it after publishing."""
    report: Callable[[TrainingStep], None]
    rows_per_step: int | None = None
    """Rows that a step learns from where memory has made batches smaller than the task says; None: as many as it says."""
    memory_limit_mib: int = 0
    """Memory that the process may hold; 0: no limit."""
    note_batch_size: Callable[[int], None] = lambda _rows: None
    """Told how many rows batches hold where the run has chosen that."""
    waiting: Collection[str] = ()
    """Labels that join no model yet, because users alone carry them; rows may carry them beside others."""
    text_time_s: float = float("inf")
    """Seconds that 10,000 characters of one text may take to be split into words; a row that takes longer is left out by name."""
    tell: Callable[[str], None] = lambda _message: None
    """Told what goes on before the first step, however often; also where a stop that was asked for takes effect."""
    to_tune: Collection[str] | None = None
    """Ids of the rows that an encoder is tuned on where these are not all of `rows`; a head is solved on all."""
    base_features: FeatureSet | None = None
    """What the base model as it came makes of the rows, where the buffer holds that."""
    champion_features: FeatureSet | None = None
    """What the champion's encoder makes of the rows, and behind it the base model where its head reads that too; if stored."""
    keep_features: Callable[[FeatureSet], None] = lambda _features: None
    """Told what the candidate's encoder makes of the rows, so that it need not be computed again."""
    score: Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], float] | None = None
    """The task's metric of gold and answers, as it lays them side by side for a comparison; None: nothing is chosen by it."""
    metric: str = ""
    """Its name."""
    lower_is_better: bool = False
    """Whether it counts errors."""
    note_tried: Callable[[Tried], None] = lambda _tried: None
    """Told of everything that was tried on the way to the candidate; the run's report lists it."""
    note_contradicted: Callable[[Contradicted], None] = lambda _contradicted: None
    """Told which rows weigh less, because others contradict them."""
    export_limits: Limits = USUAL
    """What building a variant of the encoder may take."""
    tracking: Tracking | None = None
    """Who else follows the losses of a tuning; None: nobody."""
    taught: Taught | None = None
    """What a teacher says of the rows and of texts without gold; None: there is none, or what it says is among the rows."""

    @property
    def accumulation(self) -> int:
        """How many batches make a step."""
        if self.rows_per_step is None:
            return self.spec.training.gradient_accumulation
        return max(1, round(self.rows_per_step / self.batch_size))

    def of_weight(self) -> TrainingPlan:
        """Return the plan without rows that weigh nothing: they teach nothing, and must not look as if they did."""
        return replace(self, rows=[row for row in self.rows if row.weight > 0])


class Aligner(Protocol):
    """Brings targets and answers of one text into the form in which they are compared."""

    def __call__(self, text: str, targets: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return one for each of `targets`, in order."""
        ...


class Learner(Protocol):
    """One way of learning a kind of task; what it writes is opened by its format (`perennial_artifact.formats`)."""

    learns_from_all: bool
    """Whether every run learns from all eligible rows; else an incremental one from the new rows and a sample of older ones."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn from `plan.rows` and write a model and its `model.json` (`Description.write`) into the new folder `output`.

        Raises `RunFailedError` when the rows cannot be learnt from; `MemoryError` or torch's out-of-memory error pass through.
        """
        ...

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether a run can still bring something where the champion in this folder has learnt from every row."""
        ...

    def aligner(self, model: Predictor) -> Aligner:
        """Return what brings gold and the answers of any model into one form, given the loaded candidate."""
        ...

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return the declared baseline (`spec.promotion.baseline`) that a first model must beat, made from training rows."""
        ...


class Refresher(Protocol):
    """Learns the head of a champion anew, in seconds; what is below stays as it is."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion (`plan.warm_start`) with a new head into the new folder `output`.

        Raises `RunFailedError` when the rows cannot be learnt from.
        """
        ...
