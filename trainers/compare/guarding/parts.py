"""What guards look at, measured by document: guarded slices, the anchor set, the calibration error, the newest window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from config.task_files.sections.promotion import Promotion
from trainers.compare import statistics
from trainers.compare.answers import Answers, Where
from trainers.compare.clusters import clusters_of
from trainers.compare.guarding import calibration
from trainers.compare.guarding.spread import standard_error
from trainers.compare.metrics.metric import Metric
from trainers.compare.metrics.scale import MaybeInfinite, Scale
from trainers.compare.parts import dimensions, signals
from trainers.compare.parts.slices import LABEL, Slice
from trainers.compare.probabilities import Sureness
from trainers.compare.reading import Reading
from trainers.compare.resampling.folded import FoldedSums
from trainers.compare.resampling.paired import Clusters, Paired


class Newest(BaseModel):
    """Both models on the newest window of the test rows, for a safe refresh."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: float
    rows: int
    documents: int
    champion_score: MaybeInfinite
    candidate_score: MaybeInfinite
    gain: MaybeInfinite
    lower_bound: MaybeInfinite
    """Of the gain, one-sided at the policy's confidence, as of all test rows."""
    p_equal: float
    """One-sided probability of a gain this large if both were equal."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The scored rows of a run, as guards take parts of them."""

    metric: Metric
    read: Reading
    """All rows, as the metric reads them."""
    scores: pa.Table
    answers: Answers
    """Of all rows."""
    test: Where
    """The rows that decide."""
    stories: Clusters
    """Of these rows: which are one piece of evidence."""
    places: Mapping[str, Where]
    """Rows of the slices that rows themselves tell of."""
    signals: bool
    seed: int

    def guarded(self, slices: Iterator[Slice], policy: Promotion) -> Iterator[Slice]:
        """Yield the slices, those that the policy guards with documents and standard error."""
        found = list(slices)
        names = {guard.slice for guard in policy.slices}
        labels = self._of_labels([one.name for one in found if one.name in names and one.name.startswith(LABEL)])
        for one in found:
            part = labels.get(one.name) if one.name.startswith(LABEL) else self._part(one.name) if one.name in names else None
            yield one if part is None else self.measured(one, *part, scale=self.metric.scale)

    def measured(self, part: Slice, paired: Paired, clusters: Clusters, documents: int, *, scale: Scale) -> Slice:
        """Return a part with what its gain may be off by chance."""
        error = standard_error(paired, clusters, scale, seed=self.seed)
        return part.model_copy(update={"documents": documents, "standard_error": error})

    def whole(self, part: Slice | None, where: Where) -> Slice | None:
        """Return a part that is wholly scored by the metric, such as the anchor set, with its standard error."""
        if part is None:
            return None
        return self.measured(part, *self._paired(where), scale=self.metric.scale)

    def calibration(self, sides: Sequence[Sureness | None]) -> Slice | None:
        """Return both calibration errors on the deciding rows, by how sure both models are; None where one does not say."""
        paired = calibration.paired(sides, len(self.test))
        if paired is None:
            return None
        candidate, champion = paired.scores()
        part = Slice(
            name=calibration.NAME, rows=len(self.test), champion_score=champion, candidate_score=candidate, lower_is_better=True
        )
        clusters = self._clusters(self.test)
        return self.measured(part, paired, clusters, _count(clusters), scale=calibration.SCALE)

    def newest(self, policy: Promotion) -> Newest | None:
        """Return both models on the newest window; None where the policy has none, or there are no test rows."""
        if policy.safe_refresh is None or not len(self.test):
            return None
        times = self.scores["event_time"].take(pa.array(self.test))
        days = policy.safe_refresh.newest_days
        start = pa.scalar(pc.max(times).as_py() - timedelta(days=days), times.type)
        where = self.test[np.flatnonzero(pc.greater_equal(times, start).to_numpy())]
        paired, clusters, documents = self._paired(where)
        scale = self.metric.scale
        found = statistics.weigh(paired, clusters, scale, confidence=policy.confidence, seed=self.seed)
        candidate, champion = paired.scores()
        return Newest(
            days=days, rows=len(where), documents=documents, champion_score=champion, candidate_score=candidate,
            gain=found.gain, lower_bound=found.lower_bound, p_equal=found.p_equal,
        )  # fmt: skip

    def _part(self, name: str) -> tuple[Paired, Clusters, int] | None:
        """Return the rows of a guarded slice that is none of a label."""
        if (where := self.places.get(name)) is not None:
            return self._paired(where)
        _field, _colon, which = name.partition(":")
        part, here = (signals if self.signals else dimensions).part_of(self.answers.take(self.test), which)
        clusters = self._clusters(self.test[here])
        return self.metric.pair(*part.columns), clusters, _count(clusters)

    def _of_labels(self, names: list[str]) -> Mapping[str, tuple[Paired, Clusters, int]]:
        """Return the rows that a label's score is made of: all test rows, because each may be taken for it by mistake."""
        if not names:
            return {}
        clusters = self._clusters(self.test)
        found = self.read.pair_labels(self.test, [name.removeprefix(LABEL) for name in names])
        return {f"{LABEL}{label}": (paired, clusters, _carrying(paired, clusters)) for label, paired in found.items()}

    def _paired(self, where: Where) -> tuple[Paired, Clusters, int]:
        clusters = self._clusters(where)
        return self.read.pair(where), clusters, _count(clusters)

    def _clusters(self, where: Where) -> Clusters:
        """Return what is one piece of evidence in a part: of rows that decide as in all of them, which takes no second look."""
        places = np.searchsorted(self.test, where)
        if len(self.test) and bool((self.test[np.minimum(places, len(self.test) - 1)] == where).all()):
            return np.asarray(np.unique(self.stories[places], return_inverse=True)[1], dtype=np.intp)
        return clusters_of(self.scores.take(pa.array(where)))


def _count(clusters: Clusters) -> int:
    return int(clusters.max(initial=-1)) + 1


def _carrying(paired: Any, clusters: Clusters) -> int:  # noqa: ANN401 - sums, whose first column is gold
    """Return how many documents have a label in gold."""
    has = (paired.patterns.shared[:, 0] > 0)[paired.at] if isinstance(paired, FoldedSums) else paired.shared[:, 0] > 0
    return int(np.count_nonzero(np.bincount(clusters[has])))
