"""What only a run's folder tells: its losses, and both models' answers with texts. Kept once the folder is gone."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from config.files.durable import write_atomic
from registry.reports import answers, cards
from registry.reports.answers import Answers
from trainers.job import files

KEPT_FILE = "kept.json"
_MOST_POINTS = 400


class Point(BaseModel):
    """The loss at a step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    epoch: float
    loss: float


class Left(BaseModel):
    """What a run has left. Texts are in the rows of `answers` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    curve: tuple[Point, ...] = ()
    """Of every attempt, oldest first; at most 400 points of them."""
    answers: Answers | None = None
    texts_gone_at: datetime | None = None
    """When rows with texts were taken out, because some were erased or have passed their time."""

    @property
    def example_ids(self) -> frozenset[str]:
        """The examples whose texts are shown."""
        if self.answers is None:
            return frozenset()
        shown = (self.answers.rows_better, self.answers.rows_worse, self.answers.rows_otherwise)
        return frozenset(row.example_id for rows in shown for row in rows)

    def without_texts(self, at: datetime) -> Left:
        """Return the same without rows; counts stay."""
        if self.answers is None:
            return self
        bare = self.answers.model_copy(update={"rows_better": (), "rows_worse": (), "rows_otherwise": ()})
        return self.model_copy(update={"answers": bare, "texts_gone_at": at})


def of_folder(run_dir: Path) -> Left:
    """Return what a run's folder tells now, also while the run is under way; nothing once the folder is gone."""
    history = [line for line in cards.read_history(run_dir / files.HISTORY_FILE) if line.phase == "training"]
    told = [Point(step=line.step, epoch=line.epoch, loss=line.loss) for line in history if line.loss is not None]
    every = -(-len(told) // _MOST_POINTS)
    # The last of every so many, so that the end of the curve stays.
    curve = [point for place, point in enumerate(reversed(told)) if place % every == 0] if told else []
    return Left(curve=tuple(reversed(curve)), answers=answers.of_run(run_dir))


def read(folder: Path) -> Left | None:
    """Return what was kept in the folder of a report; None where there is none that can be read."""
    try:
        return Left.model_validate(json.loads((folder / KEPT_FILE).read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


def write(left: Left, folder: Path) -> None:
    """Keep it in the folder of a report, durably."""
    # A loss may be no number, which JSON does not have; Python reads and writes it.
    write_atomic(folder / KEPT_FILE, json.dumps(left.model_dump(mode="json"), ensure_ascii=False).encode("utf-8", "replace"))
