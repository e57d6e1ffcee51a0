"""What everybody asks a kind of task, so that nobody asks which kind it is.

A *target* says what is right of a text, an *answer* what a model says of it. Both pass here in wire form, as JSON objects, and
both carry the `key` of their kind: so a stored row tells its kind by itself, also once its task has become one of another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from config.kinds.forms import Given, Widget

if TYPE_CHECKING:
    from perennial_artifact.keywords import Keywords

Target = Mapping[str, Any]
Answer = Mapping[str, Any]

Relation = Literal["same", "contrary", "unlike"]
"""`unlike`: neither the same nor against each other, as with two careful annotators or two parts of one text."""

UNKNOWN, NOTHING, ANY = "(unknown)", "(nothing)", "(any)"
"""What a correction may move from or to beside labels: an answer that is not cited, no label, whatever label it was."""

Piece = tuple[str, Literal["plain", "strong", "faint", "warning"]]
"""Words for a person, and their style."""


@dataclass(frozen=True, slots=True)
class Words:
    """What people read about tasks of a kind."""

    task: str
    """What a task is called, such as `entity recognition`."""
    about: str
    """What it finds, such as `entities`."""
    majority: str
    """What the declared baseline `majority` does."""
    base_model: str = ""
    """Description of `base_model` in a task file, where it differs from the default one."""
    empty: str = ""
    """What texts are called whose target carries no label; empty: none of them is worth a word."""


class RowValues(Protocol):
    """One row of a file that is imported, by the fields of `Kind.columns`. The methods raise `ValueError` for invalid values."""

    @property
    def partial(self) -> bool:
        """Whether the row says that it is only a partial answer about its text."""
        ...

    @property
    def types(self) -> Sequence[str] | None:
        """The labels that whoever gave the answer knew, where the row tells; None where it does not."""
        ...

    def label(self, field: str) -> str:
        """Return the label, renamed by the user's label map; empty where the map drops it."""
        ...

    def labels(self, field: str) -> list[str]:
        """Return the labels of a list, renamed by the user's label map, without those that the map drops."""
        ...

    def spans(self, field: str) -> list[dict[str, Any]]:
        """Return the spans in order: `start` and `end` in code points of the row's text, and `label`."""
        ...

    def number(self, field: str) -> float:
        """Return the number in the column."""
        ...

    def numbers(self, field: str) -> Mapping[str, float | None]:
        """Return the number of each of the task's dimensions: from the object in the column, else from a column of each.

        None where it is missing; at least one is there.
        """
        ...

    def signals(self, field: str) -> Mapping[str, Mapping[str, Any] | None]:
        """Return what the row says of each of the task's categories: `score`, and `tag` where it is known.

        From the object in the column, else from a column of each score and one of each tag. None where it is missing; at least
        one is there.
        """
        ...


