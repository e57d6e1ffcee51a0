"""The texts and answers of enriched examples as small numbers: equal ones share one, so that counting compares no strings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from consumers.tables.lance import Tables

Numbers = npt.NDArray[np.int64]


class Interning:
    """Reads the hashes of each example once: they never change, and reading all of them is half the time of a count."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # Sorted hashes beside their numbers: sixteen bytes for each different text or answer.
        self._hashes = np.empty(0, np.int64)
        self._numbers = np.empty(0, np.int64)
        self._read_up_to = 0
        # By enrichment number.
        self._texts = np.zeros(1, np.int64)
        self._answers = np.zeros(1, np.int64)

    def of(self, seqs: Numbers) -> tuple[Numbers, Numbers]:
        """Return the numbers of the texts and of the answers of the examples with these enrichment numbers; all are small."""
        if (highest := int(seqs.max(initial=0))) > self._read_up_to:
            self._read_on(highest)
        return self._texts[seqs], self._answers[seqs]

    def _read_on(self, highest: int) -> None:
        columns = ["enriched_seq", "text_sha256", "answer_sha256"]
        rows = self._tables.scan("example_enrichment", columns, f"enriched_seq > {self._read_up_to}")
        seqs = rows["enriched_seq"].to_numpy()
        # A row that another process has deleted since its number was seen keeps the number 0.
        self._read_up_to = max(highest, pc.max(rows["enriched_seq"]).as_py() or 0)
        missing = self._read_up_to + 1 - len(self._texts)
        self._texts = np.pad(self._texts, (0, missing))
        self._answers = np.pad(self._answers, (0, missing))
        self._texts[seqs] = self._number(rows["text_sha256"].to_pylist())
        self._answers[seqs] = self._number(rows["answer_sha256"].to_pylist())

    def _number(self, values: Sequence[str]) -> Numbers:
        # Python's own string hash, as in `SeenIds`: stable for the life of the process, which is all that is needed.
        hashes, places_of_values = np.unique(np.fromiter(map(hash, values), np.int64, len(values)), return_inverse=True)
        places = np.searchsorted(self._hashes, hashes)
        known = places < len(self._hashes)
        known[known] = self._hashes[places[known]] == hashes[known]
        numbers = np.empty(len(hashes), np.int64)
        numbers[known] = self._numbers[places[known]]
        numbers[~known] = len(self._numbers) + np.arange(np.count_nonzero(~known))
        self._hashes = np.insert(self._hashes, places[~known], hashes[~known])
        self._numbers = np.insert(self._numbers, places[~known], numbers[~known])
        return numbers[places_of_values]
