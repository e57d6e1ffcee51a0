"""The last draw of texts to label next, as a file: hashes and why each was chosen, no texts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from config.words import counted
from consumers.labelling.choosing.ways import Way


class Pick(BaseModel):
    """A text that was chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_sha256: str
    way: Way
    label: str | None = None
    """The label of which there are few, where that is why."""

    @property
    def why(self) -> str:
        """Why it was chosen, in words."""
        told = {
            "uncertain": "two labels are close", "diverse": "unlike everything that is labelled", "random": "drawn at random",
            "short": f"few of `{self.label}`, and this may be one",
        }  # fmt: skip
        return told[self.way]


class Scarce(BaseModel):
    """A label with too few training texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    there: int
    enough: int

    @property
    def words(self) -> str:
        """What is missing, such as "about 40 more of `impact` (10 of 50)"."""
        return f"about {self.enough - self.there} more of `{self.label}` ({self.there} of {self.enough})"


class Doubling(BaseModel):
    """What the last doubling of the labels brought: heads on the stored embeddings, judged on texts they have not seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int
    """That were judged."""
    half: float
    """Accuracy with half of the labels, 0..1."""
    whole: float

    @property
    def words(self) -> str:
        """The same in words."""
        brought = 100 * (self.whole - self.half)
        told = f"{100 * self.half:.1f} % of {counted(self.texts, 'training text')} are told right with half of the labels, "
        told += f"{100 * self.whole:.1f} % with all: "
        return told + (f"the last doubling brought {brought:.1f} points" if brought > 0 else "the last doubling brought nothing")


class Draw(BaseModel):
    """What was chosen for a task, and what more labels may bring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: str
    at: datetime
    looked_at: int
    """Articles without a label."""
    picks: tuple[Pick, ...]
    scarce: tuple[Scarce, ...]
    """The scarcest first."""
    doubling: Doubling | None
    without_model: str | None
    """Why no model had a part in it; None where one had."""

    @property
    def gain(self) -> tuple[str, ...]:
        """What more labels may bring, in words."""
        told = [one.words for one in self.scarce]
        return (*told, *([self.doubling.words] if self.doubling is not None else ()))
