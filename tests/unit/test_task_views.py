"""What a task does, in words."""

from __future__ import annotations

from typing import Any

import pytest

from config.kinds import catalog
from daemon.views import tasks
from daemon.views.kinds import kinds
from daemon.views.tasks import Task
from tests.support.cycles import NAME, task


@pytest.mark.parametrize(
    ("promotion", "told"),
    [({}, "5% (relative)"), ({"improvement": "absolute"}, "0.05 (absolute)"), ({"mode": "manual"}, "5% (relative), by hand")],
    ids=str,
)
def test_the_least_gain_is_told_on_its_own_scale(promotion: dict[str, Any], told: str) -> None:
    made = Task.model_validate(task(promotion={"metric": "macro_f1", **promotion}).model_dump())
    words = tasks.in_words(made)
    assert words["promotes"].endswith(told)
    assert "champion" not in words


def test_a_threshold_is_told_where_there_is_one() -> None:
    assert "abstains" not in tasks.in_words(Task.model_validate(task().model_dump()))
    sure = Task.model_validate(task(abstain_below=0.4).model_dump())
    assert tasks.in_words(sure)["abstains"] == "where the highest probability is below 0.4"


def test_a_summary_says_the_same_as_the_task() -> None:
    spec = task(description="News")
    short = tasks.summary(spec, f"{NAME}/v1")
    assert {
        name: getattr(spec, name) for name in ("name", "kind", "description", "labels", "label_names", "abstain_below")
    } == short.model_dump(exclude={"champion"})


def test_every_kind_is_listed_with_where_it_is_learnt() -> None:
    found = {kind.name: kind for kind in kinds()}
    assert found.keys() == {kind.name for kind in catalog.every()}
    assert found["classification"].backends == found["classification"].refreshed_on == ("transformer",)
    assert found["ner"].columns == ("spans",)
    assert all(kind.about and kind.backends and kind.metrics for kind in found.values())
