"""More is held out while evidence is short, never less than is configured; a higher share holds out all that a lower one does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.enrichment.stories import is_test
from consumers.rows.documents import is_test_document
from consumers.training_set.held_out_share import held_out_share

shares = st.floats(0.01, 0.99)
counts = st.integers(0, 10_000)


@given(shares, shares, counts, counts)
def test_a_share_is_raised_only_while_rows_are_missing(configured: float, most: float, test_rows: int, needed: int) -> None:
    found = held_out_share(configured=configured, most=most, test_rows=test_rows, needed=needed)
    assert found.share in (configured, most)
    assert found.share >= configured
    assert found.raised == (test_rows < needed and most > configured)
    assert ("because" in found.sentence) == found.raised
    assert held_out_share(configured=configured, most=most, test_rows=max(test_rows, needed), needed=needed).share == configured


@given(shares, shares, st.text(min_size=1, max_size=40))
def test_what_a_lower_share_holds_out_a_higher_one_does_too(one: float, other: float, name: str) -> None:
    low, high = sorted((one, other))
    assert is_test_document(name, low) <= is_test_document(name, high)
    assert is_test(name, low) <= is_test(name, high)
