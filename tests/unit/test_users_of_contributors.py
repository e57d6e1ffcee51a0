"""A user is found under whatever name the answers were counted."""

from __future__ import annotations

import pytest

from consumers.defence.arrivals import contributor_of, user_of


@pytest.mark.parametrize("user", ["anna", "Anna Berg", "key:app anna", "key:x", "no key: x", " spaced  out ", "Berg"])
@pytest.mark.parametrize("source", ["", "cms", "key:app", "key:my-app.2"])
def test_the_user_in_a_contributor_is_the_one_who_answered(user: str, source: str) -> None:
    assert user_of(contributor_of(user, source)) == user
