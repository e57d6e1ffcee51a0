"""Reads what labelling works on: what people and rules are asked about, and what they and language models have said."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from config.tasks import TaskSpec
from consumers.defence.views import Views
from consumers.labelling import frozen_pool, withheld
from consumers.labelling.offers import Held, Pool
from consumers.labelling.oracle import held_out
from consumers.labelling.oracle.held_out import HeldOut
from consumers.labelling.reading import Pools, Text, held, text_of
from consumers.labelling.weak import stored as weak_stored
from consumers.labelling.weak import texts as weak_texts
from consumers.labelling.weak.stored import StoredLabel
from consumers.labelling.weak.texts import Texts
from consumers.labelling.withheld import AskedText, RequestAnswer, Withheld
from consumers.rows.eligibility import ORACLE
from consumers.tables.lance import Tables
from consumers.tables.upkeep import Upkeep
from consumers.training_set import beside, freezing

_MOST_HELD = 500


class LabellingReader:
    """A part of `BufferReader`, which sets what it reads by."""

    _tables: Tables
    _tasks: Mapping[str, TaskSpec]
    _min_quality: float
    _lock: threading.RLock
    _upkeep: Upkeep
    _views: Views
    _pools: Pools

    def asked_of_people(self, task: TaskSpec, *, audit_per_week: int) -> tuple[Pool, list[str]]:
        """Return what the desk's lanes draw from, and the labels that a person may choose."""
        with self._lock:
            waiting = self._views.quarantined(task.name, _MOST_HELD)
            return self._pools.of(task, waiting, min_quality=self._min_quality, audit_per_week=audit_per_week)

    def frozen_pool(self, task: TaskSpec, *, learnt: frozenset[str], most: int, seed: int) -> pa.Table:
        """Return articles without a label that no model of a pair, with these lineages, has learnt anything of, at random."""
        with self._upkeep.pinned(frozen_pool.READ) as tables:
            return frozen_pool.frozen_pool(
                tables, task, learnt=learnt, most=most, min_quality=self._min_quality, seed=seed
            )  # fmt: skip

    def withheld(self) -> list[Withheld]:
        """Return the labels that train nothing while their pair of models is open."""
        with self._lock:
            return withheld.withheld(self._tables)

    def answers_to(self, task: TaskSpec, requests: Collection[str]) -> dict[str, list[RequestAnswer]]:
        """Return what people said to these requests for labels where two models disagree, oldest first."""
        with self._lock:
            return withheld.answers_to(self._tables, task, requests)

    def texts_asked_about(self, text_sha256s: Collection[str]) -> dict[str, AskedText]:
        """Return the articles with these texts, by SHA-256; what is stored no more is missing."""
        with self._lock:
            return withheld.texts_asked_about(self._tables, text_sha256s)

    def text(self, text_sha256: str, task: str) -> Text | None:
        """Return a text that an article, an example of the task or one of its predictions holds, by its SHA-256; else None.

        Of predictions those that are drawn for the desk.
        """
        with self._lock:
            found = text_of(self._tables, text_sha256, task)
            spec = self._tasks.get(task) if found is None else None
            return self._pools.served_text(spec, text_sha256) if spec is not None else found

    def weak_texts(
        self, task: TaskSpec, most: int, *, answers: bool = False, but_of: str | None = None, clustered: bool = False
    ) -> Texts:
        """Return what a task's rules are applied to: the newest articles that nobody has labelled, and texts that people did.

        `but_of`: labels of a language model by other prompts than this one count as none. `clustered`: also which are alike.
        """
        with self._upkeep.pinned(weak_texts.READ) as tables:
            return weak_texts.texts_for(
                tables, task, min_quality=self._min_quality, most=most, answers=answers, but_of=but_of, clustered=clustered
            )

    def second_people(self, task: TaskSpec, counting: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return what a second person says of texts, by SHA-256; `counting` tells of each text the example whose label counts."""
        with self._upkeep.pinned(beside.READ) as snapshot:
            return beside.second_people(snapshot, task, counting)

    def held_out_texts(self, task: TaskSpec) -> list[HeldOut]:
        """Return the texts that test a task, the newest first, each with the label that counts."""
        with self._upkeep.pinned(freezing.pinned(task)) as snapshot:
            return held_out.held_out(snapshot, task, min_quality=self._min_quality)

    def weak_labels(self, task: str) -> list[StoredLabel]:
        """Return the weak labels of a task that are stored, withdrawn ones too."""
        with self._lock:
            return weak_stored.stored_labels(self._tables, task)

    def oracle_labels(self, task: str) -> list[StoredLabel]:
        """Return the labels by a language model that are stored for a task, withdrawn ones too."""
        with self._lock:
            return weak_stored.stored_labels(self._tables, task, ORACLE)

    def held_by_ids(self, event_ids: Sequence[str]) -> list[Held]:
        """Return answers of users by their event ids, whatever was decided about them."""
        with self._lock:
            return [held(one) for one in self._views.by_ids(event_ids)]
