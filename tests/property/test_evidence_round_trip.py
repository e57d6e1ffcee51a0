"""Whatever both models answer and whatever decides: a verdict follows again from its bundle, word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.tasks import TaskSpec
from registry.evidence import bundle, checking
from tests.support.proven import proof
from tests.support.scored import table

_LABELS = ("a", "b", "c", "never in gold")
_KINDS: dict[str, dict[str, Any]] = {
    "classification": {"metrics": ("macro_f1", "accuracy"), "more": {"abstain_below": 0.3}},
    "multilabel": {"metrics": ("macro_f1", "micro_f1", "subset_accuracy"), "more": {}},
    "ner": {"metrics": ("entity_f1",), "more": {}},
    "regression": {
        "metrics": ("mae", "rmse", "spearman"),
        "more": {
            "dimensions": [{"name": "tone", "low": -10, "high": 10, "weight": 3}, {"name": "length", "low": -10, "high": 10}]
        },
    },
    "signals": {
        "metrics": ("signal_score", "tag_f1", "intensity"),
        "more": {"signals": [{"name": "crime", "tags": [{"name": "theft"}]}, {"name": "sport", "tags": [{"name": "ball"}]}]},
    },
}
_CASES = [(kind, metric) for kind, about in _KINDS.items() for metric in about["metrics"]]


def answer(kind: str, rng: np.random.Generator, *, probable: bool) -> dict[str, Any]:
    if kind == "classification":
        said = str(rng.choice(_LABELS if probable else _LABELS[:3]))
        return {"label": said, **({"scores": {said: round(float(rng.uniform(0.2, 1)), 4), "z": 0.1}} if probable else {})}
    if kind == "multilabel":
        said = sorted(rng.choice(_LABELS[:3], int(rng.integers(0, 4)), replace=False).tolist())
        return {"labels": said, **({"scores": dict.fromkeys(_LABELS[:3], 0.7)} if probable else {"scope": ["a", "b"]})}
    if kind == "ner":
        spans = [{"start": int(at), "end": int(at) + 2, "label": str(rng.choice(["ORG", "GPE"]))} for at in rng.integers(0, 9, 2)]
        return {"spans": spans, **({} if probable else {"partial": bool(rng.random() < 0.2)})}
    if kind == "regression":
        return {"values": {"tone": round(float(rng.normal(0, 3)), 2), **({"length": 1.5} if rng.random() < 0.8 else {})}}
    tags, nothing = {"crime": "theft", "sport": "ball"}, {"tag": "none", "score": 0.0}
    return {
        "signals": {
            name: {"tag": tag, "score": round(float(rng.uniform(-1, 1)), 2)} if rng.random() < 0.6 else nothing
            for name, tag in tags.items()
        }
    }  # fmt: skip


def said_of(kind: str, gold: dict[str, Any], rng: np.random.Generator, *, skilled: bool) -> dict[str, Any]:
    """Return what a model says of a row: what is right where it is skilled, beside probabilities of its own."""
    right = {key: value for key, value in gold.items() if key != "scope"} if skilled else {}
    return {**answer(kind, rng, probable=True), **right}


def scores(kind: str, rows: int, seed: int, skill: float, role: str = "test") -> pa.Table:
    rng = np.random.default_rng(seed)
    gold = [answer(kind, rng, probable=False) for _ in range(rows)]
    sides = [[said_of(kind, said, rng, skilled=rng.random() < share) for said in gold] for share in (skill, 0.4)]
    stories = [f"story-{number}" for number in rng.integers(0, max(rows // 2, 1), rows)]
    return table(gold, *sides, stories=stories, role=role, languages=[str(one) for one in rng.choice(["en", "sv", ""], rows)])


@pytest.mark.parametrize(("kind", "metric"), _CASES)
@settings(deadline=None, max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 60), seed=st.integers(0, 10_000), skill=st.sampled_from([0.3, 0.6, 1.0]), first=st.booleans(),
    must_go=st.booleans(), looks=st.integers(1, 5),
)  # fmt: skip
def test_the_same_words_and_the_same_figures(  # noqa: PLR0917 - pytest and hypothesis fill them in
    tmp_path: Path, kind: str, metric: str, rows: int, seed: int, skill: float, first: bool, must_go: bool, looks: int
) -> None:
    promotion = {"metric": metric, "min_test_examples": 20, "slices": [{"slice": "newest", "max_drop": 0.01, "min_rows": 10}]}
    task = TaskSpec.model_validate(
        {"name": "news", "kind": kind, "backend": "transformer", "base_model": "minilm", "labels": "open", "promotion": promotion,
         **_KINDS[kind]["more"]}
    )  # fmt: skip
    made = pa.concat_tables([scores(kind, rows, seed, skill), scores(kind, 12, seed + 1, skill, role="anchor")])
    about, table_of_rows = proof(task, made, champion=None if first else "news/v3", must_go=must_go, looks=looks, seed=seed)
    path = tmp_path / f"run-1{bundle.SUFFIX}"
    path.write_bytes(bundle.to_bytes(about, table_of_rows))
    found = checking.check(path, None, about.told)
    assert (found.outcome, found.problems, found.differences) == ("equal", (), ())
    assert found.words == about.gate
    assert bundle.About.of(path) == about
    # Whatever else stands beside or between them.
    assert [name for name in bundle.rows_of(path).column_names if name in bundle.COLUMNS] == list(bundle.COLUMNS)
