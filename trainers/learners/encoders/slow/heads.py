"""What a kind of head brings to a slow run: all that differs between labels, numbers and signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import nn

from perennial_artifact.description import describe
from perennial_artifact.predictor import Answer
from perennial_artifact.sentence.head import Features, Matrix, Solved
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.opening import usable
from trainers.learners.protocols import Example
from trainers.learners.starting import ChoiceT, HeadT, RowsT, Start, Ways

MadeT = TypeVar("MadeT")


class Writes(Protocol):
    """Something that stands in a model folder in files of its own."""

    def write(self, folder: Path) -> None:
        """Write it into the model folder."""
        ...


class Named(Protocol):
    """A choice that people read of."""

    @property
    def name(self) -> str:
        """The choice in words."""
        ...


@dataclass(frozen=True, slots=True)
class Tuning:
    """What an encoder is tuned on, along with a linear layer of so many outputs."""

    outputs: int
    begin: Callable[[nn.Linear], None]
    """Gives the layer the weights that it begins with."""
    rows: Sequence[Row]
    examples: Sequence[Example]
    """Those of the rows."""
    answerable: Sequence[int]
    """Which outputs are learnt."""
    depends_on: object
    """What its steps depend on beside rows and settings: another one takes up no checkpoint of it."""
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None
    """Of each row, of outputs and truth; None: that of labels (`losses.labels`)."""
    answers: Callable[[Features], Sequence[Answer]]
    """What outputs, shape (rows, outputs), answer; where thresholds are needed they follow from the rows' shares."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the encoder that will be served makes of the rows."""

    encoder: TextEncoder
    features: Features
    """Shape (rows, features): its own, then those of the base model where the head reads these too."""
    own: int
    """How many of them are its own."""
    matrix: Matrix
    """What the head reads: `features`, and further blocks."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solved head."""

    head: Writes
    answers: tuple[str, ...]
    """What it answers with, by name."""
    beside: Writes | None = None
    """What a refresh of it needs."""


class Heads(Protocol[RowsT, ChoiceT, HeadT]):
    """One kind of head in one slow run (`order.learn`), whose methods are called in the order in which they stand here."""

    @property
    def rows(self) -> Sequence[Example]:
        """The rows that can be learnt from."""
        ...

    @property
    def note(self) -> str:
        """Which rows cannot, and why; empty where all can."""
        ...

    @property
    def before(self) -> ChoiceT:
        """How the champion's head was solved; the default without one that can be read."""
        ...

    @property
    def known(self) -> Solved | None:
        """What the champion's head says of its encoder; None without a champion."""
        ...

    @property
    def ways(self) -> Ways[RowsT, ChoiceT, HeadT]:
        """How a head is chosen, compared and solved."""
        ...

    def started(self, start: Start[ChoiceT, HeadT]) -> None:
        """Take note of how the run begins, before the encoder is opened."""
        ...

    def tuning(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], start: Start[ChoiceT, HeadT]) -> Tuning:
        """Return what the encoder is tuned on; `tokenised` are the tokens of all rows. Not called where nothing is tuned."""
        ...

    def read(self, seen: Seen, start: Start[ChoiceT, HeadT]) -> RowsT:
        """Return the rows as the head reads them."""
        ...

    def settled(self, choice: ChoiceT) -> ChoiceT:
        """Return how the head is solved, with what the run has found out since `choice` was made."""
        ...

    def solve(self, rows: RowsT, choice: ChoiceT, about: Solved, unlabelled: Features | None) -> Solution:
        """Return the head on all rows; `about` says what the encoder was tuned on.

        `unlabelled` are the features of a teacher's texts without gold; None: these are left out.
        """
        ...

    def format(self, *, blocks: bool) -> str:
        """Return how the folder is opened, by whether the head reads further blocks."""
        ...


def read_from(champion: Path | None, formats: frozenset[str], read: Callable[[Path], MadeT]) -> MadeT | None:
    """Return the champion's head; None without one of these formats. Raises `RunFailedError` where it is damaged."""
    if champion is None:
        return None
    with usable():
        return read(champion) if describe(champion).format in formats else None


def known_of(champion: Path | None, solved: Solved | None) -> Solved | None:
    """Return what is known of a champion's encoder: `solved`, which its head says; of one of another format nothing."""
    return None if champion is None else solved or Solved()
