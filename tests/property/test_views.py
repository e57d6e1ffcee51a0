"""Every read model is data: it comes back from JSON as it was, whatever strangers wrote into it, and prints inert."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import daemon.views
from config.tasks import TaskSpec
from daemon.cli.output import print_json
from daemon.views.models.comparison import Scale
from daemon.views.view import Recorded, View, as_json
from tests.support.made_up import of_type
from trainers.compare.metrics import scale


def views() -> Iterator[type[View]]:
    for module in pkgutil.walk_packages(daemon.views.__path__, "daemon.views."):
        importlib.import_module(module.name)
    waiting = list(View.__subclasses__())
    while waiting:
        view = waiting.pop()
        waiting += view.__subclasses__()
        if view is not Recorded and view.__module__.startswith("daemon.views."):
            yield view


VIEWS = sorted(set(views()), key=lambda view: view.__qualname__)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_view_comes_back_from_json(view: type[View], data: st.DataObject) -> None:
    made = data.draw(of_type(view))
    plain = as_json(made)
    assert view.model_validate_json(json.dumps(plain, allow_nan=False)) == made
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        print_json(made)
    shown = written.getvalue()
    assert {one for one in shown if not one.isprintable()} <= {"\n"}
    assert json.loads(shown) == plain


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_a_view_is_frozen_and_says_what_it_is(view: type[View]) -> None:
    assert view.model_config["frozen"]
    assert view.__doc__
    assert view.model_json_schema(mode="serialization")


def test_there_is_a_view_of_each_thing_that_people_ask_about() -> None:
    names = {view.__name__ for view in VIEWS}
    assert names >= {
        "TaskStatus", "TaskSummary", "Run", "Comparison", "Version", "Move", "Diff", "Quarantine", "User", "FeedbackFate",
        "DeadLetter", "SetAside", "Erasures", "ApiKey", "Flow", "Status", "Setting",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {("a", "b"): 1}, TaskSpec, {"deep": [Exception("x")]}], ids=lambda value: type(value).__name__
)
def test_what_is_no_data_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="JSON"):
        as_json(value)


def test_figures_that_json_does_not_know_are_words() -> None:
    assert as_json({"gain": float("inf"), "path": Path("/x"), "names": frozenset({"b", "a"})}) == {
        "gain": "inf", "path": "/x", "names": ["a", "b"],
    }  # fmt: skip


@given(score=st.floats(allow_nan=False, allow_infinity=False), highest=st.sampled_from([1.0, float("inf")]))
def test_a_score_is_told_as_the_gate_tells_it(score: float, highest: float) -> None:
    metric = scale.Scale(title="macro F1", highest=highest)
    assert Scale.model_validate(metric.model_dump(mode="json")).format_score(score) == metric.format_score(score)
