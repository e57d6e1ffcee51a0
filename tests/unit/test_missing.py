"""A test whose service is missing skips on a laptop and fails in CI."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support import postgres, real_data


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_fails_in_ci_only(monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"nowhere\.parquet"):
        real_data.real("nowhere.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(outcome, match="make setup"):
            postgres.need_driver()
    monkeypatch.setattr(postgres, "_programs", lambda: None)
    with pytest.raises(outcome, match="apt-get install -y postgresql"), postgres.running():
        pass
