"""How many rows a trial learns from, as people write it."""

from __future__ import annotations

import pytest

from config.errors import UserError
from daemon.operations.trying import Part


@pytest.mark.parametrize(
    ("given", "of_1000"),
    [("500", 500), ("2000", 1000), ("0.1", 100), ("10%", 100), ("1.0", 1000), ("100%", 1000), ("0.00001", 1)],
)
def test_rows_shares_and_percent_are_read(given: str, of_1000: int) -> None:
    assert Part.read(given).of(1000) == of_1000


@pytest.mark.parametrize("given", ["0", "-5", "1.5", "0%", "101%", "nan", "inf", "ten", "", "%", "1e3", "²"])
def test_anything_else_is_refused_with_examples(given: str) -> None:
    with pytest.raises(UserError, match="give rows"):
        Part.read(given)
