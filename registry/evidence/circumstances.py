"""What the gate knows beside the comparison: with both, a verdict can be reached again at any time."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from config.task_files.sections.promotion import Promotion
from registry.judging import gate
from trainers.compare.comparison import Comparison
from trainers.compare.guarding.served import Served


class Circumstances(BaseModel):
    """What of the installation takes part in a verdict. Whatever else the gate comes to ask belongs here, or it is not kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Promotion
    """Of the task file in force when the verdict fell."""
    champion_must_go: bool
    """Whether the champion had learnt from texts that were erased."""
    test_fraction: float | None
    """Share of labelled rows that is kept for testing; it stands in the words only."""

    served: Served | None = None
    """What the sandbox measured; None of releases that did not ask, and where it has not been in one."""

    def decide(self, comparison: Comparison) -> gate.Decision:
        """Return the gate's decision. Raises as `gate.decide` does."""
        return gate.decide(
            comparison, self.policy, champion_must_go=self.champion_must_go, test_fraction=self.test_fraction, served=self.served
        )
