"""All that the report of a run is made from: the registry's records, and what the run's folder tells or told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registry.reports import cards
from registry.reports.run.left import Left
from registry.reports.section import Section
from registry.runs import Level, Run
from registry.store import Registry
from registry.versions import Version
from trainers.compare.comparison import Comparison
from trainers.job.scoring.fit import Fit

_MOST_ANCESTORS = 20
_OF_BEFORE: dict[str | None, Level | None] = {"promote": "DEPLOY", "insufficient_evidence": "REVIEW", "keep": "FAIL", None: None}
"""Of runs that were decided before there were limits."""


@dataclass(frozen=True, slots=True)
class Told:
    """One run, as a report needs it."""

    run: Run
    version: Version | None
    seen: Comparison | None
    card: tuple[Section, ...]
    """The parts of the version's card: a report says the same in the same words."""
    ancestors: tuple[str, ...]
    """What the version went on from, and what that did, newest first."""
    left: Left
    watts_per_core: float
    """For the estimate of energy; 0: none."""
    made_at: datetime

    @property
    def level(self) -> Level | None:
        """Whether what the run made is to be deployed; None while that is open."""
        return self.run.readiness or _OF_BEFORE[self.run.verdict]

    @property
    def metrics(self) -> dict[str, Any]:
        """What the run reported of itself."""
        return dict(self.version.metrics) if self.version is not None else {}

    @property
    def fit(self) -> Fit | None:
        """The candidate on rows that it has learnt, where that was measured."""
        found = self.metrics.get("fit")
        return None if found is None else Fit.model_validate(found)

    @property
    def overfitting_from(self) -> float | None:
        """What the task file calls over-fitting; None of versions of before."""
        policy = self.version.lineage.settings.get("task", {}).get("promotion", {}) if self.version is not None else {}
        return policy.get("overfitting_from")

    def of_card(self, title: str) -> Section | None:
        """Return a part of the card by its title."""
        return next((one for one in self.card if one.title == title), None)


def told(registry: Registry, run: Run, left: Left, *, watts_per_core: float) -> Told:
    """Return what the report of a run is made from."""
    version = registry.versions.get(run.version) if run.version else None
    seen = Comparison.model_validate(run.comparison) if run.comparison else None
    if seen is None and version is not None:
        seen = cards.comparison_of(version)
    return Told(
        run=run,
        version=version,
        seen=seen,
        card=tuple(cards.sections(registry, version.name, run=run)[1:]) if version is not None else (),
        ancestors=tuple(_ancestors(registry, version)),
        left=left,
        watts_per_core=watts_per_core,
        made_at=registry.clock(),
    )


def _ancestors(registry: Registry, version: Version | None) -> Sequence[str]:
    found: list[str] = []
    while version is not None and version.parent is not None and len(found) < _MOST_ANCESTORS:
        found.append(version.parent)
        version = registry.versions.get(version.parent)
    return found