class Kind(Protocol):
    """What a task can be. Kinds are registered in `config.kinds.catalog`; their learners in `trainers.learners.catalog`."""

    name: str
    """As task files write it."""
    key: str
    """The key that every target and answer of this kind carries, and none of another."""
    target: type[BaseModel]
    """Validates a target; its JSON Schema is published."""
    answer: type[BaseModel]
    """Validates an answer."""
    shown: type[BaseModel]
    """What an answer looks like over HTTP: one documented field with a default for each part of it."""
    backends: tuple[str, ...]
    """Where it can be learnt, as task files write them."""
    metrics: tuple[str, ...]
    """The names of the metrics that may decide."""
    columns: tuple[str, ...]
    """The fields of an imported row that make a target, as users name their columns; all of them are needed."""
    positional: bool
    """Whether a target says where in its text each of its labels stands.

    If so, it goes for that very text and no copy of it, and importers leave the text as the file holds it.
    """
    several: bool
    """Whether a target may carry several labels, each right or wrong by itself.

    If so, a row whose target has one label that may not be learnt yet still teaches the others.
    """
    words: Words

    def labels(self, target: Target) -> list[str]:
        """Return the labels in a target, each as often as it occurs; a kind without labels has none."""
        ...

    def spelt(self, label: str) -> str:
        """Return a text that occurs in the JSON (without white space) of each target that carries a label, hardly of others."""
        ...

    def as_read(self, target: Target) -> dict[str, Any]:
        """Return a target that is valid as it was sent, but for its labels and numbers: those as they are read."""
        ...

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:
        """Return a target, with each label under its new name."""
        ...

    def fits(self, target: Target) -> bool:
        """Return whether a target has the shape of this kind's, whatever version stored it and whatever its labels are."""
        ...

    def misplaced(self, value: Target | Answer, text: str) -> str | None:
        """Return, in words, what a valid target or answer says that cannot be said of this text; None where it can."""
        ...

    def relation(self, one: Target, other: Target) -> Relation:
        """Return how two targets of one text relate; symmetric. An answer may take the place of a target."""
        ...

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:
        """Return the moves of a correction that a label-flip alarm counts, as pairs of labels.

        Against an answer given with a probability below `confident_from` there are none; where no answer is cited every label of
        the target counts as moved from `UNKNOWN`: leaving the answer out must not be a way past the alarm.
        """
        ...

    def plain(self, answer: Answer) -> dict[str, Any]:
        """Return what a valid answer says, of whatever version, under labels as they are read today; the rest is left out."""
        ...

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        """Return the target that says the same as an answer: what a confirmation of it confirms."""
        ...

    def corrected(self, target: Target) -> dict[str, Any] | None:
        """Return the answer that says what a target does, where a person's correction answers in the model's place.

        `confirmed` gives the target back. None where a target does not tell everything of its text.
        """
        ...

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        """Return the target that an imported row gives; None where the user's label map leaves the row out."""
        ...

    def in_words(self, target: Target) -> str:
        """Return a target in a few words, on one line."""
        ...

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        """Return an answer beside its text (one line) for a person, in pieces."""
        ...


@runtime_checkable
class HasForm(Protocol):
    """A kind of which a person can say at the desk what is right; a `Kind` may be one."""

    widget: Widget
    """The form that asks for it."""

    def from_form(self, given: Given, text: str) -> dict[str, Any]:
        """Return the target that a filled-in form gives of a text. Raises `ValueError`, in words, where it gives none."""
        ...

    def form_of(self, target: Target) -> dict[str, list[str]]:
        """Return the fields of the form that gives this target."""
        ...


@runtime_checkable
class ExcludesLabels(Protocol):
    """A kind of which a task may exclude labels; a `Kind` may be one."""

    def without(self, target: Target, excluded: Collection[str]) -> dict[str, Any] | None:
        """Return a target as if the labels `excluded` did not exist; None where then nothing is said of its text."""
        ...


@runtime_checkable
class AnswersLabels(Protocol):
    """A kind whose models answer with labels, which may have been renamed or retired since; a `Kind` may be one."""

    def answered(self, answer: Answer, new_name: Callable[[str], str | None]) -> dict[str, Any]:
        """Return an answer with each label under its new name, and without those that have none (None)."""
        ...


@runtime_checkable
class KnowsScope(Protocol):
    """A kind whose targets stay silent about labels that whoever gave them did not know; a `Kind` may be one."""

    def scope(self, target: Target) -> Sequence[str] | None:
        """Return the labels that whoever gave a target knew, where it tells; None where it does not."""
        ...


@runtime_checkable
class Measures(Protocol):
    """A kind whose targets speak of what its task declares: dimensions, or categories of signals; a `Kind` may be one."""

    declares: str
    """The key of the task file that holds it: a sequence of models with a `name` each, the keys of a target."""

    def unfit(self, target: Target, declared: Sequence[Any]) -> str | None:
        """Return, in words, what a valid target says that its task does not declare, or out of range; None where it says none."""
        ...

    def restricted(self, target: Target, declared: Sequence[Any]) -> dict[str, Any] | None:
        """Return a stored target with what its task declares today, within the ranges of today; None where nothing is left."""
        ...


@runtime_checkable
class HasStrata(Protocol):
    """A kind without labels whose targets hold others things that must be measurable on held-out rows; a `Kind` may be one."""

    def strata(self, target: Target) -> frozenset[str]:
        """Return the names of what a target holds, of which a share of the documents is to be held out."""
        ...


@runtime_checkable
class HasKeywords(Protocol):
    """A kind of which a task may list keywords, which answer while it has no champion; a `Kind` may be one."""

    declares: str
    """The key of the task file that holds them."""

    def keywords(self, declared: Sequence[Any]) -> Keywords | None:
        """Return what answers by the keywords of a task; None where it has none."""
        ...
