"""The store of features: a cache that may be damaged, of another encoder, or gone, and never answers wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from consumers.enrichment.feature_store import FILE_NAME, FeatureStore

HASHES = [f"{number:064x}" for number in range(6_000)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    opened = FeatureStore(tmp_path)
    yield opened
    opened.close()


def vectors(hashes: list[str], width: int = 4) -> dict[str, np.ndarray]:
    return {sha256: np.full(width, number, dtype=np.float32) for number, sha256 in enumerate(hashes)}


@pytest.mark.parametrize("count", [3, 700, 6_000])
def test_what_was_put_is_got_whatever_the_number(store: FeatureStore, count: int) -> None:
    store.put("one", vectors(HASHES))
    found = store.get("one", HASHES[:count])
    assert len(found) == count
    assert all(found[sha256].tolist() == [number] * 4 for number, sha256 in enumerate(HASHES[:count]))
    assert store.get("another", HASHES[:count]) == {}


def test_a_vector_cut_short_or_not_finite_counts_as_not_stored(store: FeatureStore) -> None:
    store.put("one", vectors(HASHES[:5]))
    store.put("one", {HASHES[1]: np.zeros(3, dtype=np.float32), HASHES[2]: np.full(4, np.nan, dtype=np.float32)})
    assert store.get("one", HASHES[:5]).keys() == {HASHES[0], HASHES[3], HASHES[4]}


def test_encoders_and_texts_that_are_not_kept_go(store: FeatureStore, tmp_path: Path) -> None:
    marked = np.frombuffer(b"this vector must not stay in the file at all....", dtype=np.float32)
    store.put("one", vectors(HASHES[:3]) | {HASHES[3]: marked})
    store.put("two", vectors(HASHES[:3]))
    assert store.keep_encoders({"one"}) == ["two"]
    assert store.get("two", HASHES[:3]) == {}
    assert store.keep_texts(frozenset(HASHES[:2])) == 2
    assert store.get("one", HASHES[:4]).keys() == set(HASHES[:2])
    assert b"this vector must not stay" not in (tmp_path / FILE_NAME).read_bytes()


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    first = FeatureStore(tmp_path)
    first.put("one", vectors(HASHES[:300], 400))
    first.close()
    path = tmp_path / FILE_NAME
    path.write_bytes(b"no SQLite file at all" + path.read_bytes()[21:])
    again = FeatureStore(tmp_path)
    assert again.get("one", HASHES[:3]) == {}
    again.put("one", vectors(HASHES[:3]))
    assert len(again.get("one", HASHES[:3])) == 3
    again.close()
